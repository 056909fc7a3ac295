"""A laboratory: a chain shaped like AMD's under a root that nobody else trusts, and reports signed by it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

from sealroom.attestation import appraisal
from sealroom.attestation.evidence import snp_evidence
from sealroom.attestation.snp import abi, tcb
from sealroom.protocol import digest
from sealroom.protocol.platform import SnpTcb, simulated_policy

NOW = 1_790_000_000
DAY = 86_400
CONFIGURATION = b'{"argv":["python3"],"format":"sealroom/launch/v1"}'
CPUID = {"milan": (0x19, 0x01), "genoa": (0x19, 0x11), "turin": (0x1A, 0x02)}
PRODUCT = {"milan": "Milan-B0", "genoa": "Genoa", "turin": "Turin"}
AMD = "1.3.6.1.4.1.3704.1."


@pytest.fixture(scope="session", params=["tests/attestation/vectors", "shared/vectors"])
def evidence(request: pytest.FixtureRequest, root: Path) -> Path:
    """A folder of genuine and tampered evidence: ours, and the larger one where it lies beside the checkout."""
    return root / request.param if request.param.startswith("tests") else request.getfixturevalue("shared") / "vectors"


def der_integer(number: int) -> bytes:
    raw = number.to_bytes(2 if number >= 128 else 1, "big")
    return bytes([2, len(raw)]) + raw


def der_text(text: str) -> bytes:
    return bytes([0x16, len(text)]) + text.encode()


class Lab:
    """Makes certificates, lists, reports and evidence; every part can be made wrong on purpose."""

    def __init__(self) -> None:
        # One RSA key serves all authorities: making one takes seconds, and their names still differ.
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=4096)
        self.vek_key = ec.generate_private_key(ec.SECP384R1())
        self.root = self.authority("ARK-SIM", "ARK-SIM")
        self.intermediate = self.authority("SEV-SIM", "ARK-SIM", path=0, serial=7)
        self.vlek_intermediate = self.authority("SEV-VLEK-SIM", "ARK-SIM", path=0, serial=8)
        self.crl = self.revocation_list()

    @property
    def root_digest(self) -> str:
        return hashlib.sha256(self.root).hexdigest()

    def authority(
        self,
        subject: str,
        issuer: str,
        *,
        path: int | None = None,
        ca: bool = True,
        usage: bool | None = True,
        **rest: Any,
    ) -> bytes:
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca, path if ca else None), True)]
        if usage is not None:
            bits = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "encipher_only", "decipher_only"), False,
            )  # fmt: skip
            extensions.append((x509.KeyUsage(key_cert_sign=usage, crl_sign=usage, **bits), True))
        return self.certificate(subject, issuer, rest.pop("key", self.rsa.public_key()), extensions, **rest)

    def certificate(
        self,
        subject: str,
        issuer: str,
        key: Any,
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        serial: int = 1,
        before: int = NOW - DAY,
        after: int = NOW + 100 * DAY,
        salt: int = 48,
    ) -> bytes:
        builder = x509.CertificateBuilder(
            issuer_name=name(issuer),
            subject_name=name(subject),
            public_key=key,
            serial_number=serial,
            not_valid_before=moment(before),
            not_valid_after=moment(after),
        )
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        made = builder.sign(self.rsa, hashes.SHA384(), rsa_padding=pss(salt))
        return made.public_bytes(serialization.Encoding.DER)

    def vek(
        self,
        family: str = "genoa",
        *,
        kind: str = "vcek",
        svns: SnpTcb | None = None,
        leave_out: tuple[str, ...] = (),
        replace: dict[str, bytes] | None = None,
        critical: tuple[str, ...] = (),
        subject: str | None = None,
        **rest: Any,
    ) -> bytes:
        numbers = svns or TCB[family]
        values = {
            "1": der_integer(0),
            "2": der_text(PRODUCT[family]),
            "3.1": der_integer(numbers.bootloader),
            "3.2": der_integer(numbers.tee),
            "3.3": der_integer(numbers.snp),
            "3.5": der_integer(0),
            "3.8": der_integer(numbers.microcode),
        }
        values |= {"3.9": der_integer(numbers.fmc)} if family == "turin" else {}
        values |= {"4": hardware(family)} if kind == "vcek" else {"5": der_text("CN=cloud.example")}
        values |= replace or {}
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.UnrecognizedExtension(x509.ObjectIdentifier(AMD + at), value), at in critical)
            for at, value in values.items()
            if at not in leave_out
        ]
        issuer = rest.pop("issuer", "SEV-SIM" if kind == "vcek" else "SEV-VLEK-SIM")
        key = rest.pop("key", self.vek_key.public_key())
        return self.certificate(subject or f"SIM-{kind.upper()}", issuer, key, extensions, **rest)

    def revocation_list(
        self,
        *,
        issuer: str = "ARK-SIM",
        serials: tuple[int, ...] = (99,),
        before: int = NOW - 10,
        after: int = NOW + 10 * DAY,
        extension: tuple[x509.ExtensionType, bool] | None = None,
    ) -> bytes:
        builder = x509.CertificateRevocationListBuilder(name(issuer), moment(before), moment(after))
        for serial in serials:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, moment(before)).build())
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
        if extension:
            builder = builder.add_extension(*extension)
        made = builder.sign(self.rsa, hashes.SHA384(), rsa_padding=pss(48))
        return made.public_bytes(serialization.Encoding.DER)

    def report(self, family: str = "genoa", **changes: Any) -> abi.Report:
        numbers = tcb.serialise(TCB[family], family)
        firmware = abi.Firmware(major=1, minor=55, build=40)
        base = abi.Report(
            version=5, guest_svn=3, policy=0x30000, family_id=bytes(16), image_id=bytes(16), vmpl=0,
            signature_algorithm=1, current_tcb=numbers, platform_info=0x25, key_word=0, report_data=b"\x05" * 64,
            measurement=b"\x06" * 48, host_data=bytes.fromhex(digest.sha256("launch-configuration/v1", CONFIGURATION)),
            id_key_digest=bytes(48), author_key_digest=bytes(48), report_id=b"\x07" * 32, report_id_ma=b"\xff" * 32,
            reported_tcb=numbers, cpuid_family=CPUID[family][0], cpuid_model=CPUID[family][1], cpuid_stepping=1,
            chip_id=hardware(family).ljust(64, b"\0"), committed_tcb=numbers, current_firmware=firmware,
            committed_firmware=firmware, launch_tcb=numbers, launch_mitigations=0b1011, current_mitigations=0b1011,
            signature=(0, 0),
        )  # fmt: skip
        return dataclasses.replace(base, **changes)

    def sign(self, report: abi.Report, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
        signed = abi.serialise(report)[: abi.SIGNED]
        raw = (key or self.vek_key).sign(signed, ec.ECDSA(hashes.SHA384()))
        return abi.serialise(dataclasses.replace(report, signature=utils.decode_dss_signature(raw)))

    def parts(self, family: str = "genoa", *, kind: str = "vcek", **changes: Any) -> dict[str, bytes | None]:
        """The parts of good evidence; `changes` go to the report."""
        if kind == "vlek":
            changes = {"key_word": 4, "chip_id": bytes(64), **changes}
        return {
            "report": self.sign(self.report(family, **changes)),
            "vek": self.good_vek(family, kind),
            "intermediate": self.intermediate if kind == "vcek" else self.vlek_intermediate,
            "root": self.root,
            "crl": self.crl,
            "host_data_preimage": CONFIGURATION,
        }

    @functools.cache  # noqa: B019 - there is one laboratory per session
    def good_vek(self, family: str, kind: str) -> bytes:
        return self.vek(family, kind=kind)

    def evidence(self, family: str = "genoa", *, kind: str = "vcek", replace: Any = None, **changes: Any) -> Any:
        """Good evidence; `changes` go to the report before it is signed, `replace` to the finished parts."""
        parts = self.parts(family, kind=kind, **changes)
        return snp_evidence(**{**parts, **(replace or {})})

    def policy(self, **changes: Any) -> Any:
        return dataclasses.replace(simulated_policy(self.root_digest), **changes)

    def appraise(self, evidence: Any, *, policy: Any = None, **changes: Any) -> Any:
        expected = {
            "measurements": frozenset({"06" * 48}),
            "host_data": "any",
            "report_data": b"\x05" * 64,
            "now": NOW,
            "seen": frozenset(),
        }
        return appraisal.appraise(evidence, policy=policy or self.policy(), **{**expected, **changes})


TCB = {
    "milan": SnpTcb(fmc=0, bootloader=4, tee=0, snp=24, microcode=219),
    "genoa": SnpTcb(fmc=0, bootloader=10, tee=0, snp=23, microcode=84),
    "turin": SnpTcb(fmc=1, bootloader=1, tee=1, snp=4, microcode=81),
}


def hardware(family: str) -> bytes:
    return b"\x51\x4d" * (4 if family == "turin" else 32)


def name(text: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Laboratory"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
    )


def moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def pss(salt: int) -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA384()), salt)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """One laboratory for the session."""
    return Lab()


@pytest.fixture(scope="session")
def now() -> int:
    """The time at which the laboratory's certificates count."""
    return NOW
