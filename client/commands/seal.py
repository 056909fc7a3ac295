"""`sealroom seal`: check and encrypt on the owner's machine; with --submit, send.

Runs in: a party, on its own data and code.   Believes: the pinned agreement.   Spec: §3.3, §10.3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from sealroom.client import checking, choosing, sealing, sending, ui
from sealroom.client.sealing import SealedFile
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError


@ui.command("seal", example="sealroom seal bank_customers=bank.csv lookalike=jobs/lookalike --submit")
@click.argument("sources", nargs=-1, required=True, metavar="[NAME=]FILE...")
@click.option("--as", "name", metavar="NAME", help="The object's name in the agreement, when there is one FILE.")
@click.option("--agreement", metavar="ID|FILE", help="By default the only one.")
@click.option("--to", "folder", type=click.Path(file_okay=False), default=".", metavar="DIR", help="Where files go.")
@click.option("--force", is_flag=True, help="Seal again, replacing the files.")
@click.option("--submit", is_flag=True, help="Send everything that is ready afterwards.")
@click.option("--dry-run", is_flag=True, help="Check, say what would be sealed, and write nothing.")
def command(  # noqa: PLR0913 (one argument for each option)
    ui: Ui, sources: Sequence[str], name: str | None, agreement: str | None, folder: str, *, force: bool, submit: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Encrypt a dataset (CSV, Parquet, Arrow) or code (a folder or bundle) for an agreement.

    Data is checked against the agreed columns first; what does not fit is reported by row number and column.
    NAME.sealed and NAME.manifest.json may travel; the key stays in this home.
    """
    if dry_run and submit:
        raise UsageError("--dry-run sends nothing", hint="leave `--submit` out, or `--dry-run`")
    home = ui.home()
    pinned, named = choosing.agreement(home, agreement), _named(sources, name)
    if dry_run:
        with _told(ui), ui.reading("checking", sum(sealing.work(path) for _, path in named) // 2):
            found = [sealing.examine(home, pinned, label, path) for label, path in named]
        listed = [{"name": f.name, "rows": f.rows, "size": f.size, "notes": list(f.notes)} for f in found]
        text = "\n".join([line for item in found for line in (item.line, *item.notes)])
        ui.show({"dry_run": True, "agreement": pinned.id, "objects": listed}, f"{text}\nnothing was written")
        return
    with _told(ui), ui.reading("sealing", sum(sealing.work(path) for _, path in named)):
        done = [
            sealing.seal(home, pinned, label, path, folder=Path(folder), overwrite=force) for label, path in named
        ]  # fmt: skip
    for note in (note for item in done for note in item.notes):
        ui.say(f"sealroom: note: {note}")
    sent = sending.send(ui, home, pinned) if submit else None
    answer = {"objects": [_document(item) for item in done], "agreement": pinned.id, "submitted": sent}
    ui.show(answer, "\n".join(f"{item.ciphertext}  {item.kept.digest}" for item in done))
    if not submit:
        ui.hint("send it: `sealroom submit`")


@contextlib.contextmanager
def _told(ui: Ui) -> Iterator[None]:
    """Say what is wrong with a file, row by row, before it ends the command."""
    try:
        yield
    except checking.BadRows as error:
        for finding in error.findings:
            ui.say(finding.line)
        raise


def _named(sources: Sequence[str], name: str | None) -> list[tuple[str, Path]]:
    if name is not None:
        if len(sources) != 1:
            raise UsageError("--as names one file", hint="name several as NAME=FILE")
        return [(name, Path(sources[0]))]
    return [choosing.pair(text, "NAME=FILE; say what it is called in the agreement") for text in sources]


def _document(item: SealedFile) -> dict[str, Any]:
    return {
        "digest": item.kept.digest, "ciphertext": str(item.ciphertext), "manifest": str(item.manifest),
        "rows": item.rows, "notes": list(item.notes),
    }  # fmt: skip
