"""`sealroom next`: what is waiting for me.

Runs in: a party.   Believes: its home.   Spec: §10.4.
"""

from __future__ import annotations

import dataclasses

from sealroom.client import next_steps, ui
from sealroom.client.ui import Ui


@ui.command("next", example="sealroom next")
def command(ui: Ui) -> None:
    """Say what is waiting for this party, and the command that does it."""
    steps = next_steps.steps(ui.home())
    lines = [f"{step.what}\n    {step.command or '(somebody else is next)'}" for step in steps]
    ui.show({"steps": [dataclasses.asdict(step) for step in steps]}, "\n".join(lines) or "nothing is waiting for you")
