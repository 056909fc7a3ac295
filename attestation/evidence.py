"""Evidence as received: bytes that somebody sent, with nothing believed about them.

Runs in: parties and gate.   Believes: nothing.   Spec: §6.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Annotated, Literal

from sealroom.protocol import digest
from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import Text

_ALPHABET = r"[A-Za-z0-9_-]+"
ReportText = Annotated[str, Text(_ALPHABET, 2048)]
CertificateText = Annotated[str, Text(_ALPHABET, 8192)]
RevocationText = Annotated[str, Text(_ALPHABET, 1 << 17)]
ConfigurationText = Annotated[str, Text(_ALPHABET, 1 << 19)]


@dataclasses.dataclass(frozen=True, slots=True)
class SnpEvidence:
    """An SEV-SNP report with its collateral, all base64url without padding; `null` says that a part was not sent.

    `vek` is the VCEK or VLEK certificate, `intermediate` the ASK or ASVK, `root` the ARK, `crl` the ARK's revocation
    list (all DER). `host_data_preimage` is the launch configuration whose digest should be HOST_DATA.
    """

    type: Literal["sev-snp"]
    report: ReportText
    vek: CertificateText
    intermediate: CertificateText
    root: CertificateText
    crl: RevocationText | None
    host_data_preimage: ConfigurationText | None


Evidence = SnpEvidence
"""Every kind of evidence; other vendors join it as a union, told apart by `type`."""


def snp_evidence(
    *, report: bytes, vek: bytes, intermediate: bytes, root: bytes, crl: bytes | None, host_data_preimage: bytes | None
) -> SnpEvidence:
    """The document for these parts; nothing about them is checked."""
    return SnpEvidence(
        type="sev-snp",
        report=_text(report),
        vek=_text(vek),
        intermediate=_text(intermediate),
        root=_text(root),
        crl=None if crl is None else _text(crl),
        host_data_preimage=None if host_data_preimage is None else _text(host_data_preimage),
    )


def name_of(signed: bytes) -> str:
    """The name of evidence: the digest of the bytes that its signature covers, so that no re-encoding renames it."""
    return digest.sha256("attestation-report/v1", signed)


def unverified_bytes(text: str) -> bytes:
    """The bytes of one part.

    Raises:
        Malformed: not base64url, or not its one spelling.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("base64", "not base64url") from error
    if _text(data) != text:
        raise Malformed("base64", "not the one base64url spelling of its bytes")
    return data


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
