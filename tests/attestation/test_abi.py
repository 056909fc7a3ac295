"""A report has one spelling: what is parsed comes back byte for byte, and nothing unknown is passed over."""

from __future__ import annotations

import json

import pytest

from sealroom.attestation.snp import abi
from sealroom.protocol.errors import Malformed

RESERVED = [0x04C, 0x04F, 0x18B, 0x19F, 0x1EB, 0x1EF, 0x208, 0x29F, 0x330, 0x49F]


def with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize("family", ["milan", "genoa", "turin"])
def test_a_report_survives_writing_and_reading(lab, family):
    data = lab.sign(lab.report(family))
    assert abi.serialise(abi.parse(data)) == data


def test_genuine_reports_survive_reading_and_writing(evidence):
    manifest = json.loads((evidence / "MANIFEST.json").read_text())
    cases = [
        c
        for c in manifest["cases"]
        if c["platform"] == "sev-snp" and "fields" in c["expect"] and "report" in c["files"]
    ]
    for case in cases:
        data = (evidence / case["files"]["report"]).read_bytes()
        assert abi.serialise(abi.parse(data)) == data
    assert cases


@pytest.mark.parametrize("at", RESERVED)
def test_a_reserved_byte_that_is_not_zero_is_refused(lab, at):
    data = lab.sign(lab.report())
    with pytest.raises(Malformed) as refusal:
        abi.parse(with_byte(data, at, 1))
    assert refusal.value.code == "E1.reserved"


def test_every_bit_that_is_not_signed_is_refused_or_belongs_to_the_signature(lab):
    data = lab.sign(lab.report())
    for bit in range((abi.SIGNED + 144) * 8, abi.SIZE * 8):
        with pytest.raises(Malformed):
            abi.parse(with_byte(data, bit // 8, data[bit // 8] ^ (1 << bit % 8)))


@pytest.mark.parametrize("size", [0, 1183, 1185])
def test_another_length_is_refused(lab, size):
    with pytest.raises(Malformed) as refusal:
        abi.parse((lab.sign(lab.report()) + b"\0")[:size])
    assert refusal.value.code == "E1.length"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 1}, "E1.version"),
        ({"version": 6}, "E1.version"),
        ({"signature_algorithm": 2}, "E1.algorithm"),
        ({"policy": 0x10000}, "E1.reserved"),
        ({"policy": 0x30000 | 1 << 26}, "E1.reserved"),
        ({"policy": 0x30000 | 1 << 63}, "E1.reserved"),
        ({"platform_info": 1 << 8}, "E1.reserved"),
        ({"key_word": 1 << 5}, "E1.reserved"),
        ({"key_word": 2 << 2}, "E1.signing-key"),
        ({"key_word": 7 << 2}, "E1.signing-key"),
        ({"version": 2}, "E1.reserved"),
        ({"version": 4}, "E1.reserved"),
        ({"version": 4, "launch_mitigations": 0}, "E1.reserved"),
    ],
)
def test_words_without_a_meaning_are_refused(lab, change, code):
    with pytest.raises(Malformed) as refusal:
        abi.parse(abi.serialise(lab.report(**change)))
    assert refusal.value.code == code


def test_an_old_report_without_later_fields_is_read(lab):
    old = lab.report(
        version=2, cpuid_family=0, cpuid_model=0, cpuid_stepping=0, launch_mitigations=0, current_mitigations=0
    )
    assert abi.parse(abi.serialise(old)) == old


def test_a_field_of_another_size_cannot_be_written(lab):
    with pytest.raises(ValueError, match="chip_id has 64 bytes"):
        abi.serialise(lab.report(chip_id=bytes(63)))


def test_the_abi_and_the_key_kind_are_told_apart(lab):
    assert lab.report(policy=0x3021F).abi == (2, 0x1F)
    assert lab.report(key_word=4).key_kind == "vlek"
