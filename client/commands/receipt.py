"""`sealroom receipt`: check a receipt offline.

Runs in: whoever holds the file.   Believes: AMD's roots, and those named or pinned.   Spec: §5.9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from sealroom.client import bundle as bundles
from sealroom.client import collect, files, receipt, ui
from sealroom.client.errors import Waiting
from sealroom.client.receipt import Verified
from sealroom.client.ui import Ui
from sealroom.protocol.errors import SealroomError, UsageError


@click.group("receipt", epilog="\b\nExample:\n  sealroom receipt verify receipt.json --root root.der")
def command() -> None:
    """Verify receipts offline."""


@ui.command("verify", example="sealroom receipt verify receipt.json --root root.der")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--root", "roots", multiple=True, type=click.Path(dir_okay=False), metavar="DER", help="Trust this root.")
@click.option("--agreement", metavar="ID", help="Refuse a receipt of any other agreement.")
@click.option("--require-final", is_flag=True, help="Fail unless every affected owner has cosigned.")
def verify(ui: Ui, file: str, roots: Sequence[str], agreement: str | None, *, require_final: bool) -> None:
    """Check everything that FILE says: signatures, evidence as of each grant, offers, charges, consents, cosignatures.

    Asks nobody and needs no home. AMD's own roots are known; any other, such as a simulated processor's, must be named
    with `--root`, or in an agreement that this home has pinned.
    """
    bundle = bundles.load(Path(file))
    named = frozenset(_fingerprint(Path(root)) for root in roots) | _pinned(ui, bundle.agreement[0].digest)
    found = receipt.verify(bundle, roots=named, agreement=agreement)
    if require_final and not found.final:
        raise Waiting(f"the receipt holds, but is not final: {receipt.explain(found)[-1]}")
    ui.show(document(found), "\n".join(receipt.explain(found)))


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
        "final": found.final,
        "cosigned": list(found.cosigned),
        "releases": [
            {"rule": item.offer.offer.rule, "recipient": item.offer.offer.recipient, "fate": item.fate,
             "guarantee": item.offer.offer.guarantee, "epsilon": item.offer.offer.cost.epsilon,
             "bits": item.offer.offer.cost.bits, "size": item.offer.offer.size, "said": dict(item.said)}
            for item in found.releases
        ],
        "checks": len(found.accepted.verdict.checks),
        "says": list(receipt.explain(found)),
    }  # fmt: skip


def _fingerprint(path: Path) -> str:
    data = files.read(path, most=1 << 14)
    if data.startswith(b"-----"):
        raise UsageError(f"{path} is in PEM form", hint="convert it: `openssl x509 -outform DER`")
    return hashlib.sha256(data).hexdigest()


def _pinned(ui: Ui, agreement: str) -> frozenset[str]:
    """Roots of an agreement that this machine's home has pinned, if there is a home at all."""
    try:
        return collect.pinned_roots(ui.home(), agreement)
    except SealroomError:
        return frozenset()
