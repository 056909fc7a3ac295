"""Evidence is genuine only if every step from a trusted root to the report holds; each can be made to fail alone."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sealroom.attestation.evidence import unverified_bytes
from sealroom.attestation.snp import abi, certificates, revocation, tcb
from sealroom.attestation.snp.chain import verify_chain
from sealroom.attestation.snp.verify import verify, verify_report
from sealroom.attestation.verdict import EvidenceNotGenuine, MalformedEvidence, Record
from sealroom.protocol.errors import Malformed, NotGenuine, Refused
from sealroom.protocol.platform import SnpTcb

AMD = "1.3.6.1.4.1.3704.1."


@pytest.fixture
def check(lab, now):
    def run(evidence, **changes):
        settings = {
            "roots": (lab.root_digest,),
            "now": now,
            "require_revocation": "require",
            "most_collateral_age": "any",
            "masked_chip": "refuse",
        }
        return verify(evidence, **{**settings, **changes})

    return run


@pytest.fixture
def refused(lab, check):
    def run(code, evidence, **changes):
        with pytest.raises(Refused) as refusal:
            check(evidence, **changes)
        assert refusal.value.code == code
        assert [c.outcome for c in refusal.value.checks].count("fail") == 1
        return refusal.value

    return run


@pytest.mark.parametrize("family", ["milan", "genoa", "turin"])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_good_evidence_of_every_family_and_key_is_genuine(lab, check, family, kind):
    genuine = check(lab.evidence(family, kind=kind))
    assert (genuine.family, genuine.report.key_kind, genuine.root) == (family, kind, lab.root_digest)
    assert genuine.cloud == ("CN=cloud.example" if kind == "vlek" else None)
    assert all(
        c.outcome == ("waived" if c.reason == "chip-binding" and kind == "vlek" else "pass") for c in genuine.checks
    )


def test_a_version_2_report_takes_its_family_from_the_certificate(lab, check):
    old = {"version": 2, "cpuid_family": 0, "cpuid_model": 0, "cpuid_stepping": 0}
    assert check(lab.evidence("milan", **old, launch_mitigations=0, current_mitigations=0)).family == "milan"


def test_a_root_that_nobody_named_is_refused_whatever_it_calls_itself(lab, refused):
    refused("E2.root", lab.evidence(), roots=("00" * 32,))


@pytest.mark.parametrize("part", ["report", "vek", "intermediate", "root", "crl"])
@pytest.mark.parametrize("bad", [b"", b"\x30\x03abc", b"x" * 70_000])
def test_a_part_that_cannot_be_read_is_refused(lab, check, part, bad):
    with pytest.raises(MalformedEvidence) as refusal:
        check(lab.evidence(replace={part: bad}))
    assert refusal.value.checks[-1].outcome == "fail"


@pytest.mark.parametrize("text", ["A", "AB", "AAA=", "A+/A", "AA AA"])
def test_base64url_has_one_spelling(lab, refused, text):
    refused("E1.base64", dataclasses.replace(lab.evidence(), report=text))
    refused("E1.base64", dataclasses.replace(lab.evidence(), crl=text))


def test_every_single_bit_of_the_report_matters(lab, now):
    """All 9472 of them, against the same chain."""
    evidence = lab.evidence()
    data = unverified_bytes(evidence.report)
    chain = verify_chain(
        Record(), evidence, roots=(lab.root_digest,), now=now, require_revocation="require", most_collateral_age="any"
    )
    verify_report(Record(), abi.parse(data), data, chain=chain, masked_chip="refuse")
    for bit in range(abi.SIZE * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, EvidenceNotGenuine)) as refusal:
            verify_report(Record(), abi.parse(bytes(flipped)), bytes(flipped), chain=chain, masked_chip="refuse")
        assert refusal.value.code in {
            "E1.reserved", "E1.version", "E1.algorithm", "E1.signing-key", "E2.signature",
        }  # fmt: skip


@pytest.mark.parametrize("part", ["vek", "intermediate", "root", "crl"])
def test_flipped_bits_of_the_collateral_are_refused(lab, check, part):
    data = lab.parts()[part]
    for bit in range(0, len(data) * 8, 97):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            check(lab.evidence(replace={part: bytes(flipped)}))


@pytest.mark.parametrize(
    "replace",
    [
        pytest.param(lambda lab: {"intermediate": lab.vlek_intermediate}, id="another intermediate"),
        pytest.param(lambda lab: {"intermediate": lab.root}, id="no intermediate"),
        pytest.param(lambda lab: {"root": lab.intermediate}, id="no root"),
        pytest.param(lambda lab: {"vek": lab.vek(issuer="ARK-SIM")}, id="issued by the root directly"),
        pytest.param(
            lambda lab: {"intermediate": lab.authority("SEV-SIM", "ARK-SIM", ca=False)}, id="not an authority"
        ),
        pytest.param(lambda lab: {"intermediate": lab.authority("SEV-SIM", "ARK-SIM", usage=False)}, id="other usage"),
        pytest.param(
            lambda lab: {"vek": lab.vek(key=ec.generate_private_key(ec.SECP256R1()).public_key())}, id="P-256"
        ),
    ],
)
def test_a_broken_path_is_refused(lab, refused, replace):
    refused("E2.chain", lab.evidence(replace=replace(lab)))


def test_a_signature_by_another_key_is_refused(lab, refused):
    vek = bytearray(lab.vek())
    vek[-1] ^= 1
    refused("E2.chain", lab.evidence(replace={"vek": bytes(vek)}))


def test_authorities_need_long_rsa_keys(lab, refused):
    small = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    refused("E2.chain", lab.evidence(replace={"intermediate": lab.authority("SEV-SIM", "ARK-SIM", path=0, key=small)}))


def test_a_key_of_an_unknown_kind_is_refused(lab):
    certificate = certificates.parse(lab.intermediate)
    strange = dataclasses.replace(
        certificate, public_key=certificate.public_key.replace(b"\xf7\x0d\x01\x01\x01", b"\xf7\x0d\x01\x01\x7f")
    )
    with pytest.raises(NotGenuine) as refusal:
        certificates.verify_signature(strange, signature=b"", over=b"")
    assert refusal.value.code == "E2.chain"


def test_a_root_with_a_path_limit_of_zero_cannot_have_an_intermediate(lab, refused, now):
    root = lab.authority("ARK-SIM", "ARK-SIM", path=0)
    digest = certificates.parse(root).digest
    refused("E2.chain", lab.evidence(replace={"root": root}), roots=(digest,))


def test_an_authority_without_key_usage_sets_no_limit(lab, check):
    assert check(lab.evidence(replace={"intermediate": lab.authority("SEV-SIM", "ARK-SIM", path=0, usage=None)}))


def test_a_signature_with_another_salt_is_refused_as_another_algorithm(lab, refused):
    refused("E1.algorithm", lab.evidence(replace={"vek": lab.vek(salt=32)}))


@pytest.mark.parametrize("days", [-2, 101])
def test_every_certificate_must_be_valid_at_the_time_asked_about(lab, refused, now, days):
    refused("E2.validity", lab.evidence(), now=now + days * 86_400, require_revocation="any")


def test_an_expired_endorsement_is_refused_while_its_issuers_are_valid(lab, refused, now):
    refused("E2.validity", lab.evidence(replace={"vek": lab.vek(after=now - 1)}))


class TestRevocation:
    def test_a_missing_list_is_refused_where_one_is_required(self, lab, refused, check):
        missing = lab.evidence(replace={"crl": None})
        refused("E2.revocation-missing", missing)
        refused("E2.revocation-missing", missing, require_revocation="any", most_collateral_age=60)
        waived = [c for c in check(missing, require_revocation="any").checks if c.outcome == "waived"]
        assert [c.reason for c in waived] == ["revocation-missing"]

    @pytest.mark.parametrize("wish", ["require", "any"])
    def test_a_revoked_intermediate_is_refused_under_any_policy(self, lab, refused, wish):
        evidence = lab.evidence(replace={"crl": lab.revocation_list(serials=(5, 7))})
        refused("E2.revoked", evidence, require_revocation=wish)

    @pytest.mark.parametrize("wish", ["require", "any"])
    def test_a_list_of_another_issuer_is_refused_under_any_policy(self, lab, refused, wish):
        evidence = lab.evidence(replace={"crl": lab.revocation_list(issuer="SEV-SIM")})
        refused("E2.revocation", evidence, require_revocation=wish)
        forged = bytearray(lab.crl)
        forged[-1] ^= 1
        refused("E2.revocation", lab.evidence(replace={"crl": bytes(forged)}), require_revocation=wish)

    def test_a_list_that_is_out_of_date_is_refused_or_waived(self, lab, refused, check, now):
        old = lab.evidence(replace={"crl": lab.revocation_list(before=now - 20, after=now - 1)})
        new = lab.evidence(replace={"crl": lab.revocation_list(before=now + 1)})
        for evidence in (old, new):
            refused("E2.revocation-freshness", evidence)
            found = check(evidence, require_revocation="any")
            assert [c.reason for c in found.checks if c.outcome == "waived"] == ["revocation-freshness"]

    def test_a_list_may_have_to_be_young(self, lab, refused, check):
        assert check(lab.evidence(), most_collateral_age=10)
        refused("E2.revocation-freshness", lab.evidence(), most_collateral_age=9)
        refused("E2.revocation-freshness", lab.evidence(), most_collateral_age=9, require_revocation="any")

    def test_an_empty_list_is_a_list(self, lab, check):
        assert check(lab.evidence(replace={"crl": lab.revocation_list(serials=())}))

    def test_a_list_that_covers_something_else_is_refused(self, lab, refused):
        delta = lab.revocation_list(extension=(x509.DeltaCRLIndicator(1), True))
        refused("E1.extension", lab.evidence(replace={"crl": delta}))

    def test_a_list_with_too_many_entries_is_refused(self, lab, monkeypatch):
        monkeypatch.setattr(revocation, "MOST_ENTRIES", 1)
        with pytest.raises(Malformed) as refusal:
            revocation.parse(lab.revocation_list(serials=(1, 2)))
        assert refusal.value.code == "E1.too-large"

    def test_a_list_of_another_version_is_refused(self, lab):
        data = lab.crl.replace(b"\x02\x01\x01\x30", b"\x02\x01\x00\x30", 1)
        with pytest.raises(Malformed) as refusal:
            revocation.parse(data)
        assert refusal.value.code == "E1.revocation-list"


class TestSignature:
    def test_a_report_by_another_key_is_refused(self, lab, refused):
        other = ec.generate_private_key(ec.SECP384R1())
        refused("E2.signature", lab.evidence(replace={"report": lab.sign(lab.report(), other)}))

    @pytest.mark.parametrize("numbers", [(0, 0), (1, 0), (abi.P384_ORDER, 1), (1, 2**576 - 1)])
    def test_numbers_outside_the_group_are_refused(self, lab, refused, numbers):
        report = abi.serialise(lab.report(signature=numbers))
        refused("E2.signature", lab.evidence(replace={"report": report}))

    def test_a_second_signature_over_the_same_bytes_is_the_same_evidence(self, lab, check):
        evidence = lab.evidence()
        report = abi.parse(unverified_bytes(evidence.report))
        r, s = report.signature
        twin = abi.serialise(dataclasses.replace(report, signature=(r, abi.P384_ORDER - s)))
        assert check(lab.evidence(replace={"report": twin})).name == check(evidence).name


class TestKindOfKey:
    def test_the_report_must_name_the_kind_of_its_certificate(self, lab, refused):
        refused("E2.key-kind", lab.evidence(key_word=4))
        refused("E2.key-kind", lab.evidence(kind="vlek", key_word=0))

    def test_a_vlek_comes_from_a_vlek_authority(self, lab, refused):
        vek = lab.vek(kind="vlek", issuer="SEV-SIM")
        refused("E2.key-kind", lab.evidence(kind="vlek", replace={"vek": vek, "intermediate": lab.intermediate}))
        vek = lab.vek(issuer="SEV-VLEK-SIM")
        refused("E2.key-kind", lab.evidence(replace={"vek": vek, "intermediate": lab.vlek_intermediate}))

    def test_a_certificate_of_both_kinds_is_refused(self, lab, refused):
        both = lab.vek(replace={"5": b"\x16\x01c"})
        refused("E2.key-kind", lab.evidence(replace={"vek": both}))

    def test_a_name_that_says_the_other_kind_is_refused(self, lab, refused):
        refused("E2.key-kind", lab.evidence(replace={"vek": lab.vek(subject="SEV-VLEK")}))


class TestFamily:
    @pytest.mark.parametrize(("family", "model"), [(0x19, 0x01), (0x19, 0x50), (0x1A, 0x20), (0x17, 0)])
    def test_the_processor_must_be_of_the_certificates_family(self, lab, refused, family, model):
        refused("E2.product", lab.evidence(cpuid_family=family, cpuid_model=model))

    def test_an_unknown_or_missing_product_is_refused(self, lab, refused):
        refused("E2.product", lab.evidence(replace={"vek": lab.vek(replace={"2": b"\x16\x04Rome"})}))
        refused("E2.product", lab.evidence(replace={"vek": lab.vek(leave_out=("2",))}))

    def test_a_vendor_root_vouches_for_its_own_family_alone(self, lab, refused, monkeypatch):
        monkeypatch.setattr("sealroom.attestation.snp.verify.VENDOR_ROOTS", {lab.root_digest: "milan"})
        refused("E2.product", lab.evidence("genoa"))

    @pytest.mark.parametrize(("model", "family"), [(0x10, "genoa"), (0xA0, "genoa"), (0xAF, "genoa"), (0x0F, "milan")])
    def test_models_map_to_families(self, model, family):
        assert tcb.family_of_cpuid(0x19, model) == family


class TestChip:
    def test_the_certificate_must_be_of_this_chip(self, lab, refused):
        refused("E2.chip-binding", lab.evidence(chip_id=b"\x01" * 64))
        refused("E2.chip-binding", lab.evidence(replace={"vek": lab.vek(leave_out=("4",))}))

    def test_a_short_chip_identity_is_turins_alone(self, lab, refused):
        short = {"4": b"\x51\x4d" * 4}
        refused(
            "E2.chip-binding",
            lab.evidence(chip_id=short["4"].ljust(64, b"\0"), replace={"vek": lab.vek(replace=short)}),
        )

    def test_a_chip_identity_of_zeros_binds_nothing(self, lab, refused):
        refused("E2.chip-binding", lab.evidence(chip_id=bytes(64), replace={"vek": lab.vek(replace={"4": bytes(64)})}))

    def test_a_masked_chip_is_refused_unless_the_policy_says_otherwise(self, lab, refused, check):
        masked = lab.evidence(chip_id=bytes(64), key_word=2)
        refused("E2.chip-binding", masked)
        waived = [c.reason for c in check(masked, masked_chip="any").checks if c.outcome == "waived"]
        assert waived == ["chip-binding"]

    def test_the_wrong_chip_is_not_a_masked_chip(self, lab, refused):
        refused("E2.chip-binding", lab.evidence(chip_id=b"\x01" * 64), masked_chip="any")


class TestTcb:
    @pytest.mark.parametrize("family", ["milan", "genoa", "turin"])
    def test_the_certificate_must_state_the_reported_firmware(self, lab, refused, family):
        numbers = dataclasses.asdict(tcb.parse(lab.report(family).reported_tcb, family))
        changes = [(part, number + by) for part, number in numbers.items() for by in (-1, 1) if number + by >= 0]
        for part, number in changes:
            if part != "fmc" or family == "turin":
                vek = lab.vek(family, svns=SnpTcb(**{**numbers, part: number}))
                refused("E2.tcb-binding", lab.evidence(family, replace={"vek": vek}))

    @pytest.mark.parametrize("at", ["3.1", "3.2", "3.3", "3.8", "3.9"])
    def test_a_version_that_the_certificate_leaves_out_is_refused(self, lab, refused, at):
        refused("E2.tcb-binding", lab.evidence("turin", replace={"vek": lab.vek("turin", leave_out=(at,))}))

    def test_versions_that_the_report_has_no_place_for_are_refused(self, lab, refused):
        refused("E2.tcb-binding", lab.evidence(replace={"vek": lab.vek(replace={"3.9": b"\x02\x01\x00"})}))
        refused("E2.tcb-binding", lab.evidence(replace={"vek": lab.vek(replace={"3.5": b"\x02\x01\x01"})}))

    @pytest.mark.parametrize("which", ["reported_tcb", "committed_tcb", "current_tcb", "launch_tcb"])
    @pytest.mark.parametrize("family", ["genoa", "turin"])
    def test_reserved_bytes_of_a_version_are_refused(self, lab, refused, which, family):
        raw = bytearray(getattr(lab.report(family), which))
        raw[4] = 1
        refused("E1.reserved", lab.evidence(family, **{which: bytes(raw)}))

    @pytest.mark.parametrize("part", [0, 6, 7])
    def test_current_firmware_is_the_newest(self, lab, refused, part):
        lower = bytearray(lab.report().current_tcb)
        lower[part] -= 1
        error = refused("E2.tcb-order", lab.evidence(current_tcb=bytes(lower)))
        assert error.checks[-1].name == "reported TCB order"
        higher = bytearray(lab.report().current_tcb)
        higher[part] += 1
        error = refused("E2.tcb-order", lab.evidence(committed_tcb=bytes(higher)))
        assert error.checks[-1].name == "committed TCB order"

    def test_versions_survive_writing_and_reading(self):
        turin = SnpTcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=5)
        assert tcb.serialise(turin, "turin").hex() == "0102030400000005"
        assert tcb.parse(tcb.serialise(turin, "turin"), "turin") == turin
        genoa = dataclasses.replace(turin, fmc=0)
        assert tcb.serialise(genoa, "genoa").hex() == "0203000000000405"
