"""What a spec file may hold, field by field.

Runs in: a party.   Believes: nothing.   Spec: §10.2.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sealroom.protocol.rules import BoundedSum, Coordinate, Lane, Outcome, Segments
from sealroom.protocol.schema import Base64, ColumnName, Count, Epsilon, Int, Label, Many, Name, Prose, Text

Kind = Annotated[str, Text(r"[a-z_]{1,20}", 20)]
Parties = Annotated[tuple[Name, ...], Many(0, 16)]
Seconds = Annotated[int, Int(0, 366 * 86_400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One table. A feature is `int`, `float`, `bool`, `text`, or the list of values of a category.

    `category` and `infer` are holes: the owner's file says which values, or which type (see `infer`).
    """

    owner: Name
    id: ColumnName
    population: Name | None
    most_rows: Annotated[int, Int(1, 50_000_000)] | None
    identifiers: Annotated[dict[ColumnName, Kind], Many(0, 8)]
    features: Annotated[dict[ColumnName, Kind | Annotated[tuple[Label, ...], Many(1, 1000)]], Many(0, 511)]
    file: Prose | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """Code somebody brings."""

    owner: Name
    lane: Lane


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """Which datasets meet, and by which identifiers; null and empty mean: the first two, by all they share."""

    left: Name | None
    right: Name | None
    keys: Annotated[tuple[Annotated[tuple[Kind, ...], Many(1, 8)], ...], Many(0, 8)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OverlapSpec:
    """The noised number of shared entities."""

    epsilon: Epsilon
    floor: Count
    round_to: Annotated[int, Int(1, 1000)]
    recipients: Parties


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSpec:
    """AUC and lift of the bundle, on grids of thousandths."""

    holdout_percent: Annotated[int, Int(5, 50)]
    at_percent: Annotated[int, Int(1, 100)]
    auc_step: Annotated[int, Int(1, 500)]
    lift_step: Annotated[int, Int(1, 10_000)]
    recipients: Parties


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AudienceSpec:
    """How many of its own ids the candidates' owner receives."""

    percent: Annotated[int, Int(1, 30)]
    floor: Count
    least_seed: Count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AggregateSpec:
    """Noised counts and sums over cells; `by` holds `dataset.column`, `segments` a query bundle and its labels."""

    name: Name
    by: Annotated[tuple[Label, ...], Many(0, 4)]
    segments: Segments | None
    sums: Annotated[tuple[BoundedSum, ...], Many(0, 8)]
    epsilon: Epsilon
    floor: Count
    recipients: Parties


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSpec:
    """A noised mean over blocks; `columns` holds `dataset.column`, and no bundle means the one of the lane `blocks`."""

    name: Name
    bundle: Name | None
    columns: Annotated[tuple[Label, ...], Many(1, 64)]
    coordinates: Annotated[tuple[Coordinate, ...], Many(1, 32)]
    blocks: Annotated[int, Int(200, 2000)]
    block_milliseconds: Annotated[int, Int(100, 60_000)]
    at_once: Annotated[int, Int(1, 7)]
    epsilon: Epsilon
    recipients: Parties


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSpec:
    """How one party consents; `deadline` in seconds."""

    mode: Literal["auto", "manual"]
    threshold: Annotated[int, Int(1, 16)]
    officers: Annotated[tuple[Base64, ...], Many(0, 16)]
    deadline: Seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsSpec:
    """How many parties must approve a measurement, and who of them in any case; null means: every owner."""

    threshold: Annotated[int, Int(1, 16)] | None
    mandatory: Parties | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PurseSpec:
    """What may be spent at most on one population or bundle; bits are whole bits."""

    epsilon: Annotated[int, Int(0)]
    bits: Annotated[int, Int(0, 10**12)]
    runs: Annotated[int, Int(0, 10**6)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlotsSpec:
    """Seconds between moments at which results become visible."""

    query: Annotated[int, Int(0, 86_400)]
    opaque: Annotated[int, Int(1, 86_400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSpec:
    """What one jail may use: bytes and seconds."""

    memory: Annotated[int, Int(1 << 26, 1 << 40)]
    processor_time: Annotated[int, Int(1, 86_400)]
    wall_time: Annotated[int, Int(1, 86_400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The whole file, with every default filled in."""

    title: Prose
    purpose: Prose
    days: Annotated[int, Int(1, 3660)]
    runs: Annotated[int, Int(1, 1000)]
    datasets: Annotated[dict[Name, DatasetSpec], Many(1, 16)]
    bundles: Annotated[dict[Name, BundleSpec], Many(0, 16)]
    outcome: Outcome | None
    link: LinkSpec
    overlap: OverlapSpec
    metrics: MetricsSpec
    audience: AudienceSpec
    aggregates: Annotated[tuple[AggregateSpec, ...], Many(0, 16)]
    estimates: Annotated[tuple[EstimateSpec, ...], Many(0, 16)]
    requesters: Parties
    consent: Annotated[dict[Name, ConsentSpec], Many(0, 16)]
    approvals: ApprovalsSpec
    purses: Annotated[dict[Name, PurseSpec], Many(0, 64)]
    slots: SlotsSpec
    limits: LimitsSpec
    launchers: Annotated[tuple[Literal["process", "docker"], ...], Many(1, 2)]
    accepts_covert_channel: Parties
