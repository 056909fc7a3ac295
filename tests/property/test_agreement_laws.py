"""Laws of agreements: no change is harmless both ways, no widening hides, and purses add up."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sealroom.client import diff, purses
from sealroom.client.entries import NOTHING, Amount
from sealroom.protocol import rules, schema, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import Malformed
from tests.vectors import cases

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)
DOCUMENT = cases.shared("agreement-document")
OLD = schema.decode(Agreement, DOCUMENT)
HARMLESS = ("title", "sequence", "first", "previous", "format")
"""Fields that let nothing out, whatever they say; a purpose is what people agreed to, and counts."""

Path = tuple[Any, ...]
WIDER_UP = (
    ("not_after",), ("parties", 0, "consent", "deadline"), ("datasets", 0, "most_rows"), ("rules", 0, "epsilon"),
    ("rules", 1, "epsilon"), ("rules", 3, "percent"), ("purses", 0, "epsilon"), ("purses", 0, "bits"),
    ("purses", 3, "runs"), ("limits", "memory"), ("limits", "processor_time"), ("limits", "wall_time"),
    ("platforms", 0, "vmpl_most"),
)  # fmt: skip
WIDER_DOWN = (
    ("not_before",), ("parties", 1, "consent", "threshold"), ("approvals", "threshold"), ("rules", 0, "floor"),
    ("rules", 0, "round_to"), ("rules", 1, "floor"), ("rules", 3, "floor"), ("rules", 3, "least_seed"),
    ("rules", 2, "values", 0, "step"), ("slots", "query"), ("slots", "opaque"),
    ("platforms", 0, "minimum_guest_svn"), ("platforms", 0, "minimum_tcb", "milan", "snp"),
    ("platforms", 0, "minimum_abi", "minor"), ("platforms", 0, "minimum_firmware", "build"),
)  # fmt: skip
WIDER_MORE = (
    ("accepts_covert_channel",), ("requesters",), ("launchers",), ("rules", 0, "recipients"),
    ("rules", 2, "recipients"),
    ("datasets", 1, "columns", -1, "values"), ("platforms", 0, "roots"), ("platforms", 0, "families"),
    ("platforms", 0, "key_kinds"),
)  # fmt: skip
MEMBERS = ("datasets", "bundles", "links", "rules", "purses", "parties", "platforms")


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def with_value(document: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(document)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def read(document: Any) -> Agreement:
    """The agreement, whether or not it is consistent: what is shown to a person is shown before it is checked."""
    try:
        return schema.decode(Agreement, document)
    except Malformed:
        assume(False)
        raise


def widens(old: Any, new: Any) -> bool:
    return any(change.widens for change in diff.changes(read(old), read(new)))


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Places of an agreement, lists and objects included."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths(item, (*path, key))


LEAVES = sorted((p for p in paths(DOCUMENT) if not isinstance(at(DOCUMENT, p), (dict, list))), key=repr)
WORDS = (
    None, True, False, 0, 1, 7, 1000, 10**6, "any", "refuse", "require", "plain", "auto", "manual", "query", "whole",
    "bank", "partner", "text", "int", "f" * 16, "ab" * 32, "confidential-hardware", "email", "docker", "vlek", "milan",
)  # fmt: skip


def readable(document: Any) -> bool:
    try:
        schema.decode(Agreement, document)
    except Malformed:
        return False
    return True


def strays() -> list[tuple[Path, Any]]:
    """Changes of one field that still give a document, a few hundred of all there are, the same ones each time."""
    places = [path for path in LEAVES if path[0] not in HARMLESS]
    drawn = random.Random(1).sample([(path, value) for path in places for value in WORDS], 1500)
    return [
        (path, value)
        for path, value in drawn
        if at(DOCUMENT, path) != value and readable(with_value(DOCUMENT, path, value))
    ]


@LAW
@given(st.sampled_from(WIDER_UP), st.integers(0, 400), st.integers(1, 400))
def test_a_larger_number_where_larger_is_wider_is_called_wider(path: Path, base: int, more: int):
    low = at(DOCUMENT, path) + base
    one, other = with_value(DOCUMENT, path, low), with_value(DOCUMENT, path, low + more)
    assert widens(one, other)
    assert not widens(other, one)


@LAW
@given(st.sampled_from(WIDER_DOWN), st.integers(0, 100), st.integers(1, 100))
def test_a_smaller_number_where_smaller_is_wider_is_called_wider(path: Path, base: int, more: int):
    low = at(DOCUMENT, path) + base
    one, other = with_value(DOCUMENT, path, low + more), with_value(DOCUMENT, path, low)
    assert widens(one, other)
    assert not widens(other, one)


@LAW
@given(st.sampled_from(WIDER_MORE), st.data())
def test_one_more_where_more_is_wider_is_called_wider(path: Path, data: Any):
    some = at(DOCUMENT, path)
    extra = data.draw(st.sampled_from(["operator", "partner", "cd" * 32, "zz", "vlek", "turin", "docker"]))
    assume(extra not in some)
    assert widens(DOCUMENT, with_value(DOCUMENT, path, [*some, extra]))


def test_no_change_of_a_field_is_harmless_both_ways():
    changes = strays()
    assert len(changes) > 100
    for path, value in changes:
        changed = with_value(DOCUMENT, path, value)
        assert widens(DOCUMENT, changed) or widens(changed, DOCUMENT), (path, value)


@LAW
@given(st.sampled_from(strays()), st.sampled_from(WIDER_UP + WIDER_DOWN), st.integers(1, 100))
def test_nothing_else_that_changes_hides_a_widening(stray: tuple[Path, Any], wider: Path, more: int):
    path, value = stray
    assume(path != wider[: len(path)])
    step = more if wider in WIDER_UP else -more
    narrow = with_value(DOCUMENT, wider, at(DOCUMENT, wider) + max(0, -step))
    wide = with_value(narrow, wider, at(narrow, wider) + step)
    assume(isinstance(at(wide, wider[:-1]), dict))
    assert widens(narrow, with_value(wide, path, value))


@LAW
@given(st.sampled_from(MEMBERS), st.data())
def test_whatever_is_new_in_a_list_of_members_is_called_wider(name: str, data: Any):
    listed = DOCUMENT[name]
    new = {**data.draw(st.sampled_from(listed))}
    if "name" in new:
        new["name"] = "newcomer"
    elif "population" in new:
        new["population"] = "newcomer"
    place = data.draw(st.integers(0, len(listed)))
    assert widens(DOCUMENT, {**DOCUMENT, name: [*listed[:place], new, *listed[place:]]})


@LAW
@given(st.permutations(range(len(DOCUMENT["rules"]))), st.permutations(range(len(DOCUMENT["purses"]))))
def test_another_order_of_members_is_no_change(of_rules: list[int], of_purses: list[int]):
    ordered = {
        **DOCUMENT,
        "rules": [DOCUMENT["rules"][n] for n in of_rules],
        "purses": [DOCUMENT["purses"][n] for n in of_purses],
    }
    assert diff.changes(OLD, read(ordered)) == []


AMOUNTS = st.builds(
    Amount, epsilon=st.integers(0, 10**9), bits=st.integers(0, 10**9), runs=st.integers(0, 100)
)  # fmt: skip


@LAW
@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_amounts_add_up_and_never_fit_better_for_being_more(one: Amount, other: Amount, limit: Amount):
    assert one + other == other + one
    assert (one + other) + limit == one + (other + limit)
    assert one + NOTHING == one
    if (one + other).within(limit):
        assert one.within(limit)
        assert other.within(limit)
    assert one.within(one)


@LAW
@given(
    st.lists(st.sampled_from([rule.name for rule in OLD.rules]), min_size=1, unique=True),
    st.sampled_from(("bank", "partner")),
)
def test_a_run_never_costs_less_than_its_parts_or_than_a_run_for_fewer_rules(names: list[str], party: str):
    asked = tuple(names)
    total = purses.all_charges(OLD, party, asked)
    advance = purses.run_charges(OLD, party, asked)
    assert all(charge.within(total[purse]) for purse, charge in advance.items())
    for rule in map(OLD.rule, asked):
        for purse, charge in purses.release_charges(OLD, party, rule).items():
            for recipient in rule.recipients:
                affected = party in purses.affected_owners(OLD, rule, recipient)
                assert not affected or (advance[purse] + charge).within(total[purse])
    for fewer in (asked[:count] for count in range(1, len(asked))):
        assert all(charge.within(total[purse]) for purse, charge in purses.all_charges(OLD, party, fewer).items())
        assert terms.status_cost(OLD, fewer).bits <= terms.status_cost(OLD, asked).bits


@LAW
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 99))
def test_a_metric_on_a_finer_grid_never_costs_less(step: int, more: int, at_percent: int):
    metric = next(rule for rule in OLD.rules if isinstance(rule, rules.Metrics))
    (value,) = metric.values
    wide = dataclasses.replace(value, least=0, most=10**6, at_percent=at_percent)
    fine, coarse = (
        rules.cost(dataclasses.replace(metric, values=(dataclasses.replace(wide, step=size),)), 0)
        for size in (step, step + more)
    )
    assert coarse.bits <= fine.bits
    assert coarse.epsilon == fine.epsilon == 0
