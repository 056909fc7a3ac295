"""Rule `metrics`: how good a bundle's scores are on linked entities whose outcome it was not shown.

Runs in: engine.   Believes: nothing that the job says.   Spec: §7.1.   Class C.

    {"auc_thousandths": 745, "lift_thousandths": 4000}

Linked entities with a known outcome are cut in two by a keyed hash of the candidate's id. The job sees `labelled`
(features of the candidates' dataset and the outcome, a truth value) and `candidates` (the same features of the entities
held back) and gives one score per candidate. Equal scores share their ranks, so that no order of rows counts. A value
is computed exactly, and then moved to the nearest point of its declared grid.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import learning, reasons, views
from sealroom.enclave.engine.context import Call, Release, Run, canonical_json
from sealroom.enclave.engine.digests import digests, subkey
from sealroom.protocol.rules import Metrics, MetricValue

LEAST = 20
"""Positive, and negative, entities that either part must have."""

Mask = NDArray[np.bool_]


def release(run: Run, rule: Metrics) -> Release:
    """Train on one part of the linked entities, measure on the other.

    Raises:
        NotReleased: `too-few`, `no-columns`, `bad-rule`, or a `job-` reason.
    """
    known = learning.linked(run, rule)
    names = _names(rule)
    held = _held_back(run, rule, known)
    for part in (known.positive[held], known.positive[~held]):
        if min(int(part.sum()), int((~part).sum())) < LEAST:
            raise reasons.withheld("too-few")
    labelled = views.build("labelled", known.table, known.names, known.rows[~held], outcome=known.positive[~held])
    candidates = views.build("candidates", known.table, known.names, known.rows[held])
    size = len(candidates.rows)
    call = Call(rule.name, "evaluate", (labelled, candidates), "scores", size, views.label_name(known.names))
    scores = views.canonical_scores(candidates, learning.scores_of(run.ask(call), size))
    truth = np.isin(candidates.rows, known.rows[held & known.positive])
    values = [snap(value, measure(value, scores, truth)) for value in rule.values]
    return Release(rule.name, canonical_json(dict(zip(names, values, strict=True))), {})


def measure(value: MetricValue, scores: NDArray[np.float64], truth: Mask) -> Fraction:
    """The exact value of a metric; both classes must be there."""
    return auc(scores, truth) if value.metric == "auc" else lift(scores, truth, value.at_percent)


def auc(scores: NDArray[np.float64], truth: Mask) -> Fraction:
    """Chance that a positive entity scores above a negative one, ties counting half (Mann and Whitney)."""
    levels, level = np.unique(scores, return_inverse=True)
    positive = np.bincount(level[truth], minlength=len(levels))
    negative = np.bincount(level[~truth], minlength=len(levels))
    below = np.cumsum(negative) - negative
    twice = sum(int(p) * int(2 * b + n) for p, b, n in zip(positive, below, negative, strict=True) if p)
    return Fraction(twice, 2 * int(truth.sum()) * int((~truth).sum()))


def lift(scores: NDArray[np.float64], truth: Mask, percent: int) -> Fraction:
    """Positive rate in the best `percent` over the overall rate; entities level at the cut count in proportion."""
    top = max(1, len(scores) * percent // 100)
    cut = np.sort(scores)[-top]
    above, level = scores > cut, scores == cut
    hits = int(truth[above].sum()) + Fraction(int(truth[level].sum()) * (top - int(above.sum())), int(level.sum()))
    return Fraction(hits, top) / Fraction(int(truth.sum()), len(scores))


def snap(value: MetricValue, exact: Fraction) -> int:
    """The nearest grid point in thousandths, halves upwards, within the grid's ends."""
    step = (exact * 1000 - value.least) / value.step + Fraction(1, 2)
    point = step.numerator // step.denominator
    return value.least + min(max(point, 0), value.points - 1) * value.step


def _names(rule: Metrics) -> list[str]:
    """`<metric>_thousandths`; a metric that is asked for at several percents says at which."""
    metrics = [value.metric for value in rule.values]
    return [
        f"{value.metric}_at_{value.at_percent}_percent_thousandths"
        if metrics.count(value.metric) > 1
        else f"{value.metric}_thousandths"
        for value in rule.values
    ]


def _held_back(run: Run, rule: Metrics, known: learning.Known) -> Mask:
    """bool[n]: a keyed hash of the entity's own id decides, so that neither party can choose who is measured."""
    words = digests(known.table.ids, key=subkey(run.run_key, f"holdout/v1 {rule.name}"))[known.rows, 0]
    return np.asarray(words < np.uint64((rule.holdout_percent << 64) // 100))
