"""Agreements from a spec: `overlap` (how many are shared) and `lookalike` (that, model quality, and an audience).

Runs in: a party.   Believes: cards whose fingerprints a person compared.   Spec: §10.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from sealroom.client import plain
from sealroom.client.card import Card
from sealroom.client.spec_fields import AggregateSpec, ApprovalsSpec, DatasetSpec, EstimateSpec, Spec
from sealroom.protocol import consistency, schema, terms
from sealroom.protocol.agreement import (
    Agreement,
    Approvals,
    Bundle,
    Column,
    Consent,
    Dataset,
    Limits,
    Link,
    Party,
    Purse,
    Slots,
    affected_owners,
    objects_of,
)
from sealroom.protocol.errors import UsageError
from sealroom.protocol.platform import PlatformPolicy
from sealroom.protocol.rules import (
    AudienceToOwner,
    ColumnOf,
    GroupedAggregates,
    Metrics,
    MetricValue,
    OverlapCount,
    Rule,
    VectorEstimate,
)

Template = Literal["overlap", "lookalike"]
DAY: Final = 86_400
KEYS: Final = (
    ("national_id",), ("email",), ("given_name", "family_name", "phone"), ("full_name", "phone"),
    ("given_name", "family_name", "date_of_birth"), ("full_name", "date_of_birth"),
    ("given_name", "family_name", "postcode"), ("full_name", "postcode"),
)  # fmt: skip
"""Identifiers that say who somebody is, strongest first; a link tries those that both sides declare. A phone alone is
not among them: households and offices share one."""


def draft(
    template: Template,
    spec: Spec,
    *,
    cards: Sequence[Card],
    operator: str,
    platforms: Sequence[PlatformPolicy],
    now: int,
) -> Agreement:
    """Version 1 of an agreement, checked; it begins at `now` (seconds since 1970).

    Raises:
        UsageError: the spec does not say enough for this template.
        Malformed: its parts contradict each other.
    """
    datasets = tuple(_dataset(name, item) for name, item in spec.datasets.items())
    bundles = tuple(Bundle(name=name, owner=item.owner, lane=item.lane) for name, item in spec.bundles.items())
    link = _link(spec, {dataset.name: dataset for dataset in datasets})
    owners = tuple(dict.fromkeys([*(d.owner for d in datasets), *(b.owner for b in bundles)]))
    requesters = spec.requesters or tuple(dict.fromkeys(b.owner for b in bundles)) or owners[:1]
    without_purses = Agreement(
        format="sealroom/agreement/v1", title=spec.title, purpose=spec.purpose, sequence=1, first=None, previous=None,
        not_before=now, not_after=now + spec.days * DAY, parties=tuple(_party(card, spec) for card in cards),
        operator=operator, accepts_covert_channel=spec.accepts_covert_channel, requesters=requesters,
        platforms=tuple(platforms), launchers=spec.launchers,
        approvals=_approvals(spec.approvals, owners), datasets=datasets, bundles=bundles, links=(link,),
        rules=_rules(template, spec, link, requesters), purses=(),
        slots=Slots(query=spec.slots.query, opaque=spec.slots.opaque),
        limits=Limits(**schema.encode(spec.limits)),
    )  # fmt: skip
    return consistency.check(dataclasses.replace(without_purses, purses=_purses(without_purses, spec)))


def _dataset(name: str, spec: DatasetSpec) -> Dataset:
    if spec.most_rows is None:
        raise UsageError(
            f"dataset {name}: `most_rows` is not set", hint=f"set it, or infer it: `--infer {name}=FILE.csv`"
        )
    identifiers = [_column(column, "text", kind) for column, kind in spec.identifiers.items()]
    features = [_feature(name, column, kind) for column, kind in spec.features.items()]
    return Dataset(
        name=name, owner=spec.owner, population=spec.population or name, entity=spec.id, most_rows=spec.most_rows,
        columns=(_column(spec.id, "text", None), *identifiers, *features),
    )  # fmt: skip


def _feature(dataset: str, name: str, kind: str | Sequence[str]) -> Column:
    if not isinstance(kind, str):
        return schema.decode(
            Column, {"name": name, "type": "category", "identifier": None, "values": list(kind)}, dataset
        )
    if kind in ("category", "infer"):
        hint = f"state it, or infer it from its owner's file: `--infer {dataset}=FILE.csv`"
        raise UsageError(f"{dataset}.{name}: the spec leaves open what this column holds", hint=hint)
    return _column(name, kind, None)


def _column(name: str, kind: str, identifier: str | None) -> Column:
    value = {"name": name, "type": kind, "identifier": identifier, "values": None}
    return schema.decode(Column, value, f"column {name}")


def _party(card: Card, spec: Spec) -> Party:
    wish = spec.consent.get(card.name)
    consent = Consent(mode="auto", threshold=0, officers=(), deadline=DAY)
    if wish is not None:
        threshold = wish.threshold if wish.mode == "manual" else 0
        consent = Consent(mode=wish.mode, threshold=threshold, officers=wish.officers, deadline=wish.deadline)
    return Party(name=card.name, signing_key=card.signing_key, sealing_key=card.sealing_key, consent=consent)


def _approvals(spec: ApprovalsSpec, owners: tuple[str, ...]) -> Approvals:
    """What the spec says, else every owner."""
    mandatory = owners if spec.mandatory is None else spec.mandatory
    threshold = max(1, len(mandatory)) if spec.threshold is None else spec.threshold
    if threshold < len(set(mandatory)):  # it would say less than what holds
        hint = "name fewer as `approvals.mandatory`, or raise `approvals.threshold`"
        raise UsageError(
            f"{threshold} approvals cannot be enough: all of {plain.names(mandatory)} must approve", hint=hint
        )
    return Approvals(threshold=threshold, mandatory=mandatory)


def _link(spec: Spec, datasets: Mapping[str, Dataset]) -> Link:
    names = [*datasets, "", ""]
    left, right = spec.link.left or names[0], spec.link.right or names[1]
    for side in (left, right):
        if side not in datasets:
            raise UsageError(
                "a link needs two datasets", hint="declare two, or name them as `link.left` and `link.right`"
            )
    have = [{c.identifier for c in datasets[side].columns} for side in (left, right)]
    shared = [key for key in KEYS if set(key) <= have[0] & have[1]]
    keys = [list(key) for key in spec.link.keys or shared]
    if not keys:
        raise UsageError("the two datasets share no identifiers to link by", hint="declare e-mail, or names with phone")
    value = {"name": "people", "left": left, "right": right, "scheme": "waterfall/v1", "keys": keys}
    return schema.decode(Link, value, "link")


def _rules(template: Template, spec: Spec, link: Link, requesters: tuple[str, ...]) -> tuple[Rule, ...]:
    overlap = OverlapCount(
        type="overlap_count", name="overlap", link=link.name, epsilon=spec.overlap.epsilon, floor=spec.overlap.floor,
        round_to=spec.overlap.round_to, recipients=spec.overlap.recipients or requesters,
    )  # fmt: skip
    grouped = [_aggregate(item, link, requesters) for item in spec.aggregates]
    estimates = [_estimate(item, spec, link, requesters) for item in spec.estimates]
    code = _code_rules(spec, link, requesters) if template == "lookalike" else ()
    return (overlap, *grouped, *estimates, *code)


def _aggregate(spec: AggregateSpec, link: Link, requesters: tuple[str, ...]) -> GroupedAggregates:
    return GroupedAggregates(
        type="grouped_aggregates", name=spec.name, link=link.name, by=_columns(f"aggregate {spec.name}", spec.by),
        segments=spec.segments, sums=spec.sums, epsilon=spec.epsilon, floor=spec.floor,
        recipients=spec.recipients or requesters,
    )  # fmt: skip


def _estimate(spec: EstimateSpec, whole: Spec, link: Link, requesters: tuple[str, ...]) -> VectorEstimate:
    code = [name for name, item in whole.bundles.items() if item.lane == "blocks"]
    bundle = spec.bundle or (code[0] if len(code) == 1 else None)
    if bundle is None:
        hint = "name one of them as `bundle`" if code else 'declare `[bundles.NAME]` with `lane = "blocks"`'
        raise UsageError(f"estimate {spec.name}: the spec has {len(code)} bundles of the lane `blocks`", hint=hint)
    return VectorEstimate(
        type="vector_estimate", name=spec.name, link=link.name, bundle=bundle,
        columns=_columns(f"estimate {spec.name}", spec.columns), coordinates=spec.coordinates, blocks=spec.blocks,
        block_milliseconds=spec.block_milliseconds, at_once=spec.at_once, epsilon=spec.epsilon,
        recipients=spec.recipients or requesters,
    )  # fmt: skip


def _columns(what: str, listed: Sequence[str]) -> tuple[ColumnOf, ...]:
    found = []
    for text in listed:
        dataset, dot, column = text.partition(".")
        if not dot:
            raise UsageError(f"{what}: {text!r} is not `dataset.column`")
        found.append(ColumnOf(dataset, column))
    return tuple(found)


def _code_rules(spec: Spec, link: Link, requesters: tuple[str, ...]) -> tuple[Rule, ...]:
    code = [name for name, item in spec.bundles.items() if item.lane == "whole"]
    if spec.outcome is None or len(code) != 1:
        hint = "set `outcome = {dataset, column, positive}` and one `[bundles.NAME]` of the lane `whole` with its owner"
        raise UsageError("the template lookalike learns one outcome with one bundle of code", hint=hint)
    bundle = code[0]
    candidates = link.right if spec.outcome.dataset == link.left else link.left
    wish = spec.metrics
    values = (
        MetricValue(metric="auc", at_percent=100, least=500, most=1000, step=wish.auc_step),
        MetricValue(metric="lift", at_percent=wish.at_percent, least=0, most=10_000, step=wish.lift_step),
    )
    quality = Metrics(
        type="metrics", name="quality", link=link.name, bundle=bundle, outcome=spec.outcome, candidates=candidates,
        holdout_percent=wish.holdout_percent, values=values, recipients=wish.recipients or requesters,
    )  # fmt: skip
    audience = AudienceToOwner(
        type="audience_to_owner", name="audience", link=link.name, bundle=bundle, outcome=spec.outcome,
        candidates=candidates, percent=spec.audience.percent, floor=spec.audience.floor,
        least_seed=spec.audience.least_seed, recipients=(spec.datasets[candidates].owner,),
    )  # fmt: skip
    return (quality, audience)


def _purses(agreement: Agreement, spec: Spec) -> tuple[Purse, ...]:
    """One purse per population and bundle: what the spec says, else exactly enough for `runs` runs of every rule."""
    wanted = {d.population: d.owner for d in agreement.datasets} | {b.name: b.owner for b in agreement.bundles}
    purses = []
    for population, owner in wanted.items():
        said = spec.purses.get(population)
        if said is not None:
            purse = Purse(
                owner=owner, population=population, epsilon=said.epsilon, bits=said.bits * 1000, runs=said.runs
            )
        else:
            epsilon, bits = _cost_of_a_run(agreement, owner, population)
            runs = spec.runs
            purse = Purse(owner=owner, population=population, epsilon=epsilon * runs, bits=bits * runs, runs=runs)
        purses.append(purse)
    if stray := sorted(set(spec.purses) - set(wanted)):
        raise UsageError(f"the spec has a purse for {stray[0]!r}, which is no population and no bundle")
    return tuple(purses)


def _cost_of_a_run(agreement: Agreement, owner: str, population: str) -> tuple[int, int]:
    """Epsilon (millionths) and bits (thousandths) that one run of all rules takes from one purse at most."""
    mine = {d.name for d in agreement.datasets if d.population == population} | {population}
    status = terms.status_cost(agreement, tuple(rule.name for rule in agreement.rules))
    epsilon, bits = status.epsilon, status.bits
    for rule in agreement.rules:
        if mine & set(objects_of(agreement, rule)):
            times = sum(owner in affected_owners(agreement, rule, recipient) for recipient in rule.recipients)
            cost = terms.cost_of(agreement, rule)
            epsilon, bits = epsilon + cost.epsilon * times, bits + cost.bits * times
    return epsilon, bits
