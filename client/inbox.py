"""What waits for people: one folder per release, with the question in plain words and the officers' signed answers.

Runs in: an owner, beside its broker.   Believes: only officers that the agreement names.   Spec: §5.8.

    inbox/<release>/question.json   what would leave, written by the broker
    inbox/<release>/<officer>.json  one signed decision each
    inbox/<release>/outcome.json    what the broker made of them

The broker alone writes the ledger, so that a person may decide while it runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from sealroom.client import files
from sealroom.client.home import Home
from sealroom.protocol import canonical, decisions, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Party
from sealroom.protocol.decisions import Decision
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, Refused, UsageError
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.schema import Hex32, Int, Many, Name, Prose, Time

_MOST = 1 << 20
Answer = Literal["release", "refuse"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One release that waits for people; `lines` say in plain words what would leave."""

    format: Literal["sealroom/question/v1"]
    release: Hex32
    run: Hex32
    agreement: Hex32
    rule: Name
    recipient: Name
    lines: Annotated[tuple[Prose, ...], Many(1, 32)]
    needed: Annotated[int, Int(1, 16)]
    asked: Time
    deadline: Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a question."""

    format: Literal["sealroom/outcome/v1"]
    release: Hex32
    decision: Answer
    remark: Prose
    decided: Time


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A question and how far it is: officers' keys that said yes, and the reason of the one that said no."""

    question: Question
    yes: tuple[str, ...]
    refusal: str | None
    outcome: Outcome | None


def ask(home: Home, question: Question) -> Question:
    """Put a question into the inbox; the one that was asked first stays."""
    folder = _folder(home, question.release)
    path = folder / "question.json"
    if not path.exists():
        _write(path, question)
    return _read(path, Question)


def answers(home: Home, question: Question, party: Party) -> tuple[tuple[str, ...], str | None]:
    """(officers that said yes, the first refusal's reason or None); anything that does not verify is left out."""
    yes, refusal = [], None
    for path in sorted(_folder(home, question.release).glob("officer-*.json")):
        try:
            envelope = envelopes.parse(files.read(path, most=_MOST))
            officer, decision = decisions.verify_decision(
                envelope, party, agreement=question.agreement, release=question.release
            )
        except Refused:
            continue
        if decision.decision == "refuse":
            refusal = refusal or decision.remark
        else:
            yes.append(officer)
    return tuple(dict.fromkeys(yes)), refusal


def decide(home: Home, release: str, answer: Answer, *, remark: str, now: int, key: SigningKey) -> Decision:
    """Sign and keep one officer's decision on the release whose id starts with `release`.

    Raises:
        UsageError: no question, or several, are meant.
        NotAcceptable: it is decided already, its time is over, or this key may not decide.
    """
    found = find(home, release)
    question = found.question
    party = home.agreement(question.agreement).agreement.party(home.config.party)
    if found.outcome is not None:
        raise NotAcceptable("decided-already", f"the answer was given: {found.outcome.decision}")
    if now >= question.deadline:
        raise NotAcceptable("too-late", "the time to decide is over; the release will be refused")
    if key.public.text not in decisions.officers(party):
        raise NotAcceptable("no-officer", "this key may not decide for this party",
                            hint="use the key file of a named officer: `--officer FILE`")  # fmt: skip
    decision = Decision(
        format="sealroom/decision/v1", party=party.name, agreement=question.agreement, release=question.release,
        decision=answer, created=now, remark=remark,
    )  # fmt: skip
    schema.decode(Decision, schema.encode(decision))
    keep(home, question.release, envelopes.sign(decision, [key]))
    return decision


def keep(home: Home, release: str, decision: Envelope) -> Path:
    """Keep a signed decision beside its question, under its officer's key."""
    officer = hashlib.sha256(decision.signatures[0].keyid.encode()).hexdigest()[:16]
    path = _folder(home, release) / f"officer-{officer}.json"
    if path.exists():
        raise NotAcceptable("decided-already", "this officer has decided already")
    files.write(path, decision.to_bytes())
    return path


def settle(home: Home, outcome: Outcome) -> None:
    """Write what became of a question; there is nothing to write if it was never asked."""
    folder = _folder(home, outcome.release)
    if (folder / "question.json").exists() and not (folder / "outcome.json").exists():
        _write(folder / "outcome.json", outcome)


def find(home: Home, release: str) -> Standing:
    """The one question whose release id starts with `release`.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [item for item in questions(home) if item.question.release.startswith(release)]
    if len(found) != 1:
        count = "no release" if not found else f"{len(found)} releases"
        raise UsageError(f"{count} in the inbox begin with {release!r}", hint="list them: `sealroom inbox`")
    return found[0]


def questions(home: Home) -> Iterator[Standing]:
    """Every question that was ever asked, with how far it is."""
    for folder in sorted((home.root / "inbox").glob("*")):
        if (folder / "question.json").exists():
            question = _read(folder / "question.json", Question)
            party = home.agreement(question.agreement).agreement.party(home.config.party)
            outcome = _read(folder / "outcome.json", Outcome) if (folder / "outcome.json").exists() else None
            yield Standing(question, *answers(home, question, party), outcome)


def _folder(home: Home, release: str) -> Path:
    files.private_folder(home.root / "inbox")
    return files.private_folder(home.root / "inbox" / release)


def _write(path: Path, document: object) -> None:
    files.write(path, canonical.encode(schema.encode(document)))


def _read(path: Path, kind: type[schema.D]) -> schema.D:
    return schema.decode(kind, canonical.decode(files.read(path, most=_MOST), most=_MOST))
