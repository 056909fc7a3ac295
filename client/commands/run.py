"""`sealroom run`: ask for a run, after showing what it may cost whom.

Runs in: a requester.   Believes: the pinned agreement.   Spec: §5.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from sealroom.client import choosing, plain, runs, ui, watching, words
from sealroom.client.runs import Prepared
from sealroom.client.ui import Ui
from sealroom.protocol import schema, terms
from sealroom.protocol.errors import UsageError


@ui.command("run", example="sealroom run --rules overlap,audience --wait")
@click.option("--rules", default="", metavar="A,B", help="By default every rule of the agreement.")
@click.option("--agreement", metavar="ID", help="By default the only one.")
@click.option("--object", "objects", multiple=True, metavar="NAME=DIGEST", help="Which one, if it was sealed twice.")
@click.option("--deadline", default=runs.DEADLINE, show_default=True, metavar="SECONDS", help="Owners answer by then.")
@click.option("--wait", is_flag=True, help="Wait until the run has ended.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked for and what it may cost whom; ask for nothing.")
def command(  # noqa: PLR0913 (one argument for each option)
    ui: Ui, rules: str, agreement: str | None, objects: Sequence[str], deadline: int, *, wait: bool, yes: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Ask for a run over the sealed objects that lie at the gateway.

    Shows first what the run may cost each owner. Owners' brokers then challenge, appraise and grant by themselves.
    """
    home = ui.home()
    gateway = choosing.require_gateway(home)
    prepared = runs.prepare(
        home, gateway, rules=[rule for rule in rules.split(",") if rule], agreement=agreement,
        objects=dict(_choice(text) for text in objects), deadline=deadline,
    )  # fmt: skip
    if prepared.again:
        ui.say("this was asked before, and the gateway did not say that it has it: the same request is sent again")
    for line in cost_lines(prepared):
        ui.say(line)
    answer = {
        "agreement": prepared.pinned.id, "rules": list(prepared.rules), "costs": schema.encode(prepared.costs),
    }  # fmt: skip
    if dry_run:
        ui.show({"dry_run": True, **answer}, "nothing was asked for")
        return
    ui.confirm("ask for this run?", yes=yes)
    state = runs.send(gateway, prepared)
    if wait:
        state = watching.until_ended(ui, gateway, prepared.run).state
    ui.show({"run": prepared.run, "state": state, **answer}, f"run    {prepared.run}\nstate  {state}")
    ui.hint(f"{'sealroom results' if wait else 'sealroom watch'} {prepared.run[:12]}")


def cost_lines(prepared: Prepared) -> list[str]:
    """What each owner may be charged, for the person who asks."""
    agreement = prepared.pinned.agreement
    lines = [f"asks for: {plain.names(prepared.rules)}"]
    for owner, purses in prepared.costs.items():
        lines += [f"may cost {owner}, from {purse}: {words.amount(charge)}" for purse, charge in purses.items()]
    opaque = any(terms.is_opaque(agreement.rule(name)) for name in prepared.rules)
    slot = agreement.slots.opaque if opaque else agreement.slots.query
    lines.append(f"results show at multiples of {plain.duration(slot)} after the launch" if slot else "no slots")
    return lines


def _choice(text: str) -> tuple[str, str]:
    name, equals, digest = text.partition("=")
    if not (name and equals and digest) or not set(digest) <= set("0123456789abcdef"):
        raise UsageError(f"{text!r} is not NAME=DIGEST")
    return name, digest
