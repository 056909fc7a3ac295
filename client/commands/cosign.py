"""`sealroom cosign`: sign that a receipt was seen and holds; brokers of owners do it by themselves.

Runs in: any party.   Believes: the agreement and roots that it pinned.   Spec: §5.7.
"""

from __future__ import annotations

import time

import click

from sealroom.client import choosing, collect, runs, ui
from sealroom.client.ui import Ui
from sealroom.protocol import envelope
from sealroom.protocol.errors import UsageError
from sealroom.protocol.statements import Cosignature


@ui.command("cosign", example="sealroom cosign 3f9c2a")
@click.argument("run")
@click.option("--agreement", metavar="ID", help="By default all.")
def command(ui: Ui, run: str, agreement: str | None) -> None:
    """Verify the receipt of RUN and sign that it holds."""
    home = ui.home()
    gateway = choosing.require_gateway(home)
    found = runs.find(home, gateway, run, agreement=agreement)
    got = collect.collect(home, gateway, found)
    if home.config.party in got.verified.cosigned:
        raise UsageError("you have cosigned this receipt already")
    receipt = got.verified.receipt.envelope.digest
    said = Cosignature(
        format="sealroom/cosignature/v1", party=home.config.party, receipt=receipt, created=int(time.time())
    )
    gateway.put_cosignature(found, home.config.party, envelope.sign(said, [home.signing_key()]))
    ui.show({"run": found, "receipt": receipt}, f"cosigned  {receipt}")
