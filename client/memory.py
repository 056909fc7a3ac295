"""What a broker remembers between polls, under names in the ledger's file: first come, kept for ever.

Runs in: an owner's broker.   Believes: its own ledger file.   Spec: §10.5.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from pathlib import Path
from typing import Annotated

from sealroom.client import ledger_file
from sealroom.client.appraise import Accepted, Gate, decode
from sealroom.client.ledger import Ledger
from sealroom.protocol import canonical, schema
from sealroom.protocol.envelope import Envelope, parse
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.platform import PlatformClass
from sealroom.protocol.schema import Hex32, Hex48, Text, Time
from sealroom.protocol.statements import evidence_digest

_MOST = 4 << 20
_OTHERS = "others/"
EvidenceText = Annotated[str, Text(r"[ -~]+", 4 << 20)]


@dataclasses.dataclass(frozen=True, slots=True)
class Challenge:
    """A nonce for one run, drawn once; it counts until `until`."""

    nonce: Hex32
    until: Time


@dataclasses.dataclass(frozen=True, slots=True)
class AcceptedBefore:
    """What is left of an appraisal once its grant was charged: the evidence, its measurement and class, and when."""

    evidence: EvidenceText
    measurement: Hex48
    platform_class: PlatformClass
    at: Time

    @property
    def gate(self) -> Gate:
        """Whose receipt and offers count for this run."""
        data = self.evidence.encode()
        return Gate(VerifyingKey.parse(decode(data).gate_signing_key), evidence_digest(data), self.platform_class)


def challenge(ledger: Ledger, run: str, *, until: int) -> Challenge:
    """This run's nonce: drawn at the first call, the same at every later one."""
    fresh = Challenge(os.urandom(32).hex(), until)
    return schema.decode(Challenge, canonical.decode(ledger.keep(f"nonce/{run}", _bytes(fresh)), most=_MOST))


def known_challenge(ledger: Ledger, run: str) -> Challenge | None:
    """This run's nonce, if there is one."""
    body = ledger.kept(f"nonce/{run}")
    return None if body is None else schema.decode(Challenge, canonical.decode(body, most=_MOST))


def acceptance(run: str, data: bytes, accepted: Accepted) -> dict[str, bytes]:
    """What to keep, with the charge, of evidence that was accepted."""
    verdict = accepted.verdict
    before = AcceptedBefore(data.decode(), verdict.measurement, verdict.platform_class, verdict.at)
    return {f"accepted/{run}": _bytes(before), f"seen/{verdict.evidence}": run.encode()}


def accepted_before(ledger: Ledger, run: str) -> AcceptedBefore | None:
    """The evidence that this run's keys were granted to."""
    body = ledger.kept(f"accepted/{run}")
    return None if body is None else schema.decode(AcceptedBefore, canonical.decode(body, most=_MOST))


def seen_elsewhere(ledger: Ledger, run: str) -> frozenset[str]:
    """Names of platform evidence that was accepted for any other run."""
    kept = ledger.kept_under("seen/")
    return frozenset(name.removeprefix("seen/") for name, body in kept.items() if body != run.encode())


def keep_statements(ledger: Ledger, agreement: str, fresh: list[Envelope]) -> list[Envelope]:
    """Keep statements about an agreement for ever, so that nobody can hide them afterwards; those that are new here."""
    new = {_statement(agreement) + signed.digest: signed for signed in fresh}
    new = {name: signed for name, signed in new.items() if ledger.kept(name) is None}
    if new:
        ledger.keep_all({name: signed.to_bytes() for name, signed in new.items()})
    return list(new.values())


def statements(ledger: Ledger, agreement: str) -> list[Envelope]:
    """Every statement about an agreement that was ever kept."""
    return [parse(body) for body in ledger.kept_under(_statement(agreement)).values()]


def _statement(agreement: str) -> str:
    return f"statement/{agreement}/"


def _bytes(document: object) -> bytes:
    return canonical.encode(schema.encode(document))


def adopted(digest: str) -> str:
    """Under which name a statement is kept that a lost ledger had let go."""
    return f"adopted/{digest}"


def note_others(ledger: Ledger, statements: list[Envelope]) -> None:
    """Keep what other parties let go, so that one whose ledger is lost can ask for it."""
    named = {f"{_OTHERS}{statement.digest}": statement.to_bytes() for statement in statements}
    if fresh := {name: body for name, body in named.items() if ledger.kept(name) is None}:
        ledger.keep_all(fresh)


def seen_of_others(folder: Path) -> list[Envelope]:
    """What the broker of a home noted of other parties; may be asked while that broker runs."""
    path = folder / ledger_file.NAME
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database, ledger_file.speaking():
        query = "SELECT body FROM kept WHERE name GLOB ? ORDER BY name"
        return [parse(body) for (body,) in database.execute(query, (f"{_OTHERS}*",))]
