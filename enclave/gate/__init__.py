"""The gate: the one process that holds keys and decides what leaves. Small enough to read in a day."""
