"""What a job wrote is taken only if it is exactly what was asked for."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from sealroom.enclave.jail import cell, output, requests
from sealroom.protocol.errors import Malformed, NotReleased


def raw(kind: int, zero: int, count: int, items: bytes) -> bytes:
    return struct.pack("<8sIIQ", b"SRJOUT1\0", kind, zero, count) + items


def rows(*items: int) -> bytes:
    return raw(1, 0, len(items), struct.pack(f"<{len(items)}q", *items))


def scores(*items: float) -> bytes:
    return raw(2, 0, len(items), struct.pack(f"<{len(items)}d", *items))


def test_what_is_written_is_read() -> None:
    target = bytearray(output.size_of(3))
    output.write(memoryview(target), output.ROWS, np.array([4, 0, 2]))
    assert output.read_rows(bytes(target), 3, 5).tolist() == [4, 0, 2]
    output.write(memoryview(target), output.SCORES, np.array([0.5, -0.0, -1]))
    read = output.read_scores(bytes(target), 3)
    assert read.tolist() == [0.5, 0.0, -1.0]
    assert not np.signbit(read[1])
    assert output.read_rows(rows(), 0, 5).tolist() == []
    with pytest.raises(NotReleased):
        output.write(memoryview(target), output.ROWS, np.array([1]))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "E5.output-size"),
        (rows(1), "E5.output-size"),
        (rows(1, 2, 3), "E5.output-size"),
        (rows(1, 2) + b"x", "E5.output-size"),
        (scores(1, 2), "E5.output-head"),
        (raw(1, 1, 2, bytes(16)), "E5.output-head"),
        (raw(1, 0, 3, bytes(16)), "E5.output-head"),
        (bytes(40), "E5.output-head"),
        (rows(0, 5), "E5.row-out-of-range"),
        (rows(0, -1), "E5.row-out-of-range"),
        (rows(0, -(2**63)), "E5.row-out-of-range"),
        (rows(3, 3), "E5.row-twice"),
    ],
)
def test_other_rows_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(NotReleased) as caught:
        output.read_rows(data, 2, 5)
    assert caught.value.code == code


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(NotReleased) as caught:
        output.read_scores(scores(0, number), 2)
    assert caught.value.code == "E5.not-finite"


@pytest.mark.parametrize(
    ("status", "used", "outcome"),
    [
        (0, 0.0, "ok"),
        (10 << 8, 0.0, "error"),
        (200 << 8, 0.0, "error"),
        (24, 0.0, "out-of-time"),
        (9, 2.0, "out-of-time"),
        (9, 0.5, "out-of-memory"),
        (31, 0.0, "killed"),
        (11, 0.0, "killed"),
    ],
)
def test_every_end_has_an_outcome(status: int, used: float, outcome: str) -> None:
    assert cell.classify(status, used, 2) == outcome


ASK = {"kind": "rows", "table": "t", "size": 1, "label": None, "positive": None}
SPEC = {"tables": ["t"], "ask": ASK, "seed": 0}
RUN = {
    "op": "run",
    "kind": "job",
    "limits": {"memory_bytes": 1 << 20, "cpu_seconds": 1, "wall_seconds": 1},
    "spec": SPEC,
}


@pytest.mark.parametrize(
    ("change", "fds", "code"),
    [
        ({"op": "walk"}, 3, "E1.unknown-message"),
        ({"extra": 1}, 3, "E1.unknown-message"),
        ({"kind": "shell"}, 3, "E1.unknown-kind"),
        ({"kind": ["job"]}, 3, "E1.unknown-kind"),
        ({"limits": {}}, 3, "E1.missing-field"),
        ({"limits": {"memory_bytes": 1, "cpu_seconds": 1, "wall_seconds": 1}}, 3, "E1.out-of-range"),
        ({"spec": SPEC | {"without": ["seccomp"]}}, 3, "E1.unknown-field"),
        ({"spec": SPEC | {"tables": ["u"]}}, 3, "E1.wrong-table"),
        ({"spec": SPEC | {"tables": ["t", "t"]}}, 4, "E1.wrong-table"),
        ({}, 2, "E1.wrong-fds"),
    ],
)
def test_a_request_is_exactly_one_run(change: dict[str, object], fds: int, code: str) -> None:
    assert requests.parse(dict(RUN), 3).fds == (3,)
    with pytest.raises(Malformed) as caught:
        requests.parse(RUN | change, fds)
    assert caught.value.code == code
