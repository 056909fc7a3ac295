"""`sealroom agreement sign`, `merge` and `import`.

Runs in: a party.   Believes: nothing before every signature was verified.   Spec: §4.1.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import agreeing, choosing, diff, files, lawyers, measuring, plain, received, signing, ui
from sealroom.client.agreeing import Document
from sealroom.client.home import Home
from sealroom.client.ui import Ui
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.errors import Malformed, UsageError


@ui.command("sign", example="sealroom agreement sign agreement.signed.json --approve image/")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Where the signed file goes.")
@click.option("--yes", is_flag=True, help="Sign without being asked again.")
@click.option("--days", default=90, show_default=True, metavar="N", help="How long the approval holds.")
@signing.approve_option
def sign(ui: Ui, file: str, output: str | None, days: int, approve: str | None, *, yes: bool) -> None:
    """Sign a draft, or add a signature to a file that others signed.

    What leaves, and to whom, is shown first, and what a new version changes. With --approve, the image is measured here
    and its measurement approved in the same step. When everybody has signed, the version is pinned.
    """
    home, path = ui.home(), Path(file)
    document = agreeing.read(path)
    agreeing.require_own_place(home, document.unverified_agreement)
    _show_first(ui, home, document)
    ui.confirm("Sign this?", yes=yes)
    target = Path(output) if output is not None else signing.signed_path(path)
    with measuring.bar(ui, approve):
        answer = signing.sign_and_approve(home, document, target, approve, days, overwrite=target == path)
    ui.show(answer, signing.in_words(answer))
    signing.say_next(ui, answer)


@ui.command("merge", example="sealroom agreement merge from-bank.json from-partner.json --output agreement.signed.json")
@click.argument("one", type=click.Path(dir_okay=False))
@click.argument("other", type=click.Path(dir_okay=False))
@click.option("--output", type=click.Path(dir_okay=False), required=True, metavar="FILE", help="The joined file.")
def merge(ui: Ui, one: str, other: str, output: str) -> None:
    """Join the signatures of two copies of the same version."""
    home = ui.home()
    left, right = agreeing.read(Path(one)).envelope, agreeing.read(Path(other)).envelope
    if left is None or right is None:
        raise UsageError("a draft has no signatures to join", hint="sign it: `sealroom agreement sign FILE`")
    joined = envelopes.merge(left, right)
    agreeing.write_envelope(Path(output), joined)
    missing = agreeing.missing(home, joined)
    answer = {"signed": output, "version": joined.digest, "missing": list(missing)}
    ui.show(
        answer,
        f"joined  {output}\n" + (f"still to sign: {plain.names(missing)}" if missing else "everybody has signed"),
    )


@ui.command("import", example="sealroom agreement import agreement.signed.json")
@click.argument("file", type=click.Path(dir_okay=False))
def import_(ui: Ui, file: str) -> None:
    """Verify every signature of a version and pin it; an older one is refused from then on.

    Also takes another party's approval, revocation or stop that came as a file: this party's broker heeds it.
    """
    if _keep_statement(ui, Path(file)):
        return
    pinned = choosing.agreement(ui.home(), str(Path(file).resolve(strict=True)))
    answer = {"agreement": pinned.id, "version": pinned.version, "sequence": pinned.agreement.sequence}
    ui.show(answer, f"pinned  {pinned.id[:16]} version {pinned.agreement.sequence}: {pinned.agreement.title}")


def _keep_statement(ui: Ui, path: Path) -> bool:
    """Keep a statement that is no agreement; False if the file holds something else."""
    try:
        envelope = envelopes.parse(files.read(path, most=envelopes.MOST_BYTES))
    except Malformed:
        return False
    if not received.is_statement(envelope):
        return False
    pinned, said = received.keep(ui.home(), envelope)
    kind = type(said).__name__.lower()
    ui.show(
        {"agreement": pinned.id, "kind": kind, "party": said.party, "digest": envelope.digest},
        f"kept  {kind} by {said.party} for {pinned.id[:16]}",
    )
    return True


def _show_first(ui: Ui, home: Home, document: Document) -> None:
    """On stderr, so that the answer on stdout stays alone."""
    agreement = document.unverified_agreement
    ui.say(lawyers.summary(agreement))
    for party in agreement.parties:
        ui.say(f"- {party.name}: fingerprint {plain.party_fingerprint(party.signing_key, party.sealing_key)}")
    for known in home.agreements():
        if known.id == agreement.first:
            ui.say(f"changes from version {known.agreement.sequence}:")
            for change in diff.changes(known.agreement, agreement):
                ui.say(change.line)
