"""`sealroom mock`: an author's bundle on made-up rows, in the jail of a real run, with everything it says shown.

Runs in: a bundle's author, on its own code.   Believes: nothing.   Reference: docs/JOBS.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import agreeing, choosing, errors, mocking, sealing, ui
from sealroom.client.ui import Ui
from sealroom.protocol.agreement import Agreement


@ui.command("mock", example="sealroom mock jobs/lookalike --agreement agreement.json")
@click.argument("bundle", type=click.Path(), required=False)
@click.option("--agreement", "choice", metavar="ID|FILE", help="Whose columns, rules and limits; a draft will do.")
@click.option("--as", "name", metavar="NAME", help="Which of the agreement's bundles this is.")
@click.option(
    "--image", type=click.Path(file_okay=False), default="build/image", show_default=True, help="A process image."
)
@click.option(
    "--rows", type=click.IntRange(20, 1_000_000), default=mocking.DEFAULT_ROWS, show_default=True,
    help="Rows of each table, never more than agreed.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="What rows are drawn from."
)
def command(ui: Ui, bundle: str | None, choice: str | None, name: str | None, image: str, rows: int, seed: int) -> None:
    """Try a folder or packed bundle on made-up rows, in the jail and limits of a real run.

    No real data is read and nothing is sent. What the job prints or raises is shown here, and only here. Ends with 3 if
    a rule would give nothing.
    """
    agreement = _agreement(ui, choice)
    if not agreement.bundles:
        ui.show({"fine": True, "rules": []}, mocking.NO_CODE)
        return
    if bundle is None:
        raise click.UsageError("name the folder or bundle to try")
    archive = sealing.pack(Path(bundle))
    chosen = mocking.choose(agreement, archive, name)
    ui.say(f"making up rows and starting a jail from {image}")
    with ui.waiting("mock run"):
        report = mocking.run(agreement, archive, chosen.name, mocking.Options(Path(image), rows, seed))
    ui.show(report, mocking.text(report, agreement))
    if not report["fine"]:
        raise click.exceptions.Exit(errors.REFUSED)


def _agreement(ui: Ui, choice: str | None) -> Agreement:
    """A draft is as good as what everybody signed: nothing is trusted to it but names and numbers."""
    if choice is not None and Path(choice).is_file():
        return agreeing.read(Path(choice)).unverified_agreement
    return choosing.agreement(ui.home(), choice).agreement
