"""The question a relying party asks before it lets a key go: is this the machine and the program we agreed on?

Runs in: parties.   Believes: the policy and the values it is given.   Spec: §6.

One way in for every platform. Nothing about a platform's class is decided here: it follows from the root's digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from typing import Literal

from sealroom.attestation.evidence import Evidence, unverified_bytes
from sealroom.attestation.snp.appraise import Expected
from sealroom.attestation.snp.appraise import appraise as appraise_snp
from sealroom.attestation.snp.verify import verify as verify_snp
from sealroom.attestation.verdict import MalformedEvidence, Verdict
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from sealroom.protocol.platform import PlatformPolicy

REPORT_DATA_BYTES = 64


def appraise(
    evidence: Evidence,
    *,
    policy: PlatformPolicy,
    measurements: frozenset[str],
    host_data: frozenset[str] | Literal["any"],
    report_data: bytes,
    now: int,
    seen: Container[str],
) -> Verdict:
    """The verdict on `evidence` under `policy`, at `now` (seconds since 1970).

    `measurements` and `host_data` are the accepted values as lower-case hex; an empty set accepts nothing.
    `report_data` is what `binding.report_data` gives for the run asked about. `seen` holds the names
    (`Verdict.evidence`) of all evidence that the caller accepted before; the caller adds the new one.

    Raises:
        MalformedEvidence: a part of it cannot be read.
        EvidenceNotGenuine: no root that the policy names vouches for it.
        EvidenceNotAcceptable: it is genuine, but not what was agreed.
        UsageError: report data of another length, or a time before 1970.
    """
    if len(report_data) != REPORT_DATA_BYTES:
        raise UsageError(f"report data has {REPORT_DATA_BYTES} bytes, not {len(report_data)}")
    if now <= 0:
        raise UsageError("appraisal needs the time at which it is made")
    preimage = _preimage(evidence)
    genuine = verify_snp(
        evidence,
        roots=policy.roots,
        now=now,
        require_revocation=policy.revocation,
        most_collateral_age=policy.most_collateral_age,
        masked_chip=policy.masked_chip,
    )
    expected = Expected(measurements=measurements, host_data=host_data, report_data=report_data, seen=seen)
    return appraise_snp(genuine, policy=policy, expected=expected, host_data_preimage=preimage, now=now)


def policy_for(evidence: Evidence, policies: Sequence[PlatformPolicy]) -> PlatformPolicy:
    """The one policy of an agreement that names the evidence's root.

    It is chosen before anything is checked, so that no evidence gets a second try under another policy.

    Raises:
        Malformed: the root certificate is not base64url.
        NotAcceptable: none of the policies names this root.
        UsageError: several do.
    """
    root = hashlib.sha256(unverified_bytes(evidence.root)).hexdigest()
    naming = [policy for policy in policies if policy.type == evidence.type and root in policy.roots]
    if not naming:
        hint = "compare root fingerprints out of band; if this machine is meant, agree on a version that names its root"
        raise NotAcceptable("root-not-agreed", f"no policy of the agreement names the root {root}", hint=hint)
    if len(naming) > 1:
        raise UsageError(f"{len(naming)} policies name the root {root}; an agreement may have one for each root")
    return naming[0]


def _preimage(evidence: Evidence) -> bytes | None:
    if evidence.host_data_preimage is None:
        return None
    try:
        return unverified_bytes(evidence.host_data_preimage)
    except Malformed as error:
        raise MalformedEvidence("base64", f"launch configuration: {error.message}", checks=()) from error
