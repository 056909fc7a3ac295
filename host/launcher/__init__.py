"""Starts an enclave and ends it: as a process, or in a container."""
