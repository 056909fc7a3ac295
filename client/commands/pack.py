"""`sealroom pack`: a job's folder as one deterministic file.

Runs in: a party, on its own code.   Believes: nothing.   Spec: §4.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from sealroom.client import files, sealing, ui
from sealroom.client.ui import Ui


@ui.command("pack", example="sealroom pack jobs/lookalike --output lookalike.bundle")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="By default FOLDER.bundle here.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(ui: Ui, folder: str, output: str | None, *, force: bool) -> None:
    """Make a bundle of a job's code: the same files give the same bytes, anywhere.

    `sealroom seal` takes a folder as well and packs it itself; this is for looking at what will be sealed.
    """
    archive = sealing.pack(Path(folder))
    target = Path(output) if output is not None else Path(f"{Path(folder).resolve().name}.bundle")
    files.write(target, archive, overwrite=force)
    digest = hashlib.sha256(archive).hexdigest()
    ui.show(
        {"file": str(target), "size": len(archive), "sha256": digest},
        f"{target}  {len(archive)} bytes  sha256 {digest}",
    )
