"""Example jobs. What is in here runs in the jail and imports nothing of ours."""
