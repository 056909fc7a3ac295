"""Making a frozen ledger whole: what others hold is charged again, and their word, or a person's, ends the freeze.

Runs in: an owner.   Believes: witnesses of the pinned agreements' other parties; a person who says so.   Spec: §10.6.

Nobody can prove that nothing was forgotten. What is proved is that each agreement has another party who signed, after
the freeze, what it holds of this party, and that all of it is charged. Without that there is only a person's word,
which is signed and kept as such.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from sealroom.client import memory, purses, witness
from sealroom.client.desk import Desk
from sealroom.client.entries import NO_AGREEMENT, NOTHING, Amount, Draft, Entry
from sealroom.client.errors import Unreachable, Waiting
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.witness import Paid, Witness, WitnessFile
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, Refused, UsageError
from sealroom.protocol.schema import Count, Hex32, Many, Name, Prose, Time

WARNING = (
    "WARNING: nobody else confirms what this ledger has spent. Whatever it forgot, and nobody shows, can be spent a "
    "second time: epsilon and bits beyond what was agreed. Ask another party for its witness if there is any way to."
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What ended a freeze: the witnesses (by digest), or agreements that nobody witnessed, for which a person spoke."""

    format: Literal["sealroom/confirmation/v1"]
    party: Name
    challenge: Hex32
    witnesses: Annotated[tuple[Hex32, ...], Many(0, 256)]
    alone: Annotated[tuple[Hex32, ...], Many(0, 1024)]
    adopted: Count
    remark: Prose
    created: Time


@dataclasses.dataclass(frozen=True, slots=True)
class Confirmed:
    """How it went: what was charged again, who confirmed, and the agreements for which nobody did."""

    adopted: tuple[Entry, ...]
    parties: tuple[str, ...]
    alone: tuple[str, ...]
    statement: Envelope


def challenge(desk: Desk) -> str:
    """What witnesses must sign: the digest of the entry that froze the ledger; zeros for a live one."""
    entry = desk.ledger.frozen()
    return NO_AGREEMENT if entry is None else entry.digest


def asked(pinned: PinnedAgreement, party: str) -> tuple[str, ...]:
    """Whose word counts under an agreement: any other party's; the operator's, who could hide, if there is no other."""
    others = {member.name for member in pinned.agreement.parties} - {party}
    return tuple(sorted(others - {pinned.agreement.operator} or others))


def confirm(desk: Desk, said: Sequence[WitnessFile], *, alone: str | None) -> Confirmed:
    """Charge all that others hold and the ledger lacks, then let it live; `alone` is a person's reason to do without.

    Raises:
        UsageError: the ledger is not frozen; only the clock can be confirmed then, which takes a person's word.
        Waiting: an agreement lacks another party's word, and nobody spoke for it.
        NotGenuine, NotAcceptable: a witness is not what it must be.
    """
    if desk.ledger.frozen() is None and (said or alone is None):
        raise UsageError("the ledger is not frozen", hint="if its clock was wrong before: `--alone REASON`")
    pinned = {item.id: item for item in desk.home.agreements()}
    words = [_checked(desk, pinned, file) for file in said]
    lacking = tuple(item.id for item in pinned.values() if not _is_witnessed(desk, item, [w for w, _ in words]))
    if desk.ledger.frozen() is not None and alone is None and (lacking or not words):
        raise _lacking(desk, [pinned[name] for name in lacking])
    strange = _strange(desk, pinned.values(), [one for _, brought in words for one in brought])
    adopted = _adopt(desk, pinned, strange)
    confirmation = Confirmation(
        format="sealroom/confirmation/v1", party=desk.party, challenge=challenge(desk),
        witnesses=tuple(file.witness.digest for file in said), alone=lacking if desk.ledger.frozen() else (),
        adopted=len(adopted), remark=alone or "confirmed by other parties", created=int(desk.clock()),
    )  # fmt: skip
    signed = envelopes.sign(confirmation, [desk.home.signing_key()])
    _thaw(desk, confirmation, signed)
    return Confirmed(adopted, tuple(sorted({w.party for w, _ in words})), confirmation.alone, signed)


def _checked(desk: Desk, pinned: dict[str, PinnedAgreement], file: WitnessFile) -> tuple[Witness, tuple[Envelope, ...]]:
    named = envelopes.unverified(file.witness, Witness).agreement
    if named not in pinned:
        raise NotAcceptable("other-agreement", "the witness speaks of an agreement that is not pinned here",
                            hint="import it first: `sealroom agreement import FILE`")  # fmt: skip
    return witness.check(file, pinned[named], subject=desk.party, challenge=challenge(desk))


def _is_witnessed(desk: Desk, pinned: PinnedAgreement, words: Iterable[Witness]) -> bool:
    return any(w.agreement == pinned.id and w.party in asked(pinned, desk.party) for w in words)


def _lacking(desk: Desk, agreements: Sequence[PinnedAgreement]) -> Waiting:
    who = "; ".join(f"{' or '.join(asked(item, desk.party))} for {item.id[:12]}" for item in agreements)
    return Waiting(
        f"the word of another party is missing: {who or 'no agreement is pinned here, so nobody can be asked'}",
        hint=f"they type `sealroom ledger witness {desk.party} --challenge {challenge(desk)}` and send you the file",
    )


def _strange(desk: Desk, pinned: Iterable[PinnedAgreement], brought: list[Envelope]) -> list[Paid]:
    """All that this party let go and its ledger does not know: from witnesses, and from the gateway if it answers."""
    own = desk.home.public_keys().signing
    statements = list(brought)
    for item in pinned:
        with contextlib.suppress(Unreachable, Refused):
            for entry in desk.gateway.runs(item.id):
                statements += witness.shown(desk.gateway, entry.run)
    return witness.unknown(desk.ledger, witness.paid(statements, desk.party, own))


def _adopt(desk: Desk, pinned: dict[str, PinnedAgreement], strange: Sequence[Paid]) -> tuple[Entry, ...]:
    """Charge each to every purse of this party under its agreement, as it does not say which; one run's grants once."""
    if missing := sorted({one.agreement for one in strange} - set(pinned)):
        what = f"something was let go under agreement {missing[0][:12]}, which is not pinned here"
        raise NotAcceptable("other-agreement", what, hint="import it first: `sealroom agreement import FILE`")
    heads: set[tuple[int, str]] = set()
    made = []
    for one in strange:
        head = (one.head.sequence, one.head.previous)
        again = head in heads
        charge = NOTHING if again else purses.amount(one.charged, runs=one.runs)
        made.append(_adopt_one(desk, pinned[one.agreement], one, charge))
        heads.add(head)
    return tuple(made)


def _adopt_one(desk: Desk, pinned: PinnedAgreement, one: Paid, charge: Amount) -> Entry:
    purse_names = purses.limits(pinned.agreement, desk.party)
    draft = Draft(
        format="sealroom/ledger-entry/v1", kind="adopted", once=memory.adopted(one.digest), name=one.digest,
        agreement=one.agreement, remark=f"{one.name.partition('/')[0]}, paid as entry {one.head.sequence} of a ledger",
        charges=dict.fromkeys(purse_names, charge), created=int(desk.clock()), deadline=0,
    )  # fmt: skip
    return desk.ledger.adopt(draft, lambda _: {memory.adopted(one.digest): one.envelope.to_bytes()})


def _thaw(desk: Desk, confirmation: Confirmation, signed: Envelope) -> None:
    draft = Draft(
        format="sealroom/ledger-entry/v1", kind="confirmed", once=f"confirmed/{signed.digest}", name=signed.digest,
        agreement=NO_AGREEMENT, remark="".join(c if c.isascii() else "?" for c in confirmation.remark)[:400],
        charges={}, created=confirmation.created, deadline=0,
    )  # fmt: skip
    desk.ledger.thaw(draft, lambda _: {f"confirmation/{signed.digest}": signed.to_bytes()})
