"""Fresh jails for some blocks at the same time, seen for exactly as long as agreed, whatever they do.

Runs in: zygote.   Believes: the kernel; nothing that a jail says.   Spec: §9.3.

A block must learn nothing of another. So waves begin at times that no block can move: at multiples of their period by
the machine's own clock. A wave always lasts its whole time. Each of its jails has a processor to itself. Nobody is told
how a jail ended: its output says all there is. A wave that is late, because ending the one before took long, waits for
the next such time.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from collections.abc import Sequence

from sealroom.enclave import memory
from sealroom.enclave.jail import cell, layers
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.enclave.jail.requests import BlockSpec, Limits
from sealroom.protocol.errors import Malformed, NotAcceptable
from sealroom.protocol.rules import BLOCK_PAUSE


def run(
    spec: BlockSpec, limits: Limits, fds: Sequence[int], how: cell.Confinement, control: socket.socket | None
) -> Outcome:
    """One wave: `fds` holds the bundle, then an output and a table for each block. It always ends `ok`.

    Raises:
        Malformed: a descriptor is not what the protocol says, or there are more blocks than processors.
        NotAcceptable: a jail could not apply all of its layers.
        cell.GateGoneError: the gate closed its end.
    """
    archive, *pairs = fds
    processors = sorted(os.sched_getaffinity(0))
    blocks = list(zip(pairs[::2], pairs[1::2], strict=True))
    if len(blocks) > len(processors):
        raise Malformed("too-many-blocks", "a block has a processor to itself")
    works = [
        _work(spec, limits, (archive, *block), processor) for block, processor in zip(blocks, processors, strict=False)
    ]
    length = spec.milliseconds / 1000
    start = next_start(time.monotonic(), length + BLOCK_PAUSE / 1000)
    _sleep(start, control)
    _together(works, how, start + length, control)
    return "ok"


def next_start(now: float, period: float) -> float:
    """The first multiple of `period` that is not before `now` (seconds)."""
    return math.ceil(now / period) * period


def _work(spec: BlockSpec, limits: Limits, fds: tuple[int, ...], processor: int) -> cell.Work:
    from sealroom.enclave.jail import harness  # noqa: PLC0415 -- imported by the zygote, after the environment

    inputs = sum(memory.require_seals(fd, memory.FIXED if i == 1 else memory.FROZEN) for i, fd in enumerate(fds))
    return cell.Work(
        profile="job",
        task=lambda: harness.run(spec, fds),
        fds=fds,
        limits=layers.Limits(memory_bytes=limits.memory_bytes + inputs, cpu_seconds=limits.cpu_seconds),
        wall_seconds=spec.milliseconds / 1000,
        processor=processor,
    )


def _together(works: Sequence[cell.Work], how: cell.Confinement, end: float, control: socket.socket | None) -> None:
    with contextlib.ExitStack() as stack:
        jails = [_Jail(work, how, stack) for work in works]
        _sleep(end, control, () if "thread-watch" in how.without else jails)
        unconfined = [jail for jail in jails if jail.kill()]
    if unconfined:
        raise NotAcceptable("jail-not-confined", "a jail could not apply all of its layers and was not used")


class _Jail:
    """One block's process; leaving `stack` kills and reaps it, whatever happened."""

    def __init__(self, work: cell.Work, how: cell.Confinement, stack: contextlib.ExitStack) -> None:
        self._pid, self._ready = cell.fork(work, how)
        stack.callback(os.close, self._ready)
        self._pidfd = os.pidfd_open(self._pid)
        stack.callback(self._reap)

    def watch(self) -> None:
        """Kill it if it has too many threads."""
        if cell.threads(self._pid) > cell.MOST_THREADS:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def kill(self) -> bool:
        """Kill it; True if it had ended by itself before its layers were in force.

        One that was merely too slow for them has not looked at anything either, and is a block without an answer.
        """
        ended = _ready(self._pidfd)
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return ended and not os.read(self._ready, 1)  # its end of the pipe is closed, so this does not wait

    def _reap(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._pidfd)


def _ready(fd: int) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(0))


def _sleep(until: float, control: socket.socket | None, jails: Sequence[_Jail] = ()) -> None:
    """Wait for a moment of the monotonic clock, and look after the jails 20 times a second."""
    gone = select.poll()
    if control is not None:
        gone.register(control, select.POLLRDHUP)
    while (left := until - time.monotonic()) > 0:
        if gone.poll(math.ceil(1000 * min(left, cell.WATCH_SECONDS))):
            raise cell.GateGoneError
        for jail in jails:
            jail.watch()
