"""Approvals of a measurement, and taking them back: signed files that work without a server.

Runs in: a party.   Believes: what it measured itself.   Spec: §5.1.
"""

from __future__ import annotations

import os
import re
import time
from typing import Final

from sealroom.client import outbox
from sealroom.client.home import Home
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import UsageError
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.statements import Approval, Revocation

DAY: Final = 86_400
_HEX48 = re.compile(r"[0-9a-f]{96}")


def approve(home: Home, agreement_id: str, measurement: str, *, days: int, remark: str = "approved") -> Envelope:
    """A signed approval, kept in the outbox until it is sent.

    Raises:
        UsageError: not a measurement, or not a time ahead.
    """
    if _HEX48.fullmatch(measurement) is None:
        raise UsageError("a measurement has 96 hex digits", hint="compute it: `sealroom measure IMAGE`")
    if not 1 <= days <= 3660:
        raise UsageError("an approval holds between 1 and 3660 days")
    now = int(time.time())
    statement = Approval(
        format="sealroom/approval/v1", party=home.config.party, agreement=agreement_id, measurement=measurement,
        not_after=now + days * DAY, created=now, remark=remark, nonce=os.urandom(32).hex(),
    )  # fmt: skip
    return _keep(home, agreement_id, envelopes.sign(statement, [home.signing_key()]))


def revoke(home: Home, agreement_id: str, approval: Envelope, *, remark: str = "revoked") -> Envelope:
    """A signed revocation of one of this party's own approvals, kept in the outbox until it is sent.

    Raises:
        NotGenuine: the approval is not this party's.
    """
    said = envelopes.verify(approval, Approval, {"own": home.public_keys().signing})
    if said.agreement != agreement_id:
        raise UsageError("the approval belongs to another agreement")
    statement = Revocation(
        format="sealroom/revocation/v1", party=home.config.party, agreement=agreement_id, approval=approval.digest,
        created=int(time.time()), remark=remark,
    )  # fmt: skip
    return _keep(home, agreement_id, envelopes.sign(statement, [home.signing_key()]))


def own(home: Home, agreement_id: str) -> list[tuple[Envelope, Approval]]:
    """This party's approvals under one agreement, sent or waiting, without those it took back."""
    key = home.public_keys().signing
    kept = [*outbox.sent(home, agreement_id), *outbox.waiting(home, agreement_id)]
    revoked = {r.approval for e in kept if (r := _as_revocation(e, key)) is not None}
    approvals = [(e, a) for e in kept if (a := _as_approval(e, key)) is not None]
    return [(e, a) for e, a in approvals if e.digest not in revoked]


def find(home: Home, agreement_id: str, prefix: str) -> Envelope:
    """The own approval whose digest, or whose measurement, starts with `prefix`.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [e for e, a in own(home, agreement_id) if e.digest.startswith(prefix) or a.measurement.startswith(prefix)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found) or 'no'} approvals of yours start with {prefix}", hint="see them: `sealroom next`"
        )
    return found[0]


def _keep(home: Home, agreement_id: str, statement: Envelope) -> Envelope:
    outbox.put(home, agreement_id, statement)
    return statement


def _as_approval(envelope: Envelope, key: VerifyingKey) -> Approval | None:
    if envelope.payloadType != envelopes.media_type(Approval):
        return None
    return envelopes.verify(envelope, Approval, {"own": key})


def _as_revocation(envelope: Envelope, key: VerifyingKey) -> Revocation | None:
    if envelope.payloadType != envelopes.media_type(Revocation):
        return None
    return envelopes.verify(envelope, Revocation, {"own": key})
