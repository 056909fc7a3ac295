"""Committed inputs: a small corpus of each target, and every input that ever broke one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS, FOUND = HERE / "corpus", HERE / "found"
MOST_INPUTS = 24
MOST_INPUT = 1024


def small(target: str) -> list[bytes]:
    """The committed corpus of a target."""
    return _read(CORPUS / f"{target}.json")


def found(target: str) -> dict[str, bytes]:
    """Inputs that once broke a target, by what they showed."""
    path = FOUND / f"{target}.json"
    return {} if not path.exists() else {k: base64.b64decode(v) for k, v in json.loads(path.read_bytes()).items()}


def keep(target: str, folder: Path) -> None:
    """Commit the smallest inputs of a corpus folder; larger ones are generated or come from the vectors."""
    inputs = sorted({path.read_bytes() for path in folder.iterdir() if 0 < path.stat().st_size <= MOST_INPUT})
    chosen = sorted(inputs, key=len)
    step = max(1, len(chosen) // MOST_INPUTS)
    texts = [base64.b64encode(data).decode() for data in chosen[::step][:MOST_INPUTS]]
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{target}.json").write_text(json.dumps(texts, indent=0) + "\n", "utf-8")


def _read(path: Path) -> list[bytes]:
    return [base64.b64decode(text) for text in json.loads(path.read_bytes())] if path.exists() else []
