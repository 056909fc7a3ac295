"""The statements that parties and gate sign about one agreement, each in an envelope of its own.

Runs in: parties and gate.   Believes: nothing.   Spec: §5.

Order of a run: approval (and revocation) -> request -> grant per owner and object -> offer per release -> consent per
affected owner -> receipt -> cosignature per party. Stop ends an agreement at once.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sealroom.protocol import digest
from sealroom.protocol.keys import SUITE_NAME
from sealroom.protocol.platform import PlatformClass
from sealroom.protocol.rules import Cost, Guarantee
from sealroom.protocol.schema import Base64, ColumnName, Count, Hex32, Hex48, Int, Label, Many, Name, Prose, Text, Time

Nonce = Hex32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A party accepts a measurement for one agreement until it expires."""

    format: Literal["sealroom/approval/v1"]
    party: Name
    agreement: Hex32
    measurement: Hex48
    not_after: Time
    created: Time
    remark: Prose
    nonce: Nonce


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A party takes an approval of its own back, by the approval's digest."""

    format: Literal["sealroom/revocation/v1"]
    party: Name
    agreement: Hex32
    approval: Hex32
    created: Time
    remark: Prose


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A party ends its part in an agreement at once."""

    format: Literal["sealroom/stop/v1"]
    party: Name
    agreement: Hex32
    created: Time
    remark: Prose


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run: objects by name and manifest digest, columns by dataset, rules by name; nothing is chosen later."""

    format: Literal["sealroom/request/v1"]
    requester: Name
    agreement: Hex32
    version: Hex32
    objects: Annotated[dict[Name, Hex32], Many(1, 32)]
    columns: Annotated[dict[Name, Annotated[tuple[ColumnName, ...], Many(0, 512)]], Many(1, 16)]
    rules: Annotated[tuple[Name, ...], Many(1, 64)]
    created: Time
    deadline: Time
    nonce: Nonce


@dataclasses.dataclass(frozen=True, slots=True)
class Challenges:
    """The owners' nonces for one run, by party."""

    nonces: Annotated[dict[Name, Nonce], Many(1, 16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """Where in its owner's ledger an entry stands: its number and the digest of the entry before it."""

    sequence: Annotated[int, Int(1)]
    previous: Hex32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An owner hands one object's key to one attested gate, for one request; `charged` was debited beforehand."""

    format: Literal["sealroom/grant/v1"]
    party: Name
    agreement: Hex32
    version: Hex32
    request: Hex32
    evidence: Hex32
    object: Hex32
    suite: Literal["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"]
    sealed_key: Base64
    ledger: LedgerHead
    charged: Cost
    created: Time
    deadline: Time


def grant_info(
    *, owner_key: bytes, version: str, evidence: str, agreement: str, request: str, object_digest: str
) -> bytes:
    """HPKE `info` of a grant: label, suite, owner key, and the digests that the key is released for (SPEC §5.4)."""
    words = (SUITE_NAME, version, evidence, agreement, request, object_digest)
    return digest.preimage("grant/v1", owner_key, *(word.encode() for word in words))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The gate offers one release to one recipient; each affected owner holds one share of its release key.

    `size` is the padded size of the ciphertext and, like `cost`, does not depend on the data.
    """

    format: Literal["sealroom/offer/v1"]
    agreement: Hex32
    version: Hex32
    request: Hex32
    evidence: Hex32
    platform_class: PlatformClass
    rule: Name
    rule_type: Annotated[str, Text(r"[a-z_]{1,40}", 40)]
    guarantee: Guarantee
    cost: Cost
    recipient: Name
    affected: Annotated[tuple[Name, ...], Many(0, 16)]
    ciphertext_sha256: Hex32
    size: Count
    share_commitments: Annotated[dict[Name, Hex32], Many(0, 16)]
    sealed_shares: Annotated[dict[Name, Base64], Many(0, 16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """An affected owner's answer to one offer; a yes carries its share, charged to its ledger before it was given."""

    format: Literal["sealroom/consent/v1"]
    party: Name
    agreement: Hex32
    release: Hex32
    decision: Literal["release", "refuse"]
    share: Base64 | None
    ledger: LedgerHead | None
    charged: Cost
    created: Time
    remark: Prose


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What became of one requested rule: offers by digest, or a closed reason sealed to the owners that may know it."""

    rule: Name
    outcome: Literal["offered", "withheld"]
    offers: Annotated[tuple[Hex32, ...], Many(0, 16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What ran, on what, under which evidence, and what was offered; signed by the gate, embedded digests only.

    `platform_class` is what the agreement demands and the grants' verdicts found. `status` is the closed alphabet that
    parties may learn; `reasons` holds, per party, a sealed closed reason code.
    """

    format: Literal["sealroom/receipt/v1"]
    agreement: Hex32
    version: Hex32
    request: Hex32
    evidence: Hex32
    platform_class: PlatformClass
    gate_key: Base64
    grants: Annotated[tuple[Hex32, ...], Many(0, 64)]
    layers: Annotated[tuple[Label, ...], Many(0, 64)]
    status: Literal["completed", "refused", "failed"]
    results: Annotated[tuple[RuleResult, ...], Many(0, 64)]
    reasons: Annotated[dict[Name, Base64], Many(0, 16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A party has seen a receipt and holds it for final."""

    format: Literal["sealroom/cosignature/v1"]
    party: Name
    receipt: Hex32
    created: Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a gate shows before it is given keys. Not signed: the platform's own signature over the report covers it.

    `nonces` are the owners' challenges; `attestation` is the canonical JSON of the platform's own evidence document,
    which `sealroom.attestation` reads (SPEC §5.3).
    """

    format: Literal["sealroom/evidence/v1"]
    agreement: Hex32
    version: Hex32
    request: Hex32
    nonces: Annotated[dict[Name, Nonce], Many(1, 16)]
    checkpoint: Hex32
    gate_signing_key: Base64
    gate_sealing_key: Base64
    platform: Literal["sev-snp"]
    attestation: Base64


def evidence_digest(canonical_evidence: bytes) -> str:
    """Names one evidence document by its canonical bytes: what grants, offers and receipts refer to."""
    return digest.sha256("evidence/v1", canonical_evidence)


def reason_info(receipt_request: str, party: str) -> bytes:
    """HPKE `info` of a sealed reason: bound to the run and the party it is for."""
    return digest.preimage("reason/v1", receipt_request.encode(), party.encode())
