"""Wakes another process that waits on a page of a library which both may read."""

import mmap
import os

import numpy as np
import target
from tools import call


def run(tables, ask):
    fd = os.open(target.LIBRARY, os.O_RDONLY)
    page = mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    address = np.frombuffer(page, "u1").ctypes.data
    call(202, address, 1, 100, 0, 0, 0)  # FUTEX_WAKE, not private
    return [0, 1]
