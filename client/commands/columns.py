"""`sealroom columns`: proposes the declaration of an owner's own CSV file.

Runs in: a party, on its own file.   Believes: nothing.   Spec: §10.2.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import columns, fragment, progressing, spec, ui
from sealroom.client.home import Home
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError


@ui.command("columns", example="sealroom columns partner.csv --as partner_customers --output partner.columns.json")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--as", "name", metavar="NAME", help="The dataset's name; by default the file's.")
@click.option("--owner", metavar="PARTY", help="Its owner; by default the party of this home.")
@click.option(
    "--spec", "described", type=click.Path(dir_okay=False), metavar="SPEC", help="Take the columns from here."
)
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Also write them to a file to send on.")
def command(ui: Ui, file: str, name: str | None, owner: str | None, described: str | None, output: str | None) -> None:
    """Propose column declarations for a CSV file: id, identifiers, numbers, categories with their values.

    Read the proposal before you send it: the values of categories are shown to the other parties; texts and numbers are
    not. With --spec, only the columns that the spec names are declared, and its holes are filled.
    """
    dataset = name or Path(file).stem.lower()
    party = owner or _own_name(ui)
    with ui.reading(f"reading {Path(file).name}", progressing.size_of([Path(file)]) * (2 if described is None else 1)):
        if described is None:
            declared = fragment.from_csv(Path(file), dataset, party)
            text = columns.propose(Path(file)).as_toml(dataset, party)
        else:
            declared = fragment.from_spec(spec.load(Path(described)), dataset, Path(file))
            text = ""
    if output is not None:
        fragment.save(Path(output), dataset, declared)
    ui.show(fragment.document(dataset, declared), text or f"{len(declared.features)} columns declared")


def _own_name(ui: Ui) -> str:
    try:
        return Home.open(ui.home_folder).config.party
    except UsageError as error:
        raise UsageError("whose file is it", hint="say `--owner PARTY`, or make a home first") from error
