"""`sealroom backup` and `sealroom restore`: a party's home in one sealed file, and back.

Runs in: a party.   Believes: its own passphrase.   Spec: §12.5.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from sealroom.client import safekeeping, ui
from sealroom.client.home import default_root
from sealroom.client.ui import Ui


@ui.command("backup", example="sealroom backup partner-2026-11.backup")
@click.argument("file", type=click.Path(dir_okay=False))
def backup(ui: Ui, file: str) -> None:
    """Write this party's whole home to one new file, sealed under the passphrase of its keys.

    The broker may go on meanwhile. Results that were opened are in the home, and so in the file.
    """
    count = safekeeping.backup(ui.home(), Path(file))
    ui.show({"file": file, "files": count}, f"sealed: {count} files\nfile  {file}")


@ui.command("restore", example="sealroom restore partner-2026-11.backup --home DIR")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def restore(ui: Ui, file: str) -> None:
    """Make a home out of a backup; a home that is there is never touched.

    What was spent after the backup is not in it. So the ledger of the new home is frozen until another party confirms
    its head: `sealroom ledger confirm`.
    """
    folder = ui.home_folder or default_root()
    count = safekeeping.restore(Path(file), folder, now=time.time())
    ui.show({"home": str(folder), "files": count, "frozen": True}, f"restored: {count} files\nhome  {folder}")
    ui.hint("its ledger is frozen: see `sealroom ledger show`, then `sealroom ledger confirm`")
