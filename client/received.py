"""Approvals, revocations and stops that came from another party as files, by e-mail or on a stick.

Runs in: a party.   Believes: what the named member signed for a pinned agreement.   Spec: §5.1.
"""

from __future__ import annotations

from pathlib import Path

from sealroom.client import files, standing
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable
from sealroom.protocol.statements import Approval, Revocation, Stop

Statement = Approval | Revocation | Stop
_APPROVAL, _REVOCATION = envelopes.media_type(Approval), envelopes.media_type(Revocation)
_KINDS = (_APPROVAL, _REVOCATION, envelopes.media_type(Stop))


def is_statement(envelope: Envelope) -> bool:
    """Whether this is something that `keep` takes."""
    return envelope.payloadType in _KINDS


def keep(home: Home, envelope: Envelope) -> tuple[PinnedAgreement, Statement]:
    """Verify a statement against the pinned agreement that it is about, and keep it for this party's broker.

    Raises:
        NotGenuine: the member that it names did not sign it.
        NotAcceptable: this home has not pinned that agreement.
    """
    about = _unverified(envelope).agreement
    pinned = next((p for p in home.agreements() if p.id == about), None)
    if pinned is None:
        raise NotAcceptable("unknown-agreement", "the statement is about an agreement that this home has not pinned")
    said = _verify(envelope, pinned)
    folder = files.private_folder(home.root / "received" / pinned.id)
    files.write(folder / f"{envelope.digest}.json", envelope.to_bytes(), overwrite=True)
    return pinned, said


def kept(home: Home, agreement_id: str) -> list[Envelope]:
    """Every statement about one agreement that came as a file."""
    folder: Path = home.root / "received" / agreement_id
    return [envelopes.parse(files.read(p, most=envelopes.MOST_BYTES)) for p in sorted(folder.glob("*.json"))]


def _unverified(envelope: Envelope) -> Statement:
    if envelope.payloadType == _APPROVAL:
        return envelopes.unverified(envelope, Approval)
    if envelope.payloadType == _REVOCATION:
        return envelopes.unverified(envelope, Revocation)
    return envelopes.unverified(envelope, Stop)


def _verify(envelope: Envelope, pinned: PinnedAgreement) -> Statement:
    if envelope.payloadType == _APPROVAL:
        return standing.verify(Approval, envelope, pinned.agreement, pinned.id)
    if envelope.payloadType == _REVOCATION:
        return standing.verify(Revocation, envelope, pinned.agreement, pinned.id)
    return standing.verify(Stop, envelope, pinned.agreement, pinned.id)
