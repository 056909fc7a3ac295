"""Reads flat tables and checks every bound in them.

Runs in: engine, jail.   Believes: nothing.   Spec: §9.5.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

import numpy as np

from sealroom.enclave.flat_columns import (
    ALIGN,
    DTYPES,
    KINDS,
    MAGIC,
    MOST_COLUMNS,
    MOST_HEADER,
    MOST_NAME,
    MOST_ROWS,
    MOST_VALUES,
    Array,
    Column,
    FlatTable,
    Kind,
)
from sealroom.enclave.flat_write import HEAD
from sealroom.protocol.errors import Malformed

_CHUNK = 16 << 20


def validate(buffer: memoryview | bytes) -> FlatTable:
    """Read a table without copying it; bytes behind the last buffer are ignored.

    Raises:
        Malformed: any bound, offset, mask, code, number or text in it is not as the format says.
    """
    view = memoryview(buffer).cast("B")
    rows, entries, end = _parse_head(view)
    names = set()
    columns = []
    for entry in entries:
        column, end = _read_column(view, entry, rows, end)
        names.add(column.name)
        columns.append(column)
    if len(names) != len(columns):
        raise Malformed("duplicate-column", "two columns have one name")
    return FlatTable(rows, tuple(columns))


def _parse_head(view: memoryview) -> tuple[int, list[Any], int]:
    if len(view) < HEAD.size:
        raise Malformed("cut-short", "the table has no header")
    magic, length = HEAD.unpack(view[: HEAD.size])
    if magic != MAGIC or length > min(MOST_HEADER, len(view) - HEAD.size):
        raise Malformed("bad-header", "not a flat table, or its header does not fit")
    try:
        header = json.loads(bytes(view[HEAD.size : HEAD.size + length]).decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("bad-header", "the table's header is not JSON") from error
    if not isinstance(header, dict) or set(header) != {"rows", "columns"} or not isinstance(header["columns"], list):
        raise Malformed("bad-header", "the table's header has other fields")
    rows, entries = header["rows"], header["columns"]
    if type(rows) is not int or not 0 <= rows <= MOST_ROWS or len(entries) > MOST_COLUMNS:
        raise Malformed("too-large", "the table has too many rows or columns")
    return rows, entries, HEAD.size + length


def _read_column(view: memoryview, entry: object, rows: int, end: int) -> tuple[Column, int]:
    name, kind, values, places = _column_entry(entry)
    buffers = []
    for dtype, place in zip(DTYPES[kind], places, strict=True):
        buffer, end = _read_buffer(view, dtype, place, end)
        buffers.append(buffer)
    column = Column(name, kind, tuple(buffers), values)
    counts = [len(buffer) for buffer in buffers]
    if counts[:2] != [rows, rows + 1 if kind == "text" else rows]:
        raise Malformed("bad-length", "a buffer does not have one item per row")
    _check_cells(column)
    return column, end


def _column_entry(entry: object) -> tuple[str, Kind, tuple[str, ...] | None, list[Any]]:
    if not isinstance(entry, dict) or entry.get("type") not in KINDS:
        raise Malformed("bad-column", "a column has no known type")
    kind: Kind = entry["type"]
    fields = {"name", "type", "buffers"} | ({"values"} if kind == "category" else set())
    if set(entry) != fields or not _is_name(entry["name"]) or not isinstance(entry["buffers"], list):
        raise Malformed("bad-column", "a column has other fields than its type asks for")
    if len(entry["buffers"]) != len(DTYPES[kind]):
        raise Malformed("bad-column", "a column has another number of buffers than its type asks for")
    return entry["name"], kind, _values(entry["values"]) if kind == "category" else None, entry["buffers"]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_NAME and value.isprintable()


def _values(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > MOST_VALUES or not all(map(_is_name, values)):
        raise Malformed("bad-values", "a category's values are not a list of short texts")
    if len(set(values)) != len(values):
        raise Malformed("bad-values", "a category lists a value twice")
    return tuple(values)


def _read_buffer(view: memoryview, dtype: str, place: object, end: int) -> tuple[Array, int]:
    if not isinstance(place, list) or [type(item) for item in place] != [int, int]:
        raise Malformed("bad-place", "a buffer's place is not an offset and a length")
    offset, length = place
    kind = np.dtype(dtype)
    if offset % ALIGN or offset < end or length < 0 or length % kind.itemsize or length > len(view) - offset:
        raise Malformed("bad-place", "a buffer lies outside the table, overlaps or is not aligned")
    return np.frombuffer(view[offset : offset + length], dtype=kind), offset + length


def _check_cells(column: Column) -> None:
    if column.rows and column.validity.max() > 1:
        raise Malformed("bad-mask", "a validity mask holds something else than 0 and 1")
    if column.rows or column.kind == "text":
        _CHECKS[column.kind](column)


def _check_int(column: Column) -> None:
    if column.data[column.validity == 0].any():
        raise Malformed("bad-null", "a null whole number is not 0")


def _check_float(column: Column) -> None:
    if not np.array_equal(np.isfinite(column.data), column.validity.view(bool)):
        raise Malformed("bad-number", "a number is not finite, or a null one is")
    if np.isinf(column.data).any():
        raise Malformed("bad-null", "a null number is not NaN")


def _check_bool(column: Column) -> None:
    if (column.data > column.validity).any():
        raise Malformed("bad-bool", "a truth value is not 0 or 1, or a null one is not 0")


def _check_category(column: Column) -> None:
    known = column.data >= 0
    if int(column.data.max()) >= len(column.values or ()) or not np.array_equal(known, column.validity.view(bool)):
        raise Malformed("bad-code", "a category's code lies outside its values, or contradicts its mask")
    if int(column.data.min()) < -1:
        raise Malformed("bad-code", "a null category's code is not -1")


def _check_text(column: Column) -> None:
    ends, blob = column.data, column.buffers[2]
    if ends[0] != 0 or ends[-1] != len(blob) or (ends[1:] < ends[:-1]).any():
        raise Malformed("bad-offsets", "a text column's offsets do not cover its bytes in order")
    if ((ends[1:] > ends[:-1]) & (column.validity == 0)).any():
        raise Malformed("bad-null", "a null text is not empty")
    _check_utf8(blob)
    starts = ends[ends < len(blob)]
    if ((blob[starts] & 0xC0) == 0x80).any():
        raise Malformed("bad-offsets", "a text begins inside a character")


def _check_utf8(blob: Array) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(blob), _CHUNK):
            decoder.decode(blob[start : start + _CHUNK].data, final=start + _CHUNK >= len(blob))
    except UnicodeDecodeError as error:
        raise Malformed("bad-text", "a text is not UTF-8") from error


_CHECKS = {
    "int": _check_int,
    "float": _check_float,
    "bool": _check_bool,
    "text": _check_text,
    "category": _check_category,
}
