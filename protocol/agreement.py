"""The one document that all parties sign; everything else hangs from its digest.

Runs in: every zone but the host.   Believes: nothing.   Spec: §4.   Standard library only (the engine imports it).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.platform import PlatformPolicy
from sealroom.protocol.rules import AudienceToOwner, ColumnOf, GroupedAggregates, Metrics, Names, OverlapCount, Rule
from sealroom.protocol.schema import Base64, ColumnName, Count, Epsilon, Hex32, Int, Label, Many, Name, Prose, Time

FORMAT = "sealroom/agreement/v1"
Seconds = Annotated[int, Int(0, 366 * 86400)]
IdentifierKind = Literal["email", "phone", "given_name", "family_name", "full_name", "date_of_birth", "postcode", "national_id"]
Lane = Literal["query", "whole"]


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
    status_recipients: Names
    purses: Annotated[tuple[Purse, ...], Many(0, 64)]
    slots: Slots
    limits: Limits

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
        return _only((*self.datasets, *self.bundles), object_name, "object").owner


def objects_of(agreement: Agreement, rule: Rule) -> tuple[str, ...]:
    """Names of every dataset and bundle that `rule` reads: the ancestors of its release."""
    link = agreement.link(rule.link)
    code = rule.bundle if isinstance(rule, (Metrics, AudienceToOwner)) else None
    if isinstance(rule, GroupedAggregates) and rule.segments is not None:
        code = rule.segments.bundle
    return tuple(dict.fromkeys((link.left, link.right, *((code,) if code else ()))))


def affected_owners(agreement: Agreement, rule: Rule, recipient: str) -> tuple[str, ...]:
    """Owners of every ancestor, minus the recipient's own party (SPEC §7.3), sorted."""
    return tuple(sorted({agreement.owner_of(name) for name in objects_of(agreement, rule)} - {recipient}))


def check(agreement: Agreement) -> Agreement:
    """Refuse an agreement whose parts contradict each other (SPEC §4.3, numbered there as here).

    Raises:
        Malformed: code `E1.inconsistent`; the message names the part.
    """
    # (1) names are unique, across datasets and bundles too
    for kind, items in _named(agreement):
        _unique([item.name for item in items], kind)
    names = {p.name for p in agreement.parties}
    # (2) every party that is mentioned is a party
    for where, party in _mentioned_parties(agreement):
        _need(party in names, f"{where} names {party!r}, who is not a party")
    # (3) versions chain
    _need((agreement.sequence == 1) == (agreement.first is None) == (agreement.previous is None), "sequence and chain disagree")
    _need(agreement.not_before < agreement.not_after, "it ends before it begins")
    # (4) columns: category values, identifiers, the entity column exist
    for dataset in agreement.datasets:
        _check_dataset(dataset)
    # (5) approvals can be met; purses exist for every dataset and bundle
    _need(agreement.approvals.threshold <= len(names), "more approvals needed than there are parties")
    _check_purses(agreement)
    # (6) links and rules refer to what exists and lanes are those that the rule is sound for
    for link in agreement.links:
        _check_link(agreement, link)
    for rule in agreement.rules:
        _check_rule(agreement, rule)
    # (7) opaque code next to a colluding operator needs every data owner's word
    _check_operator(agreement)
    return agreement


def _named(a: Agreement) -> Iterable[tuple[str, tuple[Party | Dataset | Bundle | Link | Rule, ...]]]:
    return (
        ("parties", a.parties), ("objects", (*a.datasets, *a.bundles)), ("links", a.links), ("rules", a.rules),
    )


def _mentioned_parties(a: Agreement) -> Iterable[tuple[str, str]]:
    yield "operator", a.operator
    for where, group in (("accepts_covert_channel", a.accepts_covert_channel), ("requesters", a.requesters),
                         ("approvals.mandatory", a.approvals.mandatory), ("status_recipients", a.status_recipients)):
        for name in group:
            yield where, name
    for item in (*a.datasets, *a.bundles, *a.purses):
        yield "owner", item.owner
    for rule in a.rules:
        for name in rule.recipients:
            yield f"rule {rule.name}", name


def _check_dataset(dataset: Dataset) -> None:
    _unique([c.name for c in dataset.columns], f"columns of {dataset.name}")
    for column in dataset.columns:
        _need((column.type == "category") == (column.values is not None),
              f"{dataset.name}.{column.name}: a category, and only a category, lists its values")
        _unique(list(column.values or ()), f"values of {dataset.name}.{column.name}")
        _need(column.identifier is None or column.type == "text", f"{dataset.name}.{column.name}: identifiers are text")
    kinds = [c.identifier for c in dataset.columns if c.identifier]
    _unique(kinds, f"identifier kinds of {dataset.name}")
    _need(any(c.name == dataset.entity and c.type == "text" and c.identifier is None for c in dataset.columns),
          f"{dataset.name}: the entity column must be a declared text column that identifies nobody elsewhere")


def _check_purses(a: Agreement) -> None:
    keys = [f"{p.owner}/{p.population}" for p in a.purses]
    _unique(keys, "purses")
    for dataset in a.datasets:
        _need(f"{dataset.owner}/{dataset.population}" in keys, f"no purse for {dataset.owner}/{dataset.population}")
    for bundle in a.bundles:
        _need(f"{bundle.owner}/{bundle.name}" in keys, f"no purse for the bundle {bundle.owner}/{bundle.name}")


def _check_link(a: Agreement, link: Link) -> None:
    left, right = a.dataset(_known(a.datasets, link.left)), a.dataset(_known(a.datasets, link.right))
    _need(left.name != right.name and left.owner != right.owner, f"link {link.name}: joins two owners' datasets")
    for side in (left, right):
        have = {c.identifier for c in side.columns}
        for kind in {k for key in link.keys for k in key}:
            _need(kind in have, f"link {link.name}: {side.name} declares no {kind} column")


def _check_rule(a: Agreement, rule: Rule) -> None:
    link = a.link(_known(a.links, rule.link))
    _unique(list(rule.recipients), f"recipients of {rule.name}")
    if isinstance(rule, GroupedAggregates):
        _check_grouped(a, rule, (link.left, link.right))
    if isinstance(rule, (Metrics, AudienceToOwner)):
        _check_code_rule(a, rule, (link.left, link.right))
    if isinstance(rule, AudienceToOwner):
        _need(rule.recipients[0] == a.dataset(rule.candidates).owner, f"rule {rule.name}: the recipient must own the candidates")
        _need(all(c.owner != rule.recipients[0] for c in (a.bundle(rule.bundle),)),
              f"rule {rule.name}: rows may not go to the author of the code")


def _check_grouped(a: Agreement, rule: GroupedAggregates, sides: tuple[str, str]) -> None:
    cells = 1
    for ref in rule.by:
        values = _column(a, ref, sides).values
        _need(values is not None, f"rule {rule.name}: {ref.column} is not a category")
        cells *= len(values or ())
    if rule.segments is not None:
        bundle = a.bundle(_known(a.bundles, rule.segments.bundle))
        _need(bundle.lane in rule.lanes, f"rule {rule.name}: not sound for the lane {bundle.lane!r}")
        cells *= len(rule.segments.labels)
    _need(cells <= 1000, f"rule {rule.name}: more than 1,000 cells")
    for item in rule.sums:
        kind = _column(a, ColumnOf(item.dataset, item.column), sides).type
        _need(kind in ("int", "float") and item.lower < item.upper, f"rule {rule.name}: {item.column} cannot be summed so")


def _check_code_rule(a: Agreement, rule: Metrics | AudienceToOwner, sides: tuple[str, str]) -> None:
    bundle = a.bundle(_known(a.bundles, rule.bundle))
    _need(bundle.lane in rule.lanes, f"rule {rule.name}: not sound for the lane {bundle.lane!r}")
    _need(rule.candidates in sides, f"rule {rule.name}: candidates must be one side of the link")
    column = _column(a, ColumnOf(rule.outcome.dataset, rule.outcome.column), sides)
    _need(rule.outcome.dataset != rule.candidates, f"rule {rule.name}: the outcome is a column of the other side")
    _need(column.values is not None and rule.outcome.positive in (column.values or ()),
          f"rule {rule.name}: the outcome must be a category that declares {rule.outcome.positive!r}")
    for value in rule.values if isinstance(rule, Metrics) else ():
        _need(value.least < value.most and value.points <= 10_000, f"rule {rule.name}: the grid of {value.metric} is empty or too fine")


def _check_operator(a: Agreement) -> None:
    code_owners = {b.owner for b in a.bundles if b.lane != "query"}
    if a.operator in code_owners:
        silent = {d.owner for d in a.datasets} - {a.operator} - set(a.accepts_covert_channel)
        _need(not silent, f"the operator owns opaque code; {', '.join(sorted(silent))} must accept the covert channel")


def _column(a: Agreement, ref: ColumnOf, sides: tuple[str, str]) -> Column:
    _need(ref.dataset in sides, f"{ref.dataset} is not a side of the link")
    dataset = a.dataset(ref.dataset)
    _need(any(c.name == ref.column for c in dataset.columns), f"{ref.dataset} declares no column {ref.column!r}")
    return dataset.column(ref.column)


def _known(items: Iterable[Party | Dataset | Bundle | Link | Rule], name: str) -> str:
    _need(any(item.name == name for item in items), f"{name!r} is not declared")
    return name


def _unique(names: list[str], what: str) -> None:
    _need(len(set(names)) == len(names), f"{what} are not unique")


def _need(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise Malformed("inconsistent", f"the agreement contradicts itself: {message}")


T = TypeVar("T", Party, Dataset, Bundle, Link, Rule, Column)


def _only(items: Iterable[T], name: str, what: str) -> T:
    for item in items:
        if item.name == name:
            return item
    raise UsageError(f"there is no {what} called {name!r} in this agreement")
