"""What is tried, what stops it, and how one sees that it would have worked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from sealroom.enclave.jail import output
from sealroom.enclave.jail.outcomes import Outcome

LANDLOCK = ("landlock-files", "landlock-net", "landlock-scope")
LOOK_INSIDE = ("seccomp", *LANDLOCK)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One hostile bundle; its docstring says what it tries.

    Attributes:
        name: folder of the bundle.
        stopped: layers that stop it, first the one that comes first; all are taken away for the second run.
        ends: outcomes that the first run may end in.
        proof: channel of the world on which the second run is seen, or `outcome`: the bundle returns only on success.
        outer: what says so where the machine does not offer the thing at all, and that run fails for another reason.
        errno: the error in that case, or a negative signal number; with the layer there is none, or another.
        seen: whether the second run has succeeded anywhere; x32 is built into hardly any kernel.
    """

    name: str
    stopped: tuple[str, ...]
    ends: frozenset[Outcome]
    proof: str = "outcome"
    outer: str = ""
    errno: int = 0
    seen: bool = True
    ask: str = "rows"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One hostile bundle that only a check on our side stops.

    Attributes:
        name: folder of the bundle.
        stopped: the check, in words.
        ends: outcomes it may end in.
        code: error code with which the engine refuses the output, when the outcome is `ok`.
        naive: what a reader without that check would hand on, from the output's bytes.
        without: what that would be, in words.
    """

    name: str
    stopped: str
    ends: frozenset[Outcome]
    without: str
    code: str = ""
    naive: Callable[[bytes], Any] | None = None
    ask: str = "rows"


def _ends(*outcomes: Outcome) -> frozenset[Outcome]:
    return frozenset(outcomes)


_ERROR, _KILLED = _ends("error"), _ends("killed")

CASES = (
    Case(name="tcp_connect", stopped=("seccomp", "landlock-net"), ends=_ERROR, proof="tcp"),
    Case(name="udp_send", stopped=("seccomp",), ends=_ERROR, proof="udp"),
    Case(name="unix_path", stopped=("seccomp",), ends=_ERROR, proof="unix"),
    Case(name="unix_abstract", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="abstract"),
    Case(name="netlink", stopped=("seccomp",), ends=_ERROR),
    Case(name="socketpair", stopped=("seccomp",), ends=_ERROR),
    Case(name="raw_syscall", stopped=("seccomp",), ends=_ERROR),
    Case(
        name="int80_syscall", stopped=("seccomp",), ends=_KILLED, outer="without 32-bit calls in the kernel", errno=-11
    ),
    Case(
        name="x32_syscall", stopped=("seccomp",), ends=_KILLED, outer="without x32 in the kernel", errno=38, seen=False
    ),
    Case(name="io_uring", stopped=("seccomp", "limits"), ends=_KILLED, outer="with io_uring disabled", errno=1),
    Case(name="namespace", stopped=("seccomp",), ends=_KILLED, outer="with user namespaces disabled", errno=1),
    Case(name="userfaultfd", stopped=("seccomp",), ends=_KILLED, outer="with userfaultfd disabled", errno=1),
    Case(name="proc_mem", stopped=LANDLOCK, ends=_ERROR),
    Case(name="proc_environ", stopped=("landlock-files", "dumpable"), ends=_ERROR),
    Case(name="proc_list", stopped=("landlock-files",), ends=_ERROR),
    Case(name="read_file", stopped=("landlock-files",), ends=_ERROR),
    Case(name="environment", stopped=("environment",), ends=_ends("bad-output")),
    Case(name="ptrace", stopped=LOOK_INSIDE, ends=_KILLED),
    Case(name="process_vm", stopped=LOOK_INSIDE, ends=_KILLED),
    Case(name="pidfd_getfd", stopped=LOOK_INSIDE, ends=_ERROR),
    Case(name="open_to_debuggers", stopped=("seccomp",), ends=_ERROR),
    Case(name="raise_privilege", stopped=("seccomp", "no-new-privs", *LANDLOCK), ends=_ERROR),
    Case(name="fork", stopped=("seccomp",), ends=_ERROR),
    Case(name="thread_bomb", stopped=("thread-watch",), ends=_KILLED),
    Case(name="memory_bomb", stopped=("limits",), ends=_ends("out-of-memory")),
    Case(name="disk_bomb", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="leftover_file", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="memfd_bomb", stopped=("seccomp", "limits"), ends=_ERROR),
    Case(name="exec", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="memfd_exec", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="signal", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal"),
    Case(name="signal_owner", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal"),
    Case(name="sysv_memory", stopped=("seccomp",), ends=_ERROR, proof="sysv-memory"),
    Case(name="sysv_queue", stopped=("seccomp",), ends=_ERROR, proof="sysv-queue"),
    Case(name="posix_queue", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="posix-queue"),
    Case(
        name="keyring",
        stopped=("seccomp",),
        ends=_KILLED,
        proof="keyring",
        outer="without keyrings in the kernel",
        errno=38,
    ),
    Case(name="process_name", stopped=("seccomp",), ends=_ERROR),
    Case(name="stdout", stopped=("descriptors",), ends=_ends("ok"), proof="printed"),
    Case(name="descriptors", stopped=("descriptors",), ends=_ends("bad-output"), proof="forged"),
    Case(name="outlive", stopped=("session",), ends=_ends("bad-output")),
    Case(name="never_returning", stopped=("limits",), ends=_ends("out-of-time")),
)


def _numbers(data: bytes) -> list[int]:
    return [int(number) for number in np.frombuffer(data, "<i8", offset=output.HEAD.size)]


CONTRACTS = (
    Contract(
        name="exit_code", stopped="outcomes are a closed set", ends=_ERROR,
        without="a parent that passes on the status: 42",
    ),
    Contract(
        name="exception_text", stopped="exceptions end in an outcome; their text is lost", ends=_ERROR,
        without="a parent that keeps the traceback: the canary",
    ),
    Contract(
        name="stop_text", stopped="exceptions end in an outcome; their text is lost", ends=_ERROR,
        without="a parent that keeps what Python prints: the canary",
    ),
    Contract(
        name="never_waking", stopped="the zygote's wall-clock deadline", ends=_ends("out-of-time"),
        without="a parent that waits longer: the job returns",
    ),
    Contract(
        name="nan_payload", stopped="scores must be finite", ends=_ends("ok"), code="E5.not-finite", ask="scores",
        naive=lambda data: np.frombuffer(data, "<f8", offset=output.HEAD.size).tobytes(),
        without="a reader that copies the numbers: six bytes per row",
    ),
    Contract(
        name="rows_out_of_range", stopped="row positions lie in the table", ends=_ends("ok"),
        code="E5.row-out-of-range",
        naive=lambda data: _numbers(data)[1].to_bytes(8, "little"),
        without="a reader that copies the numbers: the canary",
    ),
    Contract(
        name="negative_rows", stopped="row positions lie in the table", ends=_ends("ok"),
        code="E5.row-out-of-range",
        naive=lambda data: ["first", "last but one", "last"][_numbers(data)[1]],
        without="a reader that indexes as Python does: rows by another name",
    ),
    Contract(
        name="rows_twice", stopped="row positions are distinct", ends=_ends("ok"), code="E5.row-twice",
        naive=_numbers, without="a reader that takes each position as it comes: one row twice",
    ),
    Contract(
        name="reserved_bytes", stopped="the head is compared byte for byte", ends=_ends("ok"), code="E5.output-head",
        naive=lambda data: data[12:16], without="a reader that skips what it does not use: four bytes stay in the file",
    ),
    Contract(
        name="extra_outputs", stopped="the count is the one asked for", ends=_ends("ok"), code="E5.output-head",
        naive=lambda data: output.HEAD.unpack_from(data)[3],
        without="a reader that believes the count: three, two asked",
    ),
    Contract(
        name="other_kind", stopped="the kind is the one asked for", ends=_ends("ok"), code="E5.output-head",
        naive=lambda data: data[output.HEAD.size :], without="a reader that believes the kind: sixteen bytes of canary",
    ),
    Contract(
        name="labels", stopped="the harness writes numbers only", ends=_ends("bad-output"),
        without="a parent that prints what the function returns: the canary",
    ),
    Contract(
        name="larger_output", stopped="the seals of the output's memory file; also seccomp", ends=_ERROR,
        without="an output without seals and a jail without seccomp and limits: the canary behind the numbers",
    ),
)  # fmt: skip
