"""Rule `grouped_aggregates`: noisy counts and bounded sums of linked entities over declared cells.

Runs in: engine.   Believes: the agreement; nothing in the query.   Spec: §7.1.   Class F.

    {"cells": [{"cell": {"bank.housing": "yes", "segment": "wealthy"}, "count": 812, "sums": {"bank.balance": 99120}},
               {"cell": {"bank.housing": "no", "segment": "wealthy"}, "count": null, "sums": {"bank.balance": null}}],
     "cells_withheld": 1, "epsilon_millionths": 1000000, "of": 2}

Every declared cell is there, in declared order, zero or not: which cells exist says nothing. A cell whose noisy count
is below the floor has nulls. An entity with a missing value in a `by` column, or without a segment, counts in no cell.
Values to be summed are rounded to whole units and clamped; a missing one adds nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import noise, query, reasons, stability
from sealroom.enclave.engine.context import Release, Run, canonical_json
from sealroom.enclave.engine.tables import numbers, take
from sealroom.enclave.flat_columns import Column
from sealroom.protocol.rules import BoundedSum, GroupedAggregates

Numbers = NDArray[np.int64]
SEGMENT = "segment"


def release(run: Run, rule: GroupedAggregates) -> Release:
    """Count and sum over every declared cell.

    Raises:
        NotReleased: `no-stability-proof`, `bad-rule`, `bad-query`, `undeclared-label`.
    """
    axes = _axes(run, rule)
    names = [f"{item.dataset}.{item.column}" for item in rule.sums]  # unique, as the agreement's check has it
    cells, of_pair = _cells(run, rule, axes)
    share = rule.epsilon // (1 + len(rule.sums))
    if not share:
        raise reasons.withheld("bad-rule")
    counts = _noisy_counts(run, rule, np.bincount(of_pair[of_pair >= 0], minlength=len(cells)), share)
    sums = [_noisy_sums(run, rule, item, of_pair, len(cells), share) for item in rule.sums]
    listed = []
    for index, cell in enumerate(cells):
        shown = counts[index] >= rule.floor
        values = {name: column[index] if shown else None for name, column in zip(names, sums, strict=True)}
        listed.append({"cell": cell, "count": max(counts[index], 0) if shown else None, "sums": values})
    withheld = sum(1 for item in listed if item["count"] is None)
    body = {"cells": listed, "cells_withheld": withheld, "of": len(cells), "epsilon_millionths": rule.epsilon}
    return Release(rule.name, canonical_json(body), {"cells": len(cells), "epsilon_millionths": rule.epsilon})


def _axes(run: Run, rule: GroupedAggregates) -> list[tuple[str, tuple[str, ...]]]:
    """Names and declared values of what the cells are a product of."""
    axes = [
        (f"{ref.dataset}.{ref.column}", run.agreement.dataset(ref.dataset).column(ref.column).values or ())
        for ref in rule.by
    ]
    if rule.segments is not None:
        axes.append((SEGMENT, rule.segments.labels))
    return axes


def _cells(run: Run, rule: GroupedAggregates, axes: list[tuple[str, tuple[str, ...]]]) -> tuple[list[Any], Numbers]:
    """Every cell in declared order, and each pair's position among them, -1 for none."""
    cells = [
        dict(zip((name for name, _ in axes), values, strict=True))
        for values in itertools.product(*(values for _, values in axes))
    ]
    of_pair = np.zeros(len(run.links(rule.link).left), dtype=np.int64)
    for (_, values), codes in zip(axes, _codes(run, rule), strict=True):
        inside = (of_pair >= 0) & (codes >= 0)
        of_pair = np.where(inside, of_pair * len(values) + codes, -1)
    return cells, of_pair


def _codes(run: Run, rule: GroupedAggregates) -> Iterator[Numbers]:
    for ref in rule.by:
        data, valid = numbers(_linked(run, rule, f"{ref.dataset}.{ref.column}"))
        yield np.where(valid, data, -1).astype(np.int64)
    if rule.segments is not None:
        yield _segments(run, rule)


def _segments(run: Run, rule: GroupedAggregates) -> Numbers:
    terms = rule.segments
    if terms is None or terms.bundle not in run.queries:
        raise reasons.withheld("bad-query")
    link = run.agreement.link(rule.link)
    columns = {
        f"{side}.{column.name}": column
        for side in (link.left, link.right)
        for column in run.table(side).dataset.columns
        if _may_see(run, side, column.name)
    }
    segments = query.decode(run.queries[terms.bundle], columns, terms.labels)
    rows = len(run.links(rule.link).left)
    return np.asarray(query.assign(segments, terms.labels, lambda name: _linked(run, rule, name), rows))


def _may_see(run: Run, side: str, column: str) -> bool:
    dataset = run.table(side).dataset
    hidden = column == dataset.entity or dataset.column(column).identifier is not None
    return not hidden and column in run.requested.get(side, ())


def _linked(run: Run, rule: GroupedAggregates, name: str) -> Column:
    """A column by `dataset.column`, one cell per pair."""
    dataset, _, column = name.partition(".")
    link, links = run.agreement.link(rule.link), run.links(rule.link)
    table = run.table(dataset)
    if not table.has(column):
        raise reasons.withheld("bad-rule")
    return take(table.column(column), links.left if dataset == link.left else links.right)


def _sides(run: Run, rule: GroupedAggregates, item: BoundedSum | None) -> frozenset[str]:
    """Datasets that may decide a pair's cell or value. A query may read both; which it does is its owner's secret."""
    link = run.agreement.link(rule.link)
    hidden = {link.left, link.right} if rule.segments is not None else set()
    return frozenset(hidden | {ref.dataset for ref in rule.by} | ({item.dataset} if item else set()))


def _noisy_counts(run: Run, rule: GroupedAggregates, counts: Numbers, epsilon: int) -> list[int]:
    sensitivity = stability.of_histogram(run.agreement.link(rule.link), _sides(run, rule, None))
    return noise.laplace(sensitivity=sensitivity, epsilon_millionths=epsilon).add(counts.tolist())


def _noisy_sums(
    run: Run, rule: GroupedAggregates, item: BoundedSum, of_pair: Numbers, cells: int, epsilon: int
) -> list[int]:
    data, valid = numbers(_linked(run, rule, f"{item.dataset}.{item.column}"))
    bounded = np.clip(np.where(valid, data, 0), item.lower, item.upper)
    whole = np.where(valid, np.rint(bounded), 0).astype(np.int64)
    sums = np.zeros(cells, dtype=np.int64)
    np.add.at(sums, of_pair[of_pair >= 0], whole[of_pair >= 0])  # whole numbers: exact, and in any order the same
    times = stability.of_histogram(run.agreement.link(rule.link), _sides(run, rule, item))
    reach = max(abs(item.lower), abs(item.upper))
    return noise.laplace(sensitivity=times * reach, epsilon_millionths=epsilon).add(sums.tolist())
