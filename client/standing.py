"""Which statements stand: approvals that hold now, and whether anybody stopped the agreement.

Runs in: a party.   Believes: only statements signed by the party that they name.   Spec: §5.1, §5.2.

A gateway can hide statements, but not forge them; a broker keeps each one that it ever saw.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, Refused, UsageError
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.statements import Approval, Revocation, Stop

SKEW = 300
"""Seconds that two parties' clocks may be apart."""
S = TypeVar("S", Approval, Revocation, Stop)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Verified statements about one agreement, by the digest of their envelopes."""

    approvals: Mapping[str, tuple[Envelope, Approval]]
    revocations: Mapping[str, tuple[Envelope, Revocation]]
    stops: Mapping[str, tuple[Envelope, Stop]]

    def require_in_force(self, agreement: Agreement, *, now: int) -> None:
        """Return if the agreement holds at `now`.

        Raises:
            NotAcceptable: a party stopped it, it is not valid yet, or no longer.
        """
        for _, stop in self.stops.values():
            raise NotAcceptable("stopped", f"{stop.party} has stopped this agreement")
        if not agreement.not_before <= now + SKEW:
            raise NotAcceptable("not-yet-valid", "the agreement is not valid yet")
        if now >= agreement.not_after:
            raise NotAcceptable("agreement-expired", "the agreement has expired", hint="agree on a new version")

    def approved(
        self, agreement: Agreement, *, now: int, own: str | None, past: bool = False
    ) -> dict[str, tuple[Envelope, ...]]:
        """Every measurement that enough parties approve at `now`, with their approvals.

        An approval counts from its creation until it expires or its party revokes it. `own` must be among the parties.
        A revocation counts as soon as it is seen, whenever it says that it was made; only if `now` is in the past,
        what was revoked later still stood.
        """
        by_measurement: dict[str, dict[str, Envelope]] = {}
        for digest, (signed, approval) in self.approvals.items():
            if (
                approval.created <= now + SKEW
                and now < approval.not_after
                and not self._revoked(digest, approval, until=now + SKEW if past else None)
            ):
                by_measurement.setdefault(approval.measurement, {})[approval.party] = signed
        needed = {*agreement.approvals.mandatory, *(() if own is None else (own,))}
        return {
            measurement: tuple(signed for _, signed in sorted(found.items()))
            for measurement, found in by_measurement.items()
            if len(found) >= agreement.approvals.threshold and needed <= set(found)
        }

    def _revoked(self, digest: str, approval: Approval, *, until: int | None) -> bool:
        revocations = (r for _, r in self.revocations.values() if until is None or r.created <= until)
        return any(r.approval == digest and r.party == approval.party for r in revocations)


def read(agreement: Agreement, agreement_id: str, statements: Sequence[Envelope]) -> Standing:
    """The statements that hold; anything else in `statements` is left out, as it proves nothing."""
    about = (statements, agreement, agreement_id)
    return Standing(_those(Approval, *about), _those(Revocation, *about), _those(Stop, *about))


def verify(kind: type[S], statement: Envelope, agreement: Agreement, agreement_id: str) -> S:
    """The statement, if the member that it names signed it for this agreement.

    Raises:
        NotGenuine: somebody else signed it.
        NotAcceptable: it is about another agreement.
        Malformed, UsageError: it cannot be read, or names nobody.
    """
    unverified = envelopes.unverified(statement, kind)
    key = VerifyingKey.parse(agreement.party(unverified.party).signing_key)
    said = envelopes.verify(statement, kind, {unverified.party: key})
    if said.agreement != agreement_id:
        raise NotAcceptable("other-agreement", "the statement is about another agreement")
    return said


def _those(
    kind: type[S], statements: Sequence[Envelope], agreement: Agreement, agreement_id: str
) -> dict[str, tuple[Envelope, S]]:
    found = {}
    for statement in statements:
        if statement.payloadType == envelopes.media_type(kind):
            with contextlib.suppress(Refused, UsageError):
                found[statement.digest] = (statement, verify(kind, statement, agreement, agreement_id))
    return found
