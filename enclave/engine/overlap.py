"""Rule `overlap_count`: how many entities the two owners share, with noise.

Runs in: engine.   Believes: the agreement.   Spec: §7.1.   Class F.

    {"count": 7000, "epsilon_millionths": 500000, "interval_95": [6980, 7020]}

`count` is the noisy number rounded to `round_to`, or null if it is below the floor, and then so is the interval. The
interval holds the true number in 95 % of draws; it follows from the noise alone.
"""

from __future__ import annotations

from sealroom.enclave.engine import noise, stability
from sealroom.enclave.engine.context import Release, Run, canonical_json
from sealroom.protocol.rules import OverlapCount


def release(run: Run, rule: OverlapCount) -> Release:
    """Count the pairs of the rule's link.

    Raises:
        NotReleased: `no-stability-proof`, `bad-rule`.
    """
    terms = run.agreement.link(rule.link)
    mechanism = noise.laplace(sensitivity=stability.of_count(terms), epsilon_millionths=rule.epsilon)
    noisy = mechanism.add([len(run.links(rule.link).left)])[0]
    most = min(run.table(terms.left).rows, run.table(terms.right).rows)  # row counts are public
    text = canonical_json(published(noisy, mechanism.half_width(), rule, most))
    return Release(rule.name, text, {"sensitivity": mechanism.sensitivity, "epsilon_millionths": rule.epsilon})


def published(noisy: int, half_width: int, rule: OverlapCount, most: int) -> dict[str, object]:
    """What is said of a noisy count: post-processing, which costs no privacy."""
    if noisy < rule.floor:
        return {"count": None, "epsilon_millionths": rule.epsilon, "interval_95": None}
    step = rule.round_to
    count = min(max((noisy + step // 2) // step * step, 0), most)
    reach = half_width + step // 2
    interval = [max(count - reach, 0), min(count + reach, most)]
    return {"count": count, "epsilon_millionths": rule.epsilon, "interval_95": interval}
