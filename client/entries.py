"""What one line of a ledger says, and how lines chain.

Runs in: an owner's broker.   Believes: nothing.   Spec: §10.5.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Literal

from sealroom.protocol import canonical, digest, schema
from sealroom.protocol.schema import Int, Many, Text, Time

MOST_BYTES = 1 << 16
Matter = Annotated[str, Text(r"[ -~]{1,400}", 400)]
Kind = Literal[
    "grant", "release", "refusal", "settled", "unresolved", "stop", "frozen", "adopted", "confirmed"
]  # fmt: skip
Reason = Literal["restored", "lost", "copied", "rolled-back", "forked"]
"""Why a ledger is frozen; `forked`: something that it did not write bears its party's signature."""
NO_AGREEMENT = "00" * 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Epsilon in millionths, bits in thousandths, and runs."""

    epsilon: Annotated[int, Int(0)] = 0
    bits: Annotated[int, Int(0)] = 0
    runs: Annotated[int, Int(0)] = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(epsilon=self.epsilon + other.epsilon, bits=self.bits + other.bits, runs=self.runs + other.runs)

    def within(self, limit: Amount) -> bool:
        """Whether no part of it is more than the limit's."""
        return self.epsilon <= limit.epsilon and self.bits <= limit.bits and self.runs <= limit.runs


NOTHING = Amount()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry before it has a place.

    `once` names the matter that it settles: there is one entry per matter, ever. `charges` are by purse: a population
    or a bundle. `deadline` is when a grant counts as unresolved; 0 where there is none.
    """

    format: Literal["sealroom/ledger-entry/v1"]
    kind: Kind
    once: Matter
    name: Matter
    agreement: schema.Hex32
    remark: Matter
    charges: Annotated[dict[schema.Name, Amount], Many(0, 64)]
    created: Time
    deadline: Time

    def to_bytes(self) -> bytes:
        """Canonical JSON: what the chain covers."""
        return canonical.encode(schema.encode(self))


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A draft at its place: its number, and the digest of the entry before it."""

    sequence: int
    previous: str
    draft: Draft

    @property
    def digest(self) -> str:
        """Covers number, predecessor and content."""
        number = self.sequence.to_bytes(8, "big")
        return digest.sha256("ledger-entry/v1", number, self.previous.encode(), self.draft.to_bytes())


def freezing(reason: Reason, remark: str, *, now: int) -> Draft:
    """What freezes a ledger; what others are asked to sign cannot be known before it is written."""
    return Draft(
        format="sealroom/ledger-entry/v1", kind="frozen", once=f"frozen/{os.urandom(16).hex()}", name=reason,
        agreement=NO_AGREEMENT, remark=remark, charges={}, created=now, deadline=0,
    )  # fmt: skip


def start(party: str) -> str:
    """What the first entry follows."""
    return digest.sha256("ledger-start/v1", party.encode())


def read(sequence: int, previous: str, body: bytes) -> Entry:
    """An entry as it was written.

    Raises:
        Malformed: it is none.
    """
    return Entry(sequence, previous, schema.decode(Draft, canonical.decode(body, most=MOST_BYTES)))
