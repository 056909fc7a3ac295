"""What a release would tell, and cost, in lines for a person who decides about it.

Runs in: a party.   Believes: an agreement that was checked.   Spec: §7.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from sealroom.client import plain
from sealroom.client.entries import NOTHING, Amount
from sealroom.protocol.agreement import Agreement, affected_owners
from sealroom.protocol.rules import Rule

_WIDTH = 400
PLATFORMS = {
    "simulated": "SIMULATED platform: whoever operates the machine can read and forge everything",
    "confidential-hardware": "confidential hardware: the operator cannot read or forge, short of opening the machine",
}


def question(agreement: Agreement, rule: Rule, recipient: str) -> tuple[str, ...]:
    """What leaves, to whom, about whose data or code, under which guarantee, on which class of platform."""
    owners = plain.names(affected_owners(agreement, rule, recipient))
    lines = (
        f"what leaves: {plain.rule(agreement, rule)}",
        f"to whom: {recipient}, sealed to its key; it speaks of what {owners} brought",
        f"guarantee: {rule.guarantee}, {plain.GUARANTEES[rule.guarantee]}",
        f"platform: {PLATFORMS[agreement.platform_class]}",
    )
    return tuple(part for line in lines for part in textwrap.wrap(line, _WIDTH))


def costs(charges: Mapping[str, Amount], left: Mapping[str, Amount]) -> tuple[str, ...]:
    """One line per purse: what is charged, and what is left after it."""
    return tuple(
        f"cost: {amount(charge)} from the purse {purse}; afterwards it holds {amount(left[purse])}"
        for purse, charge in charges.items()
    )


def amount(value: Amount) -> str:
    """An amount for people, without the parts that are zero."""
    runs = f"{value.runs} run" + ("" if value.runs == 1 else "s")
    parts = (
        (value.epsilon, f"epsilon {plain.epsilon(value.epsilon)}"),
        (value.bits, f"{plain.bits(value.bits)} bits"),
        (value.runs, runs),
    )
    return ", ".join(text for there, text in parts if there) or "nothing"


def left_after(
    limits: Mapping[str, Amount], spent: Mapping[str, Amount], charges: Mapping[str, Amount]
) -> dict[str, Amount]:
    """What each charged purse still holds after the charge, never less than nothing."""
    left = {}
    for purse, charge in charges.items():
        gone, limit = spent[purse] + charge, limits.get(purse, NOTHING)
        left[purse] = Amount(
            epsilon=max(0, limit.epsilon - gone.epsilon),
            bits=max(0, limit.bits - gone.bits),
            runs=max(0, limit.runs - gone.runs),
        )
    return left
