"""What the hostile bundles share; the runner adds it to each of them."""

import ctypes
import mmap
import os
import sys

import numpy as np

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *args):
    """A raw system call, or OSError."""
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def machine_code(code):
    """Run machine code that takes nothing and returns an integer."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


def mapped(address):
    """Whether a page can be read: a call that first copies its argument says so, and then refuses it anyway."""
    mask, size = ctypes.c_void_p(address), ctypes.c_long(8)
    return libc.syscall(ctypes.c_long(14), ctypes.c_long(99), mask, None, size) < 0 and ctypes.get_errno() != 14


def inherited():
    """All memory around the objects of the interpreter, in pieces that overlap by a page; shape [bytes], uint8."""
    page, piece, seen = 4096, 256, set()
    libc.sbrk.restype = ctypes.c_void_p
    seeds = {libc.sbrk(0) - page} | {
        id(value) for module in list(sys.modules.values()) for value in vars(module).values()
    }
    for seed in sorted(seeds):
        first = last = seed // page
        if first in seen:
            continue
        while first - 1 not in seen and mapped((first - 1) * page):
            first -= 1
        while last + 1 not in seen and mapped((last + 1) * page):
            last += 1
        seen.update(range(first, last + 1))
        for start in range(first, last + 1, piece):
            size = (min(start + piece, last) + 1 - start) * page
            yield np.frombuffer((ctypes.c_ubyte * size).from_address(start * page), "u1")


def output_fd():
    """The output among the descriptors that a jail is given: the one that can be written to."""
    for fd in range(3, 64):
        try:
            with mmap.mmap(fd, 8, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE):
                return fd
        except (OSError, ValueError):
            continue
    raise OSError("no output")


def write_output(data):
    """Write the output past the harness and end as if all were well."""
    fd = output_fd()
    with mmap.mmap(fd, os.fstat(fd).st_size) as target:
        target[: len(data)] = data
    os._exit(0)
