"""Hoards in memory files, which no limit on address space counts."""

import os


def run(tables, ask):
    fd = os.memfd_create("hoard")
    os.write(fd, bytes(1 << 20))
    return [0, 1]
