"""Asks where another process keeps its list of locks, an address in its memory."""

import ctypes

import target
from tools import call


def run(tables, ask):
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    call(274, target.VICTIM, ctypes.byref(head), ctypes.byref(size))
    return [0, 1] if size.value else []
