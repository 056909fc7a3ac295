"""`sealroom agreement new` and `amend`: drafts, from a spec and from what is pinned.

Runs in: a party.   Believes: cards whose fingerprints a person compared.   Spec: §4, §10.2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealroom.attestation.snp.roots import VENDOR_ROOTS
from sealroom.client import (
    agreeing,
    card,
    choosing,
    files,
    fragment,
    measuring,
    progressing,
    signing,
    spec,
    templates,
    ui,
)
from sealroom.client.card import Card
from sealroom.client.home import Home
from sealroom.client.spec_fields import Spec
from sealroom.client.templates import Template
from sealroom.client.ui import Ui
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.platform import PlatformPolicy, simulated_policy

_ROOT_MOST = 64 << 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `agreement new`."""

    template: Template
    described: str
    cards: tuple[str, ...]
    operator: str
    platform_root: str | None
    policy: str | None
    infer: tuple[str, ...]
    columns: tuple[str, ...]
    output: str
    force: bool
    sign: bool
    approve: str | None
    days: int


@ui.command(
    "new",
    example="sealroom agreement new --template overlap --spec spec.toml --party partner.party.json "
    "--party operator.party.json --operator operator --platform-root root.der",
)
@click.option("--template", type=click.Choice(["overlap", "lookalike"]), required=True, help="What is to be learned.")
@click.option(
    "--spec", "described", type=click.Path(dir_okay=False), required=True, metavar="FILE", help="TOML or JSON."
)
@click.option(
    "--party", "cards", multiple=True, type=click.Path(dir_okay=False), metavar="CARD", help="Another party's card."
)
@click.option("--operator", required=True, metavar="NAME", help="Who runs the machine.")
@click.option("--platform-root", type=click.Path(dir_okay=False), metavar="FILE", help="Root of a simulated platform.")
@click.option("--policy", type=click.Path(dir_okay=False), metavar="FILE", help="Or: attestation policies (JSON).")
@click.option("--infer", multiple=True, metavar="NAME=FILE.csv", help="Fill a dataset's holes from one's own file.")
@click.option(
    "--columns", multiple=True, type=click.Path(dir_okay=False), metavar="FILE", help="Another owner's columns."
)
@click.option("--output", type=click.Path(dir_okay=False), default="agreement.json", metavar="FILE", help="The draft.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@signing.options
def new(ui: Ui, /, **options: Any) -> None:
    """Draft version 1 of an agreement from a small spec; with --sign, sign it at once.

    This home's own card is added by itself. See docs/GUIDE.md for the spec.
    """
    home, wish = ui.home(), Wish(**options)
    files_read = [choosing.pair(text, "NAME=FILE.csv")[1] for text in wish.infer]
    with ui.reading("reading columns", progressing.size_of(files_read)):
        described = _spec(wish)
    draft = templates.draft(
        wish.template, described, cards=_cards(home, wish.cards), operator=wish.operator,
        platforms=_platforms(wish.platform_root, wish.policy), now=int(time.time()),
    )  # fmt: skip
    output, document = Path(wish.output), agreeing.Document(draft, None)
    agreeing.write_draft(output, draft, overwrite=wish.force)
    if not wish.sign and wish.approve is None:
        answer = {"draft": wish.output, "signed": None, "agreement": document.id, "version": document.version}
        ui.show(answer, f"draft      {output}\nagreement  {document.id[:16]}")
        ui.hint(f"read it: `sealroom agreement show {output} --for-lawyers`; then `sealroom agreement sign {output}`")
        return
    target = signing.signed_path(output)
    with measuring.bar(ui, wish.approve):
        signed = signing.sign_and_approve(home, document, target, wish.approve, wish.days, overwrite=wish.force)
    answer = {"draft": wish.output, **signed}
    ui.show(answer, signing.in_words(answer))
    signing.say_next(ui, answer)


@ui.command("amend", example="sealroom agreement amend --output agreement-2.json")
@click.argument("agreement", required=False)
@click.option(
    "--output", type=click.Path(dir_okay=False), default="agreement-next.json", metavar="FILE", help="The draft."
)
def amend(ui: Ui, agreement: str | None, output: str) -> None:
    """Draft the next version of a pinned agreement, to be edited and signed by everybody."""
    pinned = choosing.agreement(ui.home(), agreement)
    draft = agreeing.amend(pinned)
    agreeing.write_draft(Path(output), draft)
    ui.show(
        {"draft": output, "sequence": draft.sequence, "agreement": pinned.id},
        f"draft  {output} (version {draft.sequence})",
    )
    ui.hint(f"edit it, look at `sealroom agreement diff {pinned.id[:12]} {output}`, then sign it")


def _spec(wish: Wish) -> Spec:
    described = spec.load(Path(wish.described))
    for file in wish.columns:
        described = fragment.merge(described, Path(file))
    for text in wish.infer:
        name, csv = choosing.pair(text, "NAME=FILE.csv")
        described = spec.infer(described, name, csv)
    return described


def _cards(home: Home, paths: Sequence[str]) -> list[Card]:
    own, others = home.card(), [card.load(Path(path)) for path in paths]
    for other in others:
        if other.name == own.name and other != own:
            raise UsageError(f"a card of {own.name} has other keys than this home", hint="one home per party")
    return [own, *(other for other in others if other.name != own.name)]


def _platforms(root: str | None, policy: str | None) -> Sequence[PlatformPolicy]:
    if (root is None) == (policy is None):
        raise UsageError("say which machine is accepted: `--platform-root FILE` or `--policy FILE`")
    if policy is not None:
        return spec.read_policy(Path(policy))
    digest = hashlib.sha256(_der(Path(str(root)))).hexdigest()
    if digest in VENDOR_ROOTS:
        raise UsageError(
            "this root stands for hardware, and a hardware policy is written out", hint="use `--policy FILE`"
        )
    return [simulated_policy(digest)]


def _der(path: Path) -> bytes:
    data = files.read(path, most=_ROOT_MOST)
    try:
        read = x509.load_pem_x509_certificate if data.startswith(b"-----BEGIN") else x509.load_der_x509_certificate
        return read(data).public_bytes(Encoding.DER)
    except ValueError as error:
        raise Malformed("not-a-certificate", f"{path} is not a certificate in DER or PEM") from error
