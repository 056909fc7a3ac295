"""The rule metrics."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sealroom.enclave.engine import metrics
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.rules import MetricValue
from tests.engine import direct, small

AUC = MetricValue(metric="auc", at_percent=10, least=0, most=1000, step=5)
LIFT = MetricValue(metric="lift", at_percent=10, least=0, most=10_000, step=100)


def many(rows: int = 400, positives: int | None = None) -> dict[str, Any]:
    bank = small.bank_rows(shared=rows - 20, rows=rows)
    if positives is not None:
        bank = [{**row, "bought": "yes" if i < positives else "no"} for i, row in enumerate(bank)]
    return {"bank": bank, "partner": small.partner_rows(rows)}


def by_age(tables: Any, ask: Any) -> Any:
    return -(tables[ask.table]["age"] % 2).to_numpy(dtype=float)  # the outcome alternates with the row, as age does


def test_auc_agrees_with_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(7)
    for levels in (2, 5, 1000):
        scores = rng.integers(0, levels, 300).astype(float)
        truth = rng.random(300) < 0.3
        assert float(metrics.auc(scores, truth)) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


def test_lift_counts_entities_level_at_the_cut_in_proportion() -> None:
    scores = np.array([3.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    truth = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    assert metrics.lift(scores, truth, 10) == Fraction(10, 3)
    assert metrics.lift(scores, truth, 20) == Fraction(4, 3) / 2 / Fraction(3, 10)
    assert metrics.lift(np.zeros(10), truth, 30) == 1
    assert metrics.lift(scores, truth, 1) == Fraction(10, 3)


@pytest.mark.parametrize(
    ("exact", "point"),
    [
        (Fraction(0), 500),
        (Fraction(1), 900),
        (Fraction(7449, 10000), 740),
        (Fraction(75, 100), 760),
        (Fraction(699, 1000), 700),
    ],
)
def test_a_value_is_moved_to_the_nearest_grid_point_within_the_grid(exact: Fraction, point: int) -> None:
    grid = MetricValue(metric="auc", at_percent=10, least=500, most=910, step=20)
    assert metrics.snap(grid, exact) == point


def test_values_come_in_thousandths_under_their_metrics_names() -> None:
    engine = small.engine(small.metrics(AUC, LIFT), job=by_age, **many())
    [found] = engine.answers()
    assert isinstance(found, Release)
    value = json.loads(found.canonical)
    assert value["auc_thousandths"] == 1000
    assert 1800 <= value["lift_thousandths"] <= 2200
    assert set(value) == {"auc_thousandths", "lift_thousandths"}


def test_the_job_sees_features_and_the_outcome_of_one_part_only() -> None:
    engine = small.engine(small.metrics(), job=by_age, **many())
    engine.answers()
    [call] = engine.calls
    labelled, candidates = call.views
    assert [c.name for c in labelled.columns] == ["age", "town", "outcome"]
    assert [c.name for c in candidates.columns] == ["age", "town"]
    assert not set(labelled.rows) & set(candidates.rows)
    assert len(labelled.rows) + len(candidates.rows) == 380
    assert 120 <= len(candidates.rows) <= 260
    expected = {
        "kind": "scores",
        "table": "candidates",
        "size": len(candidates.rows),
        "label": "outcome",
        "positive": None,
    }
    assert call.ask == expected


def test_who_is_held_back_follows_from_ids_and_the_run_key() -> None:
    def held(**more: Any) -> set[int]:
        engine = small.engine(small.metrics(), job=by_age, **many(), **more)
        engine.answers()
        return set(engine.calls[0].views[1].rows.tolist())

    assert held() == held()
    assert held() != held(run_key=bytes(32))


def test_several_percents_of_one_metric_are_told_apart() -> None:
    at_20 = MetricValue(metric="lift", at_percent=20, least=0, most=10_000, step=100)
    [found] = small.engine(small.metrics(LIFT, at_20), job=by_age, **many()).answers()
    assert isinstance(found, Release)
    names = {"lift_at_10_percent_thousandths", "lift_at_20_percent_thousandths"}
    assert set(json.loads(found.canonical)) == names


@pytest.mark.parametrize("positives", [0, 15, 380])
def test_too_few_of_either_class_withhold_the_rule_before_any_job(positives: int) -> None:
    engine = small.engine(small.metrics(), job=by_age, **many(positives=positives))
    assert engine.answers() == [Withheld("quality", "too-few")]
    assert not engine.calls


def test_entities_without_an_outcome_are_left_out() -> None:
    data = many()
    data["bank"] = [{**row, "bought": "" if i < 100 else row["bought"]} for i, row in enumerate(data["bank"])]
    engine = small.engine(small.metrics(), job=by_age, **data)
    engine.answers()
    assert sum(len(view.rows) for view in engine.calls[0].views) == 280


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_withhold_the_rule(bad: float) -> None:
    engine = small.engine(small.metrics(), job=lambda tables, ask: np.full(ask.size, bad), **many())
    assert engine.answers() == [Withheld("quality", "job-bad-output")]


def test_no_columns_left_withhold_the_rule() -> None:
    engine = small.engine(small.metrics(), job=by_age, requested={"prospects": ("pid", "address")}, **many())
    assert engine.answers() == [Withheld("quality", "no-columns")]


def test_a_job_that_fails_gives_its_outcome_as_the_reason() -> None:
    engine = small.engine(small.metrics(), **many())

    def ask(_: Any) -> memoryview:
        raise NotReleased("job-killed", "")

    engine._ask = ask  # type: ignore[method-assign]
    assert engine.answers() == [Withheld("quality", "job-killed")]


def test_the_seed_follows_from_the_rule_and_the_call() -> None:
    engine = small.engine(small.metrics(), job=by_age, **many())
    engine.answers()
    engine.answers()
    one, other = engine.calls
    assert one.seed == other.seed
    assert 0 <= one.seed < 2**31
    assert bytes(32) != direct.RUN_KEY
