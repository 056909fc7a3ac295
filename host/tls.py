"""Makes the gateway's own certificate, which parties pin instead of believing an authority.

Runs in: host.   Believes: nothing.   Spec: §8.2.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEARS = 5


def create(*, certificate: Path, key: Path, url: str, now: dt.datetime) -> None:
    """Write a new P-256 key (0600) and a self-signed certificate for the host of `url`, valid for five years.

    Raises:
        FileExistsError: one of the two is there already.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(private, urlsplit(url).hostname or "localhost", now)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def context(*, certificate: Path, key: Path) -> ssl.SSLContext:
    """A server context that speaks TLS 1.3 and nothing older."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(certificate, key)
    return made


def _certificate(private: ec.EllipticCurvePrivateKey, host: str, now: dt.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealroom gateway")])
    public = private.public_key()
    subject = x509.SubjectKeyIdentifier.from_public_key(public)
    builder = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=public, serial_number=x509.random_serial_number(),
        not_valid_before=now - dt.timedelta(days=1),
        not_valid_after=now + dt.timedelta(days=365 * _YEARS),
    )  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(_names(host)), False),
        (subject, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private, hashes.SHA256())


def _names(host: str) -> list[x509.GeneralName]:
    """The public name, and the loop-back names for the operator's own commands."""
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    try:
        public: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        public = x509.DNSName(host)
    return names if public in names else [public, *names]


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
