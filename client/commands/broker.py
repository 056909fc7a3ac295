"""`sealroom broker`: this party's key broker.

Runs in: an owner.   Believes: its home, its ledger, and what it verified.   Spec: §10.5.
"""

from __future__ import annotations

import contextlib
import time

import click

from sealroom.client import choosing, ui
from sealroom.client.broker import Broker
from sealroom.client.desk import Event
from sealroom.client.errors import Unreachable
from sealroom.client.ledger import Ledger
from sealroom.client.ui import Ui
from sealroom.protocol.errors import SealroomError, UsageError


@ui.command("broker", example="sealroom broker --watch")
@click.option("--watch", is_flag=True, help="Keep answering until interrupted.")
@click.option("--once", is_flag=True, help="Answer what waits now, and end (the default).")
@click.option("--every", default=1.0, show_default=True, metavar="SECONDS", help="How often to look.")
def command(ui: Ui, *, watch: bool, once: bool, every: float) -> None:
    """Answer for this party: challenge new runs, appraise evidence, grant keys, consent to releases, cosign receipts.

    It only calls out. Everything is charged to this party's ledger before it is let go. What the agreement leaves to
    people waits in `sealroom inbox`. One broker per home; it may be killed and started again at any time.
    """
    if (watch and once) or not 0.05 <= every <= 3600:
        raise UsageError("say `--watch` or `--once`, and look every 0.05 to 3600 seconds")
    home = ui.home()
    gateway = choosing.require_gateway(home)
    home.signing_key(), home.sealing_key()
    with contextlib.suppress(Unreachable):
        choosing.fetch(home, gateway)
    with Ledger.open(home.root, home.config.party) as ledger:
        broker = Broker(home, gateway, ledger, clock=time.time)
        if watch:
            _watch(ui, broker, every)
        else:
            _once(ui, broker)


def _once(ui: Ui, broker: Broker) -> None:
    """One step; what was refused in it decides how the command ends."""
    events = broker.step()
    for event in events:
        ui.say(line(event))
    errors = [event.error for event in events if event.error is not None]
    if errors:
        raise errors[0]
    ui.show({"events": [_document(event) for event in events]}, f"{len(events)} things done")


def _watch(ui: Ui, broker: Broker, every: float) -> None:
    """Step for ever; a gateway that does not answer is asked again, and nothing is said twice in a row."""
    ui.say("broker: answering; stop it with ctrl-c")
    said: set[str] = set()
    while True:
        try:
            now = {line(event) for event in broker.step()}
        except Unreachable as error:
            now = {f"broker: {error.message}; trying again"}
        for text in sorted(now - said):
            ui.say(text)
        said = now
        time.sleep(every)


def line(event: Event) -> str:
    """One line of talk about an event."""
    code = getattr(event.error, "code", "")
    return f"{event.run[:12]}  {event.kind}: {event.text}" + (f" [{code}]" if code else "")


def _document(event: Event) -> dict[str, object]:
    error: SealroomError | None = event.error
    return {"kind": event.kind, "run": event.run, "text": event.text, "code": getattr(error, "code", None)}
