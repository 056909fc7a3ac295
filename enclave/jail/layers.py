"""Confines the calling process, layer by layer; a layer that cannot be applied is an error.

Runs in: jail, engine.   Believes: the kernel.   Spec: §9.

BASE works on every kernel from 5.13. DEPTH is applied where the kernel has it; whoever needs it says so by `required`.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from sealroom.enclave.jail import kernel, landlock, seccomp, syscalls
from sealroom.protocol.errors import NotAcceptable, UsageError

BASE: Final = (
    "session", "descriptors", "environment", "limits", "no-new-privs", "capabilities", "dumpable", "landlock-files",
    "seccomp",
)  # fmt: skip
DEPTH: Final = ("landlock-net", "landlock-scope")
OUTSIDE: Final = ("thread-watch",)
"""Layers that the parent of a jail adds to those that the jail applies to itself."""

WHAT: Final = {
    "session": "own session; dies with the process that started it",
    "descriptors": "only the descriptors it was given; standard streams lead to /dev/null",
    "environment": "a fixed environment",
    "limits": "memory, processor time, open files; no file may grow, no core dump",
    "no-new-privs": "no program can raise privileges",
    "capabilities": "none, even for root",
    "dumpable": "no other process may look inside",
    "landlock-files": "files can only be read, below the interpreter and its packages",
    "landlock-net": "TCP neither in nor out (Linux 6.7)",
    "landlock-scope": "no signal and no abstract socket out of the jail (Linux 6.12)",
    "seccomp": "an allow-list of system calls; others fail or kill",
    "thread-watch": "at most 32 threads, counted from outside 20 times a second",
}
"""One line per layer, for people."""

ENVIRONMENT: Final = {
    "HOME": "/nonexistent", "LANG": "C.UTF-8", "TZ": "UTC", "JOBLIB_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_MAX_THREADS": "1",
    # Arrow's jemalloc would start a thread that the other layers cannot reach.
    "ARROW_DEFAULT_MEMORY_POOL": "system", "JE_ARROW_MALLOC_CONF": "background_thread:false",
}  # fmt: skip
"""All that confined code finds in its environment; the zygote and the engine set it before they import anything."""

Profile = Literal["job", "reader", "engine"]
_CALLS: Final = {"job": syscalls.JOB, "reader": syscalls.READER, "engine": syscalls.ENGINE}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the process may use beyond what it has mapped now: bytes of memory, seconds of processor time."""

    memory_bytes: int
    cpu_seconds: int
    open_files: int = 64


def available() -> tuple[str, ...]:
    """The layers that `apply` puts in force on this kernel."""
    version = landlock.version()
    return BASE + tuple(name for name, least in zip(DEPTH, (4, 6), strict=True) if version >= least)


def apply(
    profile: Profile,
    *,
    limits: Limits,
    readable: Sequence[str],
    keep: Iterable[int] = (),
    required: Iterable[str] = BASE,
    without: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Confine this process for good and return the names of the layers in force.

    Args:
        profile: which system calls pass.
        limits: see `Limits`.
        readable: files and folders that may still be opened for reading; a file that does not exist is an error.
        keep: descriptors that stay open besides 0, 1 and 2.
        required: names that must be in force; more than BASE only.
        without: layers to leave out. For tests that fork a process of their own; no message or setting leads here.

    Raises:
        NotAcceptable: the kernel lacks a required layer, or this process has threads that would stay outside.
        OSError: the kernel refused a layer.
    """
    kernel.require_platform()
    layers = tuple(name for name in available() if name not in without)
    if missing := sorted(set(required) - set(layers) - without):
        raise NotAcceptable("layer-missing", f"this kernel cannot apply the layer {missing[0]}")
    if kernel.threads() != 1:
        raise NotAcceptable("threads-running", "a process must be confined before it starts threads")
    memory = kernel.address_space() + limits.memory_bytes
    for name, step in _EARLY.items():
        if name in layers:
            step()
    if "descriptors" in layers:
        _descriptors(keep)
    if "limits" in layers:
        _limits(limits, memory, profile)
    _landlock(layers, readable)
    if "seccomp" in layers:
        seccomp.install(_CALLS[profile])
    return layers


def _session() -> None:
    """Die with the parent, and be in nobody's terminal or process group."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment() -> None:
    os.environ.clear()
    os.environ.update(ENVIRONMENT)


_EARLY: Final[dict[str, Callable[[], None]]] = {
    "session": _session,
    "environment": _environment,
    "no-new-privs": lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1),
    "capabilities": kernel.drop_capabilities,
    "dumpable": lambda: kernel.prctl(kernel.PR_SET_DUMPABLE, 0),
}


def _descriptors(keep: Iterable[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(null, standard, inheritable=False)
    first = 3
    for fd in sorted(set(keep) - {0, 1, 2}):
        os.closerange(first, fd)
        first = fd + 1
    kernel.close_from(first)


def _limits(limits: Limits, memory: int, profile: Profile) -> None:
    """The engine writes memory files, which count as files; it can open no other for writing."""
    if min(limits.memory_bytes, limits.cpu_seconds, limits.open_files) < 1:
        raise UsageError("limits are positive")
    file_size = resource.RLIM_INFINITY if profile == "engine" else 0
    hard = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for kind, value in hard.items():
        _lower(kind, value)
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def _lower(kind: int, value: int) -> None:
    """Set a hard limit, but never above the one inherited."""
    _, most = resource.getrlimit(kind)
    values = [v for v in (value, most) if v != resource.RLIM_INFINITY]
    least = min(values, default=resource.RLIM_INFINITY)
    resource.setrlimit(kind, (least, least))


def _landlock(layers: tuple[str, ...], readable: Sequence[str]) -> None:
    files, net, scope = (name in layers for name in ("landlock-files", "landlock-net", "landlock-scope"))
    if files or net or scope:
        landlock.restrict(readable if files else None, net=net, scope=scope)
