"""What a gate hands back, checked against what was agreed: its receipt and its offers.

Runs in: a party.   Believes: the gate's key, from evidence that was accepted.   Spec: §5.6, §5.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sealroom.client.admission import AdmittedRequest, pinned_rule
from sealroom.client.appraise import Gate
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable
from sealroom.protocol.release import LOCK_OVERHEAD, release_id
from sealroom.protocol.rules import Rule
from sealroom.protocol.statements import Offer, Receipt


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedOffer:
    """An offer that says what was agreed; `release` names it for ever, `digest` is its envelope's."""

    offer: Offer
    digest: str
    release: str
    rule: Rule


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A receipt by the gate that the evidence speaks of."""

    envelope: Envelope
    receipt: Receipt

    @property
    def offered(self) -> dict[str, str]:
        """Rule by digest of each offer that it lists."""
        return {digest: result.rule for result in self.receipt.results for digest in result.offers}


def check_receipt(receipt: Envelope, request: AdmittedRequest, gate: Gate) -> CheckedReceipt:
    """The receipt of this run.

    Steps: (1) the gate of the accepted evidence signed it; (2) it is for this agreement, version, request and
    evidence, and of the evidence's platform class and key; (3) it answers every requested rule once, in order; (4)
    a rule is offered if and only if it lists offers, and no offer is listed twice; only a completed run offers.

    Raises:
        NotGenuine: step 1.
        NotAcceptable: any other step.
        Malformed: it cannot be read.
    """
    said = envelopes.verify(receipt, Receipt, {"gate": gate.key})  # (1)
    expected = (request.pinned.id, request.pinned.version, request.digest, gate.evidence)
    if (said.agreement, said.version, said.request, said.evidence) != expected:  # (2)
        raise NotAcceptable("other-run", "the receipt is for another run")
    if (said.platform_class, said.gate_key) != (gate.platform_class, gate.key.text):
        raise NotAcceptable("other-platform", "the receipt names another platform class or key than the evidence")
    if tuple(result.rule for result in said.results) != request.request.rules:  # (3)
        raise NotAcceptable("other-rules", "the receipt does not answer exactly the rules that were asked for")
    listed = [digest for result in said.results for digest in result.offers]  # (4)
    consistent = all((result.outcome == "offered") == bool(result.offers) for result in said.results)
    if not consistent or len(set(listed)) != len(listed) or (listed and said.status != "completed"):
        raise NotAcceptable("contradiction", "the receipt contradicts itself about what it offers")
    return CheckedReceipt(receipt, said)


def check_offer(signed: Envelope, receipt: CheckedReceipt, request: AdmittedRequest, gate: Gate) -> CheckedOffer:
    """One offer of this run; everything but ciphertext and shares is recomputed from the agreement.

    Steps: (1) the gate of the accepted evidence signed it; (2) it is for this agreement, version, request and
    evidence; (3) the receipt lists it under its rule; (4) rule type, guarantee, recipient, affected owners, cost,
    size and platform class are those agreed; (5) it holds one commitment and one sealed share for each affected
    owner.

    Raises:
        NotGenuine: step 1.
        NotAcceptable: any other step.
        Malformed: it cannot be read.
    """
    offer = envelopes.verify(signed, Offer, {"gate": gate.key})  # (1)
    expected = (request.pinned.id, request.pinned.version, request.digest, gate.evidence)
    if (offer.agreement, offer.version, offer.request, offer.evidence) != expected:  # (2)
        raise NotAcceptable("other-run", "the offer is for another run")
    if receipt.offered.get(signed.digest) != offer.rule:  # (3)
        raise NotAcceptable("not-in-receipt", "the receipt does not list this offer under its rule")
    rule = pinned_rule(request.pinned, offer.rule)
    for what, said, agreed in _terms(offer, rule, request, gate):  # (4)
        if said != agreed:
            raise NotAcceptable(f"other-{what}", f"the offer of {rule.name} has another {what} than was agreed")
    if not offer.affected or not set(offer.share_commitments) == set(offer.sealed_shares) == set(offer.affected):  # (5)
        raise NotAcceptable("other-shares", "the offer does not hold one share for each affected owner")
    release = release_id(signed.digest, offer.ciphertext_sha256, offer.share_commitments, gate.key.raw)
    return CheckedOffer(offer, signed.digest, release, rule)


def check_one_per_recipient(offers: Sequence[CheckedOffer]) -> None:
    """Return if no rule is offered to one recipient twice.

    Raises:
        NotAcceptable: one is.
    """
    seen = [(item.offer.rule, item.offer.recipient) for item in offers]
    if len(set(seen)) != len(seen):
        raise NotAcceptable("offered-twice", "a rule is offered to the same recipient twice")


def _terms(offer: Offer, rule: Rule, request: AdmittedRequest, gate: Gate) -> tuple[tuple[str, object, object], ...]:
    agreement = request.pinned.agreement
    recipient = offer.recipient if offer.recipient in rule.recipients else None
    affected = affected_owners(agreement, rule, offer.recipient)
    return (
        ("recipient", offer.recipient, recipient),
        ("rule-type", offer.rule_type, rule.type),
        ("guarantee", offer.guarantee, rule.guarantee),
        ("affected-owners", offer.affected, affected),
        ("cost", offer.cost, terms.cost_of(agreement, rule)),
        ("size", offer.size, terms.padded_size(agreement, rule) + LOCK_OVERHEAD),
        ("platform-class", offer.platform_class, gate.platform_class),
    )
