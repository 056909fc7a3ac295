"""One whole run as documents, from agreement to cosignatures: what vectors of statements and receipts change."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from sealroom.attestation import binding
from sealroom.client.bundle import Bundle
from sealroom.protocol import canonical, confinement, envelope, release, schema, terms
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import to_text
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.statements import (
    Approval,
    Consent,
    Cosignature,
    Evidence,
    Grant,
    LedgerHead,
    Offer,
    Receipt,
    RuleResult,
    evidence_digest,
)
from tests.vectors import cases, make_logged, platform
from tests.vectors.make_releases import made_release
from tests.vectors.make_run import NONCES, NOW, Setting, made_grant, make_setting

MEASUREMENT = "c1" * 48
LAUNCH = canonical.encode({"launcher": "process", "layers": sorted(confinement.REQUIRED["process"])})


@dataclasses.dataclass(frozen=True)
class History:
    """The run's parts before they are put into one bundle; `shares` by the release's recipient and owner."""

    setting: Setting
    approvals: tuple[Envelope, ...]
    evidence: Evidence
    grants: tuple[Grant, ...]
    offers: Mapping[str, Offer]
    shares: Mapping[str, Mapping[str, bytes]]

    @property
    def id(self) -> str:
        return self.setting.signed.digest


def sign(document: object, *names: str) -> Envelope:
    return envelope.sign(document, [cases.signing(name) for name in names])


def document() -> dict[str, Any]:
    """The shared agreement, with a platform that can vouch, two of three approvals, and one rule for two recipients."""
    found: dict[str, Any] = cases.shared("agreement-document")
    overlap = next(rule for rule in found["rules"] if rule["name"] == "overlap")
    overlap["recipients"] = ["bank", "operator"]
    found["platforms"] = [schema.encode(simulated_policy(platform.processor().root))]
    found["approvals"] = {"threshold": 2, "mandatory": ["partner"]}
    return found


def approval(party: str, agreement: str, **changes: Any) -> Approval:
    said = Approval(
        format="sealroom/approval/v1", party=party, agreement=agreement, measurement=MEASUREMENT,
        not_after=NOW + 1_000_000, created=NOW - 500, remark="measured it", nonce="77" * 32,
    )  # fmt: skip
    return dataclasses.replace(said, **changes)


def attested(setting: Setting, *, measurement: str = MEASUREMENT, launch: bytes = LAUNCH) -> Evidence:
    gate, sealing = cases.signing("gate").public, cases.sealing("gate").public
    names = {"agreement": setting.signed.digest, "version": setting.signed.digest, "request": setting.request.digest}
    said = binding.report_data(
        nonces=NONCES, gate_sealing_key=sealing.raw, gate_signing_key=gate.raw, checkpoint=cases.CHECKPOINT,
        agreement_id=names["agreement"], agreement_version=names["version"], request=names["request"],
    )  # fmt: skip
    proof = platform.attestation(report_data=said, measurement=measurement, launch=launch)
    return Evidence(
        format="sealroom/evidence/v1", nonces=NONCES, checkpoint=cases.CHECKPOINT, gate_signing_key=gate.text,
        gate_sealing_key=sealing.text, platform="sev-snp", attestation=to_text(canonical.encode(schema.encode(proof))),
        **names,
    )  # fmt: skip


def name_of(evidence: Evidence) -> str:
    return evidence_digest(canonical.encode(schema.encode(evidence)))


@functools.cache
def history() -> History:
    setting = make_setting(document(), ("overlap",))
    evidence = attested(setting)
    charged = terms.status_cost(setting.agreement, ("overlap",))
    grants = tuple(
        dataclasses.replace(made_grant(setting, name, owner, evidence=name_of(evidence)), charged=charged)
        for name, owner in (("customers", "bank"), ("prospects", "partner"))
    )
    made = {to: made_release(setting, b'{"count":7000}', to) for to in ("bank", "operator")}
    offers = {to: dataclasses.replace(item.offer, evidence=name_of(evidence)) for to, item in made.items()}
    approvals = tuple(sign(approval(party, setting.signed.digest), party) for party in ("bank", "partner"))
    return History(setting, approvals, evidence, grants, offers, {to: item.shares for to, item in made.items()})


def consent(made: History, party: str, recipient: str, **changes: Any) -> Consent:
    offer = made.offers[recipient]
    name = release.release_id(
        sign(offer, "gate").digest, offer.ciphertext_sha256, offer.share_commitments, cases.signing("gate").public.raw
    )
    said = Consent(
        format="sealroom/consent/v1", party=party, agreement=made.id, release=name, decision="release",
        share=to_text(made.shares[recipient][party]), ledger=LedgerHead(sequence=2, previous="99" * 32),
        charged=offer.cost, created=NOW + 60, remark="as agreed",
    )  # fmt: skip
    return dataclasses.replace(said, **changes)


def receipt(made: History, **changes: Any) -> Receipt:
    offers = tuple(sign(offer, "gate").digest for offer in made.offers.values())
    said = Receipt(
        format="sealroom/receipt/v1", agreement=made.id, version=made.id, request=made.setting.request.digest,
        evidence=name_of(made.evidence), platform_class="simulated", gate_key=cases.signing("gate").public.text,
        grants=tuple(sorted(signed.digest for signed in signed_grants(made))),
        layers=("engine:seccomp", "jail:seccomp"),
        status="completed", results=(RuleResult(rule="overlap", outcome="offered", offers=offers),), reasons={},
    )  # fmt: skip
    return dataclasses.replace(said, **changes)


def signed_grants(made: History) -> list[Envelope]:
    return [sign(grant, grant.party) for grant in made.grants]


def cosignature(made: History, party: str, **changes: Any) -> Cosignature:
    name = sign(receipt(made), "gate").digest
    said = Cosignature(format="sealroom/cosignature/v1", party=party, receipt=name, created=NOW + 90)
    return dataclasses.replace(said, **changes)


def bundle() -> Bundle:
    made = history()
    asked = (("partner", "bank"), ("bank", "operator"), ("partner", "operator"))
    offers, signed = tuple(sign(offer, "gate") for offer in made.offers.values()), sign(receipt(made), "gate")
    consents = tuple(sign(consent(made, party, to), party) for party, to in asked)
    return Bundle(
        format="sealroom/receipt-bundle/v2", agreement=(made.setting.signed,), approvals=made.approvals, revocations=(),
        manifests=tuple(made.setting.manifests[name] for name in ("customers", "prospects")),
        request=made.setting.request, evidence=made.evidence, grants=tuple(signed_grants(made)), offers=offers,
        consents=consents, receipt=signed,
        cosignatures=tuple(sign(cosignature(made, party), party) for party in ("bank", "partner")),
        log=make_logged.proved(made.id, make_logged.end_of(offers, signed, consents)),
    )  # fmt: skip
