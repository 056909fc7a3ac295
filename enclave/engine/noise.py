"""Adds noise, by OpenDP alone: its samplers, its privacy maps, its accuracy functions.

Runs in: engine.   Believes: OpenDP 0.16; the sensitivity it is given.   Spec: §7.2.

Everything noised is an integer and so is the noise (discrete Laplace): no float's low bits can tell what it was
made from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from opendp import accuracy, domains, measurements, metrics, mod  # its prelude imports what OpenDP adds for others

from sealroom.protocol.errors import UsageError
from sealroom.protocol.schema import MAX_INT

mod.enable_features("contrib")
_DISTANCE = metrics.l1_distance(T="i64")
_DOMAIN = domains.vector_domain(domains.atom_domain(T="i64"))


@dataclasses.dataclass(frozen=True, slots=True)
class Noise:
    """A mechanism for vectors of integers: epsilon holds for neighbours whose L1 distance is at most `sensitivity`."""

    measurement: Any
    scale: float
    sensitivity: int
    epsilon_millionths: int

    def add(self, values: Sequence[int]) -> list[int]:
        """The values with independent noise on each, kept within what canonical JSON can say."""
        noisy = self.measurement([int(value) for value in values])
        return [max(-MAX_INT, min(MAX_INT, int(value))) for value in noisy]

    def half_width(self) -> int:
        """How far a noisy value is from the true one at most, in 95 % of draws."""
        return max(0, math.ceil(float(accuracy.discrete_laplacian_scale_to_accuracy(self.scale, 0.05))) - 1)


def laplace(*, sensitivity: int, epsilon_millionths: int) -> Noise:
    """The least noisy discrete Laplace mechanism that OpenDP's own privacy map finds to be epsilon-private.

    Raises:
        UsageError: sensitivity or epsilon is not positive.
    """
    if sensitivity < 1 or epsilon_millionths < 1:
        raise UsageError("noise needs a positive sensitivity and epsilon")
    # One float below the decimal fraction: the float nearest to it may lie above.
    epsilon = math.nextafter(epsilon_millionths / 1e6, 0.0)
    scale = mod.binary_search_param(_make, d_in=sensitivity, d_out=epsilon)
    measurement = _make(scale)
    if measurement.map(sensitivity) > epsilon:
        raise UsageError("the privacy map does not keep epsilon")
    return Noise(measurement, float(scale), sensitivity, epsilon_millionths)


def _make(scale: float) -> Any:
    return measurements.make_laplace(_DOMAIN, _DISTANCE, scale=scale)
