"""What a release costs and how large it is follows from the agreement, and from nothing else."""

from __future__ import annotations

import inspect
import math

import pytest

from sealroom.protocol import canonical, release, rules, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.rules import Cost, MetricValue
from tests import parties


@pytest.fixture(scope="module")
def agreement() -> Agreement:
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    return parties.sign_agreement(members, parties.agreement_json(members))[0]


def test_formal_rules_cost_their_epsilon_and_no_bits(agreement: Agreement):
    assert terms.cost_of(agreement, agreement.rule("overlap")) == Cost(epsilon=500_000, bits=0)
    assert terms.cost_of(agreement, agreement.rule("by-segment")) == Cost(epsilon=1_000_000, bits=0)


def test_metrics_cost_the_bits_of_their_grids(agreement: Agreement):
    assert terms.cost_of(agreement, agreement.rule("quality")) == Cost(epsilon=0, bits=math.ceil(1000 * math.log2(51)))


def test_an_audience_costs_every_list_it_could_be(agreement: Agreement):
    """1000 rows, 10 %: every list of k out of n ids, for every n up to the agreed rows."""
    exact = math.log2(sum(math.comb(1000, k) for k in range(101)))
    charged = terms.cost_of(agreement, agreement.rule("audience"))
    assert charged.epsilon == 0
    assert exact <= charged.bits / 1000 <= exact + 2


@pytest.mark.parametrize("percent", [1, 10, 29, 30])
@pytest.mark.parametrize("rows", [1, 7, 100, 2000])
def test_no_audience_leaks_more_than_it_is_charged(agreement: Agreement, percent: int, rows: int):
    rule = rules.dataclasses.replace(agreement.rule("audience"), percent=percent)
    possible = sum(math.comb(rows, k) for k in range(rows * percent // 100 + 1))
    assert math.log2(possible) <= rules.cost(rule, rows).bits / 1000


def test_binomials_are_what_they_are():
    for n, k in ((10, 3), (100, 50), (5000, 17), (7, 0), (7, 7)):
        assert rules.log2_choose(n, k) == pytest.approx(math.log2(math.comb(n, k)), abs=1e-6)


def test_grids_count_their_points():
    grid = MetricValue(metric="auc", at_percent=100, least=500, most=1000, step=10)
    assert grid.points == 51
    assert rules.dataclasses.replace(grid, step=501).points == 1


def test_a_status_costs_its_alphabet(agreement: Agreement):
    def bits(*names: str) -> int:
        cost = terms.status_cost(agreement, names)
        assert cost.epsilon == 0
        return cost.bits

    assert bits() == math.ceil(1000 * math.log2(3))
    assert bits("overlap") == math.ceil(1000 * (math.log2(3) + 4))
    # 60 seconds of code and slots of 5: its end shows in one of 14 slots.
    assert bits("overlap", "quality") == math.ceil(1000 * (math.log2(3) + 8 + math.log2(14)))
    assert bits("quality", "audience") == math.ceil(1000 * (math.log2(3) + 8 + 2 * math.log2(14)))


@pytest.mark.parametrize(("wall", "slot"), [(1, 300), (299, 300), (300, 300), (301, 300), (900, 300), (60, 5), (7, 2)])
def test_the_slot_in_which_code_ends_is_paid_for(agreement: Agreement, wall: int, slot: int):
    """Whenever the code begins within a slot, and however long it runs: the boundaries at which its end can show."""
    changed = rules.dataclasses.replace(
        agreement,
        limits=rules.dataclasses.replace(agreement.limits, wall_time=wall),
        slots=rules.dataclasses.replace(agreement.slots, opaque=slot),
    )
    ends = range(2 * wall + 1)  # half seconds, to begin between two seconds too
    most = max(
        len({-(-(begin + end) // (2 * slot)) for end in ends}) for begin in range(1, 2 * slot, max(1, slot // 30))
    )
    charged = terms.status_cost(changed, ("quality",)).bits - terms.status_cost(changed, ("overlap",)).bits
    assert math.log2(most) <= (charged + 1) / 1000


def test_sizes_are_whole_pages_that_hold_what_the_rule_may_say(agreement: Agreement):
    sizes = {rule.name: terms.padded_size(agreement, rule) for rule in agreement.rules}
    assert all(size % 4096 == 0 for size in sizes.values())
    assert sizes["overlap"] == sizes["quality"] == 4096
    assert sizes["audience"] == 12288  # 100 ids of 72 bytes and a page's rest
    assert sizes["by-segment"] == 4096
    assert terms.MOST_PADDED == release.MOST_TEXT


def test_the_largest_table_of_cells_fits_its_size():
    """Long names, long labels full of quotes, and numbers as long as they get."""
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    document = parties.agreement_json(members)
    label = '"\\' * 32
    long, longer = "c" * 63, "s" * 63
    columns = document["datasets"][0]["columns"]
    columns += [
        parties.column(long, "category", values=[label[:-1] + mark for mark in "abcdefghij"]),
        parties.column(longer, "int"),
    ]
    rule = document["rules"][1]
    rule["by"] = [{"dataset": "customers", "column": long}]
    rule["segments"] = {"bundle": "segments", "labels": [label]}
    rule["sums"] = [{"dataset": "customers", "column": longer, "lower": 0, "upper": 1}]
    agreement, _ = parties.sign_agreement(members, document)
    number = -(2**53 - 1)
    cells = [
        {
            "cell": {f"customers.{long}": label[:-1] + mark, "segment": label},
            "count": number,
            "sums": {f"customers.{longer}": number},
        }
        for mark in "abcdefghij"
    ]
    told = {"cells": cells, "cells_withheld": 10, "epsilon_millionths": 20_000_000, "of": 1000}
    size = terms.padded_size(agreement, agreement.rule("by-segment"))
    assert size - 8192 < len(canonical.encode(told)) + 8 <= size


def test_nothing_here_could_know_any_data():
    for function in (terms.cost_of, terms.status_cost, terms.padded_size, rules.cost):
        names = set(inspect.signature(function).parameters)
        assert names <= {"agreement", "rule", "requested", "most_rows"}


def test_a_request_brings_exactly_what_its_rules_read(agreement: Agreement):
    assert terms.required_objects(agreement, ("overlap",)) == ("customers", "prospects")
    assert terms.required_objects(agreement, ("quality", "overlap")) == ("customers", "prospects", "model")
    assert terms.required_objects(agreement, ()) == ()


GROUPED = {
    "none": ([], None, [], 1),
    "category": ([("prospects", "job")], None, [], 3),
    "two categories": ([("prospects", "job"), ("customers", "y")], None, [], 6),
    "segments": ([], ["rich", "other"], [], 2),
    "category and segments": ([("prospects", "job")], ["rich", '\\"'], [], 6),
    "quotes": ([], ["rich", '""""'], [], 2),
    "backslashes": ([], ["rich", "\\" * 4], [], 2),
    "sums": ([("customers", "y")], None, [("customers", "balance"), ("prospects", "age")], 2),
}
VALUES = {"prospects.job": ["admin", "retired", "student"], "customers.y": ["no", "yes"]}


def in_json(text: str) -> int:
    return len(canonical.encode(text)) - 2


@pytest.mark.parametrize("name", GROUPED)
def test_a_cell_is_as_long_as_the_specification_says(agreement: Agreement, name: str):
    """SPEC §7.4, written out: 64 for a cell, and for each member its name, its longest value or 17 digits, and 8."""
    by, labels, sums, cells = GROUPED[name]
    rule = rules.dataclasses.replace(
        agreement.rule("by-segment"),
        by=tuple(rules.ColumnOf(dataset=d, column=c) for d, c in by),
        segments=rules.Segments(bundle="segments", labels=tuple(labels)) if labels else None,
        sums=tuple(rules.BoundedSum(dataset=d, column=c, lower=0, upper=1) for d, c in sums),
    )
    expected = 64 + sum(len(f"{d}.{c}") + max(map(in_json, VALUES[f"{d}.{c}"])) + 8 for d, c in by)
    expected += (len("segment") + max(map(in_json, labels)) + 8) if labels else 0
    expected += sum(len(f"{d}.{c}") + 17 + 8 for d, c in sums)
    assert terms._cells(agreement, rule) == cells
    assert terms._cell_bytes(agreement, rule) == expected
    assert terms.padded_size(agreement, rule) == -(-(cells * expected + 1024) // 4096) * 4096


def test_an_audience_is_as_large_as_the_specification_says(agreement: Agreement):
    base = agreement.rule("audience")
    for rows, percent in ((1000, 10), (1000, 1), (1999, 29), (57, 30), (3, 1)):
        datasets = tuple(rules.dataclasses.replace(d, most_rows=rows) for d in agreement.datasets)
        changed = rules.dataclasses.replace(agreement, datasets=datasets)
        size = terms.padded_size(changed, rules.dataclasses.replace(base, percent=percent))
        assert size == -(-(72 * math.floor(rows * percent / 100) + 1024) // 4096) * 4096
        assert isinstance(size, int)


@pytest.mark.parametrize(("wall", "slot"), [(899, 300), (900, 300), (60, 7), (61, 7), (5, 300), (86_400, 1)])
def test_a_status_costs_exactly_what_the_specification_says(agreement: Agreement, wall: int, slot: int):
    changed = rules.dataclasses.replace(
        agreement,
        limits=rules.dataclasses.replace(agreement.limits, wall_time=wall),
        slots=rules.dataclasses.replace(agreement.slots, opaque=slot),
    )
    for names, opaque in ((("overlap",), 0), (("quality",), 1), (("overlap", "quality", "audience"), 2)):
        # As whole numbers, so that no rounding of logarithms decides: 2^(bits/1000) covers all that can be said.
        possible = 3 * 16 ** len(names) * (wall // slot + 2) ** opaque
        bits = terms.status_cost(changed, names).bits
        assert bits == math.ceil(1000 * math.log2(possible) - 1e-6)
        assert bits + 1e-6 >= 1000 * math.log2(possible) > bits - 1
