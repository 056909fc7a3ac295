"""Attaches to another process as a debugger and reads its memory."""

import ctypes
import os

import target
from tools import call


def run(tables, ask):
    call(101, 16, target.VICTIM, 0, 0)  # PTRACE_ATTACH
    os.waitpid(target.VICTIM, 0x40000000)  # __WALL
    word = ctypes.c_long()
    call(101, 2, target.VICTIM, target.ADDRESS, ctypes.byref(word))  # PTRACE_PEEKDATA
    call(101, 17, target.VICTIM, 0, 0)  # PTRACE_DETACH
    return [0, 1] if word.value.to_bytes(8, "little") == target.CANARY[:8] else []
