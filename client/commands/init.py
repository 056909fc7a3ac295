"""`sealroom init`: a home, keys, and a card for the others.

Runs in: a party.   Believes: nothing.   Spec: §10.1.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import click

from sealroom.client import choosing, config, files, fragment, home, progressing, spec, ui
from sealroom.client.config import Config, Role
from sealroom.client.home import Home
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError

_CERTIFICATE_MOST = 64 << 10
_NEXT = {
    "bank": "sealroom agreement new --template lookalike --spec SPEC.toml --party PARTNER.party.json ...",
    "partner": "sealroom agreement sign agreement.signed.json --approve IMAGE",
    "recipient": "sealroom agreement sign agreement.signed.json",
    "operator": "sealroom agreement sign agreement.signed.json",
}


@ui.command("init", example="sealroom init --role bank --name bank --gateway http://localhost:8443")
@click.option("--role", type=click.Choice(["bank", "partner", "recipient", "operator"]), help="What this party does.")
@click.option("--name", metavar="NAME", help="The party's name: lower case, as the others will read it.")
@click.option("--gateway", metavar="URL", help="The operator's gateway; can be given later by `init` again.")
@click.option("--gateway-certificate", type=click.Path(dir_okay=False), metavar="FILE", help="Its certificate (PEM).")
@click.option("--columns", metavar="NAME=FILE.csv", help="Also declare the columns of this file as dataset NAME.")
@click.option(
    "--spec", "described", type=click.Path(dir_okay=False), metavar="SPEC", help="Only the columns that SPEC names."
)
@click.option(
    "--to", "folder", type=click.Path(file_okay=False), default=".", metavar="DIR", help="Where the card goes."
)
def command(  # noqa: PLR0913 (one argument for each option)
    ui: Ui, *, role: str | None, name: str | None, gateway: str | None, gateway_certificate: str | None,
    columns: str | None, described: str | None, folder: str,
) -> None:  # fmt: skip
    """Make a home for one party: keys under a passphrase, and a card to hand to the others.

    The passphrase comes from the file named by SEALROOM_PASSPHRASE_FILE (mode 600), from SEALROOM_PASSPHRASE, or from a
    prompt. The card NAME.party.json holds public keys only. Called again with --gateway alone, it changes the gateway.
    """
    root = ui.home_folder or home.default_root()
    if (root / "config.json").is_file() and role is None and name is None and gateway is not None:
        _change_gateway(ui, Home.open(root), gateway, gateway_certificate)
        return
    if role is None or name is None:
        raise UsageError("a new home needs `--role` and `--name`", hint="`sealroom init --role partner --name partner`")
    pinned = None if gateway_certificate is None else str(root.resolve() / "gateway.pem")
    settings = config.make(party=name, role=cast("Role", role), gateway=gateway, gateway_certificate=pinned)
    certificate = None if gateway_certificate is None else files.read(Path(gateway_certificate), most=_CERTIFICATE_MOST)
    made = Home.create(root, settings)
    if certificate is not None:
        files.write(root / "gateway.pem", certificate, overwrite=True)
    _answer(ui, made, Path(folder), _declare(ui, made, columns, Path(folder), described))


def _answer(ui: Ui, made: Home, folder: Path, declared: Path | None) -> None:
    card = made.card()
    path = folder / f"{card.name}.party.json"
    files.write(path, card.to_bytes(), overwrite=True, mode=0o644)
    document = {
        "party": card.name, "role": made.config.role, "home": str(made.root), "card": str(path),
        "fingerprint": card.fingerprint, "columns": None if declared is None else str(declared),
    }  # fmt: skip
    also = "" if declared is None else f"\ncolumns      {declared}"
    ui.show(document, f"home         {made.root}\ncard         {path}{also}\nfingerprint  {card.fingerprint}")
    ui.hint(f"hand {path.name} to the others, and read them the fingerprint by telephone")
    ui.hint(f"then: `{_NEXT[made.config.role]}`")


def _declare(ui: Ui, made: Home, columns: str | None, folder: Path, described: str | None) -> Path | None:
    if columns is None:
        return None
    name, path = choosing.pair(columns, "NAME=FILE.csv")
    target = folder / f"{name}.columns.json"
    with ui.reading(f"reading {path.name}", progressing.size_of([path])):
        if described is None:
            declared = fragment.from_csv(path, name, made.config.party)
        else:
            declared = fragment.from_spec(spec.load(Path(described)), name, path)
    fragment.save(target, name, declared)
    return target


def _change_gateway(ui: Ui, made: Home, gateway: str, certificate: str | None) -> None:
    pinned = None if certificate is None else str(made.root.resolve() / "gateway.pem")
    settings: Config = config.make(
        party=made.config.party, role=made.config.role, gateway=gateway, gateway_certificate=pinned
    )
    if certificate is not None:
        files.write(made.root / "gateway.pem", files.read(Path(certificate), most=_CERTIFICATE_MOST), overwrite=True)
    config.save(made.root / "config.json", settings, overwrite=True)
    ui.show({"home": str(made.root), **dataclasses.asdict(settings)}, f"gateway  {settings.gateway}")
