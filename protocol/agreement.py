"""The one document that all parties sign; everything else hangs from its digest.

Runs in: every zone but the host.   Believes: nothing.   Spec: §4.1.   Standard library only (the engine imports it).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal, Protocol, TypeVar

from sealroom.protocol.errors import UsageError
from sealroom.protocol.platform import PlatformClass, PlatformPolicy
from sealroom.protocol.rules import Lane, Names, Rule
from sealroom.protocol.schema import Base64, ColumnName, Hex32, Int, Label, Many, Name, Prose, Time

FORMAT = "sealroom/agreement/v1"
Seconds = Annotated[int, Int(0, 366 * 86400)]
IdentifierKind = Literal[
    "email", "phone", "given_name", "family_name", "full_name", "date_of_birth", "postcode", "national_id"
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """How a party consents to a release: at once, or when `threshold` of its officers (Ed25519 keys) say so."""

    mode: Literal["auto", "manual"]
    threshold: Annotated[int, Int(0, 16)]
    officers: Annotated[tuple[Base64, ...], Many(0, 16)]
    deadline: Seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A member: its Ed25519 signing key and its HPKE sealing key (raw public bytes, base64url)."""

    name: Name
    signing_key: Base64
    sealing_key: Base64
    consent: Consent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A declared column. `values` lists every value of a category; `identifier` says what it identifies a person by."""

    name: ColumnName
    type: Literal["int", "float", "bool", "text", "category"]
    identifier: IdentifierKind | None
    values: Annotated[tuple[Label, ...], Many(1, 1000)] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table that an owner brings: one row per entity, told apart by `entity`."""

    name: Name
    owner: Name
    population: Name
    entity: ColumnName
    most_rows: Annotated[int, Int(1, 50_000_000)]
    columns: Annotated[tuple[Column, ...], Many(1, 512)]

    def column(self, name: str) -> Column:
        """The declared column of that name, or UsageError."""
        return _only(self.columns, name, "column")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Code that an owner brings, and how much it sees at once."""

    name: Name
    owner: Name
    lane: Lane


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How entities of two datasets are matched: one-to-one, keys tried in order (SPEC §6.3)."""

    name: Name
    left: Name
    right: Name
    scheme: Literal["waterfall/v1"]
    keys: Annotated[tuple[Annotated[tuple[IdentifierKind, ...], Many(1, 8)], ...], Many(1, 8)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """How many parties must have approved a measurement, and which of them in any case."""

    threshold: Annotated[int, Int(1, 16)]
    mandatory: Annotated[tuple[Name, ...], Many(0, 16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What one owner spends at most on one population: epsilon in millionths, bits in thousandths, runs."""

    owner: Name
    population: Name
    epsilon: Annotated[int, Int(0)]
    bits: Annotated[int, Int(0)]
    runs: Annotated[int, Int(0, 10**6)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Results become visible at multiples of these seconds after the launch; 0 means at once."""

    query: Annotated[int, Int(0, 86400)]
    opaque: Annotated[int, Int(1, 86400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one jail may use. Memory in bytes, times in seconds."""

    memory: Annotated[int, Int(1 << 26, 1 << 40)]
    processor_time: Annotated[int, Int(1, 86400)]
    wall_time: Annotated[int, Int(1, 86400)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One version. Version 1 has `first` and `previous` null; its digest is the agreement's id for ever."""

    format: Literal["sealroom/agreement/v1"]
    title: Prose
    purpose: Prose
    sequence: Annotated[int, Int(1, 10**6)]
    first: Hex32 | None
    previous: Hex32 | None
    not_before: Time
    not_after: Time
    parties: Annotated[tuple[Party, ...], Many(2, 16)]
    operator: Name
    accepts_covert_channel: Annotated[tuple[Name, ...], Many(0, 16)]
    requesters: Names
    platforms: Annotated[tuple[PlatformPolicy, ...], Many(1, 8)]
    launchers: Annotated[tuple[Literal["process", "docker"], ...], Many(1, 2)]
    approvals: Approvals
    datasets: Annotated[tuple[Dataset, ...], Many(1, 16)]
    bundles: Annotated[tuple[Bundle, ...], Many(0, 16)]
    links: Annotated[tuple[Link, ...], Many(0, 16)]
    rules: Annotated[tuple[Rule, ...], Many(1, 64)]
    purses: Annotated[tuple[Purse, ...], Many(0, 64)]
    slots: Slots
    limits: Limits

    @property
    def platform_class(self) -> PlatformClass:
        """The one class of platform that every policy of a checked agreement names."""
        return self.platforms[0].platform_class

    def party(self, name: str) -> Party:
        """The member of that name, or UsageError."""
        return _only(self.parties, name, "party")

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name, or UsageError."""
        return _only(self.datasets, name, "dataset")

    def bundle(self, name: str) -> Bundle:
        """The bundle of that name, or UsageError."""
        return _only(self.bundles, name, "bundle")

    def link(self, name: str) -> Link:
        """The link of that name, or UsageError."""
        return _only(self.links, name, "link")

    def rule(self, name: str) -> Rule:
        """The rule of that name, or UsageError."""
        return _only(self.rules, name, "rule")

    def owner_of(self, object_name: str) -> str:
        """The party that owns the dataset or bundle of that name."""
        objects: tuple[Dataset | Bundle, ...] = (*self.datasets, *self.bundles)
        return _only(objects, object_name, "object").owner


def objects_of(agreement: Agreement, rule: Rule) -> tuple[str, ...]:
    """Names of every dataset and bundle that `rule` reads: the ancestors of its release."""
    link = agreement.link(rule.link)
    return tuple(dict.fromkeys((link.left, link.right, *((rule.code,) if rule.code else ()))))


def affected_owners(agreement: Agreement, rule: Rule, recipient: str) -> tuple[str, ...]:
    """Owners of every ancestor, minus the recipient's own party (SPEC §7.3), sorted."""
    return tuple(sorted({agreement.owner_of(name) for name in objects_of(agreement, rule)} - {recipient}))


class Named(Protocol):
    """Anything in an agreement that is referred to by its name."""

    @property
    def name(self) -> str:
        """The name."""


T = TypeVar("T", bound=Named)


def _only(items: Iterable[T], name: str, what: str) -> T:
    for item in items:
        if item.name == name:
            return item
    raise UsageError(f"there is no {what} called {name!r} in this agreement")
