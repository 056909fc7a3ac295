"""What a flat table is: named columns of little-endian buffers.

Runs in: readers, engine, jail.   Believes: nothing.   Spec: §9.5.

    "SRFLAT1" NUL | u32 header length | header JSON | zeros to a multiple of 64 | buffers, each at a multiple of 64

The buffers of a column of n rows begin with its validity, u8[n] of 0 and 1. Then follow, by type:

    int       int64[n]                    0 where null
    float     float64[n]                  NaN where null, finite elsewhere
    bool      u8[n] of 0 and 1            0 where null
    text      int64 offsets[n+1], UTF-8   empty where null
    category  int32 codes[n] into values  -1 where null
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sealroom.protocol.errors import UsageError

MAGIC = b"SRFLAT1\0"
ALIGN = 64
MOST_ROWS = 50_000_000
MOST_COLUMNS = 512
MOST_HEADER = 8 << 20
MOST_VALUES = 65_536
MOST_NAME = 256

Kind = Literal["int", "float", "bool", "text", "category"]
KINDS: tuple[str, ...] = get_args(Kind)
Array = NDArray[Any]

DTYPES: dict[str, tuple[str, ...]] = {
    "int": ("u1", "<i8"),
    "float": ("u1", "<f8"),
    "bool": ("u1", "u1"),
    "text": ("u1", "<i8", "u1"),
    "category": ("u1", "<i4"),
}
"""Buffers of each column type, by numpy dtype; all have n items but text's offsets (n+1) and bytes (any number)."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One named column; `buffers` as in the module's table, `values` for a category only."""

    name: str
    kind: Kind
    buffers: tuple[Array, ...]
    values: tuple[str, ...] | None = None

    @property
    def rows(self) -> int:
        """Number of cells."""
        return len(self.buffers[0])

    @property
    def validity(self) -> Array:
        """u8[rows]: 1 where there is a value."""
        return self.buffers[0]

    @property
    def data(self) -> Array:
        """The second buffer: numbers, codes, or a text's offsets."""
        return self.buffers[1]

    def text(self) -> list[str | None]:
        """The cells of a text column as Python strings: for small tables and tests."""
        blob, ends = self.buffers[2].tobytes(), self.data.tolist()
        return [
            blob[a:b].decode() if valid else None
            for a, b, valid in zip(ends, ends[1:], self.validity.tolist(), strict=False)
        ]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FlatTable:
    """Columns of equal length, without copies of the buffer they were read from."""

    rows: int
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            UsageError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise UsageError(f"no column {name!r}")


def int_column(name: str, data: Array, validity: Array | None = None) -> Column:
    """Whole numbers; cells where `validity` (bool or 0/1, shape [n]) is false are null, whatever `data` says there."""
    mask = _mask(data, validity)
    return Column(name, "int", (mask, _cleaned(data.astype("<i8", copy=False), mask, 0)))


def float_column(name: str, data: Array, validity: Array | None = None) -> Column:
    """Numbers; cells that are masked, NaN or infinite are null."""
    data = data.astype("<f8", copy=False)
    finite = np.isfinite(data)
    mask = finite.astype("u1") if validity is None else (finite & validity.astype(bool)).astype("u1")
    return Column(name, "float", (mask, _cleaned(data, mask, np.nan)))


def bool_column(name: str, data: Array, validity: Array | None = None) -> Column:
    """Truth values from anything numpy can cast to bool."""
    mask = _mask(data, validity)
    return Column(name, "bool", (mask, _cleaned(data.astype(bool).astype("u1"), mask, 0)))


def category_column(name: str, codes: Array, values: Iterable[str]) -> Column:
    """Positions in `values`; negative codes are null."""
    data = codes.astype("<i4", copy=False)
    mask = (data >= 0).astype("u1")
    return Column(name, "category", (mask, _cleaned(data, mask, -1)), tuple(values))


def text_column(name: str, cells: Iterable[str | None]) -> Column:
    """Texts from Python strings; for large columns give a `Column` its buffers."""
    encoded = [None if cell is None else cell.encode() for cell in cells]
    ends = np.zeros(len(encoded) + 1, dtype="<i8")
    np.cumsum([len(cell or b"") for cell in encoded], out=ends[1:])
    mask = np.array([cell is not None for cell in encoded], dtype="u1")
    blob = b"".join(cell or b"" for cell in encoded)
    return Column(name, "text", (mask, ends, np.frombuffer(blob, dtype="u1")))


def _mask(data: Array, validity: Array | None) -> Array:
    return np.ones(len(data), dtype="u1") if validity is None else validity.astype(bool).astype("u1")


def _cleaned(data: Array, mask: Array, null: float) -> Array:
    """Null cells hold one fixed value, so that a table has one spelling."""
    return data if mask.all() else np.where(mask.astype(bool), data, np.array(null, dtype=data.dtype))
