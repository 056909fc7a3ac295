"""Hostile bundles that only a check on our side stops, and those that nothing stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from sealroom.enclave.jail import output
from sealroom.enclave.jail.outcomes import Outcome

CANARY = b"CANARY-5e41ab0c-leaves-the-jail"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One hostile bundle that only a check on our side stops.

    Attributes:
        name: folder of the bundle.
        stopped: the check, in words.
        ends: the outcome it ends in.
        without: what a reader or parent without that check would get, in words.
        code: error code with which the engine refuses the output, when the outcome is `ok`.
        naive: what a reader without that check would hand on, from the output's bytes.
        shows: what a script of the same code prints.
        status: how such a script ends.
        clean: whether the output must be the honest one, although the bundle tried to change it afterwards.
    """

    name: str
    stopped: str
    ends: Outcome
    without: str
    code: str = ""
    naive: Callable[[bytes], Any] | None = None
    ask: str = "rows"
    shows: bytes = CANARY
    status: int | None = None
    clean: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """One hostile bundle that gets through, and what bounds that. `seconds`: how long it takes at least."""

    name: str
    bounded: str
    seconds: float = 0.0


def _numbers(data: bytes) -> list[int]:
    return [int(number) for number in np.frombuffer(data, "<i8", offset=output.HEAD.size)]


CONTRACTS = (
    Contract(
        name="exit_code", stopped="outcomes are a closed set", ends="error", status=42,
        without="a parent that passes on the status: 42",
    ),
    Contract(
        name="chosen_signal", stopped="every signal of a crash is the one outcome `killed`", ends="killed", status=-8,
        without="a parent that passes on the signal: SIGFPE, where another bundle has SIGSEGV",
    ),
    Contract(
        name="crash", stopped="each job has a process of its own", ends="killed", status=-11,
        without="the process that ran it ends, with all that lived in it",
    ),
    Contract(
        name="exception_text", stopped="exceptions end in an outcome; their text is lost", ends="error",
        without="a parent that keeps the traceback: the canary",
    ),
    Contract(
        name="stop_text", stopped="exceptions end in an outcome; their text is lost", ends="error",
        without="a parent that keeps what Python prints: the canary",
    ),
    Contract(
        name="late_thread", stopped="the jail ends by `_exit`: no thread gets another turn", ends="ok", clean=True,
        without="a process that ends as Python does: the thread prints the canary",
    ),
    Contract(
        name="exit_handler", stopped="the jail ends by `_exit`: no handler gets a turn", ends="ok", clean=True,
        without="a process that ends as Python does: the handler prints the canary",
    ),
    Contract(
        name="earlier_run", stopped="the zygote passes descriptors on and reads nothing of them", ends="ok", clean=True,
        without="a zygote that once held the text: found in memory",
    ),
    Contract(
        name="never_waking", stopped="the zygote's wall-clock deadline", ends="out-of-time",
        without="a parent that waits longer: the job returns",
    ),
    Contract(
        name="nan_payload", stopped="scores must be finite", ends="ok", code="E5.not-finite", ask="scores",
        naive=lambda data: np.frombuffer(data, "<f8", offset=output.HEAD.size).tobytes(),
        without="a reader that copies the numbers: six bytes per row",
    ),
    Contract(
        name="rows_out_of_range", stopped="row positions lie in the table", ends="ok", code="E5.row-out-of-range",
        naive=lambda data: _numbers(data)[1].to_bytes(8, "little"),
        without="a reader that copies the numbers: the canary",
    ),
    Contract(
        name="negative_rows", stopped="row positions lie in the table", ends="ok", code="E5.row-out-of-range",
        naive=lambda data: ["first", "last but one", "last"][_numbers(data)[1]],
        without="a reader that indexes as Python does: rows by another name",
    ),
    Contract(
        name="rows_twice", stopped="row positions are distinct", ends="ok", code="E5.row-twice",
        naive=_numbers, without="a reader that takes each position as it comes: one row twice",
    ),
    Contract(
        name="reserved_bytes", stopped="the head is compared byte for byte", ends="ok", code="E5.output-head",
        naive=lambda data: data[12:16], without="a reader that skips what it does not use: four bytes stay in the file",
    ),
    Contract(
        name="extra_outputs", stopped="the count is the one asked for", ends="ok", code="E5.output-head",
        naive=lambda data: output.HEAD.unpack_from(data)[3],
        without="a reader that believes the count: three, two asked",
    ),
    Contract(
        name="other_kind", stopped="the kind is the one asked for", ends="ok", code="E5.output-head",
        naive=lambda data: data[output.HEAD.size :], without="a reader that believes the kind: sixteen bytes of canary",
    ),
    Contract(
        name="labels", stopped="the harness writes numbers only", ends="bad-output",
        without="a parent that prints what the function returns: the canary",
    ),
    Contract(
        name="lying_array", stopped="the answer becomes a plain array before it is looked at", ends="bad-output",
        shows=str(int.from_bytes(CANARY[:7], "little")).encode(),
        without="a check that asks the array itself: seven bytes of canary",
    ),
    Contract(
        name="patched_numpy", stopped="the engine checks again, in another process", ends="ok", code="E5.row-twice",
        naive=_numbers, without="a reader that relies on the harness: one row twice",
    ),
    Contract(
        name="patched_writer", stopped="the engine checks again, in another process", ends="ok",
        code="E5.row-out-of-range", naive=lambda data: data[output.HEAD.size :],
        without="a reader that relies on the harness: sixteen bytes of canary",
    ),
    Contract(
        name="larger_output", stopped="the seals of the output's memory file; also seccomp", ends="error",
        without="an output without seals and a jail without seccomp and limits: the canary behind the numbers",
    ),
    Contract(
        name="write_input", stopped="the seals of the input's memory file", ends="error",
        without="a table without seals: the canary is in it, for whoever reads it next",
    ),
)  # fmt: skip

OPEN = (
    Open(name="stat_path", bounded="what lies in the image is public; in Docker there is nothing else"),
    Open(name="process_there", bounded="in Docker the container has process numbers of its own"),
    Open(name="host_name", bounded="in Docker it is the same for every run"),
    Open(name="read_clock", bounded="a clock tells a job about the operator, nobody about the job"),
    Open(
        name="duration", seconds=0.8,
        bounded="parties see slots, and each owner is charged for them with its grant; the operator sees it in full",
    ),
)  # fmt: skip
