"""`sealroom ledger`: what was spent, and what ends a freeze.

Runs in: an owner, and a party that is asked for its word.   Believes: as `confirming` and `witness` say.   Spec: §10.6.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from sealroom.client import choosing, confirming, files, purses, ui, witness, words
from sealroom.client.desk import Desk
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError


@click.group("ledger", params=ui.early_options(), epilog="\b\nExample:\n  sealroom ledger show")
def command() -> None:
    """See what was spent, and end a freeze: after a backup was restored, a disk was lost, or a home was copied."""


@ui.command("show", example="sealroom ledger show")
def show(ui: Ui) -> None:
    """Check this home's ledger and show every purse, its newest entry, and whether it is frozen.

    The broker of this home must not run meanwhile.
    """
    home = ui.home()
    with Ledger.open(home.root, home.config.party) as ledger:
        (sequence, head), entry = ledger.head(), ledger.frozen()
        spent = {
            purse: (ledger.spent(purse), limit)
            for pinned in home.agreements()
            for purse, limit in purses.limits(pinned.agreement, home.config.party).items()
        }
    lines = [f"entries  {sequence}", f"head     {head}"]
    lines += [f"{purse}: {words.amount(used)} spent of {words.amount(limit)}" for purse, (used, limit) in spent.items()]
    document: dict[str, object] = {"entries": sequence, "head": head, "frozen": None}
    if entry is not None:
        document["frozen"] = {"reason": entry.draft.name, "remark": entry.draft.remark, "challenge": entry.digest}
        lines += [f"FROZEN: {entry.draft.remark}", f"challenge for others to sign: {entry.digest}"]
    ui.show(document, "\n".join(lines))


@ui.command("witness", example="sealroom ledger witness partner --challenge 3f9c...")
@click.argument("party")
@click.option("--challenge", required=True, metavar="HEX", help="What PARTY's `sealroom ledger show` prints.")
@click.option("--agreement", metavar="ID", help="By default the only one.")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="By default PARTY.witness.json.")
def witness_(ui: Ui, party: str, challenge: str, agreement: str | None, output: str | None) -> None:
    """Sign what you hold of PARTY's grants and consents, so that its frozen ledger can be made whole.

    Send the file to PARTY on another way than the gateway. It holds nothing that PARTY had not let go before.
    """
    home = ui.home()
    pinned = choosing.agreement(home, agreement)
    if party not in {member.name for member in pinned.agreement.parties} or party == home.config.party:
        raise UsageError(f"{party} is no other party of this agreement")
    if len(challenge) != 64 or not set(challenge) <= set("0123456789abcdef"):
        raise UsageError("a challenge is 64 hexadecimal digits", hint=f"{party} types `sealroom ledger show`")
    made = witness.make(
        pinned, witness.held(home, choosing.require_gateway(home), pinned), home.signing_key(), party=home.config.party,
        subject=party, challenge=challenge, now=int(time.time()),
    )  # fmt: skip
    path = Path(output or f"{party}.witness.json")
    files.write(path, made.to_bytes(), overwrite=True)
    count = len(made.statements)
    ui.show({"file": str(path), "statements": count}, f"signed: {count} statements of {party} known here\nfile  {path}")


@ui.command("confirm", example="sealroom ledger confirm bank.witness.json")
@click.argument("witnesses", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@click.option("--alone", metavar="REASON", help="Nobody else can be asked: your signed word, kept for auditors.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def confirm(ui: Ui, witnesses: Sequence[str], alone: str | None, *, yes: bool) -> None:
    """End the freeze of this home's ledger with the word of another party of each agreement.

    Whatever they or the gateway hold of this party and its ledger lacks is charged first, to every purse of this party.
    Make sure that no other copy of this home is in use.
    """
    home = ui.home()
    brought = [witness.load(Path(path)) for path in witnesses]
    with _desk(home) as desk:
        if alone is not None:
            ui.say(confirming.WARNING)
        ui.confirm("is this the only copy of this home in use, and shall its ledger live?", yes=yes)
        done = confirming.confirm(desk, brought, alone=alone)
    text = [f"charged again: {len(done.adopted)} statements that this ledger did not know"]
    text += [f"confirmed by {name}" for name in done.parties]
    text += [f"confirmed by nobody else: agreement {name[:12]}" for name in done.alone]
    document = {
        "adopted": [entry.draft.name for entry in done.adopted], "confirmed_by": list(done.parties),
        "alone": list(done.alone), "confirmation": done.statement.digest,
    }  # fmt: skip
    ui.show(document, "\n".join(text))


@contextlib.contextmanager
def _desk(home: Home) -> Iterator[Desk]:
    gateway = choosing.require_gateway(home)
    home.signing_key()
    with contextlib.suppress(Unreachable, NotAuthorized):
        choosing.fetch(home, gateway)
    with Ledger.open(home.root, home.config.party) as ledger:
        yield Desk(home, gateway, ledger)


for _sub in (show, witness_, confirm):
    command.add_command(_sub)
