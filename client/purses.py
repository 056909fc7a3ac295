"""Which purses a run and a release charge, and how much: from the agreement alone.

Runs in: an owner's broker.   Believes: the pinned agreement.   Spec: §7.2.

A purse belongs to an owner and a population (for datasets) or a bundle (by its name). What is spent on a population
stays spent under every later agreement.
"""

from __future__ import annotations

from collections.abc import Iterable

from sealroom.client.entries import NOTHING, Amount
from sealroom.protocol import terms
from sealroom.protocol.agreement import Agreement, affected_owners, objects_of
from sealroom.protocol.rules import Cost, Rule


def limits(agreement: Agreement, party: str) -> dict[str, Amount]:
    """What the party's purses hold in all."""
    return {
        purse.population: Amount(epsilon=purse.epsilon, bits=purse.bits, runs=purse.runs)
        for purse in agreement.purses
        if purse.owner == party
    }


def purses_of(agreement: Agreement, party: str, objects: Iterable[str]) -> tuple[str, ...]:
    """The party's purses that these objects draw on, sorted."""
    populations = {dataset.name: dataset.population for dataset in agreement.datasets}
    return tuple(sorted({populations.get(name, name) for name in objects if agreement.owner_of(name) == party}))


def run_charges(agreement: Agreement, party: str, rules: tuple[str, ...]) -> dict[str, Amount]:
    """What a grant debits in advance: one run, and the bits of the run's closed outcomes and of its time."""
    charge = amount(terms.status_cost(agreement, rules), runs=1)
    return dict.fromkeys(purses_of(agreement, party, terms.required_objects(agreement, rules)), charge)


def release_charges(agreement: Agreement, party: str, rule: Rule) -> dict[str, Amount]:
    """What one release by `rule` debits from each of the party's purses that it draws on."""
    charge = amount(terms.cost_of(agreement, rule))
    return dict.fromkeys(purses_of(agreement, party, objects_of(agreement, rule)), charge)


def all_charges(agreement: Agreement, party: str, rules: tuple[str, ...]) -> dict[str, Amount]:
    """What a run debits if every rule is released to every recipient."""
    total = run_charges(agreement, party, rules)
    for rule in map(agreement.rule, rules):
        for recipient in rule.recipients:
            if party in affected_owners(agreement, rule, recipient):
                for purse, charge in release_charges(agreement, party, rule).items():
                    total[purse] = total.get(purse, NOTHING) + charge
    return total


def amount(cost: Cost, *, runs: int = 0) -> Amount:
    """A cost as an amount."""
    return Amount(epsilon=cost.epsilon, bits=cost.bits, runs=runs)
