"""A process that has imported the libraries, knows no secret, and forks a fresh jail for every run.

Runs in: zygote.   Believes: the gate; nothing that a jail says.   Spec: §9.

It computes nothing with those libraries: a process that did could not be forked safely. Payloads and outputs pass
through as descriptors; it reads of them only an output's first eight bytes. What only jobs use is imported when the
gate says that the run has hidden code, which it knows from the request.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from typing import Any, Final

from sealroom.enclave import frames, memory
from sealroom.enclave.jail import absent, cell, kernel, layers, paths, requests, waves
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.protocol.errors import NotAcceptable

_MAGIC: Final = {"reader": b"SRFLAT1\x00", "job": b"SRJOUT1\x00"}
_JOBS: Final = "sealroom.enclave.jail.harness"
PREPARE: Final = {"op": "prepare"}
"""That there will be jobs; it has no answer, and the gate need not wait."""
_PROBE = layers.Limits(memory_bytes=1 << 30, cpu_seconds=10)


def main(control_fd: int) -> None:
    """Serve the gate over a stream socket until it closes it.

    Raises:
        NotAcceptable: a layer cannot be applied, so that no jail may run.
        Malformed: the gate asked for something else than a run.
    """
    kernel.require_platform()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    _be_first_to_go()
    with socket.socket(fileno=control_fd) as control:
        control.set_inheritable(False)
        prepare()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        serve(control)


def prepare() -> None:
    """Import what readers use, in an environment of one thread, and keep it out of the collector's way."""
    os.environ.clear()
    os.environ.update(layers.ENVIRONMENT)
    from sealroom.enclave.jail import libraries  # noqa: PLC0415 -- reads the environment as it is imported

    libraries.warm_readers()
    _settle()


def prepare_jobs() -> None:
    """Import what jobs use, too; the second time does nothing."""
    if _JOBS in sys.modules:
        return
    from sealroom.enclave.jail import libraries  # noqa: PLC0415 -- as above

    libraries.warm_jobs()
    _settle()


def _settle() -> None:
    gc.collect()
    gc.freeze()


def serve(control: socket.socket, *, without: frozenset[str] = frozenset()) -> None:
    """Say which layers are in force, then fork one jail per request.

    `without` is for tests that fork a process of their own; `main` has no way to pass it.

    Raises:
        NotAcceptable, Malformed: see `main`.
    """
    inside, outside = ([n for n in names if n not in without] for names in (layers.available(), layers.OUTSIDE))
    how = cell.Confinement(readable=paths.for_jails(), required=tuple(inside), without=without)
    probe = cell.Work(profile="job", task=lambda: "ok", fds=(), limits=_PROBE, wall_seconds=30)
    if cell.run(probe, how) != "ok":
        raise NotAcceptable("jail-not-confined", "the first jail did not come to its end")
    frames.send(control, {"ready": True, "layers": inside + outside})
    while True:
        try:
            message, fds = frames.receive(control, timeout=None)
        except EOFError:
            return
        if message == PREPARE and not fds:
            prepare_jobs()
            continue
        try:
            outcome = handle(message, fds, how, control)
        except cell.GateGoneError:
            return
        finally:
            frames.close_all(fds)
        frames.send(control, {"outcome": outcome})


def handle(message: dict[str, Any], fds: list[int], how: cell.Confinement, control: socket.socket | None) -> Outcome:
    """Run one jail; `ok` only if its output begins as an output of its kind must.

    Raises:
        Malformed: the message or one of its descriptors is not what the protocol says.
    """
    run = requests.parse(message, len(fds))
    if isinstance(run.spec, requests.BlockSpec):
        prepare_jobs()
        return waves.run(run.spec, run.limits, fds, how, control)
    inputs = sum(memory.require_seals(fd, memory.FIXED if i == 1 else memory.FROZEN) for i, fd in enumerate(fds))
    limits = layers.Limits(memory_bytes=run.limits.memory_bytes + inputs, cpu_seconds=run.limits.cpu_seconds)
    work = cell.Work(
        profile=message["kind"],
        task=_task(run, fds),
        fds=tuple(fds),
        limits=limits,
        wall_seconds=run.limits.wall_seconds,
    )
    outcome = cell.run(work, how, control)
    if outcome == "ok" and os.pread(fds[1], 8, 0) != _MAGIC[message["kind"]]:
        return "bad-output"
    return outcome


def _task(run: requests.Run, fds: list[int]) -> Any:
    """What the jail does; all that it needs is imported before the fork, since nothing of it can be a jail's own."""
    spec = run.spec
    if isinstance(spec, requests.ReaderSpec):
        return _reading(spec, fds)
    prepare_jobs()
    from sealroom.enclave.jail import harness  # noqa: PLC0415 -- after the environment

    return lambda: harness.run(spec, fds)


def _reading(spec: requests.ReaderSpec, fds: list[int]) -> Any:
    from sealroom.enclave.jail import reader  # noqa: PLC0415 -- after the environment

    def read() -> Outcome:
        absent.leave_out(absent.OF_JOBS)
        return reader.run(spec, fds)

    return read


def _be_first_to_go() -> None:
    """Have the kernel end this process and its jails first when the machine is out of memory."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
