"""Gives a job its tables as pandas frames that share the flat table's memory.

Runs in: jail.   Believes: tables that `flat.validate` passed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sealroom.enclave.flat_columns import Array, Column, FlatTable

_SHARED: list[pd.DataFrame] = []
"""A second reference to each frame: pandas copies on write what somebody else refers to (copy-on-write)."""


def frame_of(table: FlatTable) -> pd.DataFrame:
    """A frame with columns in the table's order and rows 0..n-1.

    Numbers and texts are not copied: pandas copies a column when the frame is changed, and arrays taken out of it are
    read-only. Whole numbers and truth values with nulls come as float64 with NaN, as `read_csv` gives them; a category
    comes as a Categorical of the declared values, in their order.
    """
    index = pd.RangeIndex(table.rows)
    series = {c.name: pd.Series(_values(c), index=index, copy=False) for c in table.columns}
    shared = pd.DataFrame(series, index=index, copy=False)
    _SHARED.append(shared)
    return shared.copy(deep=False)


def _values(column: Column) -> Any:
    if column.kind == "category":
        declared = column.values or ()  # noqa: PD011 -- a column of ours, not of pandas
        return pd.Categorical.from_codes(_narrow(column, len(declared)), categories=pd.Index(declared, dtype="str"))
    if column.kind == "text":
        return pd.array(_text(column), dtype="str")
    if column.kind == "float":
        return column.data
    if not column.validity.all():
        return np.where(column.validity.view(bool), column.data, np.nan)
    return column.data.view(bool) if column.kind == "bool" else column.data


def _narrow(column: Column, most: int) -> Array:
    """Codes in the type that pandas would choose itself, which saves it a second copy."""
    return column.data.astype("i1" if most < 1 << 7 else "i2" if most < 1 << 15 else "i4", copy=False)


def _text(column: Column) -> Any:
    nulls = None if column.validity.all() else pa.py_buffer(np.packbits(column.validity, bitorder="little"))
    buffers = [nulls, *(pa.py_buffer(buffer) for buffer in column.buffers[1:])]
    return pa.Array.from_buffers(pa.large_utf8(), column.rows, buffers)
