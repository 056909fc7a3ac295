"""Linking two tables by e-mail as the engine does, against one DuckDB join on the same keys and one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from bench.timing import Pair
from sealroom.enclave import flat
from sealroom.enclave.engine import identify, link, tables
from sealroom.enclave.flat_arrow import array_of
from sealroom.protocol import schema
from sealroom.protocol.agreement import Dataset
from tests.parties import dataset

_RUN_KEY = bytes(range(32))
_KINDS = ("email",)
_SHARED = 0.6


def pairs(*, small: bool) -> Iterator[Pair]:
    rows = 2_000 if small else 200_000
    left, right = _table("l", 0, rows), _table("r", int(rows * (1 - _SHARED)), rows)
    connection = link.connect()
    texts = [pa.table({"key": array_of(table.column("email")), "n": np.arange(rows)}) for table in (left, right)]
    stages = [identify.keys(table, _KINDS, _RUN_KEY) for table in (left, right)]
    words = [pa.table({"key": _binary(stage[0]), "n": np.arange(rows)}) for stage in stages]

    def linked() -> int:
        sides = [link.Side(table.rank, [identify.keys(table, _KINDS, _RUN_KEY)]) for table in (left, right)]
        return len(link.waterfall(connection, *sides).left)

    def waterfall() -> int:
        return len(
            link.waterfall(
                connection, *(link.Side(t.rank, [s]) for t, s in zip((left, right), stages, strict=True))
            ).left
        )

    found = {linked(), waterfall(), _join(connection, texts), _join(connection, words)}
    if len(found) != 1:
        raise AssertionError(f"the ways disagree: {found}")
    size = f"{rows:,} x {rows:,}"
    yield Pair(name="link", ours=f"normalise, digest and link {size} by e-mail", bare="DuckDB join of the bare texts",
               run_ours=linked, run_bare=lambda: _join(connection, texts))  # fmt: skip
    yield Pair(name="waterfall", ours=f"pair {size} by digests, one to one", bare="DuckDB join of the same digests",
               run_ours=waterfall, run_bare=lambda: _join(connection, words))  # fmt: skip


def _table(name: str, first: int, rows: int) -> tables.Table:
    """People first..first+rows, in an order of their own."""
    people = np.random.default_rng(first).permutation(np.arange(first, first + rows)).tolist()
    terms = schema.decode(Dataset, dataset(name, "bank", "id", [], most_rows=rows))
    cells = {"id": [f"{name}{p}" for p in people], "email": [f"person{p}@example.org" for p in people]}
    nothing: list[str | None] = [None] * rows
    columns = [flat.text_column(column.name, cells.get(column.name, nothing)) for column in terms.columns]
    return tables.load(terms, flat.to_bytes(columns, rows))


def _binary(words: Any) -> Any:
    """Digests as 16-byte binary values."""
    return pa.Array.from_buffers(pa.binary(16), len(words), [None, pa.py_buffer(np.ascontiguousarray(words))])


def _join(connection: Any, sides: list[Any]) -> int:
    for name, side in zip(("l", "r"), sides, strict=True):
        connection.register(name, side)
    try:
        got = connection.execute("select l.n as a, r.n as b from l join r using (key)").fetchnumpy()
    finally:
        for name in ("l", "r"):
            connection.unregister(name)
    return len(got["a"])
