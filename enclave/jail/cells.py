"""Turns the cells of an owner's column into its declared type; what does not fit is null.

Runs in: jail, after it was confined.   Believes: nothing.   Spec: §9.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sealroom.enclave import flat, flat_arrow
from sealroom.protocol.agreement import Column

_INT = r"^[+-]?[0-9]{1,18}(\.0*)?$"
_FLOAT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"
_EXACT = 2**53
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def column_of(declared: Column, data: Any) -> flat.Column:
    """The flat column of a declared type from a `pyarrow.ChunkedArray` of any type; shape [rows]."""
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    if pa.types.is_string(data.type):
        data = data.cast(pa.large_utf8())
    return _CASTS[declared.type](declared, data)


def _int(declared: Column, data: Any) -> flat.Column:
    kind = data.type
    if pa.types.is_large_string(kind):
        data = pc.replace_substring_regex(_matching(data, _INT), r"^\+|\.0*$", "").cast(pa.int64())
    elif pa.types.is_floating(kind):
        wide = data.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(wide), wide), pc.less_equal(pc.abs(wide), _EXACT))
        data = _where(whole, wide).cast(pa.int64())
    elif pa.types.is_uint64(kind):
        data = _where(pc.less_equal(data, pa.scalar(2**63 - 1, pa.uint64())), data).cast(pa.int64())
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        data = data.cast(pa.int64())
    else:
        data = _nulls(data, pa.int64())
    return flat_arrow.column_of(declared.name, data)


def _float(declared: Column, data: Any) -> flat.Column:
    kind = data.type
    if pa.types.is_large_string(kind):
        data = _matching(data, _FLOAT).cast(pa.float64())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        data = data.cast(pa.float64(), safe=False)
    else:
        data = _nulls(data, pa.float64())
    return flat_arrow.column_of(declared.name, data)


def _bool(declared: Column, data: Any) -> flat.Column:
    kind = data.type
    if pa.types.is_integer(kind):
        data = data.cast(pa.large_utf8())
    if pa.types.is_large_string(data.type):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(data))
        true, false = (pc.is_in(lower, value_set=pa.array(words, pa.large_utf8())) for words in (_TRUE, _FALSE))
        data = _where(pc.or_(true, false), true)
    elif not pa.types.is_boolean(kind):
        data = _nulls(data, pa.bool_())
    return flat_arrow.column_of(declared.name, data)


def _text(declared: Column, data: Any) -> flat.Column:
    return flat_arrow.column_of(declared.name, _as_text(data))


def _category(declared: Column, data: Any) -> flat.Column:
    return flat_arrow.category_of(declared.name, _as_text(data), declared.values or ())


def _as_text(data: Any) -> Any:
    try:
        return data.cast(pa.large_utf8())
    except pa.ArrowException:  # lists, structs and the like have no spelling
        return _nulls(data, pa.large_utf8())


def _matching(data: Any, pattern: str) -> Any:
    trimmed = pc.utf8_trim_whitespace(data)
    return _where(pc.match_substring_regex(trimmed, pattern), trimmed)


def _where(condition: Any, data: Any) -> Any:
    return pc.if_else(condition, data, pa.scalar(None, data.type))


def _nulls(data: Any, kind: Any) -> Any:
    return pa.nulls(len(data), kind)


_CASTS = {"int": _int, "float": _float, "bool": _bool, "text": _text, "category": _category}
