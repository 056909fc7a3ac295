"""One release on its way out: sealed to its recipient first, then locked by a key that the affected owners share.

Runs in: gate (to make), owners and recipient (to open).   Believes: nothing.   Spec: §7.4.

    padded     = length (8 bytes, big endian) | canonical text | zeros              always `padded_size` bytes
    inner      = HPKE to the recipient's sealing key, info = the release's context
    ciphertext = AES-256-GCM under a fresh release key, nonce zero, the context as associated data
    release key = XOR of one 32-byte share per affected owner, each share sealed to its owner by HPKE

All owners together get `inner`, which only the recipient can read; the recipient without one owner gets nothing. A
release without an affected owner does not exist: a link joins two owners' datasets, so whoever receives, another owner
is affected. `padded_size` is `terms.padded_size`, the same for all data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealroom.protocol import digest
from sealroom.protocol.errors import CannotOpen, Malformed, UsageError
from sealroom.protocol.keys import SEAL_OVERHEAD, SealingKey, SealingPublicKey, from_text, to_text
from sealroom.protocol.statements import Offer
from sealroom.protocol.terms import MOST_PADDED

SHARE = 32
TAG = 16
LOCK_OVERHEAD = SEAL_OVERHEAD + TAG
"""Bytes that the two layers add to a padded text."""
MOST_TEXT = MOST_PADDED
"""Bytes of padded text that a release has at most."""
_LENGTH = 8
_NONCE = bytes(12)  # the key is fresh and encrypts once


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a release is bound to: digests as hex, names of rule and recipient."""

    agreement: str
    version: str
    request: str
    rule: str
    recipient: str

    def encoded(self) -> bytes:
        """HPKE `info` of the inner layer and associated data of the outer one."""
        words = (self.agreement, self.version, self.request, self.rule, self.recipient)
        return digest.preimage("release/v1", *(word.encode() for word in words))


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class SealedRelease:
    """A locked release, and the one key that unlocks its outer layer; the gate splits that key and forgets it."""

    ciphertext: bytes
    release_key: bytes

    @property
    def ciphertext_sha256(self) -> str:
        """Plain SHA-256 of the ciphertext, as the offer states it."""
        return hashlib.sha256(self.ciphertext).hexdigest()


def pad(data: bytes, size: int) -> bytes:
    """`data` in exactly `size` bytes, whatever its length.

    Raises:
        UsageError: it does not fit, or `size` is more than a release may have.
    """
    if not _LENGTH + len(data) <= size <= MOST_TEXT:
        raise UsageError(f"{len(data)} bytes do not fit a padded text of {size} bytes")
    return len(data).to_bytes(_LENGTH, "big") + data + bytes(size - _LENGTH - len(data))


def unpad(padded: bytes) -> bytes:
    """What `pad` was given.

    Raises:
        CannotOpen: the length is impossible, or the padding is not all zero.
    """
    length = int.from_bytes(padded[:_LENGTH], "big")
    end = _LENGTH + length
    if len(padded) < _LENGTH or end > len(padded) or padded[end:].strip(b"\0"):
        raise CannotOpen
    return padded[_LENGTH:end]


def seal_release(text: bytes, size: int, *, recipient: SealingPublicKey, context: Context) -> SealedRelease:
    """Pad `text` to `size` bytes, seal it to the recipient, lock it under a fresh release key.

    Raises:
        UsageError: the text does not fit.
        Malformed: the recipient's key is not a key.
    """
    info = context.encoded()
    inner = recipient.seal(pad(text, size), info=info)
    key = os.urandom(SHARE)
    return SealedRelease(AESGCM(key).encrypt(_NONCE, inner, info), key)


def split(release_key: bytes, owners: tuple[str, ...]) -> dict[str, bytes]:
    """One share per owner; all of them XOR to the key, fewer say nothing about it.

    Raises:
        UsageError: no owner, an owner twice, or a key of another length.
    """
    if not owners or len(set(owners)) != len(owners) or len(release_key) != SHARE:
        raise UsageError("a release key of 32 bytes is split among one or more different owners")
    shares = [os.urandom(SHARE) for _ in owners[1:]]
    return dict(zip(owners, (_xor([release_key, *shares]), *shares), strict=True))


def commitment(context: Context, party: str, share: bytes) -> str:
    """What an offer says about a share without showing it; a share has 256 random bits, so no salt is needed."""
    return digest.sha256("share-commitment/v1", context.encoded(), party.encode(), share)


def share_info(context: Context, ciphertext_sha256: str, party: str) -> bytes:
    """HPKE `info` of one owner's sealed share: bound to the release and to its ciphertext."""
    return digest.preimage("share/v1", context.encoded(), bytes.fromhex(ciphertext_sha256), party.encode())


def seal_shares(
    sealed: SealedRelease, owners: Mapping[str, SealingPublicKey], context: Context
) -> tuple[dict[str, str], dict[str, str]]:
    """(share commitments, sealed shares) of an offer: hex and base64url by owner.

    Raises:
        UsageError: no owner.
        Malformed: an owner's key is not a key.
    """
    shares = split(sealed.release_key, tuple(owners))
    commitments = {name: commitment(context, name, share) for name, share in shares.items()}
    info = {name: share_info(context, sealed.ciphertext_sha256, name) for name in owners}
    return commitments, {name: to_text(key.seal(shares[name], info=info[name])) for name, key in owners.items()}


def context_of(offer: Offer) -> Context:
    """What an offer's ciphertext and shares are bound to."""
    return Context(
        agreement=offer.agreement,
        version=offer.version,
        request=offer.request,
        rule=offer.rule,
        recipient=offer.recipient,
    )


def open_share(offer: Offer, party: str, key: SealingKey) -> bytes:
    """The party's own share of an offer, which is the one that the offer commits to.

    Raises:
        CannotOpen: no share for this party, another key or context, or not the committed share.
    """
    context = context_of(offer)
    try:
        sealed = from_text(offer.sealed_shares[party])
    except (KeyError, Malformed) as error:
        raise CannotOpen from error
    share = key.open(sealed, info=share_info(context, offer.ciphertext_sha256, party))
    return checked_share(offer, party, share)


def checked_share(offer: Offer, party: str, share: bytes) -> bytes:
    """`share`, if it is the one that the offer commits to for `party`.

    Raises:
        CannotOpen: it is not.
    """
    said = offer.share_commitments.get(party, "")
    if len(share) != SHARE or not digest.equal(commitment(context_of(offer), party, share), said):
        raise CannotOpen
    return share


def open_release(offer: Offer, ciphertext: bytes, shares: Mapping[str, bytes], key: SealingKey) -> bytes:
    """The canonical text of a release.

    Steps: (1) the ciphertext is the offered one; (2) there is exactly one share per affected owner, each the one
    committed to; (3) the outer layer opens under their XOR; (4) the inner layer opens under the recipient's key; (5)
    the padding is what `pad` makes.

    Raises:
        CannotOpen: any step, without saying which.
    """
    sha256 = hashlib.sha256(ciphertext).hexdigest()
    if len(ciphertext) != offer.size or not digest.equal(sha256, offer.ciphertext_sha256):  # (1)
        raise CannotOpen
    if not offer.affected or set(shares) != set(offer.affected) or set(shares) != set(offer.share_commitments):  # (2)
        raise CannotOpen
    release_key = _xor([checked_share(offer, party, share) for party, share in shares.items()])
    info = context_of(offer).encoded()
    try:
        inner = AESGCM(release_key).decrypt(_NONCE, ciphertext, info)  # (3)
    except InvalidTag as error:
        raise CannotOpen from error
    return unpad(key.open(inner, info=info))  # (4) (5)


def release_id(offer_digest: str, ciphertext_sha256: str, share_commitments: Mapping[str, str], gate_key: bytes) -> str:
    """Names a release for ever; owners charge once per name. Digests are hex, `gate_key` is the gate's Ed25519 key."""
    parts = [bytes.fromhex(offer_digest), bytes.fromhex(ciphertext_sha256), gate_key]
    for party in sorted(share_commitments):
        parts += [party.encode(), bytes.fromhex(share_commitments[party])]
    return digest.sha256("release-id/v1", *parts)


def _xor(parts: list[bytes]) -> bytes:
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "big")
    return total.to_bytes(SHARE, "big")
