"""Writes flat tables into buffers and frozen memory files.

Runs in: readers, engine.   Believes: the caller's columns; shapes and types are checked.   Spec: §9.5.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from sealroom.enclave.flat_columns import ALIGN, DTYPES, MAGIC, MOST_COLUMNS, MOST_HEADER, MOST_ROWS, Array, Column
from sealroom.enclave.memory import Sealer
from sealroom.protocol.errors import UsageError

HEAD = struct.Struct("<8sI")


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything goes: head bytes with padding, (offset, buffer) in order, and the total size."""

    head: bytes
    places: tuple[tuple[int, Array], ...]
    size: int


def size_of(columns: Sequence[Column], rows: int | None = None) -> int:
    """Bytes that `write_into` needs; `rows` is needed only for a table without columns."""
    return _layout(columns, rows).size


def write_into(target: memoryview, columns: Sequence[Column], rows: int | None = None) -> int:
    """Write a table at the start of a writable buffer; returns its size in bytes.

    Raises:
        UsageError: the buffer is too small, or the columns do not make a table.
    """
    layout = _layout(columns, rows)
    if len(target) < layout.size:
        raise UsageError(f"the table has {layout.size} bytes, there is room for {len(target)}")
    target[: len(layout.head)] = layout.head
    end = len(layout.head)
    for offset, buffer in layout.places:
        target[end:offset] = bytes(offset - end)
        end = offset + buffer.nbytes
        target[offset:end] = _raw(buffer)
    return layout.size


def to_bytes(columns: Sequence[Column], rows: int | None = None) -> bytes:
    """The table as bytes: for tests and small tables."""
    data = bytearray(size_of(columns, rows))
    write_into(memoryview(data), columns, rows)
    return bytes(data)


def to_memfd(name: str, columns: Sequence[Column], rows: int | None = None) -> int:
    """The table in a frozen memory file, written in one pass."""
    layout = _layout(columns, rows)
    with Sealer(name, most=layout.size) as sealer:
        sealer.write(layout.head)
        end = len(layout.head)
        for offset, buffer in layout.places:
            sealer.write(bytes(offset - end))
            sealer.write(_raw(buffer))
            end = offset + buffer.nbytes
        return sealer.finish()


def _layout(columns: Sequence[Column], rows: int | None) -> _Layout:
    rows = _row_count(columns, rows)
    sizes = [buffer.nbytes for column in columns for buffer in column.buffers]
    # Offsets count from the end of the head, whose length depends on how many digits they have: settle that first.
    head_size = ALIGN
    while True:
        offsets = _offsets(head_size, sizes)
        head = _head(columns, rows, offsets, sizes)
        if _aligned(len(head)) <= head_size:
            break
        head_size = _aligned(len(head))
    if len(head) > MOST_HEADER:
        raise UsageError("the table's header is too large")
    buffers = [_conformed(column, i) for column in columns for i in range(len(column.buffers))]
    end = offsets[-1] + sizes[-1] if sizes else head_size
    return _Layout(head.ljust(head_size, b"\0"), tuple(zip(offsets, buffers, strict=True)), end)


def _row_count(columns: Sequence[Column], rows: int | None) -> int:
    counts = {column.rows for column in columns} | ({rows} if rows is not None else set())
    if len(counts) != 1 or len({column.name for column in columns}) != len(columns):
        raise UsageError("a table has columns of one length and with different names")
    count = counts.pop()
    if count > MOST_ROWS or len(columns) > MOST_COLUMNS:
        raise UsageError(f"a table has at most {MOST_ROWS} rows and {MOST_COLUMNS} columns")
    return count


def _conformed(column: Column, index: int) -> Array:
    buffer, dtype = column.buffers[index], np.dtype(DTYPES[column.kind][index])
    if buffer.dtype != dtype or buffer.ndim != 1 or len(column.buffers) != len(DTYPES[column.kind]):
        raise UsageError(f"column {column.name!r}: buffer {index} is not a vector of {dtype}")
    return np.ascontiguousarray(buffer)


def _offsets(start: int, sizes: list[int]) -> list[int]:
    offsets = []
    for size in sizes:
        offsets.append(start)
        start = _aligned(start + size)
    return offsets


def _head(columns: Sequence[Column], rows: int, offsets: list[int], sizes: list[int]) -> bytes:
    places = iter(zip(offsets, sizes, strict=True))
    listed = []
    for column in columns:
        entry: dict[str, Any] = {"name": column.name, "type": column.kind}
        if column.values is not None:
            entry["values"] = list(column.values)
        entry["buffers"] = [list(next(places)) for _ in column.buffers]
        listed.append(entry)
    text = json.dumps({"rows": rows, "columns": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    return HEAD.pack(MAGIC, len(text)) + text


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _raw(buffer: Array) -> memoryview:
    """The bytes of a vector; an empty one has no memoryview cast."""
    return buffer.data.cast("B") if buffer.nbytes else memoryview(b"")
