"""`sealroom results`: collect, verify and open what was released to this party.

Runs in: any party.   Believes: the agreement and roots that it pinned.   Spec: §7.5.
"""

from __future__ import annotations

import click

from sealroom.client import choosing, collect, plain, reasons, receipt, results, runs, ui
from sealroom.client.collect import Collected
from sealroom.client.errors import Waiting
from sealroom.client.ui import Ui


@ui.command("results", example="sealroom results 3f9c2a --open")
@click.argument("run", required=False)
@click.option("--agreement", metavar="ID", help="By default all.")
@click.option("--open", "show", is_flag=True, help="Also print what was released.")
def command(ui: Ui, run: str | None, agreement: str | None, *, show: bool) -> None:
    """Verify the receipt of RUN, then open what was released to this party, into runs/RUN/ of its home.

    Without RUN, the run that was asked for last among those that have ended.

    Nothing is opened before the receipt, with evidence and every consent, has been verified. What was withheld is told
    with its reason, which the enclave sealed to the owners.
    """
    home = ui.home()
    gateway = choosing.require_gateway(home)
    if run is None:
        found = runs.newest_ended(home, gateway, agreement=agreement)
    else:
        found = runs.find(home, gateway, run, agreement=agreement)
    got = collect.collect(home, gateway, found)
    if got.waiting and not got.opened:
        raise Waiting(f"owners have not answered yet about {plain.names(got.waiting)}")
    why = reasons.of(got.verified, home)
    document, lines = _document(got, show=show), [*receipt.explain(got.verified), *why.lines()]
    lines += [f"opened {item.rule}: {item.path}" for item in got.opened]
    if show:
        lines += [item.path.read_text("utf-8").rstrip() for item in got.opened]
    lines.append(f"receipt: {got.bundle}")
    ui.show({**document, "reasons": why.document()}, "\n".join(lines))


def _document(got: Collected, *, show: bool) -> dict[str, object]:
    opened: list[dict[str, object]] = []
    for item in got.opened:
        content = {"content": results.read(item.path)} if show else {}
        opened.append({"rule": item.rule, "file": str(item.path), **content})
    return {
        "run": got.verified.request.digest,
        "status": got.verified.receipt.receipt.status,
        "platform_class": got.verified.platform_class,
        "final": got.verified.final,
        "logged": got.verified.logged.document() if got.verified.logged else None,
        "receipt": str(got.bundle),
        "opened": opened,
        "waiting": list(got.waiting),
        "refused": list(got.refused),
        "says": list(receipt.explain(got.verified)),
    }
