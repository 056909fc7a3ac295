"""The first code in a job's jail: loads the bundle, calls its function, writes positions or numbers and nothing else.

Runs in: jail, after it was confined.   Believes: nothing; what it writes is checked again by the engine.   Spec: §9.
"""

from __future__ import annotations

import dataclasses
import importlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sealroom.enclave import flat, memory
from sealroom.enclave.jail import importer, output, tables
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.enclave.jail.requests import Ask, BlockSpec, JobSpec
from sealroom.protocol import bundle

Entry = Callable[[dict[str, pd.DataFrame], "Question"], Any]
_KINDS = {"rows": output.ROWS, "scores": output.SCORES, "vector": output.VECTOR}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What `run(tables, ask)` gets as `ask`.

    Attributes:
        kind: `rows` for exactly `size` distinct row positions, best first; `scores` for one finite number per row;
            `vector` for `size` finite numbers about the whole table.
        table: the name, in `tables`, of the table that is asked about.
        size: how many rows are wanted; for scores the number of rows of the table, for a vector its coordinates.
        label: the column of the other tables that says what is looked for, or None.
        positive: the value of `label` that is looked for, or None.
        seed: what numpy.random and random were seeded with; use it for generators of your own.
        names: what a vector's coordinates are called, in order.
        least: the lower bound of each coordinate of a vector; what is below counts as this.
        most: the upper bound of each.
    """

    kind: str
    table: str
    size: int
    label: str | None
    positive: str | None
    seed: int
    names: tuple[str, ...] = ()
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()


def run(spec: JobSpec | BlockSpec, fds: Sequence[int]) -> Outcome:
    """Run the job whose archive, output and tables `fds` holds; exceptions become an outcome, their text is lost."""
    archive, target, *table_fds = fds
    lane, names = ("blocks", (spec.table,)) if isinstance(spec, BlockSpec) else ("whole", spec.tables)
    frames = {name: tables.frame_of(_table(fd)) for name, fd in zip(names, table_fds, strict=True)}
    seed = spec.seed % 2**32
    if isinstance(spec, BlockSpec):
        rows, ask = len(spec.coordinates), _vector(spec, seed)
    else:
        rows = len(frames[spec.ask.table])
        ask = _question(spec.ask, rows, seed)
    try:
        entry = load(bundle.read(memory.map_readonly(archive)), lane)
    except MemoryError:
        return "out-of-memory"
    except BaseException:  # noqa: BLE001 -- hostile code may raise anything, and says no more by it
        return "import-error"
    try:
        result = call(entry, frames, ask)
    except MemoryError:
        return "out-of-memory"
    except BaseException:  # noqa: BLE001
        return "error"
    return _answer(result, ask, rows, target)


def load(read: bundle.Bundle, lane: str) -> Entry:
    """The entry function of a bundle of this lane.

    Raises:
        ImportError: the bundle is not for this lane.
        AttributeError: it has no such function.
        BaseException: whatever its modules raise.
    """
    if read.manifest.lane != lane:
        raise ImportError(f"a bundle of the lane {read.manifest.lane} does not run in the lane {lane}")
    importer.install(read.files)
    entry: Entry = getattr(importlib.import_module(read.manifest.module), read.manifest.function)
    return entry


def call(entry: Entry, frames: dict[str, pd.DataFrame], ask: Question) -> Any:
    """Call the job with the usual generators seeded.

    Raises:
        BaseException: whatever the job raises.
    """
    random.seed(ask.seed)
    np.random.seed(ask.seed)  # noqa: NPY002 -- the generator that scikit-learn uses by default
    return entry(frames, ask)


def check(result: Any, ask: Question, rows: int) -> np.ndarray[Any, Any]:
    """The job's answer as positions (int64), scores or coordinates (float64, within their bounds), shape [size].

    Raises:
        ValueError: it is not what was asked for.
    """
    items = np.asarray(result)
    wanted, kinds = (ask.size, "iu") if ask.kind == "rows" else (rows, "iuf")
    if items.shape != (wanted,) or (items.dtype.kind not in kinds and wanted):
        raise ValueError(f"expected {wanted} numbers in one dimension")
    if ask.kind == "scores":
        if not np.isfinite(items).all():
            raise ValueError("a score is not finite")
        return items.astype("f8")
    if ask.kind == "vector":
        if not np.isfinite(items).all():
            raise ValueError("a coordinate is not finite")
        return np.asarray(np.clip(items.astype("f8"), ask.least, ask.most))
    if wanted and not 0 <= int(items.min()) <= int(items.max()) < rows:
        raise ValueError("a row position is out of range")
    if len(np.unique(items)) != wanted:
        raise ValueError("a row position is there twice")
    return items.astype("i8")


def _table(fd: int) -> flat.FlatTable:
    return flat.validate(memory.map_readonly(fd))


def _question(ask: Ask, rows: int, seed: int) -> Question:
    size = ask.size if ask.kind == "rows" else rows
    return Question(ask.kind, ask.table, size, ask.label, ask.positive, seed)


def _vector(spec: BlockSpec, seed: int) -> Question:
    names = tuple(item.name for item in spec.coordinates)
    least, most = (tuple(getattr(item, end) / 1000 for item in spec.coordinates) for end in ("least", "most"))
    return Question("vector", spec.table, len(names), None, None, seed, names, least, most)


def _answer(result: Any, ask: Question, rows: int, target: int) -> Outcome:
    try:
        items = check(result, ask, rows)
        output.write(memory.map_writable(target), _KINDS[ask.kind], items)
    except MemoryError:
        return "out-of-memory"
    except BaseException:  # noqa: BLE001 -- the answer may be an object of the job's own making
        return "bad-output"
    return "ok"
