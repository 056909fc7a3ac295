"""`sealroom stop`: end this party's part in an agreement at once.

Runs in: a party.   Believes: nothing.   Spec: §5.2.
"""

from __future__ import annotations

import time

import click

from sealroom.client import choosing, outbox, submitting, ui
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ui import Ui
from sealroom.protocol import envelope, wire
from sealroom.protocol.errors import Refused
from sealroom.protocol.statements import Stop


@ui.command("stop", example="sealroom stop 3f9c2a --reason 'contract ended'")
@click.argument("agreement", required=False)
@click.option("--reason", default="stopped", show_default=True, metavar="TEXT", help="Others will read it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(ui: Ui, agreement: str | None, reason: str, *, yes: bool) -> None:
    """End this party's part in AGREEMENT: its broker grants and releases nothing more, from now on.

    Needs nobody's agreement and no gateway. It cannot be taken back; going on takes a new agreement.
    """
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    ui.confirm(f"stop {pinned.agreement.title} ({pinned.id[:12]}) for good?", yes=yes)
    stop = Stop(
        format="sealroom/stop/v1", party=home.config.party, agreement=pinned.id, created=int(time.time()), remark=reason
    )
    signed = envelope.sign(stop, [home.signing_key()])
    outbox.put(home, pinned.id, signed)  # from here on this home's broker obeys it
    sent, ended = _tell(ui, home, pinned.id)
    answer = {"stop": signed.digest, "agreement": pinned.id, "sent": sent, "runs": ended}
    ui.show(answer, f"stopped  {pinned.id}\nsent     {'yes' if sent else 'not yet'}")


def _tell(ui: Ui, home: Home, agreement: str) -> tuple[bool, list[str]]:
    """Send the stop and end what runs; the stop holds here whether or not anybody hears it."""
    ended: list[str] = []
    if home.config.gateway is None:
        return False, ended
    try:
        gateway = Gateway(home)
        submitting.statements(home, gateway, agreement)
        for entry in gateway.runs(agreement):
            if entry.state not in wire.RUN_FINAL_STATES:
                gateway.stop_run(entry.run)
                ended.append(entry.run)
    except (Unreachable, NotAuthorized, Refused) as error:
        ui.say(f"sealroom: note: the gateway does not know yet: {error.message}")
        ui.hint("`sealroom submit` tells it later; your own broker obeys already")
        return False, ended
    return True, ended
