"""Loads one owner's table: the declared columns, one row per entity, no more rows than agreed.

Runs in: engine.   Believes: the gate's schema; nothing in the table.   Spec: §6.3.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sealroom.enclave import flat
from sealroom.enclave.engine import digests, reasons
from sealroom.enclave.flat_arrow import array_of, column_of
from sealroom.enclave.flat_columns import Column
from sealroom.protocol.agreement import Dataset
from sealroom.protocol.errors import Malformed

_PRIORITY_KEY = b"sealroom waterfall/v1 priority"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A loaded table. `rank` (int64[rows]) orders its entities by a hash of nothing but their own ids."""

    dataset: Dataset
    flat: flat.FlatTable
    ids: Any
    rank: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of entities."""
        return self.flat.rows

    def has(self, name: str) -> bool:
        """Whether the column was loaded."""
        return name in self.flat.names

    def column(self, name: str) -> Column:
        """The loaded column of that name."""
        return self.flat.column(name)


def load(dataset: Dataset, unverified: memoryview | bytes) -> Table:
    """Check a flat table against its schema.

    Raises:
        NotAcceptable: reasons `bad-table`, `too-many-rows`, `duplicate-entity`.
    """
    try:
        table = flat.validate(unverified)
    except Malformed as error:
        raise reasons.refused("bad-table") from error
    if table.rows > dataset.most_rows:
        raise reasons.refused("too-many-rows")
    _check_columns(dataset, table)
    ids = array_of(table.column(dataset.entity))
    _check_entities(ids)
    # The hash has no secret: two runs over the same rows must link and release the same, under whatever keys. Nobody
    # gains from knowing it, because an entity competes only with others of its own owner.
    return Table(dataset, table, ids, digests.ranks(digests.digests(ids, key=_PRIORITY_KEY)))


def _check_columns(dataset: Dataset, table: flat.FlatTable) -> None:
    declared = [(c.name, c.type, c.values) for c in dataset.columns]
    if [(c.name, c.kind, c.values) for c in table.columns] != declared:
        raise reasons.refused("bad-table")


def _check_entities(ids: Any) -> None:
    lengths = pc.fill_null(pc.binary_length(ids), 0)
    if len(ids) and pc.min(lengths).as_py() == 0:
        raise reasons.refused("duplicate-entity")
    if pc.count_distinct(ids).as_py() != len(ids):
        raise reasons.refused("duplicate-entity")


def numbers(column: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Data and a mask of the cells that have a value, both of shape [rows]; for text use Arrow."""
    return column.data, column.validity.astype(bool)


def equals(column: Column, value: int | bool | str) -> NDArray[np.bool_]:  # noqa: FBT001
    """bool[rows]: where a cell equals `value`; a missing one equals nothing, and neither does another type's value."""
    if column.kind == "text":
        return np.asarray(pc.fill_null(pc.equal(array_of(column), pa.scalar(value, pa.large_utf8())), False))
    data, valid = numbers(column)
    if column.kind == "category":
        values = column.values or ()
        return np.asarray(valid & (data == (values.index(str(value)) if value in values else -2)))
    return np.asarray(valid & (data == value))


def take(column: Column, rows: NDArray[np.int64]) -> Column:
    """The column with its cells at these rows, in this order."""
    if column.kind == "text":
        return column_of(column.name, pc.take(array_of(column), pa.array(rows)))
    return Column(column.name, column.kind, tuple(buffer[rows] for buffer in column.buffers), column.values)
