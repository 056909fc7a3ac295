"""Signing and sealing keys, and how they look as text.

Runs in: parties and gate.   Spec: §3.1.   Suite: Ed25519 (RFC 8032); HPKE (RFC 9180) with the MLKEM768-X25519 hybrid.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from sealroom.protocol import digest
from sealroom.protocol.errors import CannotOpen, Malformed, NotGenuine

SUITE_NAME = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64
SEALING_PUBLIC_BYTES = _MLKEM_PUBLIC + 32
SEAL_OVERHEAD = 1136
"""Bytes that HPKE adds: ML-KEM ciphertext 1088, X25519 share 32, tag 16."""


def to_text(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_text(text: str, *, size: int | None = None) -> bytes:
    """The bytes behind `to_text`, which has exactly one spelling.

    Raises:
        Malformed: not base64url, not the canonical spelling, or not `size` bytes.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("not-base64", "the text is not base64url") from error
    if to_text(data) != text or (size is not None and len(data) != size):
        raise Malformed("not-base64", "the text is not canonical base64url of the expected length")
    return data


def fingerprint(public: bytes) -> str:
    """Six groups of four hex digits (96 bits of SHA-256) that two people can read to each other."""
    head = digest.sha256("fingerprint/v1", public)[:24]
    return "-".join(head[i : i + 4] for i in range(0, 24, 4))


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyingKey:
    """An Ed25519 public key: 32 raw bytes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> VerifyingKey:
        """Read the key from text.

        Raises:
            Malformed: not 32 bytes of base64url.
        """
        return cls(from_text(text, size=32))

    @property
    def text(self) -> str:
        """The key as base64url."""
        return to_text(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` over `message` holds.

        Raises:
            NotGenuine: it does not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise NotGenuine("signature", "the signature does not hold") from error


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """An Ed25519 private key: its 32-byte seed."""

    seed: bytes

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> VerifyingKey:
        """The key that others check with."""
        return VerifyingKey(Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 signature bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


@dataclasses.dataclass(frozen=True, slots=True)
class SealingPublicKey:
    """An HPKE public key: ML-KEM-768 (1184 bytes) then X25519 (32 bytes)."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> SealingPublicKey:
        """Read the key from text.

        Raises:
            Malformed: not 1216 bytes of base64url.
        """
        return cls(from_text(text, size=SEALING_PUBLIC_BYTES))

    @property
    def text(self) -> str:
        """The key as base64url."""
        return to_text(self.raw)

    def seal(self, plaintext: bytes, *, info: bytes) -> bytes:
        """HPKE base mode, single shot: encapsulated key then ciphertext; opens only under the same `info`.

        Raises:
            Malformed: the key is not on its curves.
        """
        try:
            public = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC]),
                X25519PublicKey.from_public_bytes(self.raw[_MLKEM_PUBLIC:]),
            )
            return _SUITE.encrypt(plaintext, public, info=info)
        except ValueError as error:
            raise Malformed("bad-key", "the sealing key is not a valid ML-KEM-768 and X25519 key") from error


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class SealingKey:
    """An HPKE private key: ML-KEM-768 seed (64 bytes) then X25519 scalar (32 bytes)."""

    seed: bytes

    @classmethod
    def generate(cls) -> SealingKey:
        """A new key from the operating system's randomness."""
        return cls(MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> SealingPublicKey:
        """The key that others seal to."""
        mlkem, x25519 = self._halves()
        return SealingPublicKey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """The plaintext that `SealingPublicKey.seal` hid.

        Raises:
            CannotOpen: wrong key, wrong `info`, altered bytes: one answer for all.
        """
        try:
            return _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(*self._halves()), info=info)
        except (InvalidTag, ValueError) as error:
            raise CannotOpen from error

    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        return (
            MLKEM768PrivateKey.from_seed_bytes(self.seed[:_MLKEM_SEED]),
            X25519PrivateKey.from_private_bytes(self.seed[_MLKEM_SEED:]),
        )
