"""The small file that describes a collaboration: datasets, their columns, the outcome, and how much may leave.

Runs in: a party.   Believes: nothing.   Spec: §10.2.   TOML or JSON; every field but `datasets` has a default.
"""

from __future__ import annotations

import dataclasses
import decimal
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sealroom.client import columns, files
from sealroom.client.spec_fields import DatasetSpec, Spec
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.platform import PlatformPolicy

MOST_BYTES = 1 << 20
MILLION: Final = 1_000_000
_MOST_DIGITS: Final = 9
"""Before the point of an epsilon: far more than any agreement allows, far less than what takes time to compute with."""
DEFAULT_FLOOR: Final = 2000
"""Ids that an audience has at least, unless a spec says otherwise."""
DEFAULT_SLOT: Final = 300
"""Seconds between moments at which results of hidden code show, unless a spec says otherwise."""
DEFAULTS: Final[Mapping[str, Any]] = {
    "title": "Shared customers", "purpose": "Learn what both parties agreed to, and nothing else",
    "days": 365, "runs": 4,
    "bundles": {}, "outcome": None, "link": {}, "overlap": {}, "metrics": {}, "audience": {}, "aggregates": [],
    "estimates": [], "requesters": [], "consent": {}, "approvals": {}, "purses": {}, "slots": {}, "limits": {},
    "launchers": ["docker", "process"], "accepts_covert_channel": [],
}  # fmt: skip
_PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "link": {"left": None, "right": None, "keys": []},
    "overlap": {"epsilon": 500_000, "floor": 100, "round_to": 10, "recipients": []},
    "metrics": {"holdout_percent": 30, "at_percent": 10, "auc_step": 5, "lift_step": 100, "recipients": []},
    "audience": {"percent": 10, "floor": DEFAULT_FLOOR, "least_seed": 500},
    "approvals": {"threshold": None, "mandatory": None},
    "slots": {"query": 0, "opaque": DEFAULT_SLOT},
    "limits": {"memory": 4 << 30, "processor_time": 600, "wall_time": 900},
}
_MEMBERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "datasets": {"population": None, "most_rows": None, "identifiers": {}, "features": {}, "file": None},
    "bundles": {"lane": "whole"},
    "consent": {"mode": "auto", "threshold": 1, "officers": [], "deadline": 86_400},
}
_AGGREGATE: Final[Mapping[str, Any]] = {
    "by": [],
    "segments": None,
    "sums": [],
    "epsilon": 500_000,
    "floor": 50,
    "recipients": [],
}
_ESTIMATE: Final[Mapping[str, Any]] = {
    "bundle": None,
    "blocks": 200,
    "block_milliseconds": 1000,
    "at_once": 1,
    "epsilon": 1_000_000,
    "recipients": [],
}


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
    except (ValueError, ArithmeticError, RecursionError) as error:
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
    for name, defaults in (("aggregates", _AGGREGATE), ("estimates", _ESTIMATE)):
        if isinstance(filled[name], list):
            filled[name] = [_with(defaults, item) for item in filled[name]]
    return schema.decode(Spec, filled, "spec")


def infer(spec: Spec, name: str, path: Path) -> Spec:
    """Fill the holes of dataset `name` from its owner's own CSV file: features, identifiers, row bound.

    Raises:
        UsageError: there is no such dataset.
        Malformed: the file is not CSV, or lacks a column that the spec names.
    """
    if name not in spec.datasets:
        raise UsageError(f"the spec has no dataset {name!r}", hint=f"it has: {', '.join(spec.datasets)}")
    old = spec.datasets[name]
    kinds = {column for column, kind in old.features.items() if kind == "category"}
    if (
        spec.outcome is not None
        and spec.outcome.dataset == name
        and isinstance(old.features.get(spec.outcome.column), str)
    ):
        kinds.add(spec.outcome.column)
    found = columns.propose(path, categories=sorted(kinds), identity=old.id)
    features = {c: _filled(found, c, k) for c, k in old.features.items()} or dict(found.features)
    new = dataclasses.replace(
        old,
        most_rows=old.most_rows or found.most_rows,
        identifiers=old.identifiers or dict(found.identifiers),
        features={c: t if isinstance(t, str) else tuple(t) for c, t in features.items() if c != old.id},
    )
    return with_dataset(spec, name, new)


def with_dataset(spec: Spec, name: str, dataset: DatasetSpec) -> Spec:
    """The spec with one dataset's part replaced or added."""
    return dataclasses.replace(spec, datasets={**spec.datasets, name: dataset})


def _filled(found: columns.Proposal, column: str, kind: str | Sequence[str]) -> str | Sequence[str]:
    if kind not in ("category", "infer"):
        return kind
    if column not in found.features:
        raise Malformed("no-column", f"the file has no column {column!r} that could be a feature")
    return found.features[column]


def read_policy(path: Path) -> tuple[PlatformPolicy, ...]:
    """The attestation policies in a JSON file: one object, or a list of them.

    Raises:
        Malformed: a field is unknown, missing or not allowed.
    """
    try:
        value = json.loads(files.read(path, most=MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{path} is not JSON") from error
    listed = value if isinstance(value, list) else [value]
    return tuple(schema.decode(PlatformPolicy, item, f"policy[{index}]") for index, item in enumerate(listed))


def _with(defaults: Mapping[str, Any], value: object) -> object:
    return {**defaults, **value} if isinstance(value, dict) else value


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("wrong-type", f"spec.{name}: expected a table")
    return value


def _epsilons(value: Any, depth: int = 0) -> Any:
    """Every `epsilon`, which people write as 0.5, in millionths; other fractions stay and are refused later."""
    if depth > schema.MAX_DEPTH:
        raise Malformed("too-deep", f"a spec is nested at most {schema.MAX_DEPTH} levels deep")
    if isinstance(value, list):
        return [_epsilons(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            key: _millionths(item) if key == "epsilon" else _epsilons(item, depth + 1) for key, item in value.items()
        }
    return value


def _millionths(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return value
    number = decimal.Decimal(value)
    if number.is_finite() and number.adjusted() > _MOST_DIGITS:
        raise Malformed("bad-epsilon", "epsilon is larger than any that can be agreed")
    scaled = number * MILLION
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise Malformed("bad-epsilon", f"epsilon {value} is finer than a millionth")
    return int(scaled)
