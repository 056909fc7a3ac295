"""Writes into the table that it was given, which others read after it."""

import mmap
import os

import target


def run(tables, ask):
    for fd in range(3, 64):
        try:
            size = os.fstat(fd).st_size
            with mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE) as table:
                if table[:7] == b"SRFLAT1":
                    table[-16:] = target.CANARY[:16]
                    return [0, 1]
        except (OSError, ValueError):
            continue
    raise OSError("nothing to write to")
