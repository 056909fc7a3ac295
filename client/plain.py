"""Rules, costs and times of an agreement in plain words.

Runs in: a party.   Believes: an agreement that was checked.   Spec: §7.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from sealroom.protocol import terms
from sealroom.protocol.agreement import Agreement, Consent, Dataset, Link, affected_owners, objects_of
from sealroom.protocol.keys import SealingPublicKey, VerifyingKey, fingerprint
from sealroom.protocol.rules import Cost, GroupedAggregates, Metrics, OverlapCount, Rule, VectorEstimate

GUARANTEES: Final[Mapping[str, str]] = {
    "F": "formal: a mathematical bound (differential privacy) that holds whatever the hidden code does",
    "C": "capacity: the hidden code may put what it likes into the allowed form, up to the number of bits stated",
    "H": "heuristic: common practice for code that somebody has reviewed, without a proof",
}
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def date(seconds: int) -> str:
    """A moment as a UTC date and time."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def duration(seconds: int) -> str:
    """A number of seconds in its largest whole unit."""
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


def names(items: Iterable[str]) -> str:
    """`a`, `a and b`, or `a, b and c`; `nobody` if there is none."""
    listed = list(items)
    if not listed:
        return "nobody"
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def epsilon(millionths: int) -> str:
    """0.5 for 500,000 millionths."""
    return f"{millionths / 1_000_000:.6f}".rstrip("0").rstrip(".")


def bits(thousandths: int) -> str:
    """Bits with one decimal and thousands separated."""
    return f"{thousandths / 1000:,.1f}"


def cost(charged: Cost) -> str:
    """What is charged, leaving out what is zero."""
    parts = []
    if charged.epsilon:
        parts.append(f"epsilon {epsilon(charged.epsilon)}")
    if charged.bits:
        parts.append(f"{bits(charged.bits)} bits")
    return " and ".join(parts) or "nothing"


def party_fingerprint(signing_key: str, sealing_key: str) -> str:
    """The fingerprint that the party's card shows."""
    return fingerprint(VerifyingKey.parse(signing_key).raw + SealingPublicKey.parse(sealing_key).raw)


def rule(agreement: Agreement, item: Rule) -> str:
    """What leaves by one rule, in one or two sentences."""
    link = agreement.link(item.link)
    sides = f"{link.left} and {link.right}"
    if isinstance(item, OverlapCount):
        return (
            f"one number: how many people are in both {sides}. Random noise is added, the result is rounded to "
            f"{item.round_to}, and anything below {item.floor} is shown only as `below {item.floor}`"
        )
    if isinstance(item, GroupedAggregates):
        return _grouped(agreement, item, sides)
    if isinstance(item, Metrics):
        grids = names(
            f"{v.metric.upper() if v.metric == 'auc' else v.metric} (one of {v.points} values)" for v in item.values
        )
        return (
            f"how good the hidden code {item.bundle} is: {grids}, measured on {item.holdout_percent} % of the shared "
            f"people, whose outcome ({item.outcome.column}) the code was not shown"
        )
    if isinstance(item, VectorEstimate):
        return _estimate(item, sides)
    return (
        f"a list of ids of {item.recipients[0]}'s own people: the {item.percent} % of those in {item.candidates} not "
        f"found in the other dataset whom the hidden code {item.bundle} holds most alike to the positive ones "
        f"({item.outcome.column} = {item.outcome.positive}). No score, no order. Nothing leaves if that is "
        f"fewer than {item.floor:,} ids, or if fewer than {item.least_seed:,} shared people are positive. From its "
        f"length {item.recipients[0]} can work out how many of its people were found"
    )


def _grouped(agreement: Agreement, item: GroupedAggregates, sides: str) -> str:
    what = [
        f"{ref.column} of {ref.dataset} ({len(agreement.dataset(ref.dataset).column(ref.column).values or ())} values)"
        for ref in item.by
    ]
    if item.segments is not None:
        what.append(f"the {len(item.segments.labels)} labels of the hidden query {item.segments.bundle}")
    sums = [f"the sum of {s.column}, each person counted between {s.lower} and {s.upper}" for s in item.sums]
    cells = f"for every combination of {names(what)}" if what else "in total"
    return (
        f"a table about the people in both {sides}, {cells}: {names(['the number of people', *sums])}. Random noise "
        f"is added everywhere, and cells below {item.floor} are shown only as `below {item.floor}`"
    )


def _estimate(item: VectorEstimate, sides: str) -> str:
    numbers = names(f"{c.name} ({_decimal(c.least)} to {_decimal(c.most)})" for c in item.coordinates)
    columns = names(f"{c.dataset}.{c.column}" for c in item.columns)
    count = len(item.coordinates)
    beside = "alone" if item.at_once == 1 else f"with up to {item.at_once - 1} others running beside it"
    return (
        f"{count} number{'' if count == 1 else 's'} about the people in both {sides}: {numbers}. These people are cut "
        f"into {item.blocks} blocks by chance. The hidden code {item.bundle} is started afresh for each block, sees "
        f"{columns} of its people for {item.block_milliseconds} ms, {beside}, "
        f"and says numbers within these bounds; whatever else it says counts as their middle. What leaves is the mean "
        f"over all blocks, with random noise"
    )


def _decimal(thousandths: int) -> str:
    return f"{thousandths / 1000:.3f}".rstrip("0").rstrip(".")


def rule_lines(agreement: Agreement, item: Rule) -> list[str]:
    """The rule as a list of labelled lines: what, to whom, computed from what, guarantee, cost, consent."""
    lines = [f"What leaves: {rule(agreement, item)}.", f"To: {names(item.recipients)}, sealed to their keys."]
    lines.append(f"Computed from: {names(objects_of(agreement, item))}.")
    lines.append(f"Guarantee: {item.guarantee}, {GUARANTEES[item.guarantee]}.")
    for recipient in item.recipients:
        affected = affected_owners(agreement, item, recipient)
        charged = cost(terms.cost_of(agreement, item))
        each = "each of " if len(affected) > 1 else ""
        lines.append(
            f"Cost when {recipient} receives it: {charged}, charged to {each}{names(affected)}, who must consent."
        )
    return lines


def consent(party: str, item: Consent) -> str:
    """How one party says yes."""
    if item.mode == "auto":
        return f"{party}'s broker consents at once when the agreement and the budget allow it."
    count = len(item.officers)
    who = f"{item.threshold} of {count} named officers" if count else "a person with its signing key"
    return f"At {party}, {who} must say yes within {duration(item.deadline)}; silence releases nothing."


def columns(dataset: Dataset) -> list[str]:
    """One line each for the id, the identifiers, and the other columns with what they may hold."""
    lines = [f"id column: {dataset.entity} (never shown to the code)"]
    identifiers = [f"{c.name} ({c.identifier})" for c in dataset.columns if c.identifier]
    lines.append(f"identifiers, used for matching only and never shown to the code: {names(identifiers)}")
    rest = [c for c in dataset.columns if c.identifier is None and c.name != dataset.entity]
    lines.append(f"columns the code may read: {names(f'{c.name} ({_kind(c.type, c.values)})' for c in rest)}")
    return lines


def link(item: Link) -> str:
    """How people are matched."""
    keys = [" with ".join(kind.replace("_", " ") for kind in key) for key in item.keys]
    return f"People in {item.left} and {item.right} are matched one to one by {', else by '.join(keys)}."


def _kind(kind: str, values: tuple[str, ...] | None) -> str:
    return kind if values is None else f"one of {len(values)} values"
