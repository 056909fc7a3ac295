"""Turns flat tables into Arrow and back, sharing number and text buffers instead of copying them.

Runs in: readers, engine.   Believes: tables that `flat.validate` passed; Arrow data made in this process.   Spec: §9.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sealroom.enclave.flat_columns import (
    Array,
    Column,
    FlatTable,
    Kind,
    bool_column,
    category_column,
    float_column,
    int_column,
)
from sealroom.protocol.errors import UsageError

_ARROW: dict[str, Any] = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.large_utf8()}


def to_arrow(table: FlatTable) -> Any:
    """A `pyarrow.Table`: int64, double, bool, large_string and dictionary<int32, large_string> columns."""
    return pa.table({column.name: array_of(column) for column in table.columns})


def array_of(column: Column) -> Any:
    """The `pyarrow.Array` of one column; it keeps the flat buffer alive."""
    nulls = None if column.validity.all() else _bits(column.validity)
    if column.kind == "bool":
        return pa.Array.from_buffers(pa.bool_(), column.rows, [nulls, _bits(column.data)])
    if column.kind == "category":
        codes = pa.Array.from_buffers(pa.int32(), column.rows, [nulls, pa.py_buffer(column.data)])
        return pa.DictionaryArray.from_arrays(codes, pa.array(column.values, pa.large_utf8()))
    buffers = [pa.py_buffer(buffer) for buffer in column.buffers[1:]]
    return pa.Array.from_buffers(_ARROW[column.kind], column.rows, [nulls, *buffers])


def columns_of(table: Any) -> tuple[Column, ...]:
    """Flat columns of a `pyarrow.Table` whose columns have one of the types that `to_arrow` gives.

    Raises:
        UsageError: a column has another type.
    """
    return tuple(column_of(name, table.column(name)) for name in table.column_names)


def column_of(name: str, data: Any) -> Column:
    """The flat column of one `pyarrow` array or chunked array.

    Raises:
        UsageError: its type is none of those that `array_of` gives.
    """
    array = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return category_column(name, _codes(array), array.dictionary.to_pylist())
    validity = np.asarray(array.is_valid())
    if pa.types.is_integer(kind):
        return int_column(name, np.asarray(pc.fill_null(array.cast(pa.int64()), 0)), validity)
    if pa.types.is_floating(kind):
        return float_column(name, np.asarray(pc.fill_null(array.cast(pa.float64()), np.nan)))
    if pa.types.is_boolean(kind):
        return bool_column(name, np.asarray(pc.fill_null(array, False)), validity)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(name, array.cast(pa.large_utf8()), validity)
    raise UsageError(f"column {name!r}: no flat type for {kind}")


def category_of(name: str, data: Any, values: Sequence[str]) -> Column:
    """The flat category of a text array: a text that is not among `values` becomes null."""
    array = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
    codes = pc.index_in(array, value_set=pa.array(values, array.type))
    return category_column(name, np.asarray(pc.fill_null(codes, -1)), values)


def _codes(array: Any) -> Array:
    return np.asarray(pc.fill_null(array.indices.cast(pa.int32()), -1))


def _text(name: str, array: Any, validity: Array) -> Column:
    """Share the text buffers, unless a null cell or a slice keeps bytes that the format has no place for."""
    _, ends, blob = array.buffers()
    offsets = (
        np.frombuffer(ends, dtype="<i8")[array.offset : array.offset + len(array) + 1]
        if len(array)
        else np.zeros(1, "<i8")
    )
    used = np.diff(offsets)
    if used[~validity].any():
        return _text(name, pc.if_else(array.is_valid(), pc.fill_null(array, ""), pa.scalar("", array.type)), validity)
    start, stop = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(blob, dtype="u1")[start:stop] if blob is not None else np.zeros(0, "u1")
    kind: Kind = "text"
    return Column(name, kind, (validity.astype("u1"), (offsets - start).astype("<i8"), data))


def _bits(mask: Array) -> Any:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))
