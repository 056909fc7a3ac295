"""An owner's answer to an offer: who decides it, what it charges, and the signed consent that carries the share.

Runs in: an owner's broker.   Believes: a checked offer, the pinned agreement, its own officers.   Spec: §5.6.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from sealroom.client import inbox, purses, words
from sealroom.client.answers import CheckedOffer
from sealroom.client.entries import Draft
from sealroom.client.home import Home
from sealroom.client.inbox import Question
from sealroom.client.ledger import Ledger
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import decisions, envelope, release
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SigningKey, to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.statements import Consent, LedgerHead

FREE = Cost(epsilon=0, bits=0)
REFUSED: Final = "refused"
"""All that a refusal says which no person worded: the gateway reads it, and why is the owner's own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What the owner says: `release`, `refuse`, or nothing yet; and why, as a remark.

    `words` are an officer's own, who was told that others read them; without them a refusal says nothing but no.
    """

    answer: inbox.Answer | None
    remark: str
    words: str = ""


def matter(run: str, offer: CheckedOffer) -> str:
    """What the ledger settles once: one rule of one run for one recipient."""
    return f"release/{run}/{offer.offer.rule}/{offer.offer.recipient}"


def choose(home: Home, ledger: Ledger, pinned: PinnedAgreement, run: str, offer: CheckedOffer, *, now: int) -> Choice:
    """The owner's answer by its agreed mode: at once, or by its officers within the deadline."""
    party = pinned.agreement.party(home.config.party)
    if party.consent.mode == "auto":
        return Choice("release", "as agreed: at once")
    question = inbox.ask(home, _question(home, ledger, pinned, run, offer, now=now))
    yes, refusal = inbox.answers(home, question, party)
    if refusal is not None:
        return Choice("refuse", refusal, refusal)
    if len(yes) >= decisions.needed(party):
        return Choice("release", f"decided by {len(yes)} of {len(decisions.officers(party))} officers")
    if now >= question.deadline:
        return Choice("refuse", "nobody decided in time")
    return Choice(None, f"{len(yes)} of {decisions.needed(party)} officers said yes")


def draft(home: Home, pinned: PinnedAgreement, run: str, offer: CheckedOffer, choice: Choice, *, now: int) -> Draft:
    """The ledger's entry for an answer; only a yes charges."""
    yes = choice.answer == "release"
    charges = purses.release_charges(pinned.agreement, home.config.party, offer.rule) if yes else {}
    return Draft(
        format="sealroom/ledger-entry/v1", kind="release" if yes else "refusal", once=matter(run, offer),
        name=offer.release, agreement=pinned.id, remark=offer.digest, charges=charges, created=now, deadline=0,
    )  # fmt: skip


def yes(
    home: Home, pinned: PinnedAgreement, offer: CheckedOffer, remark: str, head: LedgerHead, *, now: int
) -> Envelope:
    """The signed consent with this party's share, charged at `head`.

    Raises:
        CannotOpen: the offer holds no share that this party can open.
    """
    share = release.open_share(offer.offer, home.config.party, home.sealing_key())
    consent = Consent(
        format="sealroom/consent/v1", party=home.config.party, agreement=pinned.id, release=offer.release,
        decision="release", share=to_text(share), ledger=head, charged=offer.offer.cost, created=now, remark=remark,
    )  # fmt: skip
    return envelope.sign(consent, [home.signing_key()])


def no(party: str, key: SigningKey, pinned: PinnedAgreement, offer: CheckedOffer, said: str, *, now: int) -> Envelope:
    """The signed refusal: no share, no charge, and no reason but an officer's own words."""
    consent = Consent(
        format="sealroom/consent/v1", party=party, agreement=pinned.id, release=offer.release, decision="refuse",
        share=None, ledger=None, charged=FREE, created=now, remark=said or REFUSED,
    )  # fmt: skip
    return envelope.sign(consent, [key])


def _question(
    home: Home, ledger: Ledger, pinned: PinnedAgreement, run: str, offer: CheckedOffer, *, now: int
) -> Question:
    agreement, party, rule = pinned.agreement, home.config.party, offer.rule
    charges = purses.release_charges(agreement, party, rule)
    spent = {purse: ledger.spent(purse) for purse in charges}
    left = words.left_after(purses.limits(agreement, party), spent, charges)
    lines = (*words.question(agreement, rule, offer.offer.recipient), *words.costs(charges, left))
    terms = agreement.party(party)
    return Question(
        format="sealroom/question/v1", release=offer.release, run=run, agreement=pinned.id, rule=rule.name,
        recipient=offer.offer.recipient, lines=lines, needed=decisions.needed(terms), asked=now,
        deadline=now + terms.consent.deadline,
    )  # fmt: skip
