"""What the hostile bundles share; the runner adds it to each of them."""

import ctypes
import mmap
import os

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
