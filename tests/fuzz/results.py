"""What fuzzing has reached so far, in one committed file: counts add up from one session to the next."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "results.json"


@dataclasses.dataclass(slots=True)
class Result:
    """One target: executions and processor seconds of all sessions, dates, and the last session's corpus and cover.

    `corpus` is the number of inputs that each cover something of their own, `corpus_bytes` their size, `edges` the
    branches of our code that they cover, `findings` the number of inputs that were ever found to break the law.
    """

    executions: int = 0
    seconds: int = 0
    first: str = ""
    last: str = ""
    corpus: int = 0
    corpus_bytes: int = 0
    edges: int = 0
    most_memory_mb: int = 0
    findings: int = 0


def load(path: Path = FILE) -> dict[str, Result]:
    if not path.exists():
        return {}
    return {name: Result(**fields) for name, fields in json.loads(path.read_bytes())["targets"].items()}


def save(found: dict[str, Result], path: Path = FILE) -> None:
    value: dict[str, Any] = {"targets": {name: dataclasses.asdict(found[name]) for name in sorted(found)}}
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
