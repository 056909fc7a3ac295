"""The first code in a mock run's jail: the harness of real runs, with its silence taken away.

Runs in: a mock run's jail, on an author's machine.   Believes: nothing.

Real jails lead the standard streams to /dev/null and drop exceptions. Here both go to a pipe that the author reads. The
path is that of `harness.run` itself: its steps are only wrapped, in this process, so that they tell why they fail.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO

from sealroom.enclave.jail import harness
from sealroom.enclave.jail.importer import ROOT
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.enclave.jail.requests import BlockSpec, JobSpec

_STEPS = ("load", "call", "check")


def run(spec: JobSpec | BlockSpec, fds: Sequence[int], *, text: int, meter: int) -> Outcome:
    """Run the job as the harness does; `text` gets what it says, at `meter` it waits to be looked at."""
    os.dup2(text, 1)
    os.dup2(text, 2)
    sys.stdout, sys.stderr = _stream(1), _stream(2)  # the old ones remember what kind of file they were opened on
    faulthandler.enable(2)
    faulthandler.register(signal.SIGXCPU, 2)  # the hard limit, a second later, still ends the process
    for name in _STEPS:
        setattr(harness, name, _telling(name, getattr(harness, name)))
    _wait_for_a_look(meter, f"s{os.getpid()}\n")
    outcome = harness.run(spec, fds)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    _wait_for_a_look(meter, "e\n")
    return outcome


def _stream(fd: int) -> TextIO:
    return io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)


def _wait_for_a_look(meter: int, mark: str) -> None:
    os.write(meter, mark.encode())
    os.read(meter, 1)


def _telling(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any) -> Any:
        try:
            return step(*arguments)
        except BaseException as error:
            with contextlib.suppress(BaseException):  # an exception of the job's own making may not want to be printed
                _tell(name, error, arguments)
            raise

    return told


def _tell(name: str, error: BaseException, arguments: Sequence[Any]) -> None:
    sys.stdout.flush()
    if name == "check":
        os.write(2, f"{error}; the job returned {_described(arguments[0])}\n".encode(errors="backslashreplace"))
        return
    lines = traceback.format_exception(type(error), error, _of_the_job(error.__traceback__))
    os.write(2, "".join(lines).encode(errors="backslashreplace"))


def _of_the_job(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the bundle; all of it if none does."""
    found = trace
    while found is not None and not found.tb_frame.f_code.co_filename.startswith(ROOT):
        found = found.tb_next
    return found or trace


def _described(result: Any) -> str:
    kind = type(result).__name__
    shape, dtype = getattr(result, "shape", None), getattr(result, "dtype", None)
    if shape is not None:
        return f"{kind} of shape {tuple(shape)} and type {dtype}"
    with contextlib.suppress(TypeError):
        return f"{kind} of {len(result)} items"
    return kind
