"""Checks a receipt bundle offline: numbered steps, and what they amount to in words.

Runs in: a party, or whoever holds the file.   Believes: roots that the caller names, and AMD's.   Spec: §5.9.

Evidence is appraised as it was at each grant: with the approvals that stood then, at that time. What a bundle proves
is worth what its platform class is worth; the first line always says which one it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from sealroom.attestation.snp.roots import VENDOR_ROOTS
from sealroom.client import admission, answers, appraise, pinning, plain, proving, standing, words
from sealroom.client.admission import AdmittedRequest
from sealroom.client.answers import CheckedOffer, CheckedReceipt
from sealroom.client.appraise import Accepted, Question
from sealroom.client.bundle import Bundle
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.proving import InLog
from sealroom.protocol import consistency, release, terms
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import CannotOpen, NotAcceptable, NotGenuine
from sealroom.protocol.keys import VerifyingKey, from_text
from sealroom.protocol.platform import PlatformClass
from sealroom.protocol.statements import Consent, Cosignature, Grant, Request, evidence_digest

T = TypeVar("T")
Fate = Literal["released", "refused", "waiting"]


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseFate:
    """One offered release: who answered what, and what became of it. `shares` are there once it is released."""

    offer: CheckedOffer
    fate: Fate
    said: dict[str, str]
    shares: dict[str, bytes] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """A bundle in which everything holds. `final`: every owner who must has cosigned. `logged`: what the log holds."""

    agreement: PinnedAgreement
    request: AdmittedRequest
    accepted: Accepted
    receipt: CheckedReceipt
    releases: tuple[ReleaseFate, ...]
    cosigned: tuple[str, ...]
    missing: tuple[str, ...]
    logged: InLog | None

    @property
    def final(self) -> bool:
        """Whether nobody who must cosign is missing, and no release waits."""
        return not self.missing and all(item.fate != "waiting" for item in self.releases)

    @property
    def platform_class(self) -> PlatformClass:
        """What the evidence is worth."""
        return self.accepted.verdict.platform_class


def verify(bundle: Bundle, *, roots: frozenset[str] = frozenset(), agreement: str | None = None) -> Verified:
    """All that a bundle says, if every part of it holds.

    Steps: (1) the agreement's versions chain, each signed by all its parties and by those of the version before;
    (2) the request is one that it allows, when it was made; (3) every object's manifest is signed by its owner; (4)
    the evidence leads to AMD's roots or to one of `roots`; (5) every grant is by an object's owner, for this
    evidence, at the agreed charge; (6) at the time of each grant the evidence was genuine and acceptable, by the
    approvals of that time; (7) the gate of that evidence signed the receipt, which lists exactly these grants; (8)
    it signed exactly the offers that the receipt lists, on the agreed terms; (9) every consent is by an affected
    owner, at the agreed charge, with the share that the offer commits to; (10) every cosignature is by a party, for
    this receipt; (11) if the file holds a proof from the agreement's log, that proof holds.

    `roots` are SHA-256 digests of root certificates (hex); `agreement` is the id that the caller expects, if any.

    Raises:
        Refused: the first step that does not hold.
    """
    pinned = verify_chain(bundle.agreement)  # (1)
    if agreement is not None and pinned.id != agreement:
        raise NotAcceptable("other-agreement", "the receipt is of another agreement than the one you named")
    request = admission.admit(bundle.request, pinned, now=envelopes.unverified(bundle.request, Request).created)  # (2)
    _check_manifests(bundle, request)  # (3)
    grants = [_grant(signed, bundle, request) for signed in bundle.grants]  # (5)
    accepted = _appraise(bundle, request, grants, roots)  # (4) (6)
    receipt = answers.check_receipt(bundle.receipt, request, accepted.gate)  # (7)
    _check_granted(bundle, request, grants, receipt)
    offers = [answers.check_offer(signed, receipt, request, accepted.gate) for signed in bundle.offers]  # (8)
    answers.check_one_per_recipient(offers)
    if {offer.digest for offer in offers} != set(receipt.offered):
        raise NotAcceptable("missing-offer", "the receipt lists other offers than those that are here")
    releases = tuple(_consents(bundle.consents, offers, pinned))  # (9)
    cosigned = tuple(sorted({_cosigner(signed, bundle.receipt, pinned) for signed in bundle.cosignatures}))  # (10)
    affected = {party for offer in offers for party in offer.offer.affected}
    missing = tuple(sorted((affected or {grant.party for grant in grants}) - set(cosigned)))
    logged = proving.check_logged(bundle, pinned)  # (11)
    return Verified(pinned, request, accepted, receipt, releases, cosigned, missing, logged)


def verify_chain(chain: tuple[Envelope, ...]) -> PinnedAgreement:
    """The last version of an agreement's chain, with every signature from the first on.

    Raises:
        NotGenuine: a signature is missing, or a version does not follow from the one before.
        Malformed: a version contradicts itself.
    """
    last: Agreement | None = None
    for number, link in enumerate(chain, start=1):
        unverified_version = envelopes.unverified(link, Agreement)
        versions = (unverified_version,) if last is None else (unverified_version, last)
        last = consistency.check(envelopes.verify(link, Agreement, pinning.keys_of(*versions)))
        before = (None, None) if number == 1 else (chain[0].digest, chain[number - 2].digest)
        if (last.sequence, last.first, last.previous) != (number, *before):
            raise NotGenuine("broken-chain", f"version {number} of the agreement does not follow from the one before")
    if last is None:
        raise NotGenuine("broken-chain", "there is no version of the agreement here")
    return PinnedAgreement(chain[-1], last, chain[-1].digest, chain[0].digest)


def explain(found: Verified) -> tuple[str, ...]:
    """What was verified, in lines for a person; the platform's worth comes first."""
    status, agreement = found.receipt.receipt.status, found.agreement.agreement
    launched, inside = found.accepted.launched, found.receipt.receipt.layers
    lines = [
        words.PLATFORMS[found.platform_class],
        f"agreement: {agreement.title} ({found.agreement.id[:12]}, version {agreement.sequence})",
        f"run {found.request.digest[:12]}: {status}; asked for by {found.request.request.requester}",
        f"program: {found.accepted.verdict.measurement[:24]}..., approved by {_approvers(found)}",
        f"started by: {launched.launcher}, with {', '.join(launched.layers)}",
        f"confinement in force inside: {', '.join(inside) or 'none; it ended before it was needed'}",
    ]
    lines += [f"party {p.name}: {plain.party_fingerprint(p.signing_key, p.sealing_key)}" for p in agreement.parties]
    for item in found.releases:
        offer = item.offer.offer
        answered = ", ".join(f"{party} {word}" for party, word in sorted(item.said.items())) or "nobody answered yet"
        lines.append(
            f"{item.fate}: {offer.rule} to {offer.recipient}, guarantee {offer.guarantee}, "
            f"cost {plain.cost(offer.cost)} ({answered})"
        )
    lines += [f"withheld: {r.rule}" for r in found.receipt.receipt.results if r.outcome == "withheld"]
    return (*lines, _logged(found), _finality(found))


def _logged(found: Verified) -> str:
    if found.logged is None:
        return "NOT SHOWN TO BE LOGGED: nothing here proves that the agreement's log holds this receipt"
    first, last, size = found.logged.numbers[0], found.logged.numbers[-1], found.logged.checkpoint.size
    return f"logged: among entries {first} to {last} of {size}, root {found.logged.checkpoint.root.hex()[:24]}..."


def _finality(found: Verified) -> str:
    if found.final:
        return f"final: cosigned by {plain.names(found.cosigned)}"
    waiting = [item.offer.offer.rule for item in found.releases if item.fate == "waiting"]
    reasons = [f"{plain.names(found.missing)} has not cosigned"] if found.missing else []
    reasons += [f"no answer yet about {plain.names(waiting)}"] if waiting else []
    return f"NOT FINAL: {'; '.join(reasons)}"


def _approvers(found: Verified) -> str:
    agreement, agreement_id = found.agreement.agreement, found.agreement.id
    approvals = standing.read(agreement, agreement_id, list(found.accepted.approvals)).approvals.values()
    return plain.names(sorted(approval.party for _, approval in approvals))


def _check_manifests(bundle: Bundle, request: AdmittedRequest) -> None:
    by_digest = {manifest.digest: manifest for manifest in bundle.manifests}
    if set(by_digest) != set(request.request.objects.values()):
        raise NotAcceptable("other-objects", "the manifests are not those that the request names")
    for name, digest in request.request.objects.items():
        admission.check_manifest(by_digest[digest], name, request.pinned)


def _grant(signed: Envelope, bundle: Bundle, request: AdmittedRequest) -> Grant:
    pinned = request.pinned
    said = _by_member(signed, Grant, pinned, lambda grant: grant.party)
    evidence = evidence_digest(bundle.evidence_bytes)
    expected = (pinned.id, pinned.version, request.digest, evidence)
    if (said.agreement, said.version, said.request, said.evidence) != expected:
        raise NotAcceptable("other-run", f"a grant of {said.party} is for another run or evidence")
    if said.object not in request.objects_of(said.party).values():
        raise NotAcceptable("other-object", f"{said.party} granted an object that is not its own, or not in this run")
    if said.charged != terms.status_cost(pinned.agreement, request.request.rules):
        raise NotAcceptable("other-cost", f"a grant of {said.party} was charged otherwise than agreed")
    if not request.request.created <= said.created + standing.SKEW or said.created >= request.request.deadline:
        raise NotAcceptable("grant-time", f"a grant of {said.party} was made outside the request's time")
    return said


def _appraise(bundle: Bundle, request: AdmittedRequest, grants: list[Grant], roots: frozenset[str]) -> Accepted:
    """Appraise once per time at which a key was let go; the latest verdict is returned.

    A run that ended before anybody let a key go is appraised as of its request.
    """
    agreement, agreement_id = request.pinned.agreement, request.pinned.id
    known = standing.read(agreement, agreement_id, [*bundle.approvals, *bundle.revocations])
    accepted: Accepted | None = None
    times: set[tuple[int, str]] = {(grant.created, grant.party) for grant in grants}
    for now, party in sorted(times) or [(request.request.created, "")]:
        question = Question(request=request, standing=known, nonces={}, own=party or None, now=now, past=True)
        accepted = appraise.appraise(bundle.evidence_bytes, question)
    assert accepted is not None  # noqa: S101 (there is at least one time)
    trusted = roots | frozenset(VENDOR_ROOTS)
    if accepted.verdict.root not in trusted:
        raise NotAcceptable("root-not-named", f"the evidence leads to the root {accepted.verdict.root}",
                            hint="if you know whose root that is, name it: `--root FILE`")  # fmt: skip
    return accepted


def _check_granted(bundle: Bundle, request: AdmittedRequest, grants: list[Grant], receipt: CheckedReceipt) -> None:
    """A completed run used every grant; a refused one may have ended before it read the last of them."""
    listed, here = set(receipt.receipt.grants), {signed.digest for signed in bundle.grants}
    completed = receipt.receipt.status == "completed"
    if not listed <= here or (completed and listed != here):
        raise NotAcceptable("other-grants", "the receipt lists other grants than those that are here")
    granted = [grant.object for grant in grants]
    if len(set(granted)) != len(granted):
        raise NotAcceptable("second-grant", "an object was granted twice")
    if completed and set(granted) != set(request.request.objects.values()):
        raise NotAcceptable("missing-grant", "the run completed without a grant for each of its objects")


def _consents(
    signed: tuple[Envelope, ...], offers: list[CheckedOffer], pinned: PinnedAgreement
) -> Iterator[ReleaseFate]:
    said = [_by_member(item, Consent, pinned, lambda consent: consent.party) for item in signed]
    by_release = {offer.release: offer for offer in offers}
    for consent in said:
        offer = by_release.get(consent.release)
        if consent.agreement != pinned.id or offer is None or consent.party not in offer.offer.affected:
            raise NotAcceptable("stray-consent", f"{consent.party} answers a release that does not ask it")
    if len({(c.party, c.release) for c in said}) != len(said):
        raise NotAcceptable("second-consent", "a party answered one release twice")
    for offer in offers:
        yield _fate(offer, {c.party: c for c in said if c.release == offer.release})


def _fate(offer: CheckedOffer, consents: dict[str, Consent]) -> ReleaseFate:
    for consent in consents.values():
        if consent.decision == "refuse" and (consent.share, consent.ledger) != (None, None):
            raise NotAcceptable("refused-with-share", f"{consent.party} refused, and gave a share or a charge with it")
    shares = {party: _share(offer, consent) for party, consent in consents.items() if consent.decision == "release"}
    said = {party: "consented" if party in shares else f"refused ({c.remark})" for party, c in consents.items()}
    fate: Fate = "waiting"
    if len(shares) != len(consents):
        fate = "refused"
    elif set(shares) == set(offer.offer.affected):
        fate = "released"
    return ReleaseFate(offer, fate, said, shares)


def _share(offer: CheckedOffer, consent: Consent) -> bytes:
    if consent.share is None or consent.ledger is None or consent.charged != offer.offer.cost:
        raise NotAcceptable("uncharged", f"{consent.party} consented without a charge or without its share")
    try:
        return release.checked_share(offer.offer, consent.party, from_text(consent.share))
    except CannotOpen as error:
        raise NotAcceptable("other-share", f"{consent.party} gave another share than its own") from error


def _cosigner(signed: Envelope, receipt: Envelope, pinned: PinnedAgreement) -> str:
    said = _by_member(signed, Cosignature, pinned, lambda cosignature: cosignature.party)
    if said.receipt != receipt.digest:
        raise NotAcceptable("other-receipt", f"{said.party} cosigned another receipt")
    return said.party


def _by_member(signed: Envelope, kind: type[T], pinned: PinnedAgreement, party_of: Callable[[T], str]) -> T:
    """The statement, if the member that it names signed it."""
    name = party_of(envelopes.unverified(signed, kind))
    keys = {p.name: VerifyingKey.parse(p.signing_key) for p in pinned.agreement.parties if p.name == name}
    if not keys:
        raise NotGenuine("stranger", "a statement names somebody who is not a party")
    return envelopes.verify(signed, kind, keys)
