"""Laws of noised releases and of terms: one form whatever a query says, and no narrower terms let out more."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealroom.enclave.engine import noise, overlap
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from sealroom.protocol import rules, schema, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.rules import ColumnOf
from sealroom.protocol.schema import MAX_INT
from tests.engine import small
from tests.property.test_agreement_laws import DOCUMENT, WIDER_DOWN, WIDER_UP, at, read, with_value
from tests.property.test_release_laws import FEW, LAW, answer, require_closed


@pytest.fixture(scope="module")
def grouped_run() -> Any:
    return small.engine(small.grouped()).run()


@LAW
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 1000), st.integers(0, 10**6), st.data())
def test_a_count_has_its_form_whatever_the_noise_and_a_higher_floor_only_hides(low, half, step, most, data):
    high = low + data.draw(st.integers(0, 10**6))
    near = st.builds(int.__add__, st.sampled_from([low, high]), st.integers(-2, 2))
    noisy = data.draw(st.one_of(near, near, st.integers(-MAX_INT, MAX_INT)))
    wide, narrow = (
        overlap.published(noisy, half, small.overlap(floor=floor, round_to=step), most) for floor in (low, high)
    )
    for found, floor in ((wide, low), (narrow, high)):
        assert set(found) == {"count", "epsilon_millionths", "interval_95"}
        assert (found["count"] is None) == (found["interval_95"] is None) == (noisy < floor)
    if narrow["count"] is not None:
        assert narrow == wide
        assert narrow["count"] % step == 0 or narrow["count"] == most
        low_end, high_end = narrow["interval_95"]
        assert 0 <= low_end <= narrow["count"] <= high_end <= most


@LAW
@given(st.integers(0, 10**6), st.integers(1, 100), st.integers(1, 10))
def test_coarser_rounding_makes_fewer_counts_of_the_same_noisy_ones(start, step, times):
    span, most = range(start, start + 500), 10**9
    fine, coarse = (
        {overlap.published(noisy, 5, small.overlap(floor=0, round_to=to), most)["count"] for noisy in span}
        for to in (step, step * times)
    )
    assert len(coarse) <= len(fine)


CONDITIONS = st.one_of(
    st.tuples(st.just("customers.money"), st.sampled_from([">=", "<", "!="]), st.integers(0, 6000)),
    st.tuples(st.just("customers.kind"), st.sampled_from(["=", "!="]), st.sampled_from(["new", "old"])),
    st.tuples(st.just("prospects.town"), st.just("in"), st.lists(st.sampled_from(["A", "B"]), min_size=1, unique=True)),
)
BENT = st.one_of(
    st.tuples(st.sampled_from(["customers.mail", "customers.bank_id", "x"]), st.just("="), st.text(max_size=3)),
    st.tuples(st.just("customers.kind"), st.sampled_from(["=", "<"]), st.sampled_from(["nobody", 1, None])),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def queries(conditions: st.SearchStrategy[Any], labels: list[str]) -> st.SearchStrategy[str]:
    one = st.fixed_dictionaries({"label": st.sampled_from(labels), "when": st.lists(conditions, max_size=2)})
    many = st.lists(one, min_size=1, max_size=4)
    return many.map(lambda found: json.dumps({"format": "sealroom/query/v1", "segments": found}))


LABELS = ["rich", "poor", "other"]
TEXTS = st.one_of(
    queries(CONDITIONS, LABELS), queries(CONDITIONS, LABELS), queries(CONDITIONS | BENT, [*LABELS, "neither"]),
    ANYTHING.map(json.dumps), st.text(max_size=200),
)  # fmt: skip


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same noise on everything, so that two releases can be compared."""
    monkeypatch.setattr(noise.Noise, "add", lambda _, values: [int(value) + 1 for value in values])


@LAW
@given(TEXTS, st.integers(0, 25), st.integers(0, 25))
def test_whatever_a_query_says_cells_are_the_declared_ones_and_a_higher_floor_only_hides(grouped_run, text, low, up):
    def asked(floor: int) -> Release | Withheld:
        rule = small.grouped(segments=small.segments(*LABELS), floor=floor)
        return answer(grouped_run, rule, queries={"cut": text})

    with pytest.MonkeyPatch.context() as patched:
        quiet(patched)
        wide, narrow = asked(low), asked(low + up)
    require_closed(wide)
    assert isinstance(wide, Withheld) == isinstance(narrow, Withheld)
    if isinstance(wide, Release) and isinstance(narrow, Release):
        for found, floor in ((wide, low), (narrow, low + up)):
            require_cells(json.loads(found.canonical), floor)
        for less, more in zip(*(json.loads(f.canonical)["cells"] for f in (narrow, wide)), strict=True):
            assert less == more or (less["count"] is None and set(less["sums"].values()) == {None})


def require_cells(body: Any, floor: int) -> None:
    named = [{"prospects.town": town, "segment": label} for town in "AB" for label in LABELS]
    assert [cell["cell"] for cell in body["cells"]] == named
    assert body["of"] == len(named)
    assert body["cells_withheld"] == sum(cell["count"] is None for cell in body["cells"])
    for cell in body["cells"]:
        assert set(cell) == {"cell", "count", "sums"}
        assert set(cell["sums"]) == {"customers.money"}
        assert cell["count"] is None or (type(cell["count"]) is int and cell["count"] >= max(floor, 0))
        assert all((value is None) == (cell["count"] is None) for value in cell["sums"].values())
        assert all(value is None or abs(value) <= MAX_INT for value in cell["sums"].values())


@FEW
@given(st.sampled_from(["A", "B", "AB"]), st.booleans())
def test_fewer_declared_cells_are_some_of_the_same_and_never_a_larger_release(grouped_run, towns, summed):
    whole = small.grouped()
    few = small.grouped(by=(ColumnOf("prospects", "town"),) if towns == "AB" else (), sums=whole.sums if summed else ())
    sizes = [terms.padded_size(grouped_run.agreement, rule) for rule in (few, whole)]
    assert sizes[0] <= sizes[1]
    with pytest.MonkeyPatch.context() as patched:
        quiet(patched)
        less, more = (json.loads(answer(grouped_run, rule).canonical) for rule in (few, whole))
    assert less["of"] <= more["of"]
    assert len(less["cells"][0]["sums"]) <= len(more["cells"][0]["sums"])


def dearness(document: Any) -> list[int]:
    """What each rule of an agreement may cost and how large its release is, and what a grant is charged."""
    agreement: Agreement = read(document)
    found = []
    for rule in agreement.rules:
        cost, status = terms.cost_of(agreement, rule), terms.status_cost(agreement, (rule.name,))
        found += [cost.epsilon, cost.bits, terms.padded_size(agreement, rule), status.bits]
    return found


@LAW
@given(st.sampled_from([*((p, True) for p in WIDER_UP), *((p, False) for p in WIDER_DOWN)]), st.integers(1, 500))
def test_no_narrower_agreement_costs_more_or_releases_a_larger_text(change, by):
    path, wider_up = change
    base = at(DOCUMENT, path)
    one, other = copy.deepcopy(DOCUMENT), with_value(DOCUMENT, path, base + by)
    narrow, wide = (one, other) if wider_up else (other, one)
    assert all(less <= more for less, more in zip(dearness(narrow), dearness(wide), strict=True))


@LAW
@given(st.integers(1, 10**6), st.integers(1, 30))
def test_more_rows_or_a_larger_share_of_them_cost_more_bits_and_never_fewer(rows, percent):
    rule = small.audience(percent=percent)
    assert rules.cost(rule, rows).bits <= rules.cost(rule, rows + 1).bits
    if percent < 30:
        assert rules.cost(rule, rows).bits <= rules.cost(dataclasses.replace(rule, percent=percent + 1), rows).bits


def test_the_document_of_these_laws_has_a_rule_of_every_type():
    assert {rule.type for rule in schema.decode(Agreement, DOCUMENT).rules} == {
        "overlap_count", "grouped_aggregates", "metrics", "audience_to_owner",
    }  # fmt: skip
