"""A party's card: its public keys under its name, to hand to the others and to compare by voice.

Runs in: a party.   Believes: a card only after its fingerprint was compared out of band.   Spec: §10.2.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

from sealroom.client import files
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.keys import SealingPublicKey, VerifyingKey, fingerprint
from sealroom.protocol.schema import Base64, Label, Name

_MOST_BYTES = 16 << 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Public keys as base64url; `fingerprint` is over both of them."""

    format: Literal["sealroom/party/v1"]
    name: Name
    signing_key: Base64
    sealing_key: Base64
    fingerprint: Label

    def to_bytes(self) -> bytes:
        """The card as readable JSON."""
        return (json.dumps(schema.encode(self), indent=2) + "\n").encode()


def make(name: str, signing: VerifyingKey, sealing: SealingPublicKey) -> Card:
    """The card of these keys."""
    return Card(
        format="sealroom/party/v1", name=name, signing_key=signing.text, sealing_key=sealing.text,
        fingerprint=fingerprint(signing.raw + sealing.raw),
    )  # fmt: skip


def parse(data: bytes) -> Card:
    """A card whose fingerprint is that of its keys.

    Raises:
        Malformed: not a card.
        NotGenuine: the fingerprint is another key's.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", "this is not a party card") from error
    card = schema.decode(Card, value)
    again = make(card.name, VerifyingKey.parse(card.signing_key), SealingPublicKey.parse(card.sealing_key))
    if again.fingerprint != card.fingerprint:
        raise NotGenuine("fingerprint", f"the card of {card.name!r} shows a fingerprint that is not its keys'")
    return card


def load(path: Path) -> Card:
    """The card in a file.

    Raises:
        Malformed: not a card.
        NotGenuine: the fingerprint is another key's.
    """
    return parse(files.read(path, most=_MOST_BYTES))
