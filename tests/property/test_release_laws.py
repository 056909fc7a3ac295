"""Laws of releases: whatever code gives, what leaves has the declared form; no narrower rule lets out more."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sealroom.enclave.engine import noise, overlap, reasons
from sealroom.enclave.engine import run as engine
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from sealroom.enclave.jail import output
from sealroom.protocol import rules, schema, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.rules import ColumnOf, MetricValue, Rule
from sealroom.protocol.schema import MAX_INT
from tests.engine import small
from tests.property.test_agreement_laws import DOCUMENT, WIDER_DOWN, WIDER_UP, at, read, with_value

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)
FEW = settings(LAW, max_examples=25)
UNLINKED = [f"P{number}" for number in range(40, 60)]
"""The partner's entities of the small pair that no customer is linked to."""
SIZE = len(UNLINKED) * 30 // 100
INTEGERS = st.one_of(st.integers(-3, 25), st.integers(-(2**63), 2**63 - 1))
FLOATS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 5e-324]), st.floats(width=64))
NAMES = [("auc", 10), ("lift", 1), ("lift", 50)]


@pytest.fixture(scope="module")
def audience_run() -> Any:
    return small.engine(small.audience()).run()


@pytest.fixture(scope="module")
def metrics_run() -> Any:
    """Four hundred linked entities, so that both parts are large enough to be measured."""
    made = small.engine(small.metrics(), bank=small.bank_rows(shared=380, rows=400), partner=small.partner_rows(400))
    return made.run()


@pytest.fixture(scope="module")
def grouped_run() -> Any:
    return small.engine(small.grouped()).run()


def answer(run: Any, rule: Rule, given_by_job: Any = b"", **more: Any) -> Release | Withheld:
    """The engine's answer under one rule alone, whatever the job writes."""
    document = dataclasses.replace(run.agreement, rules=(rule,))
    told = given_by_job if callable(given_by_job) else lambda _: memoryview(given_by_job)
    return engine.answer(dataclasses.replace(run, agreement=document, ask=told, **more), rule)


def written(kind: int, items: Any) -> bytes:
    target = bytearray(output.size_of(len(items)))
    output.write(memoryview(target), kind, items)
    return bytes(target)


def require_closed(found: Release | Withheld) -> None:
    """What is withheld says one of the closed words and nothing else."""
    if isinstance(found, Withheld):
        assert found.reason in reasons.WITHHELD
        assert found.reason != "engine-error"


def require_audience(found: Release | Withheld, run: Any, rule: Any, size: int) -> None:
    require_closed(found)
    if isinstance(found, Release):
        header, *ids = found.canonical.splitlines()
        assert header == "pid"
        assert ids == sorted(set(ids), key=str.encode)
        assert len(ids) == size
        assert set(ids) <= set(UNLINKED)
        assert len(found.canonical.encode()) + 8 <= terms.padded_size(run.agreement, rule)


def pointed() -> st.SearchStrategy[list[int]]:
    """Rows that a job may point at, but for some that are bent: out of range, there twice, too many or too few."""
    bent = st.lists(st.tuples(st.integers(0, SIZE - 1), st.one_of(INTEGERS, st.just(len(UNLINKED)))), max_size=2)
    counts = st.sampled_from([SIZE, SIZE, SIZE, SIZE - 1, SIZE + 1])

    def made(order: list[int], count: int, changes: list[tuple[int, int]]) -> list[int]:
        changed = dict(changes)
        return [changed.get(place, row) for place, row in enumerate(order[:count])]

    return st.builds(made, st.permutations(range(len(UNLINKED))), counts, bent)


@LAW
@given(st.one_of(pointed(), st.lists(INTEGERS, max_size=2 * SIZE)))
@example([0, 1, 2, 3, 4, 4])
def test_whatever_rows_a_job_points_at_an_audience_is_that_many_ids_of_the_recipient_s_own(audience_run, rows):
    found = answer(audience_run, small.audience(), written(output.ROWS, np.array(rows, dtype=np.int64)))
    require_audience(found, audience_run, small.audience(), SIZE)
    valid = len(rows) == SIZE == len(set(rows)) and all(0 <= row < len(UNLINKED) for row in rows)
    assert isinstance(found, Release) == valid


@LAW
@given(st.permutations(range(len(UNLINKED))), st.integers(0, 30))
def test_rows_that_a_job_may_point_at_are_released_in_the_one_form_in_any_order(audience_run, order, percent):
    size = len(UNLINKED) * percent // 100
    rule = small.audience(percent=max(percent, 1))
    rows = np.array(order[:size], dtype=np.int64)
    found = answer(audience_run, rule, written(output.ROWS, rows))
    require_audience(found, audience_run, rule, len(UNLINKED) * rule.percent // 100)
    assert found == answer(audience_run, rule, written(output.ROWS, rows[::-1]))


@LAW
@given(st.binary(max_size=output.size_of(SIZE) + 8), st.booleans())
def test_bytes_that_are_no_answer_release_nothing(audience_run, data, with_head):
    head = output.HEAD.pack(output.MAGIC, output.ROWS, 0, SIZE) if with_head else b""
    require_audience(answer(audience_run, small.audience(), head + data), audience_run, small.audience(), SIZE)


@LAW
@given(st.permutations(range(len(UNLINKED))), st.integers(1, 30), st.integers(0, 29), st.integers(0, 4))
def test_a_smaller_share_or_a_higher_floor_never_points_at_anybody_more(audience_run, order, wide, less, floor):
    def ranked(call: Any) -> memoryview:
        """A job that ranks the candidates in one way, however many are asked for."""
        return memoryview(written(output.ROWS, np.array(order[: call.size], dtype=np.int64)))

    wider = small.audience(percent=wide)
    narrower = small.audience(percent=max(1, wide - less), floor=1 + floor)
    many, few = (answer(audience_run, rule, ranked) for rule in (wider, narrower))
    assert ids_of(few) <= ids_of(many)
    assert not ids_of(few) or len(ids_of(few)) >= narrower.floor
    assert terms.padded_size(audience_run.agreement, narrower) <= terms.padded_size(audience_run.agreement, wider)


def ids_of(found: Release | Withheld) -> set[str]:
    require_closed(found)
    return set(found.canonical.splitlines()[1:]) if isinstance(found, Release) else set()


def grids(least: int = 0) -> st.SearchStrategy[MetricValue]:
    return st.builds(
        lambda which, low, width, step: MetricValue(
            metric=which[0], at_percent=which[1], least=low, most=low + width, step=step
        ),
        st.sampled_from(NAMES), st.integers(least, 1200), st.integers(0, 5000), st.integers(1, 2000),
    )  # fmt: skip


def held_back(run: Any, rule: Rule) -> int:
    """How many scores the job is asked for."""
    sizes: list[int] = []

    def asked(call: Any) -> memoryview:
        sizes.append(call.size)
        return memoryview(b"")

    answer(run, rule, asked)
    return sizes[0]


@FEW
@given(st.data(), grids())
def test_whatever_scores_a_job_gives_a_metric_is_one_point_of_its_grid(metrics_run, data, grid):
    rule = small.metrics(grid)
    size = held_back(metrics_run, rule) + data.draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    scores = data.draw(arrays.arrays(np.float64, size, elements=FLOATS, fill=st.sampled_from([0.0, 1.0, np.nan])))
    found = answer(metrics_run, rule, written(output.SCORES, scores))
    require_closed(found)
    fits = size == held_back(metrics_run, rule) and bool(np.isfinite(scores).all())
    assert isinstance(found, Release) == fits
    if isinstance(found, Release):
        (value,) = json.loads(found.canonical).values()
        assert type(value) is int
        assert value in range(grid.least, grid.most + 1, grid.step)
        assert len(found.canonical) + 8 <= terms.padded_size(metrics_run.agreement, rule)


@FEW
@given(st.data(), grids(), st.integers(2, 20))
def test_a_coarser_grid_never_says_more(metrics_run, data, fine, times):
    """Each of its points is one of the finer grid's; there are no more of them; and it costs no more bits."""
    coarse = dataclasses.replace(fine, step=fine.step * times)
    size = held_back(metrics_run, small.metrics(fine))
    scores = written(output.SCORES, data.draw(arrays.arrays(np.float64, size, elements=st.floats(-5, 5))))
    said = [answer(metrics_run, small.metrics(grid), scores) for grid in (fine, coarse)]
    values = [json.loads(found.canonical)["auc_thousandths" if fine.metric == "auc" else "lift_thousandths"]
              for found in said if isinstance(found, Release)]  # fmt: skip
    assert len(values) == 2
    assert values[1] in range(fine.least, fine.most + 1, fine.step)
    assert abs(values[1] - values[0]) <= coarse.step or values[1] == max(points(coarse))
    assert coarse.points <= fine.points
    assert rules.cost(small.metrics(coarse), 0).bits <= rules.cost(small.metrics(fine), 0).bits


def points(grid: MetricValue) -> Iterable[int]:
    return range(grid.least, grid.most + 1, grid.step)


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
