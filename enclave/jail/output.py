"""What a job may say: positions or numbers, in one binary form, checked before anybody uses them.

Runs in: jail (writing), engine (reading).   Believes: nothing.   Spec: §9.6.

    "SRJOUT1" NUL | u32 kind | u32 zero | u64 count | count items
    kind 1: int64 positions; kind 2: float64 scores; kind 3: float64 coordinates of one vector

All little-endian; the buffer has exactly that size. Nothing else of a job's memory is ever read.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sealroom.protocol.errors import NotReleased

MAGIC: Final = b"SRJOUT1\x00"
HEAD: Final = struct.Struct("<8sIIQ")
ROWS, SCORES, VECTOR = 1, 2, 3
_DTYPES: Final = {ROWS: "<i8", SCORES: "<f8", VECTOR: "<f8"}


def size_of(count: int) -> int:
    """Bytes of an output of `count` positions, scores or coordinates."""
    return HEAD.size + 8 * count


def write(target: memoryview, kind: int, items: NDArray[Any]) -> None:
    """Write positions, scores or coordinates (shape [count]); the magic comes last, so that a cut output is none.

    Raises:
        NotReleased: the target does not have exactly the size of this output.
    """
    if len(target) != size_of(len(items)):
        raise NotReleased("output-size", "the output has another size than was asked for")
    target[HEAD.size :] = items.astype(_DTYPES[kind], copy=False).tobytes()
    target[: HEAD.size] = HEAD.pack(MAGIC, kind, 0, len(items))


def read_rows(unverified_output: memoryview | bytes, size: int, rows_in_table: int) -> NDArray[np.int64]:
    """Exactly `size` distinct row positions of a table, best first.

    Raises:
        NotReleased: the job wrote anything else.
    """
    rows = _read(unverified_output, ROWS, size)
    if size and (int(rows.min()) < 0 or int(rows.max()) >= rows_in_table):
        raise NotReleased("row-out-of-range", "the job pointed at a row that is not there")
    seen = np.zeros(rows_in_table, dtype=bool)
    seen[rows] = True
    if np.count_nonzero(seen) != size:
        raise NotReleased("row-twice", "the job pointed at one row twice")
    return rows


def read_scores(unverified_output: memoryview | bytes, rows: int) -> NDArray[np.float64]:
    """One finite score per row; higher is more alike. Negative zero becomes zero.

    Raises:
        NotReleased: the job wrote anything else.
    """
    scores = _read(unverified_output, SCORES, rows)
    if not np.isfinite(scores).all():
        raise NotReleased("not-finite", "a score is not a finite number")
    return scores + 0.0


def read_vector(unverified_output: memoryview | bytes, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number per coordinate, each within its bounds: `box` is float64[coordinates, 2] of least and most.

    Raises:
        NotReleased: the job wrote anything else.
    """
    vector = _read(unverified_output, VECTOR, len(box))
    if not ((box[:, 0] <= vector) & (vector <= box[:, 1])).all():  # no comparison holds for what is not a number
        raise NotReleased("outside-box", "a number is outside its declared bounds")
    return vector + 0.0


def _read(unverified_output: memoryview | bytes, kind: int, count: int) -> NDArray[Any]:
    """A copy of the items: a job that still lived could not change them any more."""
    data = bytes(unverified_output)
    if len(data) != size_of(count):
        raise NotReleased("output-size", "the output has another size than was asked for")
    if data[: HEAD.size] != HEAD.pack(MAGIC, kind, 0, count):
        raise NotReleased("output-head", "the output is not what was asked for")
    return np.frombuffer(data, dtype=_DTYPES[kind], offset=HEAD.size)
