"""An owner's part in a run's end: its receipt, the offers that affect the owner, the cosignature.

Runs in: an owner's broker.   Believes: signatures of the gate that it granted keys to.   Spec: §5.6, §5.7.

The agreement, its version, stops and approvals are looked at again before every yes: a run that was fine when it began
may not be fine when a person answers days later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sealroom.client import admission, answers, consent, grants, inbox, memory, purses
from sealroom.client.admission import AdmittedRequest
from sealroom.client.answers import CheckedOffer, CheckedReceipt
from sealroom.client.appraise import Gate
from sealroom.client.consent import Choice
from sealroom.client.desk import Desk, Event, EventKind, Terms, pinned_version
from sealroom.client.entries import Draft, Entry
from sealroom.client.errors import BudgetSpent
from sealroom.client.inbox import Outcome
from sealroom.client.memory import AcceptedBefore
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, Refused
from sealroom.protocol.statements import Cosignature, Request


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """A run that this party granted keys to, and whose gate has signed a receipt."""

    request: AdmittedRequest
    before: AcceptedBefore
    receipt: CheckedReceipt

    @property
    def run(self) -> str:
        """The run's id."""
        return self.request.digest

    @property
    def gate(self) -> Gate:
        """The run's gate."""
        return self.before.gate


def finish(desk: Desk, terms: Terms, run: str, request: Envelope) -> Iterator[Event]:
    """All that can be done now about a run's end; does nothing for a run that this party granted no key to.

    Raises:
        Refused: the receipt is not this run's.
    """
    before = memory.accepted_before(desk.ledger, run)
    signed = desk.gateway.receipt(run) if before is not None else None
    if before is None or signed is None:
        return
    ended = _ended(desk, terms, before, (request, signed))
    settle(desk, ended.request, "settled", ended.receipt.envelope.digest)
    offers = _offers(desk, ended)
    for kind, digest in (("receipt", signed.digest), *(("offer", offer.digest) for offer in offers)):
        if not desk.ledger.sent(f"cosignature/{run}"):
            terms.log.require(kind, digest)
    open_matters = 0
    for offer in offers:
        event = _answer(desk, terms, ended, offer)
        open_matters += event is not None and event.kind == "asked"
        if event is not None:
            yield event
    if not open_matters and (event := _cosign(desk, ended)):
        yield event


def settle(desk: Desk, request: AdmittedRequest, kind: grants.End, remark: str) -> Entry | None:
    """Note once how a granted run ended; None if it was noted before, one way or the other."""
    once = grants.end_matter(request.digest)
    if desk.ledger.find(once) is not None:
        return None
    draft = Draft(
        format="sealroom/ledger-entry/v1", kind=kind, once=once, name=request.digest, agreement=request.pinned.id,
        remark=remark, charges={}, created=desk.now(), deadline=0,
    )  # fmt: skip
    return desk.ledger.append(draft, limits={})


def _ended(desk: Desk, terms: Terms, before: AcceptedBefore, signed: tuple[Envelope, Envelope]) -> Ended:
    request, receipt = signed
    asked = envelopes.unverified(request, Request)
    pinned = pinned_version(desk.home, terms.pinned.id, asked.version)
    admitted = admission.admit(request, pinned, now=asked.created)
    checked = answers.check_receipt(receipt, admitted, before.gate)
    own = {envelopes.parse(body).digest for body in desk.ledger.kept_under(f"grant/{admitted.digest}/").values()}
    if checked.receipt.status == "completed" and not own <= set(checked.receipt.grants):
        raise NotAcceptable("missing-grant", "the receipt of a completed run leaves out a grant of this party")
    return Ended(admitted, before, checked)


def _offers(desk: Desk, ended: Ended) -> list[CheckedOffer]:
    """The offers that affect this party, each checked.

    Raises:
        Refused: one is not what was agreed; then none is answered.
    """
    entries = desk.gateway.offers(ended.run)
    checked = [answers.check_offer(entry.offer, ended.receipt, ended.request, ended.gate) for entry in entries]
    answers.check_one_per_recipient(checked)
    if {offer.digest for offer in checked} != set(ended.receipt.offered):
        raise NotAcceptable("missing-offer", "the gateway does not show exactly the offers that the receipt lists")
    return [offer for offer in checked if desk.party in offer.offer.affected]


def _answer(desk: Desk, terms: Terms, ended: Ended, offer: CheckedOffer) -> Event | None:
    """Answer one offer, or post again what was answered; None if there is nothing to do."""
    if not desk.ledger.sent(f"consent/{offer.release}") and _is_over(desk, ended.run):
        return None  # nobody takes an answer any more: it would be charged for nothing
    if (known := desk.ledger.find(consent.matter(ended.run, offer))) is None:
        choice = _choice(desk, terms, ended, offer)
        if choice.answer is None:
            return Event("asked", ended.run, f"{offer.rule.name} to {offer.offer.recipient}: {choice.remark}")
        known = _commit(desk, terms, ended, offer, choice)
    if known.draft.name != offer.release:
        raise NotAcceptable("settled-otherwise", f"{offer.rule.name} was answered for another release")
    name = f"consent/{offer.release}"
    if known.draft.kind == "release" and not desk.ledger.sent(name):
        _require_standing(desk, terms, ended)  # a stop between charge and posting still holds the share back
    inbox.settle(desk.home, _outcome(known))
    if not desk.post(name, lambda said: desk.gateway.put_consent(ended.run, offer.digest, desk.party, said)):
        return None
    kind: EventKind = "released" if known.draft.kind == "release" else "refused"
    why = (desk.ledger.kept(f"reason/{offer.release}") or b"").decode()
    return Event(kind, ended.run, f"{offer.rule.name} to {offer.offer.recipient}" + (f": {why}" if why else ""))


def _is_over(desk: Desk, run: str) -> bool:
    """Whether a run ended without every answer. A gateway that lies about it only loses the release."""
    state = desk.gateway.run(run).state
    return state != "done" and state in wire.RUN_FINAL_STATES


def _choice(desk: Desk, terms: Terms, ended: Ended, offer: CheckedOffer) -> Choice:
    try:
        _require_standing(desk, terms, ended)
    except Refused as error:
        return Choice("refuse", error.code)
    return consent.choose(desk.home, desk.ledger, ended.request.pinned, ended.run, offer, now=desk.now())


def _commit(desk: Desk, terms: Terms, ended: Ended, offer: CheckedOffer, choice: Choice) -> Entry:
    """Charge and keep the answer in one transaction; a purse that cannot pay makes it a refusal."""
    home, pinned, now = desk.home, ended.request.pinned, desk.now()
    name = f"consent/{offer.release}"
    draft = consent.draft(home, pinned, ended.run, offer, choice, now=now)
    if choice.answer == "release":
        limits = purses.limits(terms.pinned.agreement, desk.party)
        try:
            return desk.ledger.append(
                draft,
                limits=limits,
                keep=lambda head: {name: consent.yes(home, pinned, offer, choice.remark, head, now=now).to_bytes()},
            )
        except BudgetSpent as error:
            choice = Choice("refuse", error.code)
            draft = consent.draft(home, pinned, ended.run, offer, choice, now=now)
    refusal = consent.no(desk.party, home.signing_key(), pinned, offer, choice.words, now=now)
    kept = {name: refusal.to_bytes(), f"reason/{offer.release}": choice.remark.encode()}
    return desk.ledger.append(draft, limits={}, keep=lambda _: kept)


def _require_standing(desk: Desk, terms: Terms, ended: Ended) -> None:
    """Return if this run's terms still stand now.

    Raises:
        NotAcceptable: stopped, expired, replaced by a newer version, approvals gone, or noted as unresolved before.
    """
    agreement, now = terms.pinned.agreement, desk.now()
    terms.standing.require_in_force(agreement, now=now)
    if terms.pinned.version != ended.request.pinned.version:
        raise NotAcceptable("other-version", "a newer version of the agreement is pinned than the run was asked under")
    if ended.before.measurement not in terms.standing.approved(agreement, now=now, own=desk.party):
        raise NotAcceptable("approval-gone", "the measurement that ran is no longer approved")
    ending = desk.ledger.find(grants.end_matter(ended.run))
    if ending is None or ending.draft.kind != "settled":
        raise NotAcceptable("unresolved", "the receipt came after the grant's deadline")


def _outcome(entry: Entry) -> Outcome:
    answer: inbox.Answer = "release" if entry.draft.kind == "release" else "refuse"
    return Outcome(
        format="sealroom/outcome/v1", release=entry.draft.name, decision=answer, remark="in the ledger",
        decided=entry.draft.created,
    )  # fmt: skip


def _cosign(desk: Desk, ended: Ended) -> Event | None:
    """Sign once that this receipt was seen and holds."""
    cosignature = Cosignature(
        format="sealroom/cosignature/v1", party=desk.party, receipt=ended.receipt.envelope.digest, created=desk.now()
    )
    name = f"cosignature/{ended.run}"
    if desk.ledger.kept(name) is None:
        desk.ledger.keep(name, envelopes.sign(cosignature, [desk.home.signing_key()]).to_bytes())
    if not desk.post(name, lambda said: desk.gateway.put_cosignature(ended.run, desk.party, said)):
        return None
    return Event("cosigned", ended.run, f"receipt {ended.receipt.envelope.digest[:12]}: {ended.receipt.receipt.status}")
