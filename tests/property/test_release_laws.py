"""Laws of releases of class C: whatever a job gives, what leaves has one form; no narrower rule lets out more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sealroom.enclave.engine import reasons
from sealroom.enclave.engine import run as engine
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from sealroom.enclave.jail import output
from sealroom.protocol import rules, terms
from sealroom.protocol.rules import MetricValue, Rule
from tests.engine import small

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
