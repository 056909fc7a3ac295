"""Builds what a job may see: features only, in an order that says nothing.

Runs in: engine.   Believes: loaded tables.   Spec: §6.5, §9.4.

A view holds no identifier and no entity id. Its rows stand in the order of a public hash of what they hold, so that
the order follows from the content alone: not from the owner's file, not from ids, not from any key, and the same inputs
give the same view in every run. Rows that are equal in every cell form a *group*. A job cannot tell them apart, so what
it says about them is read as said about the group: that closes the last way in which a position could mean a person.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sealroom.enclave.engine import reasons
from sealroom.enclave.engine.tables import Table, take
from sealroom.enclave.flat_arrow import array_of
from sealroom.enclave.flat_columns import Column, bool_column
from sealroom.protocol.agreement import Dataset

Rows = NDArray[np.int64]
Words = NDArray[np.uint64]

_LANES = ("view-order/v1 first", "view-order/v1 second")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class View:
    """A table for a job. `rows` (int64[n]) are its owner's row numbers; `group` (int64[n]) numbers groups from 0."""

    name: str
    columns: tuple[Column, ...]
    rows: Rows
    group: Rows


def features(dataset: Dataset, requested: Sequence[str]) -> tuple[str, ...]:
    """Columns of a dataset that code may see: what the request names, but no identifier and no entity id.

    Raises:
        NotReleased: reason `no-columns`.
    """
    allowed = [c.name for c in dataset.columns if c.identifier is None and c.name != dataset.entity]
    names = tuple(name for name in allowed if name in requested)
    if not names:
        raise reasons.withheld("no-columns")
    return names


def label_name(names: Sequence[str]) -> str:
    """The outcome's name in a view: `outcome`, with underscores behind it if a feature is called so."""
    name = "outcome"
    while name in names:
        name += "_"
    return name


def build(
    name: str, table: Table, names: Sequence[str], rows: Rows, *, outcome: NDArray[np.bool_] | None = None
) -> View:
    """A view of some rows of a table; with `outcome` (bool[len(rows)]) as its last column."""
    by_id = np.argsort(table.rank[rows])  # within a group: by the entity's own hash, as `canonical_rows` needs
    rows = rows[by_id]
    columns = [take(table.column(column), rows) for column in names]
    if outcome is not None:
        columns.append(bool_column(label_name(names), outcome[by_id]))
    one, two = (hashed(columns, lane) for lane in _LANES)
    order = np.lexsort((two, one))
    one, two = one[order], two[order]
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    group = np.cumsum(starts) - 1
    return View(name, tuple(take(column, order) for column in columns), rows[order], group.astype(np.int64))


def canonical_rows(view: View, positions: Rows) -> Rows:
    """The owner's rows for the positions that a job chose: of each group as many as it chose, by a rule of our own."""
    if not len(positions):
        return view.rows[:0]
    chosen = np.bincount(view.group[positions], minlength=int(view.group[-1]) + 1)
    first = np.searchsorted(view.group, view.group)  # where each row's group begins
    return view.rows[np.arange(len(view.rows)) - first < chosen[view.group]]


def canonical_scores(view: View, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in which every row of a group has the lowest of the group's."""
    if not len(scores):
        return scores
    starts = np.flatnonzero(np.r_[True, view.group[1:] != view.group[:-1]])
    return np.asarray(np.minimum.reduceat(scores, starts)[view.group])


def hashed(columns: Sequence[Column], lane: str) -> Words:
    """A 64-bit hash of each row's cells (two lanes make it 128: equal hashes are equal rows)."""
    out = np.zeros(columns[0].rows, dtype=np.uint64)
    for index, column in enumerate(columns):
        seed = hashlib.blake2b(f"{lane} {index}".encode(), digest_size=8).digest()
        out = _mixed(out ^ _mixed(_bits(column) + np.uint64(int.from_bytes(seed, "little"))))
        out ^= column.validity.astype(np.uint64)
    return out


def _bits(column: Column) -> Words:
    """One 64-bit word per cell, equal for equal cells; a missing cell is 0 and is told apart by its validity."""
    valid = column.validity.astype(bool)
    if column.kind == "text":
        data = _text_words(array_of(column))
    elif column.kind == "float":
        data = (column.data + 0.0).view(np.uint64)  # -0.0 and 0.0 are one number
    else:
        data = column.data.astype(np.int64).view(np.uint64)
    return np.where(valid, data, np.uint64(0))


def _text_words(texts: Any) -> Words:
    coded = pc.dictionary_encode(texts)
    found = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in coded.dictionary.to_pylist()]
    words = np.frombuffer(b"".join(found) or bytes(8), dtype="<u8").astype(np.uint64)
    return np.asarray(words[np.asarray(pc.fill_null(coded.indices, 0).cast(pa.int64()))])


def _mixed(words: Words) -> Words:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
