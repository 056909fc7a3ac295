"""The simulated processor's certificates, in the shape of AMD's, under names that are not AMD's.

Runs in: the operator's machine, outside the enclave.   Believes: its own keys.   Spec: §6.6 (AMD KDS 57230 §3).
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from sealroom.attestation.simulated.words import ORGANIZATION
from sealroom.protocol.platform import SnpTcb

PRODUCT = "Milan-B0"
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)
_AMD = "1.3.6.1.4.1.3704.1."
_BACKDATED = dt.timedelta(hours=1)
"""Parties' clocks may run behind this machine's."""
_CA_LIFE, _VCEK_LIFE, _CRL_LIFE = (dt.timedelta(days=days) for days in (25 * 365, 7 * 365, 42))
_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def root(key: rsa.RSAPrivateKey, instance: str, now: int) -> bytes:
    """The self-signed root, in the place of an ARK (DER)."""
    name = _name(f"ARK-SIM-{instance}")
    return _authority(name, key.public_key(), issuer=name, path=1, serial=0x10000, now=now, signer=key)


def intermediate(key: rsa.RSAPublicKey, instance: str, now: int, signer: rsa.RSAPrivateKey) -> bytes:
    """The intermediate, in the place of an ASK (DER)."""
    name, issuer = _name(f"ASK-SIM-{instance}"), _name(f"ARK-SIM-{instance}")
    return _authority(name, key, issuer=issuer, path=0, serial=0x10001, now=now, signer=signer)


def vcek(
    key: ec.EllipticCurvePublicKey, instance: str, now: int, signer: rsa.RSAPrivateKey, *, chip_id: bytes, tcb: SnpTcb
) -> bytes:
    """The endorsement certificate of one chip with one firmware (DER). AMD's serial is 0, which X.509 forbids."""
    start = _time(now) - _BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(f"VCEK-SIM-{instance}"))
        .issuer_name(_name(f"ASK-SIM-{instance}"))
        .public_key(key)
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + _VCEK_LIFE)
    )
    numbers = {"1": 0, "3.1": tcb.bootloader, "3.2": tcb.tee, "3.3": tcb.snp, "3.8": tcb.microcode}
    values = {
        name: _integer(number) for name, number in (numbers | dict.fromkeys(("3.4", "3.5", "3.6", "3.7"), 0)).items()
    }
    # AMD puts the chip id there as it is, not as an OCTET STRING.
    values |= {"2": b"\x16" + bytes([len(PRODUCT)]) + PRODUCT.encode(), "4": chip_id}
    for name in sorted(values):
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(_AMD + name), values[name])
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(signer, hashes.SHA384(), rsa_padding=_PSS)
    return signed.public_bytes(serialization.Encoding.DER)


def revocation_list(instance: str, now: int, signer: rsa.RSAPrivateKey) -> bytes:
    """The root's revocation list, which revokes nothing (DER)."""
    start = _time(now) - _BACKDATED
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(f"ARK-SIM-{instance}"))
        .last_update(start)
        .next_update(start + _CRL_LIFE)
        .add_extension(x509.CRLNumber(now), critical=False)
    )
    return builder.sign(signer, hashes.SHA384(), rsa_padding=_PSS).public_bytes(serialization.Encoding.DER)


def _authority(
    name: x509.Name,
    key: rsa.RSAPublicKey,
    *,
    issuer: x509.Name,
    path: int,
    serial: int,
    now: int,
    signer: rsa.RSAPrivateKey,
) -> bytes:
    start = _time(now) - _BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path), critical=True)
        .add_extension(_CA_USAGE, critical=True)
    )
    return builder.sign(signer, hashes.SHA384(), rsa_padding=_PSS).public_bytes(serialization.Encoding.DER)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _time(now: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(now, tz=dt.UTC)


def _integer(number: int) -> bytes:
    """DER INTEGER of 0..255: from 128 on it needs a leading zero byte."""
    content = number.to_bytes(1 if number < 0x80 else 2, "big")
    return b"\x02" + bytes([len(content)]) + content
