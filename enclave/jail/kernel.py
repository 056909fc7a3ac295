"""System calls that Python has no function for, through ctypes; x86-64 Linux only.

Runs in: zygote, jail, engine.   Believes: the kernel.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

from sealroom.protocol.errors import UsageError

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPSET = 126
_CLOSE_RANGE = 436
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.restype = ctypes.c_int


def require_platform() -> None:
    """Refuse to go on where the filters below would mean something else.

    Raises:
        UsageError: not x86-64 Linux in 64-bit mode.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or struct.calcsize("P") != 8:
        raise UsageError("jails are built for 64-bit x86-64 Linux only", hint="run the enclave on an x86-64 machine")


def syscall(number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None, what: str) -> int:
    """Make a raw system call; integers are passed in full width.

    Raises:
        OSError: the kernel refused; `what` names the call.
    """
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result


def prctl(option: int, first: int = 0, second: int = 0) -> None:
    """Set a property of this process.

    Raises:
        OSError: the kernel refused.
    """
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), zero, zero) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl {option}")


def drop_capabilities() -> None:
    """Give up every capability of this thread, for good once no_new_privs is set.

    Raises:
        OSError: the kernel refused.
    """
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    syscall(_CAPSET, struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24), what="capset")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on.

    Raises:
        OSError: the kernel refused.
    """
    syscall(_CLOSE_RANGE, first, 0xFFFF_FFFF, 0, what="close_range")


def threads() -> int:
    """Number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def address_space() -> int:
    """Bytes of address space that this process has mapped."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
