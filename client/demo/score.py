"""Scores the demo against answers that no party has: how alike the audience really is.

Runs in: the demo.   Believes: the pair's truth file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

from sealroom.client.demo import pair as pairs
from sealroom.client.demo.pair import Pair


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """`shared` customers in truth; positive rates of the audience and of everybody whom the partner alone knows."""

    shared: int
    audience_rate: float
    base_rate: float

    @property
    def lift(self) -> float:
        """How many times as many positives the audience has."""
        return self.audience_rate / self.base_rate if self.base_rate else 0.0


def score(pair: Pair, folder: Path, audience: Collection[str]) -> Score | None:
    """Compare released ids with the truth; None when the pair has no truth file.

    The base is everybody who is the partner's alone. A shared customer who was not linked counts by its own outcome.
    """
    if pair.truth is None:
        return None
    truth = pairs.rows(folder / pair.truth.file)
    outcome = {
        r[pair.truth.right_id]: r[pair.truth.column] == pair.outcome.positive for r in truth if r[pair.truth.right_id]
    }
    alone = [r[pair.truth.right_id] for r in truth if r[pair.truth.right_id] and not r[pair.truth.left_id]]
    shared = sum(1 for r in truth if r[pair.truth.right_id] and r[pair.truth.left_id])
    return Score(
        shared=shared,
        audience_rate=sum(outcome[i] for i in audience) / max(len(audience), 1),
        base_rate=sum(outcome[i] for i in alone) / max(len(alone), 1),
    )
