"""`sealroom approve` and `revoke`: say, and take back, that a program may be given keys.

Runs in: a party.   Believes: what it measured itself.   Spec: §5.1.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import approving, choosing, files, measuring, submitting, ui
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ui import Ui
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused, UsageError


@ui.command("approve", example="sealroom approve --image build/image --days 90")
@click.argument("measurement", required=False)
@click.option("--image", type=click.Path(), metavar="PATH", help="Measure this image and approve what comes out.")
@click.option("--agreement", metavar="ID|FILE", help="By default the only one; a fully signed file is pinned too.")
@click.option("--days", default=90, show_default=True, metavar="N", help="How long the approval holds.")
@click.option("--remark", default="approved", show_default=True, metavar="TEXT", help="For the people who read it.")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the signed approval here.")
def command(
    ui: Ui, measurement: str | None, image: str | None, agreement: str | None, days: int, remark: str,
    output: str | None,
) -> None:  # fmt: skip
    """Approve a measurement for an agreement, in a signed file; send it too if there is a gateway.

    Works offline: what could not be sent waits, and `sealroom submit` sends it.
    """
    if (measurement is None) == (image is None):
        raise UsageError("name a measurement, or an image to measure: `--image PATH`")
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    with measuring.bar(ui, image):
        value = measurement or measuring.measure(Path(str(image))).value
    approval = approving.approve(home, pinned.id, value, days=days, remark=remark)
    sent = _send(ui, home, pinned.id)
    _write(output, approval)
    answer = {"approval": approval.digest, "measurement": value, "agreement": pinned.id, "sent": sent, "file": output}
    ui.show(answer, f"approved   {value}\napproval   {approval.digest}\nsent       {'yes' if sent else 'not yet'}")


@ui.command("revoke", example="sealroom revoke 3f9c2a")
@click.argument("approval")
@click.option("--agreement", metavar="ID", help="By default the only one.")
@click.option("--remark", default="revoked", show_default=True, metavar="TEXT", help="For the people who read it.")
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the signed revocation here."
)
def revoke(ui: Ui, approval: str, agreement: str | None, remark: str, output: str | None) -> None:
    """Take an approval of your own back; name it by the first digits of its digest or measurement."""
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    statement = approving.revoke(home, pinned.id, approving.find(home, pinned.id, approval), remark=remark)
    sent = _send(ui, home, pinned.id)
    _write(output, statement)
    answer = {"revocation": statement.digest, "agreement": pinned.id, "sent": sent, "file": output}
    ui.show(answer, f"revoked    {approval}\nsent       {'yes' if sent else 'not yet'}")


def _send(ui: Ui, home: Home, agreement: str) -> bool:
    """Whether everything that waited was sent; a gateway that cannot be had is no failure of this command."""
    if home.config.gateway is None:
        return False
    try:
        submitting.statements(home, Gateway(home), agreement)
    except (Unreachable, NotAuthorized, Refused) as error:
        ui.say(f"sealroom: note: not sent yet: {error.message}")
        ui.hint("`sealroom submit` sends it later")
        return False
    return True


def _write(output: str | None, statement: Envelope) -> None:
    if output is not None:
        files.write(Path(output), statement.to_bytes() + b"\n", mode=0o644)
