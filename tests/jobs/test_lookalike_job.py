"""The look-alike job on made-up tables with other columns than the shipped pair's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from tests.engine import direct


@pytest.fixture(scope="module")
def job(root: Path) -> direct.Job:
    function = direct.load_job(root / "jobs" / "lookalike" / "job.py")

    def limited(tables: Any, ask: Any) -> Any:
        with threadpool_limits(1):
            return function(tables, ask)

    return limited


def ask(kind: str, size: int, label: str = "outcome", seed: int = 3) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, table="candidates", size=size, label=label, positive=None, seed=seed)


def made_up(rows: int, seed: int) -> pd.DataFrame:
    """Every kind of column a job can get, with missing cells; what is positive hangs on two of them."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "visits": rng.integers(0, 50, rows),
            "spend": np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2, 100, rows)),
            "club": rng.random(rows) < 0.5,
            "region": pd.Categorical.from_codes(rng.integers(-1, 4, rows), ["n", "e", "s", "w"]),
            "note": pd.array([None if i % 7 == 0 else f"t{i % 400}" for i in range(rows)], dtype="str"),
            "constant": np.zeros(rows),
        }
    )


def truth(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    return ((frame["visits"] > 30) & (frame["region"] == "e")).to_numpy()


def tables(label: str = "outcome") -> dict[str, pd.DataFrame]:
    labelled = made_up(1500, 1)
    labelled[label] = truth(labelled)
    return {"labelled": labelled, "candidates": made_up(600, 2)}


def test_it_finds_what_the_columns_say_whatever_they_are(job: direct.Job) -> None:
    given = tables()
    rows = job(given, ask("rows", 40))
    assert len(rows) == len(set(rows.tolist())) == 40
    assert truth(given["candidates"])[rows].mean() > 0.9


def test_scores_order_rows_as_rows_do(job: direct.Job) -> None:
    given = tables()
    scores = job(given, ask("scores", 600))
    assert scores.shape == (600,)
    assert np.isfinite(scores).all()
    assert job(given, ask("rows", 25)).tolist() == np.argsort(-scores, kind="stable")[:25].tolist()


def test_equal_inputs_give_equal_answers_and_the_label_may_have_any_name(job: direct.Job) -> None:
    one, other = job(tables(), ask("scores", 600)), job(tables("visits_"), ask("scores", 600, "visits_"))
    assert np.array_equal(one, other)


def test_a_label_may_be_a_category_with_a_positive_value(job: direct.Job) -> None:
    given = tables()
    given["labelled"]["outcome"] = np.where(given["labelled"]["outcome"], "yes", "no")
    question = ask("scores", 600)
    question.positive = "yes"
    assert np.array_equal(job(given, question), job(tables(), ask("scores", 600)))


@pytest.mark.parametrize("value", [True, False])
def test_one_class_alone_gives_level_scores(job: direct.Job, value: bool) -> None:
    given = tables()
    given["labelled"]["outcome"] = value
    assert job(given, ask("scores", 600)).tolist() == [0.0] * 600


def test_values_that_only_candidates_have_are_missing_values(job: direct.Job) -> None:
    given = tables()
    given["candidates"]["note"] = pd.array(["unheard of"] * 600, dtype="str")
    assert np.isfinite(job(given, ask("scores", 600))).all()
