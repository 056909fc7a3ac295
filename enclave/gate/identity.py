"""The gate's own keys and the evidence that vouches for them: made at start, kept in memory, never written.

Runs in: the gate (TCB).   Believes: the platform that it asks for a report.   Spec: §5.3, §6.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sealroom.attestation import binding
from sealroom.attestation.evidence import SnpEvidence
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.protocol import canonical, schema
from sealroom.protocol.keys import SealingKey, SigningKey, to_text
from sealroom.protocol.statements import Evidence, evidence_digest

Quoter = Callable[[bytes], SnpEvidence]
"""Asks the platform for a report over 64 bytes."""


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """One key to sign with and one to be given keys under; both live as long as this process."""

    signing: SigningKey
    sealing: SealingKey

    @classmethod
    def generate(cls) -> Identity:
        """New keys for one run."""
        return cls(SigningKey.generate(), SealingKey.generate())


@dataclasses.dataclass(frozen=True, slots=True)
class Attested:
    """Evidence over this gate's keys and one run, and the digest that names it."""

    evidence: Evidence
    digest: str


def attest(identity: Identity, run: AdmittedRun, quoter: Quoter) -> Attested:
    """Ask the platform for evidence that binds our keys to this run and the owners' nonces."""
    nonces = {owner: run.nonces[owner] for owner in run.owners}
    signing, sealing = identity.signing.public.raw, identity.sealing.public.raw
    report_data = binding.report_data(
        nonces=nonces,
        gate_sealing_key=sealing,
        gate_signing_key=signing,
        agreement_id=run.agreed.id,
        agreement_version=run.agreed.version,
        request=run.request_digest,
        checkpoint=run.checkpoint,
    )
    evidence = Evidence(
        format="sealroom/evidence/v1",
        agreement=run.agreed.id,
        version=run.agreed.version,
        request=run.request_digest,
        nonces=nonces,
        checkpoint=run.checkpoint,
        gate_signing_key=to_text(signing),
        gate_sealing_key=to_text(sealing),
        platform="sev-snp",
        attestation=to_text(canonical.encode(schema.encode(quoter(report_data)))),
    )
    return Attested(evidence, evidence_digest(canonical.encode(schema.encode(evidence))))
