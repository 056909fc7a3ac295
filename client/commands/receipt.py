"""`sealroom receipt`: check a receipt offline.

Runs in: whoever holds the file.   Believes: AMD's roots, and those named or pinned.   Spec: §5.9.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from sealroom.attestation import explain
from sealroom.client import bundle as bundles
from sealroom.client import collect, files, reasons, receipt, ui
from sealroom.client.errors import Waiting
from sealroom.client.home import Home
from sealroom.client.reasons import Why
from sealroom.client.receipt import Verified
from sealroom.client.ui import Ui
from sealroom.protocol.errors import SealroomError, UsageError


@click.group(
    "receipt", params=ui.early_options(), epilog="\b\nExample:\n  sealroom receipt verify receipt.json --root root.der"
)
def command() -> None:
    """Verify receipts offline."""


@ui.command("verify", example="sealroom receipt verify receipt.json --root root.der")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--root", "roots", multiple=True, type=click.Path(dir_okay=False), metavar="DER", help="Trust this root.")
@click.option("--agreement", metavar="ID", help="Refuse a receipt of any other agreement.")
@click.option("--require-final", is_flag=True, help="Fail unless every affected owner has cosigned.")
@click.option("--checks", "every", is_flag=True, help="Also print every check of the evidence, one line each.")
def verify(ui: Ui, file: str, roots: Sequence[str], agreement: str | None, *, require_final: bool, every: bool) -> None:
    """Check everything that FILE says: signatures, evidence as of each grant, offers, charges, consents, cosignatures.

    Asks nobody and needs no home. AMD's own roots are known; any other, such as a simulated processor's, must be named
    with `--root`, or in an agreement that this home has pinned. With the home of an owner, the sealed reasons of what
    was withheld are opened too.
    """
    bundle = bundles.load(Path(file))
    home = _home(ui, bundle.agreement[0].digest)
    pinned = collect.pinned_roots(home, bundle.agreement[0].digest) if home is not None else frozenset()
    named = frozenset(fingerprint(Path(root)) for root in roots) | pinned
    found = receipt.verify(bundle, roots=named, agreement=agreement)
    if require_final and not found.final:
        raise Waiting(f"the receipt holds, but is not final: {receipt.explain(found)[-1]}")
    why = reasons.of(found, home) if home is not None else Why(())
    lines = [*receipt.explain(found), *why.lines()]
    if every:
        lines += [*explain.explain(found.accepted.verdict), *explain.checks(found.accepted.verdict)]
    made = [dataclasses.asdict(check) for check in found.accepted.verdict.checks]
    ui.show({**document(found), "checks": made, "reasons": why.document()}, "\n".join(lines))


command.add_command(verify)


def document(found: Verified) -> dict[str, object]:
    """The verdict for programs."""
    return {
        "agreement": found.agreement.id,
        "version": found.agreement.version,
        "run": found.request.digest,
        "receipt": found.receipt.envelope.digest,
        "status": found.receipt.receipt.status,
        "platform_class": found.platform_class,
        "measurement": found.accepted.verdict.measurement,
        "root": found.accepted.verdict.root,
        "layers": list(found.receipt.receipt.layers),
        "launched": {"launcher": found.accepted.launched.launcher, "layers": list(found.accepted.launched.layers)},
        "final": found.final,
        "logged": found.logged.document() if found.logged else None,
        "cosigned": list(found.cosigned),
        "releases": [
            {"rule": item.offer.offer.rule, "recipient": item.offer.offer.recipient, "fate": item.fate,
             "guarantee": item.offer.offer.guarantee, "epsilon": item.offer.offer.cost.epsilon,
             "bits": item.offer.offer.cost.bits, "size": item.offer.offer.size, "said": dict(item.said)}
            for item in found.releases
        ],
        "says": list(receipt.explain(found)),
    }  # fmt: skip


def fingerprint(path: Path) -> str:
    """SHA-256 of a root certificate in DER, as the command line names roots."""
    data = files.read(path, most=1 << 14)
    if data.startswith(b"-----"):
        raise UsageError(f"{path} is in PEM form", hint="convert it: `openssl x509 -outform DER`")
    return hashlib.sha256(data).hexdigest()


def _home(ui: Ui, agreement: str) -> Home | None:
    """The home on this machine, if there is one and it has pinned the agreement."""
    try:
        home = ui.home()
        return home if any(item.id == agreement for item in home.agreements()) else None
    except SealroomError:
        return None
