"""A pair of files to play with: who brings which columns, what identifies a person, what is to be learned.

Runs in: a party's machine.   Believes: nothing.   Documented in docs/DEMO.md; TOML, every field but `truth` and
`segments` required.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import tomllib
from pathlib import Path
from typing import Annotated, Any

from sealroom.client.spec import DEFAULT_FLOOR, DEFAULT_SLOT
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import Segments
from sealroom.protocol.schema import ColumnName, Label, Many, Name, Prose, Text

OPAQUE_SLOT = 10
"""Seconds, far below the default. Results show the run time to this grain."""
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
    except (OSError, ValueError, RecursionError) as error:
        raise Malformed("not-a-spec", f"{path} cannot be read as TOML: {error}") from error
    return schema.decode(Pair, {"segments": None, "truth": None, **value}, path.name)


def agreement_spec(pair: Pair, folder: Path, *, percent: int, floor: int) -> dict[str, Any]:
    """The collaboration's description for `sealroom agreement new`; owners fill in the values of their categories."""
    datasets: dict[str, dict[str, Any]] = {
        side.dataset: {
            "owner": side.party,
            "id": side.id,
            "identifiers": dict(side.identifiers),
            "features": {column: _kind(folder / side.file, column) for column in side.features},
        }
        for side in (pair.left, pair.right)
    }
    # An outcome is one value or another, also where the values are written as numbers.
    datasets[pair.left.dataset]["features"][pair.outcome.column] = "category"
    bundles = {"model": {"owner": pair.left.party, "lane": "whole"}}
    if pair.segments is not None:
        bundles[pair.segments.bundle] = {"owner": pair.left.party, "lane": "query"}
    return {
        "title": pair.title,
        "purpose": f"Count shared customers, and find those of {pair.right.party} that are most like buyers. For a "
        f"demonstration only: an audience may be as small as {floor:,} ids, where the default is {DEFAULT_FLOOR:,}",
        "datasets": datasets,
        "bundles": bundles,
        "outcome": {"dataset": pair.left.dataset, **schema.encode(pair.outcome)},
        "audience": {"percent": percent, "floor": floor, "least_seed": 500},
        "aggregates": [_segments(pair.segments)] if pair.segments else [],
        "overlap": {"epsilon": 0.5, "floor": 100, "round_to": 1},
        "slots": {"query": 0, "opaque": OPAQUE_SLOT},
    }


def special(floor: int, slot: int, bits: float) -> list[str]:
    """In words, where the demo's agreement is weaker than one for real data would be."""
    few = f"An audience may be as small as {floor:,} ids; the default floor is {DEFAULT_FLOOR:,}."
    soon = f"Slots of {slot} seconds instead of {DEFAULT_SLOT} show when hidden code ended"
    told = f"with status and reasons, that tells up to {bits:.0f} bits a run, which are charged."
    return [
        f"{few} The fewer ids, the more each of them says.",
        f"{soon}; {told}",
        "The platform is simulated: it protects nobody from the operator.",
    ]


def _segments(segments: Segments) -> dict[str, Any]:
    return {"name": "segments", "segments": schema.encode(segments), "epsilon": 1, "floor": 20}


def _kind(path: Path, column: str) -> str:
    """`int` or `float` if every cell that is not empty is one, else `category`."""
    cells = {row[column] for row in rows(path)} - {""}
    for kind, read in (("int", int), ("float", float)):
        with contextlib.suppress(ValueError):
            return kind if [read(cell) for cell in cells] else "category"
    return "category"


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as dictionaries."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
