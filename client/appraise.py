"""Whether this enclave may have a key: an owner's own checks of the evidence, in order.

Runs in: a party.   Believes: the pinned agreement, its own nonce, and statements that it verified.   Spec: §5.5, §6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping

from sealroom.attestation import appraisal, binding
from sealroom.attestation.evidence import Evidence as PlatformEvidence
from sealroom.attestation.verdict import Verdict
from sealroom.client import launched
from sealroom.client.admission import AdmittedRequest
from sealroom.client.launched import Launched
from sealroom.client.standing import Standing
from sealroom.protocol import canonical, schema
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable
from sealroom.protocol.keys import SealingPublicKey, VerifyingKey, from_text
from sealroom.protocol.platform import PlatformClass
from sealroom.protocol.statements import Evidence, evidence_digest

MOST_BYTES = 2 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """The one gate that may answer for a run: its Ed25519 key, and the digest and platform class of its evidence."""

    key: VerifyingKey
    evidence: str
    platform_class: PlatformClass


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """Evidence that holds at `verdict.at`; `approvals` are those that carry it."""

    evidence: Evidence
    digest: str
    verdict: Verdict
    launched: Launched
    approvals: tuple[Envelope, ...]
    gate_key: VerifyingKey
    gate_sealing_key: SealingPublicKey

    @property
    def gate(self) -> Gate:
        """Whose receipt and offers count."""
        return Gate(self.gate_key, self.digest, self.verdict.platform_class)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a party asks the evidence about: the run, its own nonce, whose approval must be there, and when.

    `nonces` are those that must be in the evidence, by party. `own` is the party whose approval is needed besides those
    that the agreement names; None asks for nobody else's. `seen` names platform evidence that was accepted before.
    `past` says that `now` is not the present.
    """

    request: AdmittedRequest
    standing: Standing
    nonces: Mapping[str, str]
    own: str | None
    now: int
    seen: Container[str] = frozenset()
    past: bool = False


def appraise(data: bytes, question: Question) -> Accepted:
    """The evidence in `data`, if all of this holds now.

    Steps: (1) it decodes strictly; (2) the agreement is in force; (3) it is for this agreement, its pinned version and
    this request; (4) it answers the challenges of exactly the owners of the objects, the expected nonces among them;
    (5) the gate's keys are keys; (6) a policy of the agreement names its root; (7) enough parties, the mandatory ones
    and this one among them, approve a measurement; (8) the platform vouches for one of these measurements and for
    report data that is recomputed here; (9) its class is the agreement's; (10) the launcher is one that the agreement
    allows, and every layer of confinement that it must put in force was.

    Raises:
        Malformed: steps 1 and 5.
        NotAcceptable: steps 2, 3, 4, 6, 9 and 10.
        WithChecks: step 8, with every check that was made.
    """
    evidence = decode(data)  # (1)
    agreement = question.request.pinned.agreement
    question.standing.require_in_force(agreement, now=question.now)  # (2)
    _require_same_run(evidence, question.request)  # (3)
    _require_nonces(evidence, question)  # (4)
    gate_key = VerifyingKey.parse(evidence.gate_signing_key)  # (5)
    gate_sealing_key = SealingPublicKey.parse(evidence.gate_sealing_key)
    platform_evidence = _platform_evidence(evidence)
    policy = appraisal.policy_for(platform_evidence, agreement.platforms)  # (6)
    approved = question.standing.approved(agreement, now=question.now, own=question.own, past=question.past)  # (7)
    verdict = appraisal.appraise(  # (8)
        platform_evidence,
        policy=policy,
        measurements=frozenset(approved),
        host_data="any",
        report_data=_report_data(evidence, gate_key, gate_sealing_key),
        now=question.now,
        seen=question.seen,
    )
    if verdict.platform_class != agreement.platform_class:  # (9)
        raise NotAcceptable("platform-class", f"the platform is {verdict.platform_class}, which was not agreed")
    launch = launched.check(verdict.launch_configuration, agreement)  # (10)
    approvals = approved[verdict.measurement]
    return Accepted(evidence, evidence_digest(data), verdict, launch, approvals, gate_key, gate_sealing_key)


def decode(data: bytes) -> Evidence:
    """An evidence document, with nothing about it checked but its form.

    Raises:
        Malformed: it is not exactly one.
    """
    return schema.decode(Evidence, canonical.decode(data, most=MOST_BYTES))


def _require_same_run(evidence: Evidence, request: AdmittedRequest) -> None:
    said = (evidence.agreement, evidence.version, evidence.request)
    if said != (request.pinned.id, request.pinned.version, request.digest):
        raise NotAcceptable("other-run", "the evidence is for another agreement, version or request")


def _require_nonces(evidence: Evidence, question: Question) -> None:
    if set(evidence.nonces) != set(question.request.owners):
        raise NotAcceptable("other-owners", "the evidence answers other parties than the owners of the objects")
    for party, nonce in question.nonces.items():
        if evidence.nonces.get(party) != nonce:
            raise NotAcceptable("other-nonce", f"the evidence does not answer the challenge of {party}")


def _report_data(evidence: Evidence, gate_key: VerifyingKey, gate_sealing_key: SealingPublicKey) -> bytes:
    return binding.report_data(
        nonces=evidence.nonces,
        gate_sealing_key=gate_sealing_key.raw,
        gate_signing_key=gate_key.raw,
        agreement_id=evidence.agreement,
        agreement_version=evidence.version,
        request=evidence.request,
        checkpoint=evidence.checkpoint,
    )


def _platform_evidence(evidence: Evidence) -> PlatformEvidence:
    document = canonical.decode(from_text(evidence.attestation), most=MOST_BYTES)
    return schema.decode(PlatformEvidence, document, "attestation")
