"""`sealroom broker`: this party's key broker.

Runs in: an owner.   Believes: its home, its ledger, and what it verified.   Spec: §10.5.
"""

from __future__ import annotations

import contextlib
import time

import click

from sealroom.client import advice, choosing, journal, liveness, ui
from sealroom.client import service as services
from sealroom.client.broker import Broker
from sealroom.client.desk import Event
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.ledger import Ledger
from sealroom.client.ui import Ended, Ui, check_lines, checks
from sealroom.protocol.errors import UsageError


@ui.command("broker", example="sealroom broker --watch")
@click.option("--watch", is_flag=True, help="Keep answering until interrupted.")
@click.option("--once", is_flag=True, help="Answer what waits now, and end (the default).")
@click.option("--service", is_flag=True, help="As --watch, for a service manager: a log of closed events on stderr.")
@click.option("--health", is_flag=True, help="Say whether this home's broker lives; takes no passphrase.")
@click.option("--every", default=1.0, show_default=True, metavar="SECONDS", help="How often to look.")
def command(ui: Ui, *, watch: bool, once: bool, service: bool, health: bool, every: float) -> None:
    """Answer for this party: challenge new runs, appraise evidence, grant keys, consent to releases, cosign receipts.

    It only calls out. Everything is charged to this party's ledger before it is let go. What the agreement leaves to
    people waits in `sealroom inbox`. One broker per home; it may be killed and started again at any time. With --watch
    --json, each event is one line of JSON.

    Before you start a broker from a backup of its home: the ledger may be older than what this party signed since. The
    broker compares it with this party's own statements, and freezes rather than spend anything twice; `sealroom ledger`
    ends the freeze.
    """
    if watch + once + service + health > 1 or not 0.05 <= every <= 3600:
        raise UsageError("say one of `--once`, `--watch`, `--service`, `--health`, and look every 0.05 to 3600 seconds")
    home = ui.home()
    if health:
        sign = liveness.check(home.root, now=time.time())
        ui.show({"state": sign.state, "looked": sign.looked}, f"broker  {sign.state}")
        return
    gateway = choosing.require_gateway(home)
    home.signing_key(), home.sealing_key()
    # Whoever keeps asking may ask before the operator has registered the agreement.
    with contextlib.suppress(Unreachable, *((NotAuthorized,) if service or watch else ())):
        choosing.fetch(home, gateway)
    with Ledger.open(home.root, home.config.party) as ledger:
        broker = Broker(home, gateway, ledger, clock=time.time)
        if service:
            with services.leaving() as told:
                services.Service(broker.step, home.root, journal.to_stderr()).run(told, every=every)
        elif watch:
            _watch(ui, broker, every)
        else:
            _once(ui, broker)


def _once(ui: Ui, broker: Broker) -> None:
    """One step; what was refused in it decides how the command ends."""
    events = broker.step()
    refused = [event for event in events if event.error is not None]
    for event in events:
        ui.say(line(event))
        if event not in refused[:1]:  # the checks of the first refusal end the command's talk
            _say_checks(ui, event)
        if event.error is not None and not (event in refused[:1] and event.error.hint):  # as does its own hint
            ui.hint(advice.of(event.error))
    document = {"events": [_document(event) for event in events]}
    if refused and refused[0].error is not None:
        raise Ended(refused[0].error, document)
    ui.show(document, f"{len(events)} things done")


def _watch(ui: Ui, broker: Broker, every: float) -> None:
    """Step for ever; a gateway that does not answer is asked again, and nothing is said twice in a row."""
    ui.say("broker: answering; stop it with ctrl-c")
    said: set[str] = set()
    while True:
        try:
            events = broker.step()
        except (Unreachable, NotAuthorized) as error:
            events = [Event("no", "", f"{error.message}; trying again", error)]
        for event in events:
            if line(event) not in said:
                ui.say(line(event))
                _say_checks(ui, event)
                if event.error is not None:
                    ui.hint(advice.of(event.error))
                ui.event(_document(event))
        said = {line(event) for event in events}
        time.sleep(every)


def line(event: Event) -> str:
    """One line of talk about an event; what is not about a run is the broker's own."""
    code = getattr(event.error, "code", "")
    where = f"{event.run[:12]}  {event.kind}" if event.run else "broker"
    return f"{where}: {event.text}" + (f" [{code}]" if code else "")


def _say_checks(ui: Ui, event: Event) -> None:
    for text in check_lines(event.error):
        ui.say(f"  {text}")


def _document(event: Event) -> dict[str, object]:
    """An event for programs; a refusal of evidence has every check that was made."""
    hint = None if event.error is None else advice.of(event.error)
    code = getattr(event.error, "code", None)
    document = {"kind": event.kind, "run": event.run, "text": event.text, "code": code, "hint": hint}
    made = checks(event.error)
    return document if made is None else {**document, "checks": made}
