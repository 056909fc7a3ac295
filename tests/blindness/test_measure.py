"""The measure itself: nothing where there is nothing, one bit where there is one, and slots between."""

from __future__ import annotations

import numpy as np
import pytest

from tests.blindness import measure, transcript
from tests.blindness.secrets import RULES, SLEEPER
from tests.jail.zygotes import Zygote


def sample(mean: float, seed: int, size: int = 400) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, 1.0, size))


def test_the_same_distribution_says_nothing() -> None:
    found = measure.tell(sample(0, 1), sample(0, 2))
    assert found.auc_interval[0] < 0.5 < found.auc_interval[1]
    assert found.bits < 0.02


def test_a_secret_that_takes_ten_deviations_longer_is_known() -> None:
    found = measure.tell(sample(0, 1), sample(10, 2))
    assert found.auc == 1.0
    assert found.bits == pytest.approx(1.0, abs=0.05)


def test_half_a_deviation_is_found_by_its_interval() -> None:
    found = measure.tell(sample(0, 1), sample(0.5, 2))
    assert found.auc_interval[0] > 0.5
    assert 0 < found.bits < 0.3


def test_slots_hide_what_ends_in_one() -> None:
    seen = [measure.slots(times, 5.0) for times in ([0.2, 1.0, 4.9] * 10, [2.0, 3.0, 4.0] * 10)]
    assert measure.tell(*seen) == measure.Found(0.5, (0.5, 0.5), 0.0, (0.0, 0.0))
    assert measure.slots([0.0, 4.99, 5.0], 5.0) == [1.0, 1.0, 2.0]


def test_code_can_say_a_bit_to_the_host_by_its_time_and_its_transcript_is_the_same(jailer: Zygote) -> None:
    one, other = (transcript.play(jailer, RULES, payloads) for payloads in (SLEEPER.one, SLEEPER.other))
    assert one.shape == other.shape
    assert other.seconds >= 0.5
