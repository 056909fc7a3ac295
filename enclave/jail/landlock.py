"""Landlock: which files a process may still open, and whom it may reach.

Runs in: jail, engine.   Believes: the kernel.   Source: the kernel's userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from sealroom.enclave.jail import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right on files that an ABI version knows; later versions than 5 add none."""
_NET_RIGHTS = 3  # bind and connect TCP, since version 4
_SCOPES = 3  # abstract Unix sockets and signals, since version 6


def version() -> int:
    """The kernel's Landlock ABI version, or 0 where there is none."""
    try:
        return kernel.syscall(_CREATE, None, 0, 1, what="landlock version")
    except OSError:
        return 0


def restrict(readable: Iterable[str] | None, *, net: bool, scope: bool) -> None:
    """Deny every right on files but reading below `readable` (None: leave files alone); optionally TCP and scopes.

    Raises:
        OSError: the kernel has no Landlock or not these parts of it, or a path cannot be opened.
    """
    files = 0 if readable is None else _FILE_RIGHTS[max(1, min(version(), 5))]
    attributes = struct.pack("=QQQ", files, _NET_RIGHTS if net else 0, _SCOPES if scope else 0)
    size = 24 if scope else 16 if net else 8
    ruleset = kernel.syscall(_CREATE, attributes[:size], size, 0, what="landlock ruleset")
    try:
        for path in readable or ():
            _allow_reading(ruleset, path)
        kernel.syscall(_RESTRICT, ruleset, 0, what="landlock restrict")
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | (_READ_DIR if stat.S_ISDIR(os.fstat(fd).st_mode) else 0)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd))
        kernel.syscall(_ADD, ruleset, 1, rule, 0, what=f"landlock rule for {path}")
    finally:
        os.close(fd)
