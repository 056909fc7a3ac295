"""Links entities of two tables one-to-one: scheme `waterfall/v1`.

Runs in: engine.   Believes: loaded tables.   Spec: §6.3.   Proof: docs/decisions/0002-stability-of-linkage.md.

Keys are tried in order. Within one stage, for each key value, the first still unmatched entity of each side is paired
with the other; first by a rank that depends on nothing but the entity's own id. So one key value makes at most one pair
per stage: a thousand customers behind one phone number neither explode nor all match.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sealroom.enclave.engine.digests import Words

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

_PAIRS = """
    with l as (select k0, k1, min(rank) as rank from left_side group by k0, k1),
         r as (select k0, k1, min(rank) as rank from right_side group by k0, k1)
    select l.rank as l, r.rank as r from l join r using (k0, k1)
"""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One table as the linkage sees it: rank (int64[rows]), and per stage keys (uint64[rows, 2]) with a mask."""

    rank: Rows
    stages: Sequence[tuple[Words, Mask]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Pairs of rows, ordered by the left row: `left` and `right` are int64[pairs], `stage` int8[pairs]."""

    left: Rows
    right: Rows
    stage: NDArray[np.int8]

    def unlinked(self, rows: int, *, right: bool) -> Rows:
        """Rows of one side that have no counterpart, ascending."""
        mask = np.ones(rows, dtype=bool)
        mask[self.right if right else self.left] = False
        return np.flatnonzero(mask)


def connect(threads: int = 1) -> Any:
    """A DuckDB connection without files, network, extensions or a way to change that."""
    config = {
        "threads": str(threads),
        # Threads started before the layers are applied would stay outside them; there is no file to wait for.
        "async_threads": "0",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(":memory:", config=config)
    for setting in (
        "set temp_directory=''",
        "set disabled_filesystems='LocalFileSystem'",
        "set enable_external_access=false",
        "set lock_configuration=true",
    ):
        connection.execute(setting)
    return connection


def waterfall(connection: Any, left: Side, right: Side) -> Links:
    """Pair the entities of two sides that have the same number of stages."""
    row_of = [_inverse(side.rank) for side in (left, right)]
    free = [np.ones(len(side.rank), dtype=bool) for side in (left, right)]
    found: list[tuple[Rows, Rows]] = []
    for stage in range(len(left.stages)):
        ranks = _stage(connection, [_still(side, stage, mask) for side, mask in zip((left, right), free, strict=True)])
        pairs = row_of[0][ranks[0]], row_of[1][ranks[1]]
        for mask, rows in zip(free, pairs, strict=True):
            mask[rows] = False
        found.append(pairs)
    lefts, rights = (np.concatenate([pairs[i] for pairs in found]) for i in (0, 1))
    stages = np.repeat(np.arange(len(found), dtype=np.int8), [len(pairs[0]) for pairs in found])
    order = np.argsort(lefts)
    return Links(lefts[order], rights[order], stages[order])


def _still(side: Side, stage: int, free: Mask) -> Any:
    """Keys and ranks of the entities that can still be paired in this stage, as a `pyarrow.Table`."""
    words, valid = side.stages[stage]
    rows = np.flatnonzero(valid & free)
    return pa.table({"k0": words[rows, 0], "k1": words[rows, 1], "rank": side.rank[rows]})


def _stage(connection: Any, sides: list[Any]) -> tuple[Rows, Rows]:
    """Ranks that are paired. Aggregating before the join keeps the join linear, whatever repeats."""
    names = ("left_side", "right_side")
    for name, side in zip(names, sides, strict=True):
        connection.register(name, side)
    try:
        got = connection.execute(_PAIRS).fetchnumpy()
    finally:
        for name in names:
            connection.unregister(name)
    return np.asarray(got["l"], dtype=np.int64), np.asarray(got["r"], dtype=np.int64)


def _inverse(rank: Rows) -> Rows:
    rows = np.empty(len(rank), dtype=np.int64)
    rows[rank] = np.arange(len(rank))
    return rows
