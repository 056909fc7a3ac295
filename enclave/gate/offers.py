"""Turns one rule's result into offers: sealed to the recipient first, then under a key that the affected owners share.

Runs in: the gate (TCB).   Believes: the agreement, for who receives, who is affected, and what it costs.   Spec: §7.4.
"""

from __future__ import annotations

import dataclasses

from sealroom.enclave import memory
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.compute import Result
from sealroom.enclave.gate.identity import Attested, Identity
from sealroom.protocol import envelope, release, terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingPublicKey
from sealroom.protocol.rules import Rule
from sealroom.protocol.statements import Offer

_LENGTH_FIELD = 8


@dataclasses.dataclass(frozen=True, slots=True)
class MadeOffer:
    """A signed offer and the ciphertext that it describes."""

    envelope: Envelope
    ciphertext: bytes

    def ciphertext_file(self) -> int:
        """The ciphertext in frozen memory, to hand over by descriptor."""
        return memory.sealed_copy("ciphertext", [self.ciphertext])


@dataclasses.dataclass(frozen=True, slots=True)
class Offers:
    """The offers of one rule, one per recipient, or the closed reason why there are none."""

    offers: tuple[MadeOffer, ...]
    reason: str | None


def make_offers(run: AdmittedRun, attested: Attested, identity: Identity, result: Result) -> Offers:
    """Seal one result to each of its rule's recipients; a result that does not fit its size is withheld."""
    agreement = run.agreed.agreement
    rule = agreement.rule(result.rule)
    if result.canonical is None:
        return Offers((), result.reason)
    if len(result.canonical) + _LENGTH_FIELD > terms.padded_size(agreement, rule):
        return Offers((), "too-large")
    made = tuple(_offer(run, attested, identity, rule, to, result.canonical) for to in rule.recipients)
    return Offers(made, None)


def _offer(
    run: AdmittedRun, attested: Attested, identity: Identity, rule: Rule, recipient: str, canonical: bytes
) -> MadeOffer:
    agreement = run.agreed.agreement
    context = release.Context(
        agreement=run.agreed.id,
        version=run.agreed.version,
        request=run.request_digest,
        rule=rule.name,
        recipient=recipient,
    )
    recipient_key = SealingPublicKey.parse(agreement.party(recipient).sealing_key)
    sealed = release.seal_release(
        canonical, terms.padded_size(agreement, rule), recipient=recipient_key, context=context
    )
    owners = affected_owners(agreement, rule, recipient)
    keys = {name: SealingPublicKey.parse(agreement.party(name).sealing_key) for name in owners}
    commitments, sealed_shares = release.seal_shares(sealed, keys, context)
    offer = Offer(
        format="sealroom/offer/v1",
        agreement=run.agreed.id,
        version=run.agreed.version,
        request=run.request_digest,
        evidence=attested.digest,
        platform_class=agreement.platform_class,
        rule=rule.name,
        rule_type=rule.type,
        guarantee=rule.guarantee,
        cost=terms.cost_of(agreement, rule),
        recipient=recipient,
        affected=owners,
        ciphertext_sha256=sealed.ciphertext_sha256,
        size=len(sealed.ciphertext),
        share_commitments=commitments,
        sealed_shares=sealed_shares,
    )
    return MadeOffer(envelope.sign(offer, [identity.signing]), sealed.ciphertext)
