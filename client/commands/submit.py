"""`sealroom submit`: send what is ready to the gateway.

Runs in: a party.   Believes: nothing that the gateway answers.   Spec: §8.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from sealroom.client import choosing, sending, ui
from sealroom.client.ui import Ui


@ui.command("submit", example="sealroom submit")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--agreement", metavar="ID|FILE", help="By default the only one; a fully signed file is pinned too.")
def command(ui: Ui, names: Sequence[str], agreement: str | None) -> None:
    """Send the agreement, approvals that wait, and sealed objects (all, or those named) to the gateway.

    An upload that was interrupted goes on where it stopped. The first version of an agreement is registered by the
    operator; later ones by any party.
    """
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    sent = sending.send(ui, home, pinned, names)
    counts = [f"{len(sent[key])} {key}" for key in ("versions", "statements", "objects")]
    ui.show({"agreement": pinned.id, **sent}, f"sent {', '.join(counts)}")
