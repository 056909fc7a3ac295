"""Measures how well the time of a run tells one secret from another: for a host, and for parties, who see slots.

    python -m tests.blindness.measure [--runs N] [--only NAME ...]

Runs of both secrets of a pair alternate at random, so that whatever else the machine does falls on both alike. For each
pair: AUC (the chance that a run of the one secret took longer than a run of the other; 0.5 says nothing) with a 95 %
bootstrap interval, and the bits that the best single cut through the times carries about which secret it was. The cut
is chosen on every other run and counted on the rest; its interval, by bootstrap too, errs upwards, as what is drawn
again can be on both sides. One bit is all there is to know.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.blindness import transcript
from tests.blindness.secrets import PAIRS, RULES, SLEEPER, Pair
from tests.jail.zygotes import Zygote, zygote

BOOTSTRAPS = 1000
Times = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Found:
    """One pair as somebody sees it: AUC and bits, each with its interval."""

    auc: float
    auc_interval: tuple[float, float]
    bits: float
    bits_interval: tuple[float, float]


def auc(one: Times, other: Times) -> float:
    """The chance that a value of `other` is larger than one of `one`; ties count half."""
    ranked = np.sort(one)
    below, not_above = (np.searchsorted(ranked, other, side="left"), np.searchsorted(ranked, other, side="right"))
    return float((below + not_above).mean() / 2 / len(one))


def bits(one: Times, other: Times) -> float:
    """Mutual information, in bits, of a fair secret and whether a time lies beyond a cut chosen on other runs."""
    ones, others = (one[::2], one[1::2]), (other[::2], other[1::2])
    cuts = np.unique(np.concatenate([ones[0], others[0]]))
    best = cuts[np.argmax(np.abs(_beyond(others[0], cuts) - _beyond(ones[0], cuts)))]
    first, second = float((ones[1] > best).mean()), float((others[1] > best).mean())
    return max(0.0, _entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2)


def _beyond(times: Times, cuts: Times) -> Times:
    """The share of times beyond each cut."""
    share: Times = 1 - np.searchsorted(np.sort(times), cuts, side="right") / len(times)
    return share


def _entropy(chance: float) -> float:
    return float(-sum(p * np.log2(p) for p in (chance, 1 - chance) if p > 0))


def interval(measure: Callable[[Times, Times], float], one: Times, other: Times, seed: int) -> tuple[float, float]:
    """95 % of what the measure gives for samples drawn again."""
    draw = np.random.default_rng(seed)
    found = [measure(draw.choice(one, len(one)), draw.choice(other, len(other))) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def tell(one: Sequence[float], other: Sequence[float]) -> Found:
    """How well these times tell the one from the other."""
    times = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return Found(auc(*times), interval(auc, *times, 1), bits(*times), interval(bits, *times, 2))


def times_of(jailer: Zygote, pair: Pair, runs: int, seed: int) -> tuple[list[float], list[float]]:
    """Seconds of `runs` runs of each secret, from `computing` to the receipt."""
    order = [0, 1] * runs
    random.Random(seed).shuffle(order)
    found: tuple[list[float], list[float]] = ([], [])
    for which in order:
        found[which].append(transcript.play(jailer, RULES, (pair.one, pair.other)[which]).seconds)
    return found


def slots(seconds: Sequence[float], length: float) -> list[float]:
    """The slot boundary at which each run becomes visible, counted from its launch."""
    return [float(int(value // length) + 1) for value in seconds]


def main() -> None:
    """Measure and print, one line per pair and a JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.blindness.measure", description="measure timing channels")
    parser.add_argument("--runs", type=int, default=40, help="runs of each secret")
    parser.add_argument("--slot", type=float, default=30.0, help="seconds of a slot")
    parser.add_argument("--only", nargs="*", default=[], help="names of pairs")
    arguments = parser.parse_args()
    results = {}
    print(f"{'pair':42} {'who':8} {'AUC':>5} {'95 %':>14} {'bits':>6} {'95 %':>14}")
    with zygote() as jailer:
        transcript.play(jailer, RULES, {})  # what is slow once is slow for nobody's secret
        for pair in (*PAIRS, SLEEPER):
            if arguments.only and pair.name not in arguments.only:
                continue
            one, other = times_of(jailer, pair, arguments.runs, seed=7)
            slotted = (slots(one, arguments.slot), slots(other, arguments.slot))
            for who, seen in (("host", (one, other)), ("parties", slotted)):
                found = tell(*seen)
                results[f"{pair.name}/{who}"] = dataclasses.asdict(found)
                spans = [f"{low:.2f} to {high:.2f}" for low, high in (found.auc_interval, found.bits_interval)]
                line = f"{pair.name:42} {who:8} {found.auc:5.2f} {spans[0]:>14} {found.bits:6.2f} {spans[1]:>14}"
                print(line, flush=True)
    print(json.dumps({"runs": arguments.runs, "slot": arguments.slot, "pairs": results}))


if __name__ == "__main__":
    main()
