"""What AMD's certificates say, and whether one key signed another (RFC 5280; AMD KDS 57230 §3).

Runs in: parties.   Believes: nothing.   Spec: §6.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sealroom.attestation import der
from sealroom.protocol.errors import Malformed, NotGenuine

MOST_BYTES = 6144

# RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt of 48 bytes (RFC 4055). AMD writes it in two ways: with and without the
# default trailer field. Anything else is another algorithm.
_PSS = bytes.fromhex(
    "06092a864886f70d01010a3034a00f300d06096086480165030402020500"
    "a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130"
)
_PSS_TRAILER = bytes.fromhex(
    "06092a864886f70d01010a3039a00f300d06096086480165030402020500"
    "a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130a303020101"
)
_COMMON_NAME = b"\x06\x03\x55\x04\x03"
_BASIC_CONSTRAINTS, _KEY_USAGE = "2.5.29.19", "2.5.29.15"
_UNDERSTOOD = frozenset({_BASIC_CONSTRAINTS, _KEY_USAGE})

_AMD = "1.3.6.1.4.1.3704.1."
_PRODUCT, _HARDWARE, _CLOUD = _AMD + "2", _AMD + "4", _AMD + "5"
_PARTS = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
_SPARE = tuple(_AMD + part for part in ("3.4", "3.5", "3.6", "3.7"))


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of an X.509 v3 certificate that a path check needs; `names` are raw, so they compare byte for byte.

    `extensions` maps an identifier to its raw value; `digest` is the SHA-256 of the whole DER in hex.
    """

    digest: str
    tbs: bytes
    signature: bytes
    serial: int
    issuer: bytes
    subject: bytes
    common_name: str
    not_before: int
    not_after: int
    public_key: bytes
    extensions: Mapping[str, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """What a certificate says about its right to issue others; `path` is None where it sets no limit."""

    may_sign_certificates: bool
    may_sign_lists: bool
    path: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Endorsement:
    """What a VCEK or VLEK certificate says about chip and firmware; a part that is absent is None or not in `svns`."""

    product: str | None
    hardware: bytes | None
    cloud: str | None
    svns: Mapping[str, int]
    spare_svns_are_zero: bool


# The same few authorities vouch for all evidence, and what is remembered here is what their bytes say, not any trust.
@functools.lru_cache(maxsize=32)
def parse(data: bytes) -> Certificate:
    """The fields of a DER certificate.

    Raises:
        Malformed: not DER, too long, not version 3, another signature algorithm, or a critical extension unknown here.
    """
    if len(data) > MOST_BYTES:
        raise Malformed("too-large", f"the certificate has {len(data)} bytes, {MOST_BYTES} are allowed")
    outer = der.Reader(der.whole(data, der.SEQUENCE))
    tbs = outer.element(der.SEQUENCE)
    read_algorithm(outer)
    signature = der.octets(outer.element(der.BIT_STRING).content)
    outer.end()
    fields = der.Reader(tbs.content)
    if der.integer(der.whole(fields.element(der.context(0)).content, der.INTEGER)) != 2:
        raise Malformed("certificate", "the certificate is not X.509 version 3")
    serial = der.integer(fields.element(der.INTEGER).content)
    read_algorithm(fields)
    issuer = fields.element(der.SEQUENCE)
    validity = fields.inside()
    not_before, not_after = der.moment(validity), der.moment(validity)
    validity.end()
    subject, key = fields.element(der.SEQUENCE), fields.element(der.SEQUENCE)
    extensions = read_extensions(der.Reader(fields.element(der.context(3)).content), _UNDERSTOOD)
    fields.end()
    return Certificate(
        digest=hashlib.sha256(data).hexdigest(),
        tbs=tbs.raw,
        signature=signature,
        serial=serial,
        issuer=issuer.raw,
        subject=subject.raw,
        common_name=_common_name(subject.content),
        not_before=not_before,
        not_after=not_after,
        public_key=key.raw,
        extensions=types.MappingProxyType(extensions),
    )


def read_algorithm(reader: der.Reader) -> None:
    """Read an AlgorithmIdentifier that must be the one algorithm in use.

    Raises:
        Malformed: it is another.
    """
    if reader.element(der.SEQUENCE).content not in (_PSS, _PSS_TRAILER):
        raise Malformed("algorithm", "the signature algorithm is not RSA-PSS with SHA-384 and a salt of 48 bytes")


def read_extensions(reader: der.Reader, understood: frozenset[str]) -> dict[str, bytes]:
    """Extensions by identifier.

    Raises:
        Malformed: one repeats, or is critical and not `understood`.
    """
    listed = reader.inside()
    reader.end()
    found: dict[str, bytes] = {}
    while listed.peek() is not None:
        fields = listed.inside()
        name = der.oid(fields.element(der.OID).content)
        critical = fields.optional(der.BOOLEAN)
        value = fields.element(der.OCTET_STRING).content
        fields.end()
        # DER leaves out a default, so a `critical` that is spelled out is true.
        if critical is not None and not der.boolean(critical.content):
            raise Malformed("der", "a default value is spelled out")
        if name in found or (critical is not None and name not in understood):
            raise Malformed("extension", f"extension {name} repeats, or is critical and unknown")
        found[name] = value
    return found


def authority(certificate: Certificate) -> Authority:
    """The rights that basicConstraints and keyUsage give (RFC 5280 §4.2.1.9, §4.2.1.3: no keyUsage sets no limit).

    Raises:
        Malformed: one of them cannot be read.
    """
    path, is_authority = None, False
    if (constraints := certificate.extensions.get(_BASIC_CONSTRAINTS)) is not None:
        fields = der.Reader(der.whole(constraints, der.SEQUENCE))
        flag = fields.optional(der.BOOLEAN)
        is_authority = flag is not None and der.boolean(flag.content)
        limit = fields.optional(der.INTEGER)
        path = der.integer(limit.content) if limit else None
        fields.end()
    bits = 0xFF
    if (usage := certificate.extensions.get(_KEY_USAGE)) is not None:
        content = der.whole(usage, der.BIT_STRING)
        if len(content) not in (1, 2, 3) or content[0] > 7:
            raise Malformed("der", "keyUsage is not a short bit string")
        bits = content[1] if len(content) > 1 else 0
    return Authority(is_authority and bool(bits & 0x04), is_authority and bool(bits & 0x02), path)


def endorsement(certificate: Certificate) -> Endorsement:
    """What the AMD extensions state; an absent one is left to the checks that need it.

    Raises:
        Malformed: one is there but cannot be read.
    """
    found = certificate.extensions
    svns = {part: _integer(found[_AMD + at]) for part, at in _PARTS.items() if _AMD + at in found}
    return Endorsement(
        product=_ia5(found[_PRODUCT]) if _PRODUCT in found else None,
        hardware=found.get(_HARDWARE),
        cloud=_ia5(found[_CLOUD]) if _CLOUD in found else None,
        svns=svns,
        spare_svns_are_zero=all(_integer(found[name]) == 0 for name in _SPARE if name in found),
    )


def endorsement_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    """The P-384 key of a VCEK or VLEK.

    Raises:
        NotGenuine: it has another kind of key.
    """
    key = _load(certificate)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise NotGenuine("chain", f"{certificate.common_name} has no P-384 key")
    return key


def verify_signature(issuer: Certificate, *, signature: bytes, over: bytes) -> None:
    """Check an RSA-PSS signature of an authority.

    Raises:
        NotGenuine: the issuer has no RSA-4096 key, or that key did not sign these bytes.
    """
    key = _load(issuer)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 4096 or key.public_numbers().e != 65537:
        raise NotGenuine("chain", f"{issuer.common_name} has no RSA key of 4096 bits with exponent 65537")
    try:
        key.verify(signature, over, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    except InvalidSignature as error:
        raise NotGenuine("chain", f"{issuer.common_name} did not sign this") from error


def _load(certificate: Certificate) -> object:
    try:
        return serialization.load_der_public_key(certificate.public_key)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _common_name(content: bytes) -> str:
    """Names are compared byte for byte, so that of their parts only the one that is shown has to be read."""
    names = []
    reader = der.Reader(content)
    while reader.peek() is not None:
        part = reader.inside(der.SET).element(der.SEQUENCE).content
        if part.startswith(_COMMON_NAME):
            value = der.Reader(part[len(_COMMON_NAME) :])
            tag = value.peek()
            names.append(der.text(value.element(tag if tag == der.UTF8_STRING else der.PRINTABLE_STRING)))
            value.end()
    if len(names) != 1:
        raise Malformed("certificate", "the subject has no common name, or several")
    return names[0]


def _integer(value: bytes) -> int:
    return der.integer(der.whole(value, der.INTEGER))


def _ia5(value: bytes) -> str:
    reader = der.Reader(value)
    text = der.text(reader.element(der.IA5_STRING))
    reader.end()
    return text
