"""The rule overlap_count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sealroom.enclave.engine import noise, overlap
from sealroom.enclave.engine.context import Release
from tests.engine import small


def test_at_epsilon_one_half_the_error_is_at_most_20_in_95_percent_of_200_draws() -> None:
    rule = small.overlap(epsilon=500_000, floor=100, round_to=10)
    mechanism = noise.laplace(sensitivity=1, epsilon_millionths=rule.epsilon)
    shown = [overlap.published(mechanism.add([6906])[0], mechanism.half_width(), rule, 12_000) for _ in range(200)]
    errors = np.array([abs(item["count"] - 6906) for item in shown])  # type: ignore[operator]
    assert np.quantile(errors, 0.95) <= 20
    held = [item["interval_95"][0] <= 6906 <= item["interval_95"][1] for item in shown]  # type: ignore[index]
    assert np.mean(held) >= 0.95


def test_the_release_is_canonical_json_with_count_and_interval() -> None:
    [found] = small.engine(small.overlap()).answers()
    assert isinstance(found, Release)
    value = json.loads(found.canonical)
    assert found.canonical == json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert set(value) == {"count", "epsilon_millionths", "interval_95"}
    assert abs(value["count"] - 40) <= 5
    assert dict(found.detail) == {"sensitivity": 1, "epsilon_millionths": 10**7}


def test_below_the_floor_nothing_but_that_is_said() -> None:
    [found] = small.engine(small.overlap(floor=50)).answers()
    assert isinstance(found, Release)
    assert json.loads(found.canonical) == {"count": None, "epsilon_millionths": 10**7, "interval_95": None}


@pytest.mark.parametrize(
    ("noisy", "step", "count", "interval"),
    [(44, 10, 40, [29, 51]), (45, 10, 50, [39, 60]), (-3, 1, 0, [0, 6]), (63, 1, 60, [54, 60]), (7, 5, 5, [0, 13])],
)
def test_rounding_stays_within_what_is_public(noisy: int, step: int, count: int, interval: list[int]) -> None:
    found = overlap.published(
        noisy, 6, small.overlap(floor=0, round_to=step) if noisy >= 0 else _without_floor(step), 60
    )
    assert found["count"] == count
    assert found["interval_95"] == interval


def _without_floor(step: int) -> object:
    rule = small.overlap(round_to=step)
    object.__setattr__(rule, "floor", -100)
    return rule
