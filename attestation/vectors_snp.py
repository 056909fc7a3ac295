"""Runs one SEV-SNP case of a folder of attestation vectors.

Runs in: a developer's machine.   Believes: MANIFEST.json of that folder.   Spec: §6.

The vectors say nothing about the values that a relying party expects of its own run (measurement, host data, report
data), so these are taken from the report here, which no relying party may do.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from sealroom.attestation import appraisal
from sealroom.attestation.evidence import SnpEvidence, name_of, snp_evidence
from sealroom.attestation.snp import abi, certificates, chain, fields, revocation
from sealroom.attestation.snp.roots import VENDOR_ROOTS, class_of
from sealroom.attestation.snp.verify import Genuine, verify
from sealroom.attestation.vectors_case import Case, MismatchError
from sealroom.attestation.verdict import EvidenceNotAcceptable, Record, Verdict
from sealroom.protocol.errors import Malformed, NotGenuine, Refused
from sealroom.protocol.platform import PlatformClass, SnpPolicy, simulated_policy

# Their words for ours, where they differ.
_STAGES = {"revoked": "revocation", "revocation-missing": "revocation-freshness"}
_REASONS = {"vmpl": "vmpl-nonzero"}
_NONE_SEEN: frozenset[str] = frozenset()


def default_policy(roots: tuple[str, ...], platform_class: PlatformClass) -> SnpPolicy:
    """What the vectors call the default policy: no debugging, no migration, VMPL 0, and no opinion on the rest."""
    return dataclasses.replace(
        simulated_policy(roots[0]),
        roots=roots,
        platform_class=platform_class,
        key_kinds=("vcek", "vlek"),
        provisional_firmware="any",
        revocation="any",
        cxl="any",
        ecc="any",
        alias_check="any",
        trusted_io="any",
        launch_configuration="any",
    )


def strict_policy(roots: tuple[str, ...], platform_class: PlatformClass) -> SnpPolicy:
    """What the vectors call the strict policy: the default one, committed firmware, and a check for aliased memory."""
    base = default_policy(roots, platform_class)
    return dataclasses.replace(base, provisional_firmware="refuse", alias_check="require")


def run(case: Case) -> None:
    """Run one case.

    Raises:
        MismatchError: the verifier concludes something else than the case says.
    """
    if case.file("report") is None:
        _run_list(case)
        return
    try:
        genuine = _verify(case)
    except Refused as error:
        _expect_failure(case, error)
        return
    if case.expect["crypto"] != "pass":
        raise MismatchError(f"accepted as genuine; expected to fail at {case.expect.get('stage')}")
    _expect_fields(case, fields.described(genuine))
    _expect_policy(case, "default_policy", "policy_reasons", genuine, default_policy)
    _expect_policy(case, "strict_policy", "strict_reasons", genuine, strict_policy)
    _expect_preimage(case, genuine)
    _expect_replay(case, genuine)


def _roots(case: Case) -> tuple[str, ...]:
    anchor = case.anchor()
    return tuple(VENDOR_ROOTS) if anchor is None else (hashlib.sha256(anchor).hexdigest(),)


def _evidence(case: Case, preimage: bytes | None = None) -> SnpEvidence:
    def needed(role: str) -> bytes:
        data = case.file(role)
        if data is None:
            raise MismatchError(f"the case names no {role}")
        return data

    return snp_evidence(
        report=needed("report"),
        vek=needed("endorsement_key"),
        intermediate=needed("intermediate"),
        root=needed("root"),
        crl=case.file("crl"),
        host_data_preimage=preimage,
    )


def _verify(case: Case) -> Genuine:
    # Where a case comes with a list, the list is checked; whether it must be current is a case of its own.
    return verify(
        _evidence(case),
        roots=_roots(case),
        now=case.now,
        require_revocation="any",
        most_collateral_age="any",
        masked_chip="refuse",
    )


def _expect_failure(case: Case, error: Refused) -> None:
    if case.expect["crypto"] != "fail":
        raise MismatchError(f"refused: {error}")
    stage = case.expect.get("stage")
    if stage is None:
        return
    if isinstance(error, Malformed):
        found = "parse"
    elif isinstance(error, NotGenuine):
        reason = error.code.partition(".")[2]
        found = _STAGES.get(reason, reason)
    else:
        raise MismatchError(f"refused, but not for what it is: {error}")
    # `signature/chip` means either; `chip` is short for `chip-binding`.
    accepted = [name.replace("_", "-") for name in str(stage).split("/")]
    if not any(found == name or found.startswith(f"{name}-") for name in accepted):
        raise MismatchError(f"failed at {found}, expected {stage}: {error}")


def _expect_fields(case: Case, found: dict[str, Any]) -> None:
    for name, value in case.expect.get("fields", {}).items():
        if name not in found or found[name] != value:
            raise MismatchError(f"field {name} is {found.get(name, 'unknown')!r}, expected {value!r}")


def _appraise(case: Case, genuine: Genuine, policy: SnpPolicy, seen: frozenset[str], preimage: bytes | None) -> Verdict:
    return appraisal.appraise(
        _evidence(case, preimage),
        policy=policy,
        measurements=frozenset({genuine.report.measurement.hex()}),
        host_data="any",
        report_data=genuine.report.report_data,
        now=case.now,
        seen=seen,
    )


def _expect_policy(case: Case, outcome: str, reasons: str, genuine: Genuine, policy: Any) -> None:
    if outcome not in case.expect:
        return
    found: set[str] = set()
    roots = _roots(case)
    try:
        _appraise(case, genuine, policy(roots, class_of(genuine.root)), _NONE_SEEN, None)
    except EvidenceNotAcceptable as error:
        found = {_REASONS.get(check.reason, check.reason) for check in error.checks if check.outcome == "fail"}
    if ("fail" if found else "pass") != case.expect[outcome]:
        raise MismatchError(f"{outcome}: expected {case.expect[outcome]}, failed for {sorted(found)}")
    expected = {str(reason).replace("_", "-") for reason in case.expect.get(reasons, [])}
    if reasons in case.expect and found != expected:
        raise MismatchError(f"{outcome}: failed for {sorted(found)}, expected {sorted(expected)}")


def _expect_preimage(case: Case, genuine: Genuine) -> None:
    """HOST_DATA that a case explains must be accepted with its pre-image, and refused with another."""
    preimage = case.host_data_preimage()
    if preimage is None:
        return
    base = default_policy(_roots(case), class_of(genuine.root))
    plain = dataclasses.replace(base, launch_configuration="plain")
    if _appraise(case, genuine, plain, _NONE_SEEN, preimage).launch_configuration != preimage:
        raise MismatchError("the verdict does not carry the launch configuration")
    try:
        _appraise(case, genuine, plain, _NONE_SEEN, preimage + b"\n")
    except EvidenceNotAcceptable:
        return
    raise MismatchError("another launch configuration was accepted")


def _expect_replay(case: Case, genuine: Genuine) -> None:
    """A case that must verify and yet fail at the replay cache is the same evidence as the one it was derived from."""
    if case.expect.get("stage") is None:
        return
    base = case.base()
    if case.expect["stage"] != "replay-cache" or base is None:
        raise MismatchError(f"accepted; expected to fail at {case.expect['stage']}")
    report = base.file("report") or b""
    seen = frozenset({name_of(report[: abi.SIGNED])})
    try:
        _appraise(case, genuine, default_policy(_roots(case), class_of(genuine.root)), seen, None)
    except EvidenceNotAcceptable as error:
        if error.code == "E3.replayed":
            return
    raise MismatchError("not recognised as evidence that was seen before")


def _run_list(case: Case) -> None:
    """A case about a revocation list alone; there it must be current."""
    listed, root = case.file("crl"), case.file("root")
    if listed is None or root is None:
        raise MismatchError("the case has neither a report nor a revocation list with its root")
    intermediate = case.file("intermediate")
    record = Record()
    try:
        issuer = certificates.parse(root)
        child = None if intermediate is None else certificates.parse(intermediate)
        chain.check_root(record, issuer, _roots(case))
        found = revocation.parse(listed)
        revocation.check(
            record, found, root=issuer, intermediate=child, now=case.now, require="require", most_age="any"
        )
    except Refused as error:
        _expect_failure(case, error)
        return
    if case.expect["crypto"] != "pass":
        raise MismatchError(f"the revocation list is accepted; expected to fail at {case.expect.get('stage')}")
    _expect_fields(case, fields.described_list(found, child))
