"""Follows a run until it ends, saying each change once.

Runs in: a party.   Believes: nothing; a state is only what the gateway says.   Spec: §8.3.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sealroom.client import plain
from sealroom.client.gateway import Gateway, RunStatus
from sealroom.client.ui import Ui
from sealroom.protocol import wire
from sealroom.protocol.errors import NotReleased

POLL: Final = 1.0
NO_RECEIPT: Final = "it left no receipt, so nobody knows why: ask the operator, then ask for a new run"


def until_ended(ui: Ui, gateway: Gateway, run: str, *, poll: float = POLL) -> RunStatus:
    """Wait for a run's end.

    Raises:
        NotReleased: it ended otherwise than done.
    """
    said = ""
    while True:
        status = gateway.run(run)
        if (line := words(status)) != said:
            ui.say(line)
            said = line
        if status.state == "done":
            return status
        if status.state in wire.RUN_FINAL_STATES:
            hint = f"its receipt says why: `sealroom results {run[:12]}`" if status.receipt else NO_RECEIPT
            raise NotReleased(f"run-{status.state}", f"the run {run[:12]} ended as {status.state}", hint=hint)
        time.sleep(poll)


def words(status: RunStatus) -> str:
    """One line on where a run stands."""
    line = f"run {status.run[:12]}  {status.state}"
    if status.waiting_for:
        line += f", waiting for the brokers of {plain.names(status.waiting_for)}"
    if status.next_visible is not None and not status.receipt:
        line += f", results may show at {plain.date(status.next_visible)}"
    return line


def document(status: RunStatus) -> dict[str, Any]:
    """The same for programs."""
    names = ("run", "state", "version", "launched", "next_visible", "receipt")
    return {name: getattr(status, name) for name in names} | {"waiting_for": list(status.waiting_for)}
