"""What others hold under a party's signature, and their word that this is all: how a lost ledger is made whole.

Runs in: an owner's broker, and a party that is asked.   Believes: signatures of the agreement's parties.   Spec: §10.6.

A grant or a consent that was let go was charged before, so whatever others hold of a party says what its ledger must
have held. A gateway can hide a statement, but it cannot make one, nor take it out of another party's home.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from sealroom.client import bundle as bundles
from sealroom.client import files, memory
from sealroom.client.chain import Chain
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import canonical, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine, Refused
from sealroom.protocol.keys import SigningKey, VerifyingKey
from sealroom.protocol.rules import Cost
from sealroom.protocol.schema import Hex32, Many, Name, Time
from sealroom.protocol.statements import Consent, Grant, LedgerHead

MOST_BYTES = 64 << 20
_MOST = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A party's word: these are all statements of `subject` that I know of; `challenge` shows that it was just said."""

    format: Literal["sealroom/witness/v1"]
    party: Name
    agreement: Hex32
    subject: Name
    challenge: Hex32
    statements: Annotated[tuple[Hex32, ...], Many(0, _MOST)]
    created: Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WitnessFile:
    """The signed word, and the statements that it lists."""

    format: Literal["sealroom/witness-file/v1"]
    witness: Envelope
    statements: Annotated[tuple[Envelope, ...], Many(0, _MOST)]

    def to_bytes(self) -> bytes:
        """The file's content: canonical JSON."""
        return canonical.encode(schema.encode(self))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A grant, or a consent to a release: what it was charged, where its signer's ledger says so, and its kept name."""

    envelope: Envelope
    party: str
    agreement: str
    head: LedgerHead
    charged: Cost
    runs: int
    name: str

    @property
    def digest(self) -> str:
        """The statement's digest."""
        return self.envelope.digest


def load(path: Path) -> WitnessFile:
    """The file that another party made.

    Raises:
        Malformed: it is none.
    """
    return schema.decode(WitnessFile, canonical.decode(files.read(path, most=MOST_BYTES), most=MOST_BYTES), "witness")


def paid(statements: Iterable[Envelope], party: str, key: VerifyingKey) -> list[Paid]:
    """Those of the statements that were paid for from the ledger of `party`, and bear its signature."""
    found: dict[str, Paid] = {}
    for signed in statements:
        with contextlib.suppress(Refused):  # anybody can write a party's name on a statement
            if (one := _paid(signed, party, key)) is not None:
                found[one.digest] = one
    return list(found.values())


def _paid(signed: Envelope, party: str, key: VerifyingKey) -> Paid | None:
    if signed.payloadType == envelopes.media_type(Grant):
        grant = envelopes.verify(signed, Grant, {party: key})
        name, said, runs = f"grant/{grant.request}/{grant.object}", (grant.party, grant.agreement, grant.charged), 1
        head: LedgerHead | None = grant.ledger
    else:
        consent = envelopes.verify(signed, Consent, {party: key})
        name, said, runs = f"consent/{consent.release}", (consent.party, consent.agreement, consent.charged), 0
        head = consent.ledger
    if head is None or said[0] != party:
        return None
    return Paid(envelope=signed, party=party, agreement=said[1], head=head, charged=said[2], runs=runs, name=name)


def unknown(ledger: Chain, statements: Iterable[Paid]) -> list[Paid]:
    """Those that this ledger neither made nor adopted, in the order in which they were paid for."""
    found = [one for one in statements if not _is_known(ledger, one)]
    return sorted(found, key=lambda one: (one.head.sequence, one.head.previous, one.digest))


def _is_known(ledger: Chain, one: Paid) -> bool:
    body = ledger.kept(one.name)
    own = body is not None and envelopes.parse(body).digest == one.digest
    return own or ledger.kept(memory.adopted(one.digest)) is not None


def shown(gateway: Gateway, run: str) -> list[Envelope]:
    """Grants and consents of a run, as the gateway shows them."""
    return [*gateway.grants(run), *gateway.consents(run)]


def held(home: Home, gateway: Gateway, pinned: PinnedAgreement) -> Iterator[Envelope]:
    """What a party holds of others: in receipts, in its broker's memory, and what the gateway shows it now."""
    for path in sorted((home.root / "runs").glob(f"*/{bundles.FILE}")):
        kept = bundles.load(path)
        yield from (*kept.grants, *kept.consents)
    yield from memory.seen_of_others(home.root)
    for entry in gateway.runs(pinned.id):
        yield from shown(gateway, entry.run)


def make(
    pinned: PinnedAgreement, statements: Iterable[Envelope], key: SigningKey, *, party: str, subject: str,
    challenge: str, now: int,
) -> WitnessFile:  # fmt: skip
    """Sign that these are all statements of `subject` under an agreement that `party` knows of."""
    theirs = VerifyingKey.parse(pinned.agreement.party(subject).signing_key)
    mine = [one for one in paid(statements, subject, theirs) if one.agreement == pinned.id]
    by_digest = {one.digest: one.envelope for one in mine}
    said = Witness(
        format="sealroom/witness/v1", party=party, agreement=pinned.id, subject=subject, challenge=challenge,
        statements=tuple(sorted(by_digest)), created=now,
    )  # fmt: skip
    return WitnessFile(
        format="sealroom/witness-file/v1", witness=envelopes.sign(said, [key]),
        statements=tuple(by_digest[digest] for digest in said.statements),
    )  # fmt: skip


def check(
    file: WitnessFile, pinned: PinnedAgreement, *, subject: str, challenge: str
) -> tuple[Witness, tuple[Envelope, ...]]:
    """What another party says about `subject`, and the statements that it lists.

    Raises:
        NotGenuine: it is not signed by the party that it names, or lists what it does not bring.
        NotAcceptable: it is about another ledger, agreement or moment, or by the subject itself.
    """
    named = envelopes.unverified(file.witness, Witness)
    if named.agreement != pinned.id:
        raise NotAcceptable("other-agreement", "the witness speaks of another agreement")
    parties = {member.name: member for member in pinned.agreement.parties}
    if named.party not in parties or named.party == subject:
        raise NotAcceptable("not-another-party", f"{named.party} cannot witness for {subject} under this agreement")
    key = VerifyingKey.parse(parties[named.party].signing_key)
    said = envelopes.verify(file.witness, Witness, {named.party: key})
    if (said.subject, said.challenge) != (subject, challenge):
        raise NotAcceptable("other-challenge", f"{said.party} answers another question than the one that is asked now",
                            hint="`sealroom ledger show` prints the challenge to send")  # fmt: skip
    if tuple(sorted(statement.digest for statement in file.statements)) != said.statements:
        raise NotGenuine("other-statements", f"the file does not hold what {said.party} signed that it holds")
    return said, file.statements
