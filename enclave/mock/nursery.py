"""A zygote for mock runs: the same libraries, limits, layers and jails, plus one pipe for what a job says.

Runs in: an author's machine.   Believes: the mock run that forked it; nothing that a jail says.

A real zygote has no such pipe and cannot be given one: nothing outside this folder imports it.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from sealroom.enclave import frames, memory
from sealroom.enclave.jail import cell, kernel, layers, paths, requests, zygote
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.protocol.errors import Malformed, NotAcceptable, SealroomError

_OUTPUT_MAGIC = b"SRJOUT1\x00"
_PROBE = layers.Limits(memory_bytes=1 << 30, cpu_seconds=10)


def start() -> socket.socket:
    """Fork it; must be called before this process has imported anything that starts threads."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        _live(theirs)
    theirs.close()
    return ours


def _live(control: socket.socket) -> NoReturn:
    status = 1
    try:
        try:
            serve(control)
        except SealroomError as error:
            frames.send(control, {"refused": error.message, "hint": error.hint})
        status = 0
    finally:
        os._exit(status)


def serve(control: socket.socket) -> None:
    """Say that it is ready, then fork one jail per request.

    Raises:
        NotAcceptable: this machine cannot confine a jail.
        Malformed: a request is not one.
    """
    kernel.require_platform()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    zygote.prepare()
    zygote.prepare_jobs()
    from sealroom.enclave.mock import loud  # noqa: F401, PLC0415 -- imported before the fork, like the harness

    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    inside = layers.available()
    how = cell.Confinement(readable=paths.for_jails(), required=inside)
    probe = cell.Work(profile="job", task=lambda: "ok", fds=(), limits=_PROBE, wall_seconds=30)
    if cell.run(probe, how) != "ok":
        raise NotAcceptable("jail-not-confined", "the first jail did not come to its end")
    frames.send(control, {"ready": True, "layers": [*inside, *layers.OUTSIDE]})
    while True:
        try:
            message, fds = frames.receive(control, timeout=None)
        except EOFError:
            return
        try:
            answer = _measured(message, fds, how, control)
        finally:
            frames.close_all(fds)
        frames.send(control, answer)


def _measured(message: dict[str, Any], fds: list[int], how: cell.Confinement, control: socket.socket) -> dict[str, Any]:
    before, started = _cpu(), time.monotonic()
    outcome = handle(message, fds, how, control)
    return {"outcome": outcome, "cpu_seconds": _cpu() - before, "wall_seconds": time.monotonic() - started}


def handle(message: dict[str, Any], fds: Sequence[int], how: cell.Confinement, control: socket.socket) -> Outcome:
    """What `zygote.handle` does with a job; the last two descriptors are the pipe for text and the meter.

    Raises:
        Malformed: the message or one of its descriptors is not what the protocol says.
    """
    *given, text, meter = fds
    run = requests.parse(message, len(given))
    spec = run.spec
    if isinstance(spec, requests.ReaderSpec):
        raise Malformed("unknown-kind", "a mock run has no payload to read")
    wall = spec.milliseconds / 1000 if isinstance(spec, requests.BlockSpec) else run.limits.wall_seconds
    inputs = sum(memory.require_seals(fd, memory.FIXED if i == 1 else memory.FROZEN) for i, fd in enumerate(given))
    from sealroom.enclave.mock import loud  # noqa: PLC0415 -- imported by `serve`, after the environment

    work = cell.Work(
        profile="job",
        task=lambda: loud.run(spec, given, text=text, meter=meter),
        fds=(*given, text, meter),
        limits=layers.Limits(memory_bytes=run.limits.memory_bytes + inputs, cpu_seconds=run.limits.cpu_seconds),
        wall_seconds=wall,
    )
    outcome = cell.run(work, how, control)
    return "bad-output" if outcome == "ok" and os.pread(given[1], 8, 0) != _OUTPUT_MAGIC else outcome


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
