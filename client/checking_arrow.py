"""Checks a Parquet or Arrow file against the agreed columns, as far as this installation can.

Runs in: a party, on its own file.   Believes: nothing.   Spec: §10.3.   Needs pyarrow, which the base install lacks.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from sealroom.protocol.agreement import Dataset
from sealroom.protocol.errors import Malformed


def available() -> bool:
    """Whether pyarrow is there."""
    return importlib.util.find_spec("pyarrow") is not None


def check(dataset: Dataset, path: Path, media: str) -> int:
    """The number of rows of a file whose columns, ids and categories fit.

    Raises:
        Malformed: it cannot be read, or does not fit.
    """
    arrow = importlib.import_module("pyarrow")
    try:
        table = _read(path, media, [c.name for c in dataset.columns])
    except (arrow.ArrowException, OSError, KeyError) as error:
        raise Malformed("not-a-table", f"{path} cannot be read as {media}, or lacks a declared column") from error
    if not 0 < table.num_rows <= dataset.most_rows:
        raise Malformed(
            "too-many-rows", f"{path} has {table.num_rows:,} rows; the agreement allows 1 to {dataset.most_rows:,}"
        )
    _check_entities(dataset, table, path)
    for column in dataset.columns:
        if column.values is not None:
            _check_values(column.name, column.values, table, path)
    rows: int = table.num_rows
    return rows


def _read(path: Path, media: str, names: list[str]) -> Any:
    if media == "parquet":
        return importlib.import_module("pyarrow.parquet").ParquetFile(path).read(columns=names).select(names)
    with importlib.import_module("pyarrow.ipc").open_file(str(path)) as file:
        return file.read_all().select(names)


def _check_entities(dataset: Dataset, table: Any, path: Path) -> None:
    ids = table.column(dataset.entity)
    if ids.null_count or len(ids.unique()) != table.num_rows:
        raise Malformed("bad-rows", f"{path}: column {dataset.entity} has empty or repeated ids")


def _check_values(name: str, values: tuple[str, ...], table: Any, path: Path) -> None:
    found = {str(value) for value in table.column(name).unique().to_pylist() if value is not None}
    if stray := found - set(values):
        raise Malformed("bad-rows", f"{path}: column {name} has {len(stray)} values that are not declared")
