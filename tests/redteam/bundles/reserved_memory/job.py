"""Reserves more address space than the machine has memory, and touches a little of it."""

import mmap

MAP_NORESERVE = 0x4000


def run(tables, ask):
    hoard = mmap.mmap(-1, 40 << 30, flags=mmap.MAP_PRIVATE | MAP_NORESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    hoard[0] = 1
    return [0, 1]
