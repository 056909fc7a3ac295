"""The small file that describes a collaboration: datasets, their columns, the outcome, and how much may leave.

Runs in: a party.   Believes: nothing.   Spec: §10.2.   TOML or JSON; every field but `datasets` has a default.
"""

from __future__ import annotations

import dataclasses
import decimal
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from sealroom.client import columns, files
from sealroom.protocol import schema
from sealroom.protocol.agreement import Lane
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.platform import PlatformPolicy
from sealroom.protocol.rules import BoundedSum, Outcome
from sealroom.protocol.schema import Base64, ColumnName, Count, Epsilon, Int, Label, Many, Name, Prose, Text

MOST_BYTES = 1 << 20
MILLION: Final = 1_000_000
DEFAULTS: Final[Mapping[str, Any]] = {
    "title": "Shared customers", "purpose": "Learn what both parties agreed to, and nothing else",
    "days": 365, "runs": 4,
    "bundles": {}, "outcome": None, "link": {}, "overlap": {}, "metrics": {}, "audience": {}, "aggregates": [],
    "requesters": [], "consent": {}, "purses": {}, "slots": {}, "limits": {}, "launchers": ["docker", "process"],
    "accepts_covert_channel": [],
}  # fmt: skip
_PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "link": {"left": None, "right": None, "keys": []},
    "overlap": {"epsilon": 500_000, "floor": 100, "round_to": 10, "recipients": []},
    "metrics": {"holdout_percent": 30, "at_percent": 10, "auc_step": 5, "lift_step": 100, "recipients": []},
    "audience": {"percent": 10, "floor": 2000, "least_seed": 500},
    "slots": {"query": 0, "opaque": 300},
    "limits": {"memory": 4 << 30, "processor_time": 600, "wall_time": 900},
}
_MEMBERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "datasets": {"population": None, "most_rows": None, "identifiers": {}, "features": {}, "file": None},
    "bundles": {"lane": "whole"},
    "consent": {"mode": "auto", "threshold": 1, "officers": [], "deadline": 86_400},
}
_AGGREGATE: Final[Mapping[str, Any]] = {"by": [], "sums": [], "epsilon": 500_000, "floor": 50, "recipients": []}

Kind = Annotated[str, Text(r"[a-z_]{1,20}", 20)]
Parties = Annotated[tuple[Name, ...], Many(0, 16)]
Seconds = Annotated[int, Int(0, 366 * 86_400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One table: a feature is `int`, `float`, `bool`, `text`, `category` (to be inferred) or a list of values."""

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
    """Noised counts and sums over cells; `by` holds `dataset.column`."""

    name: Name
    by: Annotated[tuple[Label, ...], Many(0, 4)]
    sums: Annotated[tuple[BoundedSum, ...], Many(0, 8)]
    epsilon: Epsilon
    floor: Count
    recipients: Parties


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSpec:
    """How one party consents; `deadline` in seconds."""

    mode: Literal["auto", "manual"]
    threshold: Annotated[int, Int(1, 16)]
    officers: Annotated[tuple[Base64, ...], Many(0, 16)]
    deadline: Seconds


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
    requesters: Parties
    consent: Annotated[dict[Name, ConsentSpec], Many(0, 16)]
    purses: Annotated[dict[Name, PurseSpec], Many(0, 64)]
    slots: SlotsSpec
    limits: LimitsSpec
    launchers: Annotated[tuple[Literal["process", "docker"], ...], Many(1, 2)]
    accepts_covert_channel: Parties


def load(path: Path) -> Spec:
    """The spec in a TOML or JSON file.

    Raises:
        Malformed: it is neither, or a field is not what it should be; the message names the place.
    """
    text = files.read(path, most=MOST_BYTES).decode(errors="replace")
    try:
        if path.suffix == ".json":
            value = json.loads(text, parse_float=decimal.Decimal)
        else:
            value = tomllib.loads(text, parse_float=decimal.Decimal)
    except ValueError as error:
        raise Malformed("not-a-spec", f"{path} is neither TOML nor JSON: {error}") from error
    return parse(value)


def parse(value: object) -> Spec:
    """A spec from decoded TOML or JSON.

    Raises:
        Malformed: a field is unknown, missing or not what it should be.
    """
    if not isinstance(value, dict):
        raise Malformed("wrong-type", "a spec is a table of fields")
    filled = {**DEFAULTS, **_epsilons(value)}
    for name, defaults in _PARTS.items():
        filled[name] = _with(defaults, filled[name])
    for name, defaults in _MEMBERS.items():
        filled[name] = {key: _with(defaults, item) for key, item in _table(filled.get(name, {}), name).items()}
    filled["aggregates"] = [_with(_AGGREGATE, item) for item in filled["aggregates"]]
    return schema.decode(Spec, filled, "spec")


def infer(spec: Spec, name: str, path: Path) -> Spec:
    """Fill what the spec leaves open about dataset `name` from its owner's own CSV file.

    Raises:
        UsageError: there is no such dataset.
        Malformed: the file is not CSV, or lacks a column that the spec names.
    """
    if name not in spec.datasets:
        raise UsageError(f"the spec has no dataset {name!r}")
    old = spec.datasets[name]
    wanted = [column for column, kind in old.features.items() if kind == "category"]
    found = columns.propose(path, categories=wanted)
    features = {c: found.features[c] if k == "category" else k for c, k in old.features.items()} or found.features
    new = dataclasses.replace(
        old,
        most_rows=old.most_rows or found.most_rows,
        identifiers=old.identifiers or dict(found.identifiers),
        features={c: t if isinstance(t, str) else tuple(t) for c, t in features.items() if c != old.id},
    )
    return dataclasses.replace(spec, datasets={**spec.datasets, name: new})


def read_policy(path: Path) -> tuple[PlatformPolicy, ...]:
    """The attestation policies in a JSON file: one object, or a list of them.

    Raises:
        Malformed: a field is unknown, missing or not allowed.
    """
    try:
        value = json.loads(files.read(path, most=MOST_BYTES))
    except ValueError as error:
        raise Malformed("not-json", f"{path} is not JSON") from error
    listed = value if isinstance(value, list) else [value]
    return tuple(schema.decode(PlatformPolicy, item, f"policy[{index}]") for index, item in enumerate(listed))


def _with(defaults: Mapping[str, Any], value: object) -> object:
    return {**defaults, **value} if isinstance(value, dict) else value


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("wrong-type", f"spec.{name}: expected a table")
    return value


def _epsilons(value: Any) -> Any:
    """Every `epsilon`, which people write as 0.5, in millionths; other fractions stay and are refused later."""
    if isinstance(value, list):
        return [_epsilons(item) for item in value]
    if isinstance(value, dict):
        return {key: _millionths(item) if key == "epsilon" else _epsilons(item) for key, item in value.items()}
    return value


def _millionths(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return value
    scaled = decimal.Decimal(value) * MILLION
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise Malformed("bad-epsilon", f"epsilon {value} is finer than a millionth")
    return int(scaled)
