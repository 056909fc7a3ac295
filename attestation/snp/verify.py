"""Is it genuine: a chain of keys from a trusted root to this very report, in numbered steps.

Runs in: parties.   Believes: the digests of the roots it is given.   Spec: §6.

 1 every part can be read, and has nothing in it that it should not have
 2 the root signed itself and the intermediate, the intermediate signed the endorsement key; names, rights, key types
 3 the root is one that the policy names, by digest
 4 all three certificates are valid at the time asked about
 5 the root has not revoked the intermediate, as far as the policy asks
 6 the endorsement key signed the report
 7 report, endorsement key and intermediate agree on the kind of key, VCEK or VLEK
 8 report, endorsement key and root agree on the processor family
 9 the endorsement key belongs to the chip that the report names
10 the endorsement key belongs to the firmware that the report names
11 the firmware versions in the report are in a possible order
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from sealroom.attestation.evidence import SnpEvidence, name_of, unverified_bytes
from sealroom.attestation.snp import abi, tcb
from sealroom.attestation.snp.certificates import Endorsement
from sealroom.attestation.snp.chain import Chain, verify_chain
from sealroom.attestation.snp.revocation import RevocationList
from sealroom.attestation.snp.roots import VENDOR_ROOTS
from sealroom.attestation.verdict import Check, Record
from sealroom.protocol.errors import NotGenuine
from sealroom.protocol.platform import Family, Refuse, Require, SnpTcb

_CHIP_BYTES: dict[Family, int] = {"milan": 64, "genoa": 64, "turin": 8}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tcbs:
    """The four TCB versions of a report."""

    reported: SnpTcb
    current: SnpTcb
    committed: SnpTcb
    launch: SnpTcb


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Genuine:
    """A report for which a trusted root vouches; whether it is acceptable is another question.

    `name` is the digest of the signed bytes, `root` that of the root's DER; `cloud` is set for a VLEK.
    """

    report: abi.Report
    name: str
    root: str
    family: Family
    product: str
    cloud: str | None
    tcbs: Tcbs
    revocation_list: RevocationList | None
    checks: tuple[Check, ...]


def verify(
    evidence: SnpEvidence,
    *,
    roots: Collection[str],
    now: int,
    require_revocation: Require,
    most_collateral_age: int | Literal["any"],
    masked_chip: Refuse,
) -> Genuine:
    """The report of `evidence`, if a root in `roots` (SHA-256 of its DER, hex) vouches for it at `now`.

    Raises:
        MalformedEvidence: a part cannot be read.
        EvidenceNotGenuine: a step does not hold; the code names it.
    """
    record = Record()
    data = record.read("report encoding", "report", lambda: unverified_bytes(evidence.report))
    report = record.read("report", "report", lambda: abi.parse(data))
    chain = verify_chain(
        record,
        evidence,
        roots=roots,
        now=now,
        require_revocation=require_revocation,
        most_collateral_age=most_collateral_age,
    )
    return verify_report(record, report, data, chain=chain, masked_chip=masked_chip)


def verify_report(record: Record, report: abi.Report, data: bytes, *, chain: Chain, masked_chip: Refuse) -> Genuine:
    """Steps 6 to 11: this report, by the key at the end of `chain`; `data` is what `report` was read from.

    Raises:
        MalformedEvidence: a TCB version has reserved bytes set.
        EvidenceNotGenuine: reasons `signature`, `key-kind`, `product`, `chip-binding`, `tcb-binding`, `tcb-order`.
    """
    signed = data[: abi.SIGNED]
    # (6) signature
    attempt = functools.partial(_verify_signature, chain.key, report.signature, signed)
    record.attempt("report signature", "made by the endorsement key", attempt, reason="signature", source="report")
    # (7) kind of key
    _check_key_kind(record, report, chain)
    # (8) family
    family, product = _check_family(record, report, chain)
    # (9) chip
    _check_chip(record, report, chain.states, family=family, masked_chip=masked_chip)
    # (10) firmware of the key
    tcbs = _read_tcbs(record, report, family)
    _check_tcb_binding(record, tcbs.reported, chain.states, family)
    # (11) order
    for name, lower in (("reported", tcbs.reported), ("committed", tcbs.committed)):
        value, expect = tcb.words(lower), f"at most the current TCB, {tcb.words(tcbs.current)}"
        holds = tcb.covers(tcbs.current, lower)
        record.require(f"{name} TCB order", value, expect, holds=holds, reason="tcb-order", source="report")
    return Genuine(
        report=report,
        name=name_of(signed),
        root=chain.root.digest,
        family=family,
        product=product,
        cloud=chain.states.cloud,
        tcbs=tcbs,
        revocation_list=chain.revocation_list,
        checks=record.checks,
    )


def _verify_signature(key: ec.EllipticCurvePublicKey, signature: tuple[int, int], signed: bytes) -> None:
    if not all(0 < number < abi.P384_ORDER for number in signature):
        raise NotGenuine("signature", "a number of the signature is outside 1..n-1")
    try:
        key.verify(utils.encode_dss_signature(*signature), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise NotGenuine("signature", "another key signed it, or it was changed") from error


def _check_key_kind(record: Record, report: abi.Report, chain: Chain) -> None:
    """A VLEK names its cloud and no chip, and comes from a VLEK authority; a VCEK is the reverse."""
    is_vlek = chain.states.cloud is not None and chain.states.hardware is None
    issuer, name = chain.intermediate.common_name, chain.vek.common_name
    holds = (
        (chain.states.cloud is None or chain.states.hardware is None)
        and report.key_kind == ("vlek" if is_vlek else "vcek")
        and ("VLEK" in issuer) == is_vlek
        and ("VCEK" if is_vlek else "VLEK") not in name
    )
    value = f"report: {report.key_kind}, certificate: {name} by {issuer}"
    record.require("kind of key", value, "the same kind throughout", holds=holds, reason="key-kind", source="report")


def _check_family(record: Record, report: abi.Report, chain: Chain) -> tuple[Family, str]:
    """Version 2 reports carry no CPUID, so that there the certificate alone tells; a vendor root has one family."""
    product = chain.states.product or ""
    family = tcb.family_of_product(product)
    if family is None:
        expect = "a product that this verifier knows"
        record.fail(Check("product", product or "absent", expect, "fail", "product", "certificate"))
    cpuid = family if report.version == 2 else tcb.family_of_cpuid(report.cpuid_family, report.cpuid_model)
    root = VENDOR_ROOTS.get(chain.root.digest, family)
    value = f"certificate: {product}, report: {cpuid or 'unknown'}, root: {root}"
    holds = family == cpuid == root
    record.require("processor family", value, "the same throughout", holds=holds, reason="product", source="report")
    return family, product


def _check_chip(
    record: Record, report: abi.Report, states: Endorsement, *, family: Family, masked_chip: Refuse
) -> None:
    name, chip = "chip", report.chip_id.hex()
    if report.key_kind == "vlek":
        record.note(Check(name, "a VLEK names no chip", "any", "waived", "chip-binding", "certificate"))
        return
    if masked_chip == "any" and not any(report.chip_id):
        record.note(Check(name, "masked", "any", "waived", "chip-binding", "report"))
        return
    hardware = states.hardware or b""
    holds = len(hardware) == _CHIP_BYTES[family] and report.chip_id == hardware.ljust(64, b"\0") and any(hardware)
    expect = f"the certificate's chip, {hardware.hex() or 'absent'}"
    record.require(name, chip, expect, holds=holds, reason="chip-binding", source="report")


def _read_tcbs(record: Record, report: abi.Report, family: Family) -> Tcbs:
    def read(name: str, raw: bytes) -> SnpTcb:
        return record.read(f"{name} TCB", "report", lambda: tcb.parse(raw, family))

    return Tcbs(
        reported=read("reported", report.reported_tcb),
        current=read("current", report.current_tcb),
        committed=read("committed", report.committed_tcb),
        launch=read("launch", report.launch_tcb),
    )


def _check_tcb_binding(record: Record, reported: SnpTcb, states: Endorsement, family: Family) -> None:
    """The key is derived from the reported TCB, so that its certificate must state the same numbers, all of them."""
    parts = tuple(part for part in tcb.PARTS if part != "fmc" or family == "turin")
    stated = {part: states.svns.get(part) for part in tcb.PARTS if part in states.svns or part in parts}
    holds = states.spare_svns_are_zero and stated == {part: getattr(reported, part) for part in parts}
    words = " ".join(f"{part}={'absent' if number is None else number}" for part, number in stated.items())
    expect = f"that of the endorsement certificate, {words}"
    record.require("reported TCB", tcb.words(reported), expect, holds=holds, reason="tcb-binding", source="report")
