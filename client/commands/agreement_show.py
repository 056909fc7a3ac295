"""`sealroom agreement show` and `diff`.

Runs in: a party.   Believes: signatures that it verified, and it says which.   Spec: §4.4.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import agreeing, choosing, lawyers, plain, ui
from sealroom.client import diff as differences
from sealroom.client.agreeing import Document
from sealroom.client.ui import Ui
from sealroom.protocol import schema
from sealroom.protocol.agreement import Agreement


@ui.command("show", example="sealroom agreement show --for-lawyers > what-leaves.md")
@click.argument("agreement", required=False, metavar="[ID|FILE]")
@click.option("--for-lawyers", is_flag=True, help="Two pages: what leaves, to whom, how sure, how often.")
def show(ui: Ui, agreement: str | None, *, for_lawyers: bool) -> None:
    """Show a pinned agreement, or one in a file, in plain words."""
    document = _find(ui, agreement)
    unverified = document.unverified_agreement
    signed = None if document.envelope is None else agreeing.signed_by(unverified, document.envelope)
    page = lawyers.page(unverified, agreement_id=document.id, version=document.version, signed_by=signed)
    answer = {
        "agreement": document.id, "version": document.version, "sequence": unverified.sequence,
        "signed_by": None if signed is None else list(signed), "platform_class": unverified.platform_class,
        "document": schema.encode(unverified), "text": page,
    }  # fmt: skip
    who = "a draft" if signed is None else f"signed by {plain.names(signed)}"
    compare = _to_compare(unverified)
    short = f"agreement {document.id[:16]}, version {unverified.sequence}, {who}\n{lawyers.summary(unverified)}"
    listed = [f"  {name}: {digest}" for name, digest in compare.items()]
    short = "\n".join([short, "Compare by telephone, never through the gateway:", *listed])
    ui.show({**answer, "fingerprints": compare}, page.rstrip("\n") if for_lawyers else short)


def _to_compare(agreement: Agreement) -> dict[str, str]:
    """Fingerprints of the parties' keys as their cards show them, and of the roots that evidence may lead to."""
    parties = {p.name: plain.party_fingerprint(p.signing_key, p.sealing_key) for p in agreement.parties}
    roots = [root for policy in agreement.platforms for root in policy.roots]
    return parties | {f"platform root {number}": root for number, root in enumerate(roots, 1)}


@ui.command("diff", example="sealroom agreement diff agreement.signed.json agreement-next.json")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
def diff_(ui: Ui, old: str, new: str) -> None:
    """Say in plain words what changes from OLD to NEW (files or ids); what lets more out is marked WIDER."""
    changes = differences.changes(_find(ui, old).unverified_agreement, _find(ui, new).unverified_agreement)
    listed = [{"where": c.where, "words": c.words, "widens": c.widens} for c in changes]
    widens = sum(c.widens for c in changes)
    text = "\n".join(c.line for c in changes) or "no difference"
    ui.show({"changes": listed, "widens": widens}, text)
    ui.say(f"{len(changes)} changes, {widens} of them let more out")


def _find(ui: Ui, choice: str | None) -> Document:
    if choice is not None and Path(choice).is_file():
        return agreeing.read(Path(choice))
    pinned = choosing.agreement(ui.home(), choice)
    return Document(pinned.agreement, pinned.envelope)
