"""Noise: how much, on what, and by whose map."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from sealroom.enclave.engine import noise
from sealroom.protocol.errors import UsageError
from sealroom.protocol.schema import MAX_INT


@pytest.mark.parametrize(("sensitivity", "epsilon"), [(1, 500_000), (8, 333_333), (4 * 10**6, 1_000_000), (1, 1)])
def test_the_privacy_map_keeps_epsilon_and_wastes_little(sensitivity: int, epsilon: int) -> None:
    mechanism = noise.laplace(sensitivity=sensitivity, epsilon_millionths=epsilon)
    assert mechanism.measurement.map(sensitivity) <= epsilon / 1e6
    assert mechanism.scale == pytest.approx(sensitivity / (epsilon / 1e6), rel=1e-6)


@pytest.mark.parametrize(("sensitivity", "epsilon"), [(0, 1), (1, 0)])
def test_nothing_is_noised_without_a_bound(sensitivity: int, epsilon: int) -> None:
    with pytest.raises(UsageError):
        noise.laplace(sensitivity=sensitivity, epsilon_millionths=epsilon)


def test_a_map_that_does_not_keep_epsilon_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Callable[..., float] = lambda *_, **__: 1.0  # noqa: E731
    monkeypatch.setattr(noise.mod, "binary_search_param", found)
    with pytest.raises(UsageError, match="privacy map"):
        noise.laplace(sensitivity=100, epsilon_millionths=500_000)


def test_results_are_whole_numbers_within_what_json_can_say() -> None:
    mechanism = noise.laplace(sensitivity=1, epsilon_millionths=500_000)
    noisy = mechanism.add([0, 2**62, -(2**62)])
    assert all(type(value) is int for value in noisy)
    assert noisy[1:] == [MAX_INT, -MAX_INT]


def test_two_draws_differ() -> None:
    mechanism = noise.laplace(sensitivity=1000, epsilon_millionths=1)
    assert len({tuple(mechanism.add([0, 0])) for _ in range(5)}) == 5


@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0, 100.0])
def test_the_half_width_holds_95_percent_and_no_less_would(scale: float) -> None:
    mechanism = noise.laplace(sensitivity=1, epsilon_millionths=round(1e6 / scale))
    ratio = math.exp(-1 / mechanism.scale)

    def beyond(width: int) -> float:
        return 2 * ratio ** (width + 1) / (1 + ratio)

    width = mechanism.half_width()
    assert beyond(width) <= 0.05 + 1e-9
    assert beyond(width - 1) > 0.05
