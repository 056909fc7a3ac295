"""A pair of files to play with: who brings which columns, what identifies a person, what is to be learned.

Runs in: a party's machine.   Believes: nothing.   Documented in docs/DEMO.md; TOML, every field but `truth` and
`segments` required.
"""

from __future__ import annotations

import csv
import dataclasses
import tomllib
from pathlib import Path
from typing import Annotated, Any

from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import Segments
from sealroom.protocol.schema import ColumnName, Label, Many, Name, Prose, Text

FileName = Annotated[str, Text(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}", 101)]
Kind = Annotated[str, Text(r"[a-z_]{1,20}", 20)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One party's table: its file, id column, identifiers by column, and the columns that may be used."""

    party: Name
    dataset: Name
    file: FileName
    id: ColumnName
    identifiers: Annotated[dict[ColumnName, Kind], Many(1, 8)]
    features: Annotated[tuple[ColumnName, ...], Many(1, 500)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The left side's column that is learned from, and the value that counts as positive."""

    column: ColumnName
    positive: Label


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A file that no party has, used to score the demo: ids of both sides, and the outcome of everybody."""

    file: FileName
    left_id: ColumnName
    right_id: ColumnName
    column: ColumnName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The whole description. `left` brings the code and the outcome, `right` receives the audience."""

    title: Prose
    left: Side
    right: Side
    outcome: Learned
    segments: Segments | None
    truth: Truth | None


def load(path: Path) -> Pair:
    """Read a description.

    Raises:
        Malformed: not TOML, or a field is not what it should be.
    """
    try:
        value = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed("not-a-spec", f"{path} cannot be read as TOML: {error}") from error
    return schema.decode(Pair, {"segments": None, "truth": None, **value}, path.name)


def agreement_spec(pair: Pair, *, percent: int, floor: int) -> dict[str, Any]:
    """The collaboration's description for `sealroom agreement new`: types and values are inferred by the owners."""
    datasets = {
        side.dataset: {
            "owner": side.party,
            "id": side.id,
            "identifiers": dict(side.identifiers),
            "features": dict.fromkeys(side.features, "category"),
        }
        for side in (pair.left, pair.right)
    }
    bundles = {"model": {"owner": pair.left.party, "lane": "whole"}}
    if pair.segments is not None:
        bundles[pair.segments.bundle] = {"owner": pair.left.party, "lane": "query"}
    return {
        "title": pair.title,
        "purpose": f"Count shared customers, and find those of {pair.right.party} that are most like buyers",
        "datasets": datasets,
        "bundles": bundles,
        "outcome": {"dataset": pair.left.dataset, **schema.encode(pair.outcome)},
        "audience": {"percent": percent, "floor": floor, "least_seed": 500},
    }


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as dictionaries."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
