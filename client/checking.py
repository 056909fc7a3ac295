"""Checks an owner's CSV against the agreed columns before it is sealed, row by row, in constant memory but for the ids.

Runs in: a party, on its own file.   Believes: nothing.   Spec: §10.3.

The reader in the enclave turns a cell that does not parse into nothing, silently. Here it is reported by row number and
column, and never by its content, so that a report can be passed on.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sealroom.client import columns
from sealroom.protocol.agreement import Column, Dataset
from sealroom.protocol.errors import Malformed

MOST_REPORTED: Final = 20
_INT = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_BOOL = frozenset({"true", "false", "1", "0"})
_ENTITY = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


@dataclasses.dataclass(frozen=True, slots=True)
class BadCell:
    """One thing to mend: the row as a spreadsheet numbers it (the header is row 1), the column, and what is wrong."""

    row: int
    column: str
    problem: str

    @property
    def line(self) -> str:
        """The finding in words."""
        return f"row {self.row}, {self.column}: {self.problem}"


class BadRows(Malformed):
    """The file does not fit the declared columns; `findings` holds the first `MOST_REPORTED` reasons of `count`."""

    def __init__(self, path: Path, findings: Sequence[BadCell], count: int) -> None:
        """Say how many, and the first one."""
        words = f"{path}: {count} cells do not fit the agreement; the first: {findings[0].line}"
        super().__init__("bad-rows", words, hint="mend the file, or agree on other columns")
        self.findings, self.count = tuple(findings), count


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """A file that fits: its number of rows, the columns that are not declared, and the size of what may be sealed."""

    path: Path
    rows: int
    undeclared: tuple[str, ...]
    size: int
    keep: tuple[int, ...]

    @property
    def as_it_is(self) -> bool:
        """Whether the file may be sealed byte by byte: it holds declared columns only."""
        return not self.undeclared


def check_csv(dataset: Dataset, path: Path) -> Checked:
    """Read the whole file once.

    Raises:
        Malformed: not CSV in UTF-8, a column is missing, or it has more rows than agreed.
        BadRows: cells that do not fit.
    """
    records = columns.rows(path)
    header = next(records, [])
    places = _places(dataset, header, path)
    tests = [(places[c.name], c.name, _test(c)) for c in dataset.columns if c.name != dataset.entity]
    keep = tuple(sorted(places.values()))
    report = _Report(path)
    seen: set[str] = set()
    size, rows = len(_encoded(header, keep)), 0
    for rows, record in enumerate(records, 1):
        if rows > dataset.most_rows:
            raise Malformed("too-many-rows", f"{path} has more than the agreed {dataset.most_rows:,} rows")
        if len(record) != len(header):
            report.add(rows, "-", f"{len(record)} cells where the header has {len(header)}")
            continue
        if (problem := _entity_problem(record[places[dataset.entity]], seen)) is not None:
            report.add(rows, dataset.entity, problem)
        for place, name, test in tests:
            if (problem := test(record[place])) is not None:
                report.add(rows, name, problem)
        size += len(_encoded(record, keep))
    report.finish()
    if rows == 0:
        raise Malformed("no-rows", f"{path} has a header and no rows")
    undeclared = tuple(name for index, name in enumerate(header) if index not in keep)
    return Checked(path, rows, undeclared, path.stat().st_size if not undeclared else size, keep)


def projected(checked: Checked) -> io.BufferedReader:
    """The declared columns of a checked file as a stream of CSV; what is not declared never leaves this machine."""
    encoded = (_encoded(record, checked.keep) for record in columns.rows(checked.path))
    return io.BufferedReader(_Stream(encoded))


def _places(dataset: Dataset, header: Sequence[str], path: Path) -> dict[str, int]:
    repeated = {name for name in header if header.count(name) > 1}
    places = {name: index for index, name in enumerate(header)}
    for column in dataset.columns:
        if column.name not in places:
            close = [name for name in header if name.strip().lower() == column.name.lower()]
            hint = f"the file has {close[0]!r}" if close else f"the file has: {', '.join(header[:20])}"
            raise Malformed("missing-column", f"{path} has no column {column.name!r}", hint=hint)
        if column.name in repeated:
            raise Malformed("duplicate-column", f"{path} has the column {column.name!r} twice")
    return {column.name: places[column.name] for column in dataset.columns}


def _entity_problem(text: str, seen: set[str]) -> str | None:
    if _ENTITY.fullmatch(text) is None:
        return "an id has 1 to 64 printable characters"
    if text in seen:
        return "this id is there already"
    seen.add(text)
    return None


def _test(column: Column) -> Callable[[str], str | None]:
    """What is wrong with a cell of this column, or None; an empty cell is a missing value and always right."""
    kinds: Mapping[str, Callable[[str], bool]] = {
        "int": lambda text: _INT.fullmatch(text.strip()) is not None,
        "float": lambda text: _FLOAT.fullmatch(text.strip()) is not None,
        "bool": lambda text: text.strip().lower() in _BOOL,
        "text": lambda text: "\0" not in text,
        "category": frozenset(column.values or ()).__contains__,
    }
    fits = kinds[column.type]
    problem = {
        "int": "not a whole number", "float": "not a number", "bool": "not true, false, 1 or 0",
        "text": "holds a NUL character", "category": "not one of the declared values",
    }[column.type]  # fmt: skip
    return lambda text: None if not text or fits(text) else problem


class _Report:
    """Counts all findings and keeps the first."""

    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0
        self._kept: list[BadCell] = []

    def add(self, row: int, column: str, problem: str) -> None:
        """One finding in the `row`-th record."""
        self._count += 1
        if len(self._kept) < MOST_REPORTED:
            self._kept.append(BadCell(row + 1, column, problem))

    def finish(self) -> None:
        """Refuse if there was any."""
        if self._count:
            raise BadRows(self._path, self._kept, self._count)


def _encoded(record: Sequence[str], keep: Sequence[int]) -> bytes:
    """One CSV record of the kept cells. An empty cell stays without quotes, which is how a missing value is written."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow([record[index] for index in keep])
    return sink.getvalue().encode()


class _Stream(io.RawIOBase):
    """Bytes from an iterator, for code that reads files."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
