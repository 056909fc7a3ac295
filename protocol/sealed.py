"""A payload in key-committing, chunked AES-256-GCM: reordered, cut, swapped, re-purposed or re-keyed bytes are refused.

Runs in: parties and gate.   Believes: nothing before a chunk's tag holds.   Spec: §3.3.

Every seal draws a new object key and salt; (payload key, commitment) = HKDF-SHA256(object key, salt, context). GCM
alone does not commit to its key; the commitment does, and is checked before any chunk. Constant memory; any chunk
opens alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Annotated, BinaryIO, Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealroom.protocol import digest
from sealroom.protocol.errors import CannotOpen, Malformed, UsageError
from sealroom.protocol.schema import Count, Hex32, Int, Name

CHUNK: Final = 1048576
TAG = 16
MOST_CHUNKS = 1 << 20
"""1 TiB per object: far below the 2^32 invocations that NIST SP 800-38D §8.3 allows one key."""
Kind = Literal["bundle", "dataset"]
Media = Literal["bundle", "csv", "parquet", "arrow"]


class RandomReader(Protocol):
    """Bytes at an offset, as many as there are up to `size`: what opening needs of a file."""

    def __call__(self, offset: int, size: int) -> bytes: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an owner signs about one sealed object. `commitment` and `chunks` are checked before any chunk is opened."""

    format: Literal["sealroom/manifest/v1"]
    agreement: Hex32
    kind: Kind
    name: Name
    owner: Name
    media: Media
    salt: Hex32
    commitment: Hex32
    chunk_size: Literal[1048576]
    chunks: Annotated[int, Int(1, MOST_CHUNKS)]
    plaintext_size: Count
    ciphertext_sha256: Hex32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a payload is bound to; re-purposing it for anything else fails to open."""

    agreement: str
    kind: Kind
    name: str
    owner: str
    media: Media
    size: int

    def encoded(self) -> bytes:
        """The context as an unambiguous pre-image."""
        words = (self.agreement, self.kind, self.name, self.owner, self.media, str(self.size), str(CHUNK))
        return digest.preimage("sealed-context/v1", *(word.encode() for word in words))


def seal(source: BinaryIO, sink: BinaryIO, context: Context) -> tuple[bytes, Manifest]:
    """Encrypt exactly `context.size` bytes of `source` into `sink`; returns (object key, unsigned manifest).

    Raises:
        UsageError: `source` is empty, too large, or does not hold that many bytes.
    """
    size = context.size
    chunks = -(-size // CHUNK)
    if not 1 <= chunks <= MOST_CHUNKS:
        raise UsageError("an object must hold between 1 byte and 1 TiB")
    key, salt = os.urandom(32), os.urandom(32)
    payload_key, commitment = _derive(key, salt, context)
    cipher, hasher = AESGCM(payload_key), Hash(SHA256())
    for index in range(chunks):
        plain = _read_exactly(source, min(CHUNK, size - index * CHUNK))
        sealed = cipher.encrypt(_nonce(index), plain, _associated(context, index, last=index == chunks - 1))
        hasher.update(sealed)
        sink.write(sealed)
    if source.read(1):
        raise UsageError("the file grew while it was being sealed", hint="seal a copy that nobody writes to")
    return key, Manifest(
        format="sealroom/manifest/v1",
        agreement=context.agreement,
        kind=context.kind,
        name=context.name,
        owner=context.owner,
        media=context.media,
        salt=salt.hex(),
        commitment=commitment.hex(),
        chunk_size=CHUNK,
        chunks=chunks,
        plaintext_size=size,
        ciphertext_sha256=hasher.finalize().hex(),
    )


class Opener:
    """Opens chunks of one object, in any order, after its commitment was checked once."""

    def __init__(self, key: bytes, manifest: Manifest) -> None:
        """Check size arithmetic and key commitment.

        Raises:
            Malformed: the manifest's sizes disagree.
            CannotOpen: the key is not the one that the manifest commits to.
        """
        if manifest.chunks != -(-manifest.plaintext_size // CHUNK):
            raise Malformed("bad-sizes", "the manifest's size and number of chunks disagree")
        self._context = Context(
            agreement=manifest.agreement,
            kind=manifest.kind,
            name=manifest.name,
            owner=manifest.owner,
            media=manifest.media,
            size=manifest.plaintext_size,
        )
        payload_key, commitment = _derive(key, bytes.fromhex(manifest.salt), self._context)
        if not digest.equal(commitment.hex(), manifest.commitment):
            raise CannotOpen
        self._cipher = AESGCM(payload_key)
        self.manifest = manifest

    @property
    def ciphertext_size(self) -> int:
        """Bytes that the sealed file must have."""
        return self.manifest.plaintext_size + TAG * self.manifest.chunks

    def chunk(self, read: RandomReader, index: int) -> bytes:
        """Plaintext of chunk `index`.

        Raises:
            UsageError: there is no such chunk.
            CannotOpen: its bytes are not what was sealed at this place.
        """
        last = self.manifest.chunks - 1
        if not 0 <= index <= last:
            raise UsageError(f"the object has no chunk {index}")
        size = CHUNK if index < last else self.manifest.plaintext_size - last * CHUNK
        data = read(index * (CHUNK + TAG), size + TAG)
        if len(data) != size + TAG:
            raise CannotOpen
        try:
            return self._cipher.decrypt(_nonce(index), data, _associated(self._context, index, last=index == last))
        except InvalidTag as error:
            raise CannotOpen from error

    def plaintext(self, read: RandomReader) -> Iterator[bytes]:
        """All chunks in order, one in memory at a time."""
        return (self.chunk(read, index) for index in range(self.manifest.chunks))


def _derive(key: bytes, salt: bytes, context: Context) -> tuple[bytes, bytes]:
    if len(key) != 32:
        raise CannotOpen
    both = HKDF(SHA256(), 64, salt, digest.preimage("sealed-keys/v1", context.encoded())).derive(key)
    return both[:32], both[32:]


def _nonce(index: int) -> bytes:
    """The chunk's number: unique under a key that seals one object."""
    return index.to_bytes(12, "big")


def _associated(context: Context, index: int, *, last: bool) -> bytes:
    return digest.preimage("sealed-chunk/v1", context.encoded(), index.to_bytes(8, "big"), b"\1" if last else b"\0")


def _read_exactly(source: BinaryIO, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = source.read(left)
        if not part:
            raise UsageError("the file shrank while it was being sealed", hint="seal a copy that nobody writes to")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
