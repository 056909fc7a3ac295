"""The certificates beside a report: steps 1 to 5 of the list in `verify`, which need no report.

Runs in: parties.   Believes: the digests of the roots it is given.   Spec: §6.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec

from sealroom.attestation.evidence import SnpEvidence, unverified_bytes
from sealroom.attestation.snp import certificates, revocation
from sealroom.attestation.snp.certificates import Certificate, Endorsement
from sealroom.attestation.snp.revocation import RevocationList
from sealroom.attestation.verdict import Record
from sealroom.protocol.platform import Require


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Certificates whose path to a trusted root holds, and what the last of them says."""

    root: Certificate
    intermediate: Certificate
    vek: Certificate
    key: ec.EllipticCurvePublicKey
    states: Endorsement
    revocation_list: RevocationList | None


def verify_chain(
    record: Record,
    evidence: SnpEvidence,
    *,
    roots: Collection[str],
    now: int,
    require_revocation: Require,
    most_collateral_age: int | Literal["any"],
) -> Chain:
    """Steps 1 to 5, for everything but the report.

    Raises:
        MalformedEvidence: a part cannot be read.
        EvidenceNotGenuine: reasons `chain`, `root`, `validity` and those of `revocation.check`.
    """
    # (1) readable
    root = read_certificate(record, "root certificate", evidence.root)
    intermediate = read_certificate(record, "intermediate certificate", evidence.intermediate)
    vek = read_certificate(record, "endorsement certificate", evidence.vek)
    found = None if evidence.crl is None else read_list(record, evidence.crl)
    # (2) path
    key, states = _check_path(record, root, intermediate, vek)
    # (3) trusted root
    check_root(record, root, roots)
    # (4) validity
    for certificate in (root, intermediate, vek):
        _check_validity(record, certificate, now)
    # (5) revocation
    revocation.check(
        record,
        found,
        root=root,
        intermediate=intermediate,
        now=now,
        require=require_revocation,
        most_age=most_collateral_age,
    )
    return Chain(root=root, intermediate=intermediate, vek=vek, key=key, states=states, revocation_list=found)


def check_root(record: Record, root: Certificate, roots: Collection[str]) -> None:
    """Step 3: by digest alone. What the root calls itself proves nothing.

    Raises:
        EvidenceNotGenuine: reason `root`.
    """
    value, expect = f"{root.digest} ({root.common_name})", "a root that the policy names"
    record.require("root", value, expect, holds=root.digest in roots, reason="root", source="certificate")


def read_certificate(record: Record, name: str, text: str) -> Certificate:
    """Step 1 for a certificate, from base64url.

    Raises:
        MalformedEvidence: it cannot be read.
    """
    return record.read(name, "certificate", lambda: certificates.parse(unverified_bytes(text)))


def read_list(record: Record, text: str) -> RevocationList:
    """Step 1 for a revocation list, from base64url.

    Raises:
        MalformedEvidence: it cannot be read.
    """
    return record.read("revocation list", "revocation list", lambda: revocation.parse(unverified_bytes(text)))


def _check_path(
    record: Record, root: Certificate, intermediate: Certificate, vek: Certificate
) -> tuple[ec.EllipticCurvePublicKey, Endorsement]:
    # The root will be trusted by digest; its own signature adds only that its key can sign.
    _check_issued(record, root, by=root, most_path=1)
    _check_issued(record, intermediate, by=root, most_path=1)
    _check_issued(record, vek, by=intermediate, most_path=0)
    states = record.read("endorsement statements", "certificate", lambda: certificates.endorsement(vek))
    attempt = functools.partial(certificates.endorsement_key, vek)
    return record.attempt("endorsement key", "a P-384 key", attempt, reason="chain", source="certificate"), states


def _check_issued(record: Record, child: Certificate, *, by: Certificate, most_path: int) -> None:
    """One step of the path; `most_path` is how many authorities may follow the issuer."""
    name = f"{child.common_name} issued by {by.common_name}"
    rights = record.read(f"rights of {by.common_name}", "certificate", lambda: certificates.authority(by))
    named = child.issuer == by.subject
    record.require(
        f"{name}: names", "equal" if named else "differ", "equal", holds=named, reason="chain", source="certificate"
    )
    allowed = rights.may_sign_certificates and (rights.path is None or rights.path >= most_path)
    value = f"path limit {rights.path}" if rights.may_sign_certificates else "no right to issue certificates"
    record.require(f"{name}: right", value, "may issue it", holds=allowed, reason="chain", source="certificate")
    attempt = functools.partial(certificates.verify_signature, by, signature=child.signature, over=child.tbs)
    record.attempt(f"{name}: signature", f"made by {by.common_name}", attempt, reason="chain", source="certificate")


def _check_validity(record: Record, certificate: Certificate, now: int) -> None:
    name = f"validity of {certificate.common_name}"
    value = f"{certificate.not_before}..{certificate.not_after}"
    holds = certificate.not_before <= now <= certificate.not_after
    record.require(name, value, f"includes {now}", holds=holds, reason="validity", source="certificate")
