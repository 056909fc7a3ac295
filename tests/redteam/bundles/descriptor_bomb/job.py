"""Opens one file until the machine has no more descriptors."""

import os


def run(tables, ask):
    hoard = [os.open(os.__file__, os.O_RDONLY) for _ in range(200)]
    return [0, len(hoard) // 200]
