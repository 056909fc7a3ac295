"""Plays bank, partner and operator as separate parties on real data; every step is a command that one could type."""
