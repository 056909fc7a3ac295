"""`sealroom doctor`: what would stop a run here.

Runs in: a party.   Believes: its own machine.   Spec: §10.4.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from sealroom.client import doctor, errors, ui
from sealroom.protocol.errors import SealroomError

if TYPE_CHECKING:
    from sealroom.client.home import Home
    from sealroom.client.ui import Ui


@ui.command("doctor", example="sealroom doctor")
def command(ui: Ui) -> None:
    """Look at clock, keys, passphrase, gateway, kernel and Docker; exit 1 if something would stop this party."""
    broken, home = _open(ui)
    findings = [*broken, *doctor.examine(home)]
    lines = [f"{f.health:5} {f.name:12} {f.detail}" + (f"\n{'':18} {f.hint}" if f.hint else "") for f in findings]
    ui.show({"findings": [dataclasses.asdict(f) for f in findings]}, "\n".join(lines))
    if any(f.health == "bad" for f in findings):
        raise click.exceptions.Exit(errors.FAILED)


def _open(ui: Ui) -> tuple[list[doctor.Finding], Home | None]:
    try:
        return [], ui.home()
    except SealroomError as error:
        if "there is no home" in error.message:
            return [], None
        return [doctor.Finding("home", "bad", error.message, error.hint)], None
