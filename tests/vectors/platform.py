"""A simulated processor whose keys and reports are kept, since signatures are drawn anew each time.

Its private keys lie in `shared/processor.json` for everybody to read: it proves nothing, and nobody names its root.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from sealroom.attestation.evidence import SnpEvidence, snp_evidence
from sealroom.attestation.simulated.processor import Processor, create, load
from sealroom.attestation.snp import cert_table
from sealroom.protocol import digest, schema
from sealroom.protocol.keys import from_text, to_text
from tests.vectors import cases

NOW = 1_790_000_000
USED: dict[str, Any] = {}
"""Every attestation that was asked for, by what it says."""


@functools.cache
def kept() -> dict[str, str]:
    """The processor's files as text: those that are kept, else new ones."""
    if (cases.SHARED / "processor.json").exists():
        found: dict[str, str] = cases.shared("processor")
        return found
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder), now=NOW - 1000)
        return {path.name: to_text(path.read_bytes()) for path in sorted(Path(folder).iterdir())}


@functools.cache
def processor() -> Processor:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in kept().items():
            (Path(folder) / name).write_bytes(from_text(text))
        return load(Path(folder))


def attestation(*, report_data: bytes, measurement: str, launch: bytes) -> SnpEvidence:
    """The kept evidence that says this, or new evidence."""
    name = hashlib.sha256(report_data + bytes.fromhex(measurement) + launch).hexdigest()
    if name not in USED:
        store = cases.shared("attestations") if (cases.SHARED / "attestations.json").exists() else {}
        USED[name] = store.get(name) or schema.encode(_new(report_data, measurement, launch))
    return schema.decode(SnpEvidence, USED[name])


def _new(report_data: bytes, measurement: str, launch: bytes) -> SnpEvidence:
    table = cert_table.parse(processor().certificate_table(NOW))
    host_data = digest.sha256("launch-configuration/v1", launch)
    report = processor().report(
        report_data=report_data, measurement=measurement, host_data=host_data, report_id=bytes(32)
    )
    return snp_evidence(
        report=report, vek=table[cert_table.VCEK], intermediate=table[cert_table.ASK], root=table[cert_table.ARK],
        crl=table[cert_table.CRL], host_data_preimage=launch,
    )  # fmt: skip
