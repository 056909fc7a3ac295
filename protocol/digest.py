"""Digests with a domain label; lengths are of bytes, so that no two inputs share a pre-image.

Runs in: every zone.   Spec: §2.2.
"""

from __future__ import annotations

import hashlib
import hmac

_ROOT = b"sealroom"


def preimage(label: str, *parts: bytes) -> bytes:
    """`"sealroom" NUL label NUL` followed by each part behind its length in 8 big-endian bytes."""
    if not label or "\0" in label or not label.isascii():
        raise ValueError("a digest label is non-empty ASCII without NUL")
    head = _ROOT + b"\0" + label.encode() + b"\0"
    return head + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def sha256(label: str, *parts: bytes) -> str:
    """Labelled SHA-256 as 64 lower-case hex digits."""
    return hashlib.sha256(preimage(label, *parts)).hexdigest()


def sha384(label: str, *parts: bytes) -> str:
    """Labelled SHA-384 as 96 lower-case hex digits: the width of an SEV-SNP MEASUREMENT."""
    return hashlib.sha384(preimage(label, *parts)).hexdigest()


def sha512(label: str, *parts: bytes) -> str:
    """Labelled SHA-512 as 128 lower-case hex digits: the width of an SEV-SNP REPORT_DATA."""
    return hashlib.sha512(preimage(label, *parts)).hexdigest()


def equal(one: str, other: str) -> bool:
    """Compare two hex digests in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
