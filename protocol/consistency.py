"""Whether the parts of one agreement fit together.

Runs in: every zone but the host.   Believes: nothing.   Spec: §4.3.   Standard library only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

from sealroom.protocol import terms
from sealroom.protocol.agreement import Agreement, Column, Dataset, Link, Named, Party
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import AudienceToOwner, ColumnOf, GroupedAggregates, Metrics, Rule, VectorEstimate

MOST_CELLS = 1000
MOST_GRID_POINTS = 10_000
_SIGNING_KEY = 32
_SEALING_KEY = 1184 + 32  # ML-KEM-768, X25519


def check(agreement: Agreement) -> Agreement:
    """Refuse an agreement whose parts contradict each other (SPEC §4.3, numbered there as here).

    Raises:
        Malformed: code `E1.inconsistent`; the message names the part.
    """
    # (1) names are unique, across datasets and bundles too
    for kind, items in _named(agreement):
        _unique([item.name for item in items], kind)
    names = {p.name for p in agreement.parties}
    # (2) every party that is mentioned is a party, has keys of its own, and can consent
    for where, name in _mentioned_parties(agreement):
        _need(name in names, f"{where} names {name!r}, who is not a party")
    _unique([p.signing_key for p in agreement.parties], "signing keys")
    _unique([p.sealing_key for p in agreement.parties], "sealing keys")
    for party in agreement.parties:
        _check_party(party)
    # (3) versions chain
    _need(
        (agreement.sequence == 1) == (agreement.first is None) == (agreement.previous is None),
        "sequence and chain disagree",
    )
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
    # (7) every platform is of one class, so that nobody takes a simulated run for a real one
    _need(len({p.platform_class for p in agreement.platforms}) == 1, "its platforms are of different classes")
    # (8) opaque code next to a colluding operator needs every data owner's word
    _check_operator(agreement)
    return agreement


def _named(a: Agreement) -> Iterable[tuple[str, tuple[Named, ...]]]:
    return (
        ("parties", a.parties),
        ("objects", (*a.datasets, *a.bundles)),
        ("links", a.links),
        ("rules", a.rules),
    )


def _mentioned_parties(a: Agreement) -> Iterable[tuple[str, str]]:
    yield "operator", a.operator
    for where, group in (
        ("accepts_covert_channel", a.accepts_covert_channel),
        ("requesters", a.requesters),
        ("approvals.mandatory", a.approvals.mandatory),
    ):
        for name in group:
            yield where, name
    for owner in [d.owner for d in a.datasets] + [b.owner for b in a.bundles] + [p.owner for p in a.purses]:
        yield "owner", owner
    for rule in a.rules:
        for name in rule.recipients:
            yield f"rule {rule.name}", name


def _check_party(party: Party) -> None:
    _need(_is_key(party.signing_key, _SIGNING_KEY), f"{party.name}: the signing key is not 32 bytes")
    _need(_is_key(party.sealing_key, _SEALING_KEY), f"{party.name}: the sealing key is not {_SEALING_KEY} bytes")
    officers = party.consent.officers
    _unique(officers, f"officers of {party.name}")
    _need(all(_is_key(key, _SIGNING_KEY) for key in officers), f"{party.name}: an officer's key is not 32 bytes")
    # A party that names no officers decides with its own signing key.
    _need(party.consent.threshold <= max(1, len(officers)), f"{party.name}: more officers must agree than there are")


def _is_key(text: str, size: int) -> bool:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return False
    return len(raw) == size and base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text


def _check_dataset(dataset: Dataset) -> None:
    _unique([c.name for c in dataset.columns], f"columns of {dataset.name}")
    for column in dataset.columns:
        _need(
            (column.type == "category") == (column.values is not None),
            f"{dataset.name}.{column.name}: a category, and only a category, lists its values",
        )
        _unique(list(column.values or ()), f"values of {dataset.name}.{column.name}")
        _need(column.identifier is None or column.type == "text", f"{dataset.name}.{column.name}: identifiers are text")
    kinds = [c.identifier for c in dataset.columns if c.identifier]
    _unique(kinds, f"identifier kinds of {dataset.name}")
    _need(
        any(c.name == dataset.entity and c.type == "text" and c.identifier is None for c in dataset.columns),
        f"{dataset.name}: the entity column must be a declared text column that identifies nobody elsewhere",
    )


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
    if isinstance(rule, VectorEstimate):
        _check_estimate(a, rule, (link.left, link.right))
    terms.require_sound(a, rule)
    _need(terms.padded_size(a, rule) <= terms.MOST_PADDED, f"rule {rule.name}: a release may be too large to seal")
    if isinstance(rule, AudienceToOwner):
        _need(
            rule.recipients[0] == a.dataset(rule.candidates).owner,
            f"rule {rule.name}: the recipient must own the candidates",
        )
        _need(
            a.bundle(rule.bundle).owner != rule.recipients[0],
            f"rule {rule.name}: rows may not go to the author of the code",
        )


def _check_grouped(a: Agreement, rule: GroupedAggregates, sides: tuple[str, str]) -> None:
    cells = 1
    _unique([f"{ref.dataset}.{ref.column}" for ref in rule.by], f"cells of {rule.name}")
    _unique([f"{item.dataset}.{item.column}" for item in rule.sums], f"sums of {rule.name}")
    for ref in rule.by:
        values = _column(a, ref, sides).values
        _need(values is not None, f"rule {rule.name}: {ref.column} is not a category")
        cells *= len(values or ())
    if rule.segments is not None:
        _known(a.bundles, rule.segments.bundle)
        _unique(rule.segments.labels, f"labels of {rule.name}")
        cells *= len(rule.segments.labels)
    _need(cells <= MOST_CELLS, f"rule {rule.name}: more than {MOST_CELLS} cells")
    for item in rule.sums:
        kind = _column(a, ColumnOf(item.dataset, item.column), sides).type
        _need(
            kind in ("int", "float") and item.lower < item.upper, f"rule {rule.name}: {item.column} cannot be summed so"
        )


def _check_code_rule(a: Agreement, rule: Metrics | AudienceToOwner, sides: tuple[str, str]) -> None:
    _known(a.bundles, rule.bundle)
    _need(rule.candidates in sides, f"rule {rule.name}: candidates must be one side of the link")
    column = _column(a, ColumnOf(rule.outcome.dataset, rule.outcome.column), sides)
    _need(rule.outcome.dataset != rule.candidates, f"rule {rule.name}: the outcome is a column of the other side")
    _need(
        column.values is not None and rule.outcome.positive in (column.values or ()),
        f"rule {rule.name}: the outcome must be a category that declares {rule.outcome.positive!r}",
    )
    values = rule.values if isinstance(rule, Metrics) else ()
    names = ["auc" if value.metric == "auc" else f"lift at {value.at_percent}" for value in values]
    _unique(names, f"values of {rule.name}")
    for value in values:
        _need(
            value.least < value.most and value.points <= MOST_GRID_POINTS,
            f"rule {rule.name}: the grid of {value.metric} is empty or too fine",
        )


def _check_estimate(a: Agreement, rule: VectorEstimate, sides: tuple[str, str]) -> None:
    _known(a.bundles, rule.bundle)
    _unique([f"{ref.dataset}.{ref.column}" for ref in rule.columns], f"columns of {rule.name}")
    _unique([item.name for item in rule.coordinates], f"coordinates of {rule.name}")
    for ref in rule.columns:
        column = _column(a, ref, sides)
        hidden = column.identifier is not None or ref.column == a.dataset(ref.dataset).entity
        _need(not hidden, f"rule {rule.name}: {ref.column} says who somebody is, and code may not see it")
    for item in rule.coordinates:
        _need(item.least < item.most, f"rule {rule.name}: the bounds of {item.name} leave nothing between them")
    # What a grant is charged for the time of hidden code counts on an end within this limit.
    _need(
        rule.milliseconds <= 1000 * a.limits.wall_time,
        f"rule {rule.name}: its blocks take {-(-rule.milliseconds // 1000)} s one after another, more than wall_time",
    )


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


def _known(items: Iterable[Named], name: str) -> str:
    _need(any(item.name == name for item in items), f"{name!r} is not declared")
    return name


def _unique(names: Sequence[str], what: str) -> None:
    _need(len(set(names)) == len(names), f"{what} are not unique")


def _need(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise Malformed("inconsistent", f"the agreement contradicts itself: {message}")
