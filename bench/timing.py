"""Times two ways of doing the same work in turns, so that whatever else the machine does hits both."""

from __future__ import annotations

import dataclasses
import gc
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

Clock = Literal["cpu", "children", "wall"]
"""Processor time of this process, processor time of processes that it started and waited for, or time on the wall."""


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_NOW: dict[Clock, Callable[[], float]] = {
    "cpu": time.process_time,
    "children": _children,
    "wall": time.perf_counter,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is aimed at: a ratio at most, or seconds at most; both None where nothing was promised."""

    ratio: float | None = None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Medians in seconds per unit of work; the ratio is the median of the rounds' own ratios."""

    name: str
    ours: str
    bare: str
    clock: Clock
    rounds: int
    ours_seconds: float
    bare_seconds: float
    ratio: float
    ratio_least: float
    ratio_most: float
    goal: Goal

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None without one."""
        if self.goal.ratio is not None:
            return self.ratio <= self.goal.ratio
        return None if self.goal.seconds is None else self.ours_seconds <= self.goal.seconds

    def document(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "met": self.met}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pieces of work; `times` repeats each within a round, for what is too short to time alone."""

    name: str
    ours: str
    bare: str
    run_ours: Callable[[], object]
    run_bare: Callable[[], object]
    clock: Clock = "cpu"
    times: int = 1
    goal: Goal = Goal()


def measure(pair: Pair, *, rounds: int) -> Measured:
    """One unmeasured round, then `rounds` of both; who goes first alternates."""
    for work in (pair.run_ours, pair.run_bare):
        work()
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        order = [(pair.run_ours, ours), (pair.run_bare, bare)]
        for work, found in order if number % 2 else reversed(order):
            found.append(_timed(work, pair))
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return Measured(
        name=pair.name,
        ours=pair.ours,
        bare=pair.bare,
        clock=pair.clock,
        rounds=rounds,
        ours_seconds=statistics.median(ours),
        bare_seconds=statistics.median(bare),
        ratio=statistics.median(ratios),
        ratio_least=min(ratios),
        ratio_most=max(ratios),
        goal=pair.goal,
    )


def _timed(work: Callable[[], object], pair: Pair) -> float:
    now = _NOW[pair.clock]
    gc.collect()
    start = now()
    for _ in range(pair.times):
        work()
    return max(now() - start, 1e-9) / pair.times
