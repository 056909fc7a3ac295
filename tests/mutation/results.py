"""What mutation testing found last, in one committed file, and why each survivor is no hole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "results.json"
REASONS = Path(__file__).resolve().parent / "reasons.json"
WANTED = 0.85
"""The share of changes of behaviour that the tests of a module must notice."""


def load() -> dict[str, Any]:
    return dict(json.loads(FILE.read_bytes())) if FILE.exists() else {}


def save(found: dict[str, Any]) -> None:
    FILE.write_text(json.dumps({k: found[k] for k in sorted(found)}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def reasons() -> list[tuple[str, str]]:
    """Why survivors are no holes: (pattern of `module function: change`, reason)."""
    return [(pattern, reason) for pattern, reason in json.loads(REASONS.read_bytes())]


def score(found: dict[str, Any]) -> float:
    """Killed of all mutants but those that only change words for a person."""
    worded = sum(1 for survivor in found["survivors"] if survivor["words"])
    return float(found["killed"] / max(1, found["mutants"] - worded))


def line(found: dict[str, Any]) -> str:
    worded = sum(1 for survivor in found["survivors"] if survivor["words"])
    return (
        f"{found['killed']} of {found['mutants']} killed, {worded} survivors change words for people only: "
        f"{100 * score(found):.1f} % of the rest"
    )
