"""Proposes column declarations for an owner's own CSV file: types, identifiers, category values.

Runs in: a party.   Believes: its own file.   Spec: §10.2.

A proposal is for a person to read: what it lists ends up in an agreement that others see. Values of categories are
declared there one by one; texts and numbers are not.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sealroom.client import progressing
from sealroom.client.errors import Unreachable
from sealroom.protocol.agreement import IdentifierKind
from sealroom.protocol.errors import Malformed

MOST_VALUES: Final = 50
"""A column with more distinct texts than this is not proposed as a category."""
_INT = re.compile(r"-?[0-9]{1,18}")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,2})?")
_LABEL = re.compile(r"[ -~]{1,64}")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_IDENTIFIERS: Final[Mapping[str, IdentifierKind]] = {
    "email": "email", "e_mail": "email", "mail": "email", "phone": "phone", "telephone": "phone", "mobile": "phone",
    "first_name": "given_name", "given_name": "given_name", "forename": "given_name", "last_name": "family_name",
    "family_name": "family_name", "surname": "family_name", "name": "full_name", "full_name": "full_name",
    "date_of_birth": "date_of_birth", "dob": "date_of_birth", "birth_date": "date_of_birth", "postcode": "postcode",
    "zip": "postcode", "national_id": "national_id", "ssn": "national_id", "soc_sec_id": "national_id",
}  # fmt: skip


@dataclasses.dataclass(slots=True)
class Seen:
    """What one column held; `values` stays None once there are too many of them, or one that no category can have."""

    name: str
    rows: int = 0
    empty: int = 0
    integers: bool = True
    numbers: bool = True
    values: set[str] | None = dataclasses.field(default_factory=set)

    def add(self, text: str) -> None:
        """Look at one more cell."""
        self.rows += 1
        if not text:
            self.empty += 1
            return
        self.integers = self.integers and _INT.fullmatch(text) is not None
        self.numbers = self.numbers and _FLOAT.fullmatch(text) is not None
        if self.values is not None:
            self.values.add(text)
            if len(self.values) > MOST_VALUES or _LABEL.fullmatch(text) is None:
                self.values = None

    @property
    def type(self) -> str | list[str]:
        """`int`, `float`, `text`, or a category's values, sorted."""
        if self.empty == self.rows:
            return "text"
        if self.integers:
            return "int"
        if self.numbers:
            return "float"
        return "text" if self.values is None else sorted(self.values)


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """A dataset's part of a spec: the id column, identifiers (column to kind), features (column to type or values)."""

    id: str
    rows: int
    identifiers: Mapping[str, IdentifierKind]
    features: Mapping[str, str | Sequence[str]]

    @property
    def most_rows(self) -> int:
        """The row bound to propose: the next full thousand, so that the agreement does not state the exact number."""
        return -(-self.rows // 1000) * 1000

    def as_toml(self, name: str, owner: str) -> str:
        """The lines to put into a spec file."""
        head = [
            f"[datasets.{name}]",
            f"owner = {_quote(owner)}",
            f"id = {_quote(self.id)}",
            f"most_rows = {self.most_rows}",
        ]
        identifiers = [
            f"[datasets.{name}.identifiers]",
            *(f"{_quote(c)} = {_quote(k)}" for c, k in self.identifiers.items()),
        ]
        features = [
            f"[datasets.{name}.features]",
            *(f"{_quote(c)} = {json.dumps(t)}" for c, t in self.features.items()),
        ]
        return "\n".join([*head, "", *identifiers, "", *features])


def rows(path: Path) -> Iterator[list[str]]:
    """The records of a CSV file (RFC 4180, UTF-8), the header first.

    Raises:
        Unreachable: the file cannot be read.
        Malformed: it is not CSV in UTF-8.
    """
    try:
        with io.TextIOWrapper(progressing.opened(path), encoding="utf-8-sig", newline="") as source:
            yield from csv.reader(source, strict=True)
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {(error.strerror or 'it failed').lower()}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise Malformed("not-csv", f"{path} is not CSV in UTF-8: {error}") from error


def propose(path: Path, *, categories: Iterable[str] = (), identity: str | None = None) -> Proposal:
    """Read the whole file once; `categories` are columns of numbers that stand for kinds, `identity` is the id column.

    Raises:
        Malformed: not CSV, a name that no column may have, or no column that tells rows apart.
    """
    records = rows(path)
    header = next(records, [])
    _check_header(header, path)
    seen = [Seen(name) for name in header]
    ids: list[set[str] | None] = [set() for _ in header]
    for record in records:
        if len(record) != len(header):
            raise Malformed(
                "ragged", f"{path}: row {seen[0].rows + 2} has {len(record)} cells, the header {len(header)}"
            )
        for index, text in enumerate(record):
            seen[index].add(text)
            ids[index] = _still_unique(ids[index], text)
    identifiers = {name: kind for name in header if (kind := _IDENTIFIERS.get(name.lower())) is not None}
    chosen = _identity(
        path, [c.name for c, found in zip(seen, ids, strict=True) if found and not c.empty], identity, identifiers
    )
    features = {c.name: c.type for c in seen if c.name not in identifiers and c.name != chosen}
    for name in categories:
        features[name] = _values_of(seen, name)
    return Proposal(chosen, seen[0].rows, _first_of_each_kind(identifiers), features)


def _identity(path: Path, unique: Sequence[str], wanted: str | None, identifiers: Iterable[str]) -> str:
    """The column that tells rows apart: the one that is wanted, else the first that could."""
    free = [name for name in unique if name not in identifiers]
    if wanted is not None and wanted not in unique:
        raise Malformed("no-id", f"{path}: column {wanted!r} is missing, has empty cells or repeats a value")
    if wanted is None and not free:
        raise Malformed("no-id", f"{path}: no column tells every row apart", hint="add one with a number per row")
    return wanted or free[0]


def _check_header(header: Sequence[str], path: Path) -> None:
    if not header:
        raise Malformed("no-header", f"{path} is empty")
    for name in header:
        if _COLUMN.fullmatch(name) is None:
            hint = "column names are letters, digits, `_`, `.` and `-`, without spaces around them"
            raise Malformed("bad-column-name", f"{path}: {name!r} cannot be a column name", hint=hint)
    if len(set(header)) != len(header):
        raise Malformed("duplicate-column", f"{path}: two columns have one name")


def _still_unique(found: set[str] | None, text: str) -> set[str] | None:
    if found is None or text in found:
        return None
    found.add(text)
    return found


def _values_of(seen: Sequence[Seen], name: str) -> list[str]:
    for column in seen:
        if column.name == name and column.values:
            return sorted(column.values)
    raise Malformed("no-category", f"{name!r} has no values, or too many, to be a category")


def _first_of_each_kind(identifiers: Mapping[str, IdentifierKind]) -> dict[str, IdentifierKind]:
    """An agreement takes one column per kind; a second `phone` becomes neither identifier nor feature."""
    kept: dict[str, IdentifierKind] = {}
    for name, kind in identifiers.items():
        if kind not in kept.values():
            kept[name] = kind
    return kept


def _quote(text: str) -> str:
    return json.dumps(text)
