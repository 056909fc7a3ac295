"""`sealroom watch`: where a run stands.

Runs in: a party.   Believes: nothing; a state is only what the gateway says.   Spec: §8.3.
"""

from __future__ import annotations

import click

from sealroom.client import choosing, plain, runs, ui, watching
from sealroom.client.ui import Ui


@ui.command("watch", example="sealroom watch 3f9c2a")
@click.argument("run", required=False)
@click.option("--agreement", metavar="ID", help="By default all.")
@click.option("--once", is_flag=True, help="Show the state and end, instead of waiting.")
def command(ui: Ui, run: str | None, agreement: str | None, *, once: bool) -> None:
    """Follow RUN until it has ended; without RUN, list the runs."""
    home = ui.home()
    gateway = choosing.require_gateway(home)
    if run is None:
        pinned = [home.agreement(agreement)] if agreement else home.agreements()
        entries = [entry for item in pinned for entry in gateway.runs(item.id)]
        listed = [{"run": e.run, "state": e.state, "waiting_for": list(e.waiting_for)} for e in entries]
        lines = [f"{e.run[:12]}  {plain.date(e.created)}  {e.state}" for e in entries]
        ui.show({"runs": listed}, "\n".join(lines) or "no runs")
        return
    found = runs.find(home, gateway, run, agreement=agreement)
    status = gateway.run(found) if once else watching.until_ended(ui, gateway, found)
    ui.show(watching.document(status), watching.words(status))
