"""`sealroom submit`: send what is ready to the gateway.

Runs in: a party.   Believes: nothing that the gateway answers.   Spec: §8.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from sealroom.client import choosing, sending, submitting, ui
from sealroom.client.ui import Ui


@ui.command("submit", example="sealroom submit")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--agreement", metavar="ID|FILE", help="By default the only one; a fully signed file is pinned too.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def command(ui: Ui, names: Sequence[str], agreement: str | None, *, dry_run: bool) -> None:
    """Send the agreement, approvals that wait, and sealed objects (all, or those named) to the gateway.

    An upload that was interrupted goes on where it stopped. The first version of an agreement is registered by the
    operator; later ones by any party.
    """
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    if dry_run:
        plan = submitting.plan(home, choosing.require_gateway(home), pinned, names)
        ui.show({"dry_run": True, "agreement": pinned.id, **dataclasses.asdict(plan)}, "\n".join(plan.lines()))
        return
    sent = sending.send(ui, home, pinned, names)
    counts = [f"{len(sent[key])} {key}" for key in ("versions", "statements", "objects")]
    ui.show({"agreement": pinned.id, **sent}, f"sent {', '.join(counts)}")
