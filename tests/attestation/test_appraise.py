"""Genuine evidence is accepted only if all of the policy and all of the caller's expectations hold."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from sealroom.attestation import appraisal
from sealroom.attestation.snp import abi, roots
from sealroom.attestation.verdict import EvidenceNotAcceptable, MalformedEvidence, Verdict
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from sealroom.protocol.platform import SnpAbi, SnpFirmware, SnpTcb

ALLOWED = 0x30000
STRICT_GUEST = 0x20000 | abi.SINGLE_SOCKET | abi.MEM_AES_256_XTS | abi.RAPL_DIS | abi.CIPHERTEXT_HIDING
STRICT_GUEST |= abi.PAGE_SWAP_DISABLE
STRICT_HOST = abi.ECC_EN | abi.RAPL_DIS_EN | abi.CIPHERTEXT_HIDING_EN | abi.ALIAS_CHECK_COMPLETE
STRICT = {
    "smt": "refuse",
    "single_socket": "require",
    "memory_aes_256_xts": "require",
    "rapl_disabled": "require",
    "ciphertext_hiding": "require",
    "page_swap_disabled": "require",
}


@pytest.fixture
def refused(lab):
    def run(reason, evidence, policy=None, **expected):
        with pytest.raises(EvidenceNotAcceptable) as refusal:
            lab.appraise(evidence, policy=policy, **expected)
        assert refusal.value.code == f"E3.{reason}"
        assert [c.reason for c in refusal.value.checks if c.outcome == "fail"] == [reason]

    return run


@pytest.mark.parametrize("family", ["milan", "genoa", "turin"])
def test_good_evidence_gets_a_verdict_that_says_it_is_simulated(lab, now, family):
    verdict = lab.appraise(lab.evidence(family))
    assert isinstance(verdict, Verdict)
    assert (verdict.platform_class, verdict.root, verdict.at) == ("simulated", lab.root_digest, now)
    assert (verdict.measurement, verdict.family) == ("06" * 48, family)
    assert verdict.launch_configuration == b'{"argv":["python3"],"format":"sealroom/launch/v1"}'
    assert verdict.as_document()["platform_class"] == "simulated"
    assert {c.reason for c in verdict.checks if c.outcome == "waived"} == {
        "smt-allowed", "single-socket-missing", "memory-aes-256-xts-missing", "page-swap-allowed", "rapl-enabled",
        "ciphertext-hiding-missing",
    }  # fmt: skip


def test_the_strictest_policy_can_be_met_without_waiving_anything(lab):
    evidence = lab.evidence("turin", policy=STRICT_GUEST, platform_info=STRICT_HOST)
    verdict = lab.appraise(evidence, policy=lab.policy(**STRICT))
    assert {c.outcome for c in verdict.checks} == {"pass"}


class TestClassOfPlatform:
    def test_a_simulated_root_never_passes_for_hardware(self, lab, refused):
        refused("platform-class", lab.evidence(), lab.policy(platform_class="confidential-hardware"))

    def test_a_vendor_root_never_passes_for_simulated(self, lab, monkeypatch):
        vendor = {lab.root_digest: "genoa"}
        for module in ("roots", "verify"):
            monkeypatch.setattr(f"sealroom.attestation.snp.{module}.VENDOR_ROOTS", vendor)
        with pytest.raises(EvidenceNotAcceptable) as refusal:
            lab.appraise(lab.evidence())
        assert refusal.value.code == "E3.platform-class"
        verdict = lab.appraise(lab.evidence(), policy=lab.policy(platform_class="confidential-hardware"))
        assert verdict.platform_class == "confidential-hardware"

    def test_the_pinned_roots_alone_stand_for_hardware(self, lab):
        assert {roots.class_of(root) for root in roots.VENDOR_ROOTS} == {"confidential-hardware"}
        assert roots.class_of(lab.root_digest) == "simulated"
        with pytest.raises(TypeError):
            roots.VENDOR_ROOTS[lab.root_digest] = "milan"


@pytest.mark.parametrize(
    ("report", "policy", "reason"),
    [
        ({}, {"families": ("milan", "turin")}, "family"),
        ({}, {"key_kinds": ("vlek",)}, "key-kind-not-allowed"),
        ({}, {"chip_ids": ("ab" * 64,)}, "chip-not-listed"),
        ({"key_word": 2}, {}, "chip-key-masked"),
        ({}, {"minimum_firmware": SnpFirmware(major=1, minor=55, build=41)}, "firmware-low"),
        ({}, {"minimum_firmware": SnpFirmware(major=2, minor=0, build=0)}, "firmware-low"),
        ({}, {"mitigations": "0000000000000004"}, "mitigations-missing"),
        ({"current_mitigations": 3}, {"mitigations": "0000000000000008"}, "mitigations-missing"),
        ({"launch_mitigations": 3}, {"mitigations": "0000000000000008"}, "mitigations-missing"),
        ({"policy": ALLOWED | abi.DEBUG}, {}, "debug-allowed"),
        ({"policy": ALLOWED | abi.MIGRATE_MA}, {}, "migration-agent-allowed"),
        ({"report_id_ma": bytes(32)}, {}, "migration-agent-present"),
        ({}, {"smt": "refuse"}, "smt-allowed"),
        ({"policy": 0x20000}, {}, "smt-contradiction"),
        ({"policy": ALLOWED | abi.RAPL_DIS}, {}, "rapl-contradiction"),
        ({"policy": ALLOWED | abi.CIPHERTEXT_HIDING}, {}, "ciphertext-hiding-contradiction"),
        ({}, {"single_socket": "require"}, "single-socket-missing"),
        ({"policy": ALLOWED | abi.CXL}, {}, "cxl-allowed"),
        ({}, {"memory_aes_256_xts": "require"}, "memory-aes-256-xts-missing"),
        ({"platform_info": 0x25 | abi.RAPL_DIS_EN}, {"rapl_disabled": "require"}, "rapl-enabled"),
        (
            {"platform_info": 0x25 | abi.CIPHERTEXT_HIDING_EN},
            {"ciphertext_hiding": "require"},
            "ciphertext-hiding-missing",
        ),
        ({}, {"page_swap_disabled": "require"}, "page-swap-allowed"),
        ({"platform_info": 0x21}, {}, "ecc-missing"),
        ({"platform_info": 0x05}, {}, "alias-check-incomplete"),
        ({"platform_info": 0xA5}, {}, "trusted-io-on"),
        ({"vmpl": 1}, {}, "vmpl"),
        ({"vmpl": 0xFFFFFFFF}, {"vmpl_most": 3}, "vmpl"),
        ({}, {"minimum_abi": SnpAbi(major=0, minor=1)}, "abi-low"),
        ({"policy": ALLOWED | 0xFF}, {"minimum_abi": SnpAbi(major=1, minor=0)}, "abi-low"),
        ({}, {"minimum_guest_svn": 4}, "guest-svn-low"),
        ({}, {"id_keys": ("ab" * 48,)}, "id-key"),
        ({"author_key_digest": b"\xab" * 48}, {"author_keys": ("ab" * 48,)}, "author-key"),
    ],
)
def test_each_demand_of_a_policy_is_checked(lab, refused, report, policy, reason):
    refused(reason, lab.evidence(**report), lab.policy(**policy))


@pytest.mark.parametrize(
    ("report", "policy"),
    [
        ({}, {"chip_ids": ("ab" * 64, (b"\x51\x4d" * 32).hex())}),
        ({"key_word": 2}, {"masked_chip": "any"}),
        ({}, {"minimum_firmware": SnpFirmware(major=1, minor=55, build=40)}),
        ({}, {"mitigations": "000000000000000b"}),
        ({"policy": ALLOWED | abi.DEBUG}, {"debug": "any"}),
        ({"policy": ALLOWED | abi.MIGRATE_MA, "report_id_ma": bytes(32)}, {"migration": "any"}),
        ({"policy": ALLOWED | abi.CXL}, {"cxl": "any"}),
        ({"platform_info": 0x81}, {"ecc": "any", "alias_check": "any", "trusted_io": "any"}),
        ({"vmpl": 2}, {"vmpl_most": 2}),
        ({"policy": ALLOWED | 0x0102}, {"minimum_abi": SnpAbi(major=1, minor=2)}),
        ({}, {"minimum_guest_svn": 3}),
        ({"id_key_digest": b"\xab" * 48}, {"id_keys": ("ab" * 48,)}),
        ({"key_word": 1, "author_key_digest": b"\xab" * 48}, {"author_keys": ("ab" * 48,)}),
    ],
)
def test_what_a_policy_allows_is_accepted(lab, report, policy):
    assert lab.appraise(lab.evidence(**report), policy=lab.policy(**policy))


class TestFirmware:
    @pytest.mark.parametrize("part", ["bootloader", "tee", "snp", "microcode"])
    @pytest.mark.parametrize("which", ["reported", "committed", "launch"])
    def test_the_floor_holds_for_each_version_and_part(self, lab, part, which):
        floor = SnpTcb(fmc=0, bootloader=10, tee=0, snp=23, microcode=84)
        policy = lab.policy(provisional_firmware="any")
        floors = dataclasses.replace(
            policy.minimum_tcb, genoa=dataclasses.replace(floor, **{part: 1 + getattr(floor, part)})
        )
        assert lab.appraise(lab.evidence(), policy=dataclasses.replace(
            policy, minimum_tcb=dataclasses.replace(floors, genoa=floor, milan=dataclasses.replace(floor, snp=255))
        ))  # fmt: skip
        with pytest.raises(EvidenceNotAcceptable) as refusal:
            lab.appraise(lab.evidence(), policy=dataclasses.replace(policy, minimum_tcb=floors))
        assert f"tcb-{which}-low" in {c.reason for c in refusal.value.checks if c.outcome == "fail"}

    def test_a_machine_launched_on_old_firmware_is_refused_after_its_update(self, lab, refused):
        policy = lab.policy()
        floor = SnpTcb(fmc=0, bootloader=10, tee=0, snp=23, microcode=84)
        old = lab.report().launch_tcb[:7] + b"\x53"
        floors = dataclasses.replace(policy.minimum_tcb, genoa=floor)
        refused("tcb-launch-low", lab.evidence(launch_tcb=old), dataclasses.replace(policy, minimum_tcb=floors))

    def test_firmware_that_can_be_rolled_back_is_refused_or_waived(self, lab, refused):
        newer = lab.report().current_tcb[:7] + b"\x55"
        later = abi.Firmware(major=1, minor=55, build=41)
        for evidence in (lab.evidence(current_tcb=newer), lab.evidence(current_firmware=later)):
            refused("provisional-firmware", evidence)
            verdict = lab.appraise(evidence, policy=lab.policy(provisional_firmware="any"))
            assert "provisional-firmware" in {c.reason for c in verdict.checks if c.outcome == "waived"}


class TestVlek:
    def test_a_vlek_is_accepted_where_the_policy_names_it_and_its_cloud(self, lab, refused):
        evidence = lab.evidence(kind="vlek")
        vlek = lab.policy(key_kinds=("vlek",), vlek_clouds=("CN=cloud.example",))
        assert lab.appraise(evidence, policy=vlek).chip_id == "00" * 64
        refused("cloud", evidence, lab.policy(key_kinds=("vlek",), vlek_clouds=("CN=other.example",)))
        refused("key-kind-not-allowed", evidence, lab.policy(key_kinds=("vcek",)))

    def test_a_list_of_chips_refuses_a_report_that_names_none(self, lab, refused):
        policy = lab.policy(key_kinds=("vlek",), chip_ids=((b"\x51\x4d" * 32).hex(),))
        refused("chip-not-listed", lab.evidence(kind="vlek"), policy)


class TestRun:
    @pytest.mark.parametrize("accepted", [frozenset(), frozenset({"07" * 48})])
    def test_a_program_that_nobody_approved_is_refused(self, lab, refused, accepted):
        refused("measurement", lab.evidence(), measurements=accepted)

    def test_host_data_must_be_accepted(self, lab, refused):
        refused("host-data", lab.evidence(), host_data=frozenset())
        refused("host-data", lab.evidence(), host_data=frozenset({"00" * 32}))
        assert lab.appraise(lab.evidence(), host_data=frozenset({lab.report().host_data.hex()}))

    def test_report_data_of_another_run_is_refused(self, lab, refused):
        refused("report-data", lab.evidence(), report_data=b"\x05" * 63 + b"\x04")

    def test_evidence_counts_once_even_under_a_second_signature(self, lab, refused):
        first = lab.appraise(lab.evidence())
        again = lab.evidence(replace={"report": lab.sign(lab.report())})
        assert again.report != lab.evidence().report
        refused("replayed", again, seen={first.evidence})

    def test_all_failures_are_reported_at_once(self, lab):
        with pytest.raises(EvidenceNotAcceptable) as refusal:
            lab.appraise(lab.evidence(vmpl=2, policy=ALLOWED | abi.DEBUG), measurements=frozenset())
        assert {c.reason for c in refusal.value.checks if c.outcome == "fail"} == {
            "debug-allowed",
            "vmpl",
            "measurement",
        }
        assert refusal.value.code == "E3.debug-allowed"

    def test_the_caller_must_give_a_time_and_whole_report_data(self, lab):
        with pytest.raises(UsageError):
            lab.appraise(lab.evidence(), report_data=b"")
        with pytest.raises(UsageError):
            lab.appraise(lab.evidence(), now=0)


class TestLaunchConfiguration:
    def test_it_must_be_there_and_be_the_one_that_was_measured(self, lab, refused):
        refused("launch-configuration", lab.evidence(replace={"host_data_preimage": None}))
        refused("launch-configuration", lab.evidence(replace={"host_data_preimage": b"{}"}))

    def test_a_plain_digest_is_another_policy(self, lab, refused):
        plain = lab.policy(launch_configuration="plain")
        refused("launch-configuration", lab.evidence(), plain)
        evidence = lab.evidence(host_data=hashlib.sha256(b"{}").digest(), replace={"host_data_preimage": b"{}"})
        assert lab.appraise(evidence, policy=plain).launch_configuration == b"{}"
        refused("launch-configuration", evidence)

    def test_what_no_check_vouches_for_is_not_in_the_verdict(self, lab):
        verdict = lab.appraise(lab.evidence(), policy=lab.policy(launch_configuration="any"))
        assert verdict.launch_configuration is None

    def test_it_must_be_base64url(self, lab):
        with pytest.raises(MalformedEvidence) as refusal:
            lab.appraise(dataclasses.replace(lab.evidence(), host_data_preimage="A"))
        assert refusal.value.code == "E1.base64"


class TestChoiceOfPolicy:
    def test_the_policy_that_names_the_root_is_chosen(self, lab):
        other = lab.policy(roots=("ab" * 32,))
        assert appraisal.policy_for(lab.evidence(), (other, lab.policy())) == lab.policy()

    def test_no_or_several_policies_for_a_root_are_refused(self, lab):
        with pytest.raises(NotAcceptable) as refusal:
            appraisal.policy_for(lab.evidence(), (lab.policy(roots=("ab" * 32,)),))
        assert refusal.value.code == "E3.root-not-agreed"
        with pytest.raises(UsageError):
            appraisal.policy_for(lab.evidence(), (lab.policy(), lab.policy()))
        with pytest.raises(Malformed):
            appraisal.policy_for(dataclasses.replace(lab.evidence(), root="A"), ())
