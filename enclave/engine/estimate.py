"""Rule `vector_estimate`: the mean, with noise, of what hidden code says of each of many disjoint blocks.

Runs in: engine.   Believes: nothing that a job says.   Spec: §7.1.   Class F.   Proof: docs/decisions/0011-blocks.md.

    {"blocks": 400, "epsilon_millionths": 2000000, "estimate":
        [{"interval_95": [-120394, 203958], "millionths": 41782, "name": "age"}, ...]}

A block's answer is brought to a grid of 2^20 steps between each coordinate's bounds; the sums over blocks are whole
numbers, and so is the noise. An answer that is no vector within the bounds is taken as the middle of the box, and
nobody is told how many there were. The interval holds the mean of the blocks in 95 % of draws, for each coordinate; it
follows from the noise alone and says nothing of how far that mean is from what a plain computation would give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import blocks, noise, reasons, stability
from sealroom.enclave.engine.context import Release, Run, canonical_json
from sealroom.enclave.jail import output
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.rules import Coordinate, VectorEstimate

STEPS = 1 << 20
"""Steps of the grid between the bounds of a coordinate."""
_MIDDLE = STEPS // 2


def release(run: Run, rule: VectorEstimate) -> Release:
    """Ask about every block, add up, add noise.

    Raises:
        NotReleased: `no-stability-proof`, `bad-rule`, `no-columns`; never for what is in the data or what code does.
    """
    mechanism = noise.laplace(sensitivity=sensitivity(run, rule), epsilon_millionths=rule.epsilon)
    box = box_of(rule)
    sums = np.zeros(len(box), dtype=np.int64)
    asked = 0
    for wave in blocks.waves(run, rule):
        answers = run.ask_blocks(wave)
        asked += len(answers)
        sums += sum(steps(answer, box) for answer in answers)
    if asked != rule.blocks:
        raise reasons.withheld("engine-error")
    noisy = mechanism.add(sums.tolist())
    listed = [
        published(item, rule.blocks, total, mechanism.half_width())
        for item, total in zip(rule.coordinates, noisy, strict=True)
    ]
    body = {"blocks": rule.blocks, "epsilon_millionths": rule.epsilon, "estimate": listed}
    detail = {"blocks": rule.blocks, "sensitivity": mechanism.sensitivity, "epsilon_millionths": rule.epsilon}
    return Release(rule.name, canonical_json(body), detail)


def sensitivity(run: Run, rule: VectorEstimate) -> int:
    """How far one entity can move the sums: every coordinate of every block that it can touch, by the whole grid.

    Raises:
        NotReleased: reason `no-stability-proof`.
    """
    return stability.of_blocks(run.agreement.link(rule.link)) * len(rule.coordinates) * STEPS


def box_of(rule: VectorEstimate) -> NDArray[np.float64]:
    """The bounds as a job is told them: float64[coordinates, 2]."""
    return np.array([[item.least / 1000, item.most / 1000] for item in rule.coordinates])


def steps(unverified_output: memoryview | bytes, box: NDArray[np.float64]) -> NDArray[np.int64]:
    """One block's answer on the grid: int64[coordinates], 0..STEPS; the middle if it is none."""
    try:
        vector = output.read_vector(unverified_output, box)
    except NotReleased:
        return np.full(len(box), _MIDDLE, dtype=np.int64)
    share = (vector - box[:, 0]) / (box[:, 1] - box[:, 0])
    return np.asarray(np.clip(np.rint(share * STEPS), 0, STEPS)).astype(np.int64)


def published(item: Coordinate, count: int, noisy: int, half_width: int) -> dict[str, object]:
    """What is said of a noisy sum of one coordinate over `count` blocks: post-processing, which costs no privacy."""
    least, most = 1000 * item.least, 1000 * item.most
    whole = count * STEPS
    mean = least + ((most - least) * noisy + whole // 2) // whole
    # A block's answer is off by half a step at most, and the mean by one millionth.
    reach = 2 + -(-(most - least) * (half_width + count) // whole)
    ends = [min(max(end, least), most) for end in (mean - reach, mean, mean + reach)]
    return {"interval_95": [ends[0], ends[2]], "millionths": ends[1], "name": item.name}
