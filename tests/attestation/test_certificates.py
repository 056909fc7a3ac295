"""Certificates are read strictly, and as another library reads them."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sealroom.attestation.snp import certificates, revocation
from sealroom.protocol.errors import Malformed


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_genuine_certificates_say_what_another_library_says(evidence):
    manifest = json.loads((evidence / "MANIFEST.json").read_text())
    roles = ("endorsement_key", "intermediate", "root")
    names = {c["files"][r] for c in manifest["cases"] if c["platform"] == "sev-snp" for r in roles if r in c["files"]}
    for name in sorted(names):
        data = (evidence / name).read_bytes()
        ours, theirs = certificates.parse(data), x509.load_der_x509_certificate(data)
        assert ours.serial == theirs.serial_number
        assert (ours.issuer, ours.subject) == (theirs.issuer.public_bytes(), theirs.subject.public_bytes())
        assert ours.not_before == int(theirs.not_valid_before_utc.timestamp())
        assert ours.not_after == int(theirs.not_valid_after_utc.timestamp())
        assert (ours.tbs, ours.signature) == (theirs.tbs_certificate_bytes, theirs.signature)
        key = theirs.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert ours.public_key == key
        assert list(ours.extensions) == [e.oid.dotted_string for e in theirs.extensions]
    assert len(names) >= 14


def test_genuine_lists_say_what_another_library_says(evidence):
    for path in sorted((evidence / "roots" / "amd").glob("*/crl.der")):
        ours, theirs = revocation.parse(path.read_bytes()), x509.load_der_x509_crl(path.read_bytes())
        assert ours.serials == {entry.serial_number for entry in theirs}
        assert ours.this_update == int(theirs.last_update_utc.timestamp())
        assert ours.next_update == int(theirs.next_update_utc.timestamp())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda lab: lab.vek(critical=("1",)), "E1.extension", id="critical and unknown"),
        pytest.param(lambda lab: lab.vek() + b"\0", "E1.der", id="bytes behind it"),
        pytest.param(lambda lab: lab.vek()[:-1], "E1.der", id="cut short"),
        pytest.param(
            lambda lab: lab.vek().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"), "E1.certificate", id="v2"
        ),
        pytest.param(lambda lab: lab.vek().replace(OID_1, OID_2), "E1.extension", id="an extension twice"),
        pytest.param(
            lambda lab: lab.vek().replace(b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x05"),
            "E1.certificate",
            id="no CN",
        ),
        pytest.param(
            lambda lab: lab.vek().replace(b"\x06\x03\x55\x04\x0a", b"\x06\x03\x55\x04\x03"), "E1.certificate", id="two"
        ),
        pytest.param(
            lambda lab: lab.root.replace(b"\x01\x01\xff\x04", b"\x01\x01\x00\x04", 1), "E1.der", id="default spelled"
        ),
    ],
)
def test_a_certificate_out_of_shape_is_refused(lab, change, code):
    with pytest.raises(Malformed) as refusal:
        certificates.parse(change(lab))
    assert refusal.value.code == code


OID_1 = bytes.fromhex("06092b060104019c780101")
OID_2 = bytes.fromhex("06092b060104019c780102")


def test_a_key_usage_out_of_shape_is_refused(lab):
    usage = bytes.fromhex("0603551d0f0101ff0404030201")
    assert usage in lab.root
    certificate = certificates.parse(lab.root.replace(usage, usage[:-2] + b"\x08\x01"))
    with pytest.raises(Malformed):
        certificates.authority(certificate)


def test_a_statement_out_of_shape_is_refused(lab):
    for at, value in (
        ("2", b"\x0c\x05Genoa"),
        ("3.1", b"\x02\x01\xff"),
        ("3.8", b"\x04\x01\x01"),
        ("2", b"\x16\x01G\x00"),
    ):
        with pytest.raises(Malformed):
            certificates.endorsement(certificates.parse(lab.vek(replace={at: value})))
