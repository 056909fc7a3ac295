"""Compiles the lists of allowed system calls into a BPF filter and installs it for good.

Runs in: jail, engine.   Believes: the kernel.   Source: seccomp(2), the kernel's seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import struct
from typing import Final

from sealroom.enclave.jail import kernel, syscalls

_SECCOMP, _SET_MODE_FILTER, _TSYNC = 317, 1, 1
_ARCH_X86_64 = 0xC000_003E
_X32_BIT = 0x4000_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH = 0, 4
_CLONE_THREAD = 0x0001_0000
_FUTEX_WAIT, _FUTEX_WAIT_BITSET, _FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 0, 9, 128, 256
_CLONE_NEW = 0x7E02_0080  # all namespaces

ALLOW: Final = 0x7FFF_0000
KILL: Final = 0x8000_0000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_FCNTL = (
    fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GET_SEALS,
)  # fmt: skip
_Steps = list[bytes]


def install(allowed: tuple[str, ...]) -> None:
    """Filter the calls of this process and all its threads from now on.

    Raises:
        OSError: the kernel refused, or a thread has a filter of its own.
    """
    program = build(allowed, pid=os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: u16 count, padding, pointer
    head = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(program) // 8, ctypes.addressof(code)), 16)
    result = kernel.syscall(_SECCOMP, _SET_MODE_FILTER, _TSYNC, head, what="seccomp")
    if result:
        raise OSError(errno.ESRCH, "a thread could not be filtered", f"seccomp: thread {result}")


def build(allowed: tuple[str, ...], *, pid: int) -> bytes:
    """The BPF program: allowed calls pass, calls for attackers kill, all others fail with EPERM."""
    steps = [_step(_LOAD, _ARCH), *_unless(_EQUAL, _ARCH_X86_64, KILL)]  # 32-bit calls (int 0x80)
    steps += [_step(_LOAD, _NUMBER), *_if(_AT_LEAST, _X32_BIT, KILL)]
    for name in allowed:
        steps += _call(name, ALLOW)
    for name in ("clone3", "openat2"):  # libraries fall back to the calls whose arguments can be looked at
        steps += _call(name, _fail(errno.ENOSYS))
    steps += _call("ioctl", _fail(errno.ENOTTY))
    steps += _when("clone", _threads_only())
    steps += _when("open", _reading(1)) + _when("openat", _reading(2))
    commands = (*_FCNTL, fcntl.F_ADD_SEALS) if "memfd_create" in allowed else _FCNTL
    steps += _when("fcntl", [_argument(1), *(s for c in commands for s in _if(_EQUAL, c, ALLOW)), _fails()])
    steps += _when("futex", _own_futexes())
    steps += _when("tgkill", _abort_only(pid))
    steps += _when("prlimit64", _own_limits_only())
    for name in syscalls.KILL:
        steps += _call(name, KILL)
    return b"".join([*steps, _fails()])


def _step(code: int, operand: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, operand)


def _fail(error: int) -> int:
    return 0x0005_0000 | error


def _fails() -> bytes:
    return _step(_RETURN, _fail(errno.EPERM))


def _if(test: int, operand: int, action: int) -> _Steps:
    return [_step(test, operand, 0, 1), _step(_RETURN, action)]


def _unless(test: int, operand: int, action: int) -> _Steps:
    return [_step(test, operand, 1, 0), _step(_RETURN, action)]


def _call(name: str, action: int) -> _Steps:
    return _if(_EQUAL, syscalls.NUMBERS[name], action)


def _when(name: str, body: _Steps) -> _Steps:
    """Run `body`, which must return on every path, for one call; the number stays loaded for the others."""
    return [_step(_EQUAL, syscalls.NUMBERS[name], 0, len(body)), *body]


def _argument(index: int, *, high: bool = False) -> bytes:
    """Load one half of an argument; `seccomp_data.args` starts at byte 16."""
    return _step(_LOAD, 16 + 8 * index + (4 if high else 0))


def _threads_only() -> _Steps:
    """Threads of this process; never a process or a namespace. EAGAIN is the failure that libraries expect."""
    never = _fail(errno.EAGAIN)
    return [
        _argument(0),
        *_if(_ANY_BIT, _CLONE_NEW, never),
        *_if(_ANY_BIT, _CLONE_THREAD, ALLOW),
        _step(_RETURN, never),
    ]


def _reading(flags_at: int) -> _Steps:
    return [_argument(flags_at), *_if(_ANY_BIT, _WRITING, _fail(errno.EPERM)), _step(_RETURN, ALLOW)]


def _own_futexes() -> _Steps:
    """Futexes of this process alone: a shared one on a page of a library wakes whoever else has that file mapped.

    Waiting on a shared one passes, because pthread_join(3) does; it tells nobody anything.
    """
    joins = (_FUTEX_WAIT, _FUTEX_WAIT_BITSET, _FUTEX_WAIT_BITSET | _FUTEX_CLOCK_REALTIME)
    return [
        _argument(1),
        *_if(_ANY_BIT, _FUTEX_PRIVATE, ALLOW),
        *(step for command in joins for step in _if(_EQUAL, command, ALLOW)),
        _fails(),
    ]


def _abort_only(pid: int) -> _Steps:
    """abort(3) must work; any other signal, to itself or others, is a message."""
    return [
        _argument(0), *_unless(_EQUAL, pid, _fail(errno.EPERM)),
        _argument(2), *_if(_EQUAL, signal.SIGABRT, ALLOW), _fails(),
    ]  # fmt: skip


def _own_limits_only() -> _Steps:
    """Reading one's own limits: process 0 and no new value."""
    refuse = _fail(errno.EPERM)
    return [
        _argument(0), *_unless(_EQUAL, 0, refuse),
        _argument(2), *_unless(_EQUAL, 0, refuse),
        _argument(2, high=True), *_unless(_EQUAL, 0, refuse), _step(_RETURN, ALLOW),
    ]  # fmt: skip
