"""Release rules as they stand in an agreement: what may leave, computed by whom, at what cost, to whom.

Runs in: every zone but the host.   Believes: nothing.   Spec: §7.   Standard library only (the engine imports it).

Guarantee classes: F formal, holds for any code; C capacity-bounded, the leak is counted in bits; H heuristic. Lanes
say how much code sees at once: `query` one entity by a text that was fixed before, `blocks` one block of entities in a
fresh jail, `whole` everything. A rule states the lanes that it is sound for.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, ClassVar, Literal

from sealroom.protocol.schema import ColumnName, Count, Epsilon, Int, Label, Many, Name

Guarantee = Literal["F", "C", "H"]
Lane = Literal["query", "blocks", "whole"]
Names = Annotated[tuple[Name, ...], Many(1, 16)]
Percent = Annotated[int, Int(1, 30)]
Thousandths = Annotated[int, Int(0, 10**9)]
Signed = Annotated[int, Int(-(10**9), 10**9)]
BLOCK_PAUSE = 100
"""Milliseconds between the end of one block's time and the beginning of the next, for ending and making jails."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one release charges each affected owner: `epsilon` in millionths and `bits` in thousandths of a bit."""

    epsilon: Annotated[int, Int(0)]
    bits: Annotated[int, Int(0)]


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnOf:
    """One declared column of one dataset."""

    dataset: Name
    column: ColumnName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The column that is learned from: rows whose `column` equals `positive` are the positive ones."""

    dataset: Name
    column: ColumnName
    positive: Label


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BoundedSum:
    """A sum over one entity's value clamped to lower..upper (whole units)."""

    dataset: Name
    column: ColumnName
    lower: Annotated[int, Int(-(10**9), 10**9)]
    upper: Annotated[int, Int(-(10**9), 10**9)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Cells cut by a query bundle whose text stays hidden: the bundle's name and every label that it may give."""

    bundle: Name
    labels: Annotated[tuple[Label, ...], Many(1, 100)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OverlapCount:
    """The number of linked entities with discrete Laplace noise, shown from `floor` upwards, rounded to `round_to`."""

    type: Literal["overlap_count"]
    name: Name
    link: Name
    epsilon: Epsilon
    floor: Count
    round_to: Annotated[int, Int(1, 1000)]
    recipients: Names

    guarantee: ClassVar[Guarantee] = "F"
    lanes: ClassVar[tuple[Lane, ...]] = ("query",)

    @property
    def code(self) -> str | None:
        """The bundle that it runs."""
        return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GroupedAggregates:
    """Noised counts and bounded sums of linked entities over declared cells.

    Cells are the product of the declared values of `by` (category columns) and of `segments`; every declared cell is
    emitted. `epsilon` is split evenly over the count and the sums.
    """

    type: Literal["grouped_aggregates"]
    name: Name
    link: Name
    by: Annotated[tuple[ColumnOf, ...], Many(0, 4)]
    segments: Segments | None
    sums: Annotated[tuple[BoundedSum, ...], Many(0, 8)]
    epsilon: Epsilon
    floor: Count
    recipients: Names

    guarantee: ClassVar[Guarantee] = "F"
    lanes: ClassVar[tuple[Lane, ...]] = ("query",)

    @property
    def code(self) -> str | None:
        """The bundle that it runs."""
        return self.segments.bundle if self.segments is not None else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One number on a declared grid of thousandths: least, least+step, ... most.

    `auc` is the area under the ROC curve; `lift` the positive rate in the best-scored `at_percent` over the overall
    one.
    """

    metric: Literal["auc", "lift"]
    at_percent: Annotated[int, Int(1, 100)]
    least: Thousandths
    most: Thousandths
    step: Annotated[int, Int(1, 10**6)]

    @property
    def points(self) -> int:
        """How many values the grid has."""
        return (self.most - self.least) // self.step + 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Quality of a bundle's scores on linked entities that it was not shown the outcome of.

    The engine keeps `holdout_percent` of the linked entities back, asks the bundle to score them, computes the values
    and puts them on their grids.
    """

    type: Literal["metrics"]
    name: Name
    link: Name
    bundle: Name
    outcome: Outcome
    candidates: Name
    holdout_percent: Annotated[int, Int(5, 50)]
    values: Annotated[tuple[MetricValue, ...], Many(1, 8)]
    recipients: Names

    guarantee: ClassVar[Guarantee] = "C"
    lanes: ClassVar[tuple[Lane, ...]] = ("whole",)

    @property
    def code(self) -> str | None:
        """The bundle that it runs."""
        return self.bundle


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AudienceToOwner:
    """Ids of the recipient's own unlinked entities that the bundle finds most alike.

    The bundle points, the engine writes. Exactly `percent` of the candidates are released. Fewer than `floor` ids, or
    fewer than `least_seed` linked positive entities, withholds the release.
    """

    type: Literal["audience_to_owner"]
    name: Name
    link: Name
    bundle: Name
    outcome: Outcome
    candidates: Name
    percent: Percent
    floor: Count
    least_seed: Count
    recipients: Annotated[tuple[Name, ...], Many(1, 1)]

    guarantee: ClassVar[Guarantee] = "C"
    lanes: ClassVar[tuple[Lane, ...]] = ("whole",)

    @property
    def code(self) -> str | None:
        """The bundle that it runs."""
        return self.bundle


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """One number of a vector, by name; a block can say least..most of it (thousandths)."""

    name: Name
    least: Signed
    most: Signed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VectorEstimate:
    """The mean, with noise, of what hidden code says of each of many disjoint blocks of linked entities.

    Every block is seen by a fresh jail for exactly `block_milliseconds`, `at_once` of them at a time and never more
    than there are processors. A block that gives no vector within the declared box counts as the middle of the box.
    """

    type: Literal["vector_estimate"]
    name: Name
    link: Name
    bundle: Name
    columns: Annotated[tuple[ColumnOf, ...], Many(1, 64)]
    coordinates: Annotated[tuple[Coordinate, ...], Many(1, 32)]
    blocks: Annotated[int, Int(200, 2000)]
    block_milliseconds: Annotated[int, Int(100, 60_000)]
    at_once: Annotated[int, Int(1, 7)]
    epsilon: Epsilon
    recipients: Names

    guarantee: ClassVar[Guarantee] = "F"
    lanes: ClassVar[tuple[Lane, ...]] = ("blocks",)

    @property
    def code(self) -> str | None:
        """The bundle that it runs."""
        return self.bundle

    @property
    def milliseconds(self) -> int:
        """How long all blocks take one after another, whatever they do."""
        return self.blocks * (self.block_milliseconds + BLOCK_PAUSE)


Rule = OverlapCount | GroupedAggregates | Metrics | AudienceToOwner | VectorEstimate


def cost(rule: Rule, most_rows: int) -> Cost:
    """What one use of `rule` charges each affected owner; data-independent on purpose (SPEC §7.2).

    `most_rows` is the agreed row bound of the candidates' dataset, for rules that point at rows.
    """
    if isinstance(rule, (OverlapCount, GroupedAggregates, VectorEstimate)):
        return Cost(epsilon=rule.epsilon, bits=0)
    if isinstance(rule, Metrics):
        return Cost(epsilon=0, bits=sum(_thousandths(math.log2(v.points)) for v in rule.values))
    # Fewer candidates than agreed rows give a shorter list: one more bit covers them all, as `percent` is below
    # a third. Whole bits, so that two implementations agree whatever the last digits of their logarithms are.
    longest = log2_choose(most_rows, most_rows * rule.percent // 100)
    return Cost(epsilon=0, bits=1000 * (math.ceil(longest - 1e-6) + 1))


def log2_choose(n: int, k: int) -> float:
    """log2 of the binomial coefficient: the bits that a list of k out of n ids can carry at most."""
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def _thousandths(bits: float) -> int:
    return math.ceil(bits * 1000 - 1e-6)
