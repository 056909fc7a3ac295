"""Is it acceptable: genuine evidence against a signed policy and the values that the relying party expects.

Runs in: parties.   Believes: `verify`, and the policy.   Spec: §6.

Every check is made, also after one has failed, so that a person sees at once all that is wrong.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Container
from typing import Literal

from sealroom.attestation.snp import abi, flags, tcb
from sealroom.attestation.snp.roots import class_of
from sealroom.attestation.snp.verify import Genuine
from sealroom.attestation.verdict import Check, EvidenceNotAcceptable, Source, Verdict
from sealroom.protocol import digest
from sealroom.protocol.platform import SnpFirmware, SnpPolicy

LAUNCH_CONFIGURATION = "launch-configuration/v1"
NO_MIGRATION_AGENT = b"\xff" * 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the relying party expects of this one run; it computes it, and takes none of it from the evidence.

    `measurements` and `host_data` are accepted values as hex; `seen` holds the names of evidence that was used before.
    """

    measurements: frozenset[str]
    host_data: frozenset[str] | Literal["any"]
    report_data: bytes
    seen: Container[str]


def appraise(
    genuine: Genuine, *, policy: SnpPolicy, expected: Expected, host_data_preimage: bytes | None, now: int
) -> Verdict:
    """The verdict on genuine evidence.

    Raises:
        EvidenceNotAcceptable: at least one check fails; the code is that of the first.
    """
    machine = [*_class(genuine, policy), *_chip(genuine, policy), *_firmware(genuine, policy)]
    launch = [*flags.checks(genuine.report, policy), *_launch(genuine, policy)]
    identity = [*_identity(genuine, expected), _configuration(genuine, policy, host_data_preimage)]
    checks = (*genuine.checks, *machine, *launch, *identity)
    if failed := [check for check in checks if check.outcome == "fail"]:
        words = "; ".join(f"{check.name}: {check.value}, expected {check.expectation}" for check in failed)
        raise EvidenceNotAcceptable(failed[0].reason, words, checks=checks)
    # Only what HOST_DATA vouches for may be read on.
    configuration = None if policy.launch_configuration == "any" else host_data_preimage
    return _verdict(genuine, configuration, now, checks)


def _check(name: str, value: object, expectation: str, *, holds: bool, reason: str, source: Source = "report") -> Check:
    return Check(name, str(value), expectation, "pass" if holds else "fail", reason, source)


def _class(genuine: Genuine, policy: SnpPolicy) -> list[Check]:
    found = class_of(genuine.root)
    kind = genuine.report.key_kind
    clouds = policy.vlek_clouds
    return [
        _check(
            "platform class",
            found,
            policy.platform_class,
            holds=found == policy.platform_class,
            reason="platform-class",
            source="certificate",
        ),
        _check(
            "processor family",
            genuine.family,
            f"one of {', '.join(policy.families)}",
            holds=genuine.family in policy.families,
            reason="family",
        ),
        _check(
            "kind of key",
            kind,
            f"one of {', '.join(policy.key_kinds)}",
            holds=kind in policy.key_kinds,
            reason="key-kind-not-allowed",
        ),
        _check(
            "cloud of a VLEK",
            genuine.cloud or "none",
            "any" if clouds == "any" else f"one of {', '.join(clouds)}, or none",
            holds=clouds == "any" or genuine.cloud is None or genuine.cloud in clouds,
            reason="cloud",
            source="certificate",
        ),
    ]


def _chip(genuine: Genuine, policy: SnpPolicy) -> list[Check]:
    chip, listed = genuine.report.chip_id.hex(), policy.chip_ids
    masked = bool(genuine.report.key_word & abi.MASK_CHIP_KEY)
    outcome: Literal["pass", "fail", "waived"] = "pass" if not masked else "fail"
    if masked and policy.masked_chip == "any":
        outcome = "waived"
    return [
        _check(
            "chip",
            chip,
            "any" if listed == "any" else f"one of {len(listed)} listed chips",
            holds=listed == "any" or chip in listed,
            reason="chip-not-listed",
        ),
        Check("chip key", "masked" if masked else "in use", "in use", outcome, "chip-key-masked", "report"),
    ]


def _firmware(genuine: Genuine, policy: SnpPolicy) -> list[Check]:
    floor = getattr(policy.minimum_tcb, genuine.family)
    checks = [
        _check(
            f"{name} TCB", tcb.words(value), f"at least {tcb.words(floor)}", holds=tcb.covers(value, floor), reason=code
        )
        for name, value, code in (
            ("reported", genuine.tcbs.reported, "tcb-reported-low"),
            ("committed", genuine.tcbs.committed, "tcb-committed-low"),
            ("launch", genuine.tcbs.launch, "tcb-launch-low"),
        )
    ]
    current, committed = genuine.report.current_firmware, genuine.report.committed_firmware
    least = policy.minimum_firmware
    holds = _at_least(current, least) and _at_least(committed, least)
    value, expect = f"{current}, committed {committed}", f"at least {least.major}.{least.minor}.{least.build}"
    checks.append(_check("firmware version", value, expect, holds=holds, reason="firmware-low"))
    provisional = genuine.tcbs.current != genuine.tcbs.committed or current != committed
    checks.append(
        flags.wanted(
            "provisional firmware",
            holds=not provisional,
            words=("could be rolled back", "committed", "committed"),
            wish=policy.provisional_firmware,
            reason="provisional-firmware",
        )
    )
    needed = int(policy.mitigations, 16)
    have = genuine.report.launch_mitigations & genuine.report.current_mitigations
    value, expect = f"0x{have:016x}", f"all bits of 0x{needed:016x}"
    checks.append(_check("mitigations", value, expect, holds=have & needed == needed, reason="mitigations-missing"))
    return checks


def _at_least(found: abi.Firmware, floor: SnpFirmware) -> bool:
    return (found.major, found.minor, found.build) >= (floor.major, floor.minor, floor.build)


def _launch(genuine: Genuine, policy: SnpPolicy) -> list[Check]:
    report = genuine.report
    least = (policy.minimum_abi.major, policy.minimum_abi.minor)
    agent = report.report_id_ma != NO_MIGRATION_AGENT
    return [
        _check(
            "VMPL", report.vmpl, f"at most {policy.vmpl_most}", holds=report.vmpl <= policy.vmpl_most, reason="vmpl"
        ),
        flags.wanted(
            "migration agent",
            holds=not agent,
            words=("one is there", "none", "none"),
            wish=policy.migration,
            reason="migration-agent-present",
        ),
        _check(
            "firmware ABI demanded at launch",
            "{}.{}".format(*report.abi),
            "at least {}.{}".format(*least),
            holds=report.abi >= least,
            reason="abi-low",
        ),
        _check(
            "guest security version",
            report.guest_svn,
            f"at least {policy.minimum_guest_svn}",
            holds=report.guest_svn >= policy.minimum_guest_svn,
            reason="guest-svn-low",
        ),
        _listed("identity key", report.id_key_digest.hex(), policy.id_keys, "id-key"),
        # Without AUTHOR_KEY_EN the digest means nothing, whatever it holds.
        _listed(
            "author key",
            report.author_key_digest.hex() if report.key_word & abi.AUTHOR_KEY_EN else "none",
            policy.author_keys,
            "author-key",
        ),
    ]


def _listed(name: str, value: str, accepted: tuple[str, ...] | Literal["any"], reason: str) -> Check:
    expect = "any" if accepted == "any" else f"one of {len(accepted)} listed keys"
    return _check(name, value, expect, holds=accepted == "any" or value in accepted, reason=reason)


def _identity(genuine: Genuine, expected: Expected) -> list[Check]:
    report, host = genuine.report, expected.host_data
    measurement, host_data = report.measurement.hex(), report.host_data.hex()
    return [
        _check(
            "measurement",
            measurement,
            f"one of {len(expected.measurements)} approved",
            holds=measurement in expected.measurements,
            reason="measurement",
        ),
        _check(
            "host data",
            host_data,
            "any" if host == "any" else f"one of {len(host)} accepted",
            holds=host == "any" or host_data in host,
            reason="host-data",
        ),
        _check(
            "report data",
            report.report_data.hex(),
            expected.report_data.hex(),
            holds=hmac.compare_digest(report.report_data, expected.report_data),
            reason="report-data",
        ),
        _check(
            "evidence",
            genuine.name,
            "not used before",
            holds=genuine.name not in expected.seen,
            reason="replayed",
        ),
    ]


def _configuration(genuine: Genuine, policy: SnpPolicy, preimage: bytes | None) -> Check:
    name, host_data = "launch configuration", genuine.report.host_data.hex()
    if policy.launch_configuration == "any":
        return Check(name, "not looked at", "any", "waived", "launch-configuration", "caller")
    if preimage is None:
        expect = "the bytes behind HOST_DATA"
        return _check(name, "none was sent", expect, holds=False, reason="launch-configuration", source="caller")
    labelled = policy.launch_configuration == "labelled"
    value = digest.sha256(LAUNCH_CONFIGURATION, preimage) if labelled else hashlib.sha256(preimage).hexdigest()
    holds = digest.equal(value, host_data)
    return _check(name, value, f"HOST_DATA, {host_data}", holds=holds, reason="launch-configuration", source="caller")


def _verdict(genuine: Genuine, configuration: bytes | None, now: int, checks: tuple[Check, ...]) -> Verdict:
    report = genuine.report
    return Verdict(
        platform="sev-snp",
        platform_class=class_of(genuine.root),
        evidence=genuine.name,
        root=genuine.root,
        family=genuine.family,
        measurement=report.measurement.hex(),
        host_data=report.host_data.hex(),
        report_data=report.report_data.hex(),
        chip_id=report.chip_id.hex(),
        launch_configuration=configuration,
        at=now,
        fields=_fields(genuine),
        checks=checks,
    )


def _fields(genuine: Genuine) -> dict[str, str | int | bool]:
    report, listed = genuine.report, genuine.revocation_list
    fields: dict[str, str | int | bool] = {
        "version": report.version,
        "product": genuine.product,
        "key_kind": report.key_kind,
        "guest_svn": report.guest_svn,
        "policy": f"0x{report.policy:x}",
        "platform_info": f"0x{report.platform_info:x}",
        "vmpl": report.vmpl,
        "current_firmware": str(report.current_firmware),
        "committed_firmware": str(report.committed_firmware),
    }
    fields |= {
        f"{name}_tcb": tcb.words(getattr(genuine.tcbs, name)) for name in ("reported", "current", "committed", "launch")
    }
    digests = ("family_id", "image_id", "id_key_digest", "author_key_digest", "report_id", "report_id_ma")
    fields |= {name: getattr(report, name).hex() for name in digests}
    if listed is not None:
        fields |= {"revocation_this_update": listed.this_update, "revocation_next_update": listed.next_update}
    return fields
