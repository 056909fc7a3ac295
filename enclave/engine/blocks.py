"""Cuts linked entities into disjoint blocks, so that one entity of one owner can change but a few of them.

Runs in: engine.   Believes: the agreement; loaded tables.   Spec: §6.7.   Proof: docs/decisions/0011-blocks.md.

A pair's block follows from the key value that linked it and from a fresh key, and from nothing else: not from the order
of rows, not from who else is there. A key that follows from the data (as the run key does) would cut neighbours
differently throughout, and one entity would move every block.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import identify, reasons, views
from sealroom.enclave.engine.context import Run, Wave
from sealroom.enclave.engine.digests import subkey
from sealroom.enclave.engine.tables import take
from sealroom.enclave.flat_columns import Column
from sealroom.protocol.rules import VectorEstimate

TABLE = "block"
"""What a block is called in the tables that a job gets."""

Numbers = NDArray[np.int64]


def waves(run: Run, rule: VectorEstimate) -> Iterator[Wave]:
    """Every block once, empty ones too, as many together as the rule and this machine's processors allow.

    Raises:
        NotReleased: `bad-rule`, `no-columns`.
    """
    columns = _columns(run, rule)
    block = of_pairs(run, rule)
    order = np.lexsort((*(views.hashed(columns, lane) for lane in ("blocks/v1 second", "blocks/v1 first")), block))
    starts = np.searchsorted(block[order], np.arange(rule.blocks + 1))
    together = min(rule.at_once, len(os.sched_getaffinity(0)))
    cut = (order[start:end] for start, end in itertools.pairwise(starts))
    for rows in _batched(cut, together):
        yield Wave(rule, TABLE, tuple(tuple(take(column, some) for column in columns) for some in rows))


def of_pairs(run: Run, rule: VectorEstimate) -> Numbers:
    """The block of each pair of the rule's link: int64[pairs], 0..blocks-1."""
    terms, pairs = run.agreement.link(rule.link), run.links(rule.link)
    left = run.table(terms.left)
    key = subkey(run.block_key, f"blocks/v1 {rule.name}")
    block = np.zeros(len(pairs.left), dtype=np.int64)
    for stage, kinds in enumerate(terms.keys):
        mine = pairs.stage == stage
        words, _ = identify.keys(left, kinds, key, pairs.left[mine])
        block[mine] = words[:, 0] % np.uint64(rule.blocks)
    return block


def _columns(run: Run, rule: VectorEstimate) -> tuple[Column, ...]:
    """The agreed columns, one cell per pair, each called `dataset.column`."""
    terms, pairs = run.agreement.link(rule.link), run.links(rule.link)
    found = []
    for ref in rule.columns:
        table = run.table(ref.dataset)
        if ref.column not in run.requested.get(ref.dataset, ()):
            raise reasons.withheld("no-columns")
        if not table.has(ref.column):
            raise reasons.withheld("bad-rule")
        column = take(table.column(ref.column), pairs.left if ref.dataset == terms.left else pairs.right)
        found.append(dataclasses.replace(column, name=f"{ref.dataset}.{ref.column}"))
    return tuple(found)


def _batched(items: Iterator[Numbers], size: int) -> Iterator[tuple[Numbers, ...]]:
    while batch := tuple(itertools.islice(items, size)):
        yield batch
