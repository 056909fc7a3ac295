"""One jail, from fork to outcome.

Runs in: zygote (the parent's half), jail (the child's).   Believes: the kernel; nothing the child says.   Spec: §9.

The child writes one byte when every layer is in force and before it looks at anything; a jail that ends without that
byte never ran, and the zygote stops instead of reporting an outcome.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Literal, NoReturn

from sealroom.enclave.jail import layers
from sealroom.enclave.jail.outcomes import EXIT, Outcome, of_exit
from sealroom.protocol.errors import NotAcceptable

MOST_THREADS = 32
WATCH_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How every jail of a zygote is confined; `without` is for tests that fork a process of their own."""

    readable: tuple[str, ...]
    required: tuple[str, ...] = layers.BASE
    without: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a jail does once it is confined, with which descriptors and limits."""

    profile: layers.Profile
    task: Callable[[], Outcome]
    fds: tuple[int, ...]
    limits: layers.Limits
    wall_seconds: float
    processor: int | None = None
    """The one processor that it may use; None for any."""


class GateGoneError(Exception):
    """The gate closed its end while a jail ran; the jail was killed."""


def run(work: Work, how: Confinement, control: socket.socket | None = None) -> Outcome:
    """Fork a jail, wait for it within its wall-clock limit, and say how it ended.

    Raises:
        NotAcceptable: a layer could not be applied.
        GateGoneError: `control` was closed by its peer.
        OSError: no process could be made.
    """
    pid, ready = fork(work, how)
    try:
        outcome = _wait(pid, work, how, control)
        if not os.read(ready, 1):
            raise NotAcceptable("jail-not-confined", "a jail could not apply all of its layers and was not used")
    finally:
        os.close(ready)
    return outcome


def fork(work: Work, how: Confinement) -> tuple[int, int]:
    """Start a jail: its process id, and a pipe that holds one byte as soon as every layer is in force."""
    ready, confined = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(work, how, confined)
    os.close(confined)
    return pid, ready


def _child(work: Work, how: Confinement, confined: int) -> NoReturn:
    status = EXIT["error"]
    try:
        if work.processor is not None:  # no layer lets it choose another one later
            os.sched_setaffinity(0, {work.processor})
        layers.apply(
            work.profile,
            limits=work.limits,
            readable=how.readable,
            keep=(*work.fds, confined),
            required=how.required,
            without=how.without,
        )
        os.write(confined, b"\x01")
        os.close(confined)
        status = EXIT[work.task()]
    except MemoryError:
        status = EXIT["out-of-memory"]
    finally:
        os._exit(status)  # no handler, buffer or thread of the job gets another turn


def _wait(pid: int, work: Work, how: Confinement, control: socket.socket | None) -> Outcome:
    pidfd = os.pidfd_open(pid)
    try:
        with select.epoll() as events:
            events.register(pidfd, select.EPOLLIN)
            if control is not None:
                events.register(control, select.EPOLLRDHUP)
            reason = _watch(pid, events, pidfd, work, how)
    finally:  # no jail outlives its watch, whatever ended that
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
    if reason == "gate-gone":
        raise GateGoneError
    if reason != "ended":
        return reason
    return classify(status, usage.ru_utime + usage.ru_stime, work.limits.cpu_seconds)


def _watch(
    pid: int, events: select.epoll, pidfd: int, work: Work, how: Confinement
) -> Literal["ended", "gate-gone", "out-of-time", "killed"]:
    """Wait for the first of: the end, the gate's end, the deadline, a thread too many."""
    watched = "thread-watch" not in how.without
    deadline = time.monotonic() + work.wall_seconds
    while (left := deadline - time.monotonic()) > 0:
        news = [fd for fd, _ in events.poll(min(left, WATCH_SECONDS if watched else 3600))]
        if news:
            return "ended" if pidfd in news else "gate-gone"
        if watched and threads(pid) > MOST_THREADS:
            return "killed"
    return "out-of-time"


def threads(pid: int) -> int:
    """Number of threads of a child that has not been waited for; proc(5), /proc/pid/stat, field 20."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[17])


def classify(status: int, cpu_used: float, cpu_seconds: int) -> Outcome:
    """The outcome of a wait status: a jail cannot send itself SIGKILL, so that one is a limit's or the kernel's."""
    if os.WIFEXITED(status):
        return of_exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu_used >= cpu_seconds):
        return "out-of-time"
    return "out-of-memory" if number == signal.SIGKILL else "killed"
