"""Reads the memory of another process through /proc."""

import target


def run(tables, ask):
    with open(f"/proc/{target.VICTIM}/mem", "rb", buffering=0) as memory:
        memory.seek(target.ADDRESS)
        found = memory.read(len(target.CANARY))
    return [0, 1] if found == target.CANARY else []
