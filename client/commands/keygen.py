"""`sealroom keygen`: officer keys in files of their own, and new keys for a home that no agreement names yet.

Runs in: a party.   Believes: nothing.   Spec: §10.1.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import files, keyfile, passphrase, ui
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError
from sealroom.protocol.keys import SigningKey, fingerprint


@ui.command("keygen", example="sealroom keygen alice.key")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--rotate", is_flag=True, help="Replace the keys of this home instead.")
def command(ui: Ui, file: str | None, *, rotate: bool) -> None:
    """Make an officer's signing key in FILE, or replace this home's keys.

    An officer decides in `sealroom inbox` whether a release goes out, when the agreement says `manual`. Put the printed
    public key under `consent.PARTY.officers` of the spec. Keys of a home can be replaced only while nothing needs them.
    """
    if rotate == (file is not None):
        raise UsageError("name a FILE, or say `--rotate`", hint="`sealroom keygen alice.key`")
    if file is None:
        _rotate(ui)
        return
    key = SigningKey.generate()
    keyfile.create(Path(file), key, passphrase.ask(f"the new key {file}", new=True))
    public = key.public
    document = {"file": file, "signing_key": public.text, "fingerprint": fingerprint(public.raw)}
    ui.show(document, f"officer key  {public.text}\nfingerprint  {document['fingerprint']}")


def _rotate(ui: Ui) -> None:
    home = ui.home()
    if home.agreements() or home.objects():
        hint = "make a new home, and sign a new agreement with its card; stop the old one"
        raise UsageError("an agreement or a sealed object needs the keys of this home", hint=hint)
    home.signing_key()  # whoever replaces the keys knows their passphrase
    home.make_keys()
    card = home.card()
    path = Path(f"{card.name}.party.json")
    files.write(path, card.to_bytes(), overwrite=True, mode=0o644)
    ui.show(
        {"party": card.name, "card": str(path), "fingerprint": card.fingerprint}, f"fingerprint  {card.fingerprint}"
    )
    ui.hint(f"hand {path} to the others again")
