"""`sealroom audit`: take an agreement's whole history home as files, and prove it from them.

Runs in: a party, and whoever holds the folder.   Believes: AMD's roots, and those named.   Spec: §13.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sealroom.client import audit, audit_folder, audit_words, choosing, own_history, ui
from sealroom.client.commands import receipt
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError


@click.group("audit", params=ui.early_options(), epilog="\b\nExample:\n  sealroom audit verify history --root root.der")
def command() -> None:
    """Export an agreement's history, and prove it offline."""


@ui.command("export", example="sealroom audit export history")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--agreement", metavar="ID", help="By default the only one.")
@click.option("--from-home", is_flag=True, help="Ask no gateway: write what this home has read of the log.")
def export(ui: Ui, folder: str, agreement: str | None, *, from_home: bool) -> None:
    """Write everything that the gateway logged of an agreement to FOLDER: statements, evidence, checkpoints.

    It holds no payload and no result, but it says who did what when: treat it as the agreement says. With --from-home
    it ends where this home last read the log; what it then cannot show is told.
    """
    home = ui.home()
    pinned = home.agreement(agreement)
    target = Path(folder)
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder")
    if from_home:
        kept = own_history.export(home, pinned, target)
        lines = [f"wrote {kept.entries} entries to {folder}", *(f"cannot show: {what}" for what in kept.lacks())]
        ui.show({"agreement": pinned.id, "folder": folder, **kept.document()}, "\n".join(lines))
    else:
        size = audit_folder.export(choosing.require_gateway(home), pinned.id, target)
        ui.show({"agreement": pinned.id, "folder": folder, "entries": size}, f"wrote {size} entries to {folder}")
    ui.hint(f"prove it on any machine: `sealroom audit verify {folder} --root FILE`")


@ui.command("verify", example="sealroom audit verify history --root root.der")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--root", "roots", multiple=True, type=click.Path(dir_okay=False), metavar="DER", help="Trust this root.")
@click.option("--agreement", metavar="ID", help="Refuse the history of any other agreement.")
def verify(ui: Ui, folder: str, roots: Sequence[str], agreement: str | None) -> None:
    """Prove the history in FOLDER: nothing removed, moved, doubled or forged, every signature, receipt and verdict.

    Asks nobody and needs no home. The first entry that does not hold is named.
    """
    named = frozenset(receipt.fingerprint(Path(root)) for root in roots)
    found = audit.verify(audit_folder.load(Path(folder)), roots=named, agreement=agreement)
    ui.show(audit_words.document(found), "\n".join(audit_words.lines(found)))


command.add_command(export)
command.add_command(verify)
