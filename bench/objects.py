"""Sealing and opening an object, against AES-256-GCM over the same bytes in chunks of the same size, on one core."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.timing import Goal, Pair
from sealroom.protocol import sealed
from sealroom.protocol.sealed import CHUNK, Context, Opener

_GOAL = Goal(ratio=1 / 0.9)


class _Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def write(self, data: object, /) -> int:
        return len(cast("bytes", data))


class _Bare:
    """The cipher alone, over chunks that lie in memory."""

    def __init__(self, plain: bytes) -> None:
        view = memoryview(plain)
        self._cipher = AESGCM(os.urandom(32))
        self._open = [
            (index.to_bytes(12, "big"), view[start : start + CHUNK])
            for index, start in enumerate(range(0, len(plain), CHUNK))
        ]
        self._closed = [(nonce, self._cipher.encrypt(nonce, chunk, None)) for nonce, chunk in self._open]

    def encrypt(self) -> None:
        for nonce, chunk in self._open:
            self._cipher.encrypt(nonce, chunk, None)

    def encrypt_and_hash(self) -> None:
        hasher = hashlib.sha256()
        for nonce, chunk in self._open:
            hasher.update(self._cipher.encrypt(nonce, chunk, None))

    def decrypt(self) -> None:
        for nonce, chunk in self._closed:
            self._cipher.decrypt(nonce, chunk, None)


def pairs(*, small: bool) -> Iterator[Pair]:
    size = (4 if small else 256) << 20
    plain = os.urandom(1 << 20) * (size >> 20)
    context = Context(agreement="0" * 64, kind="dataset", name="data", owner="bank", media="arrow", size=size)
    sink = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(plain), sink, context)
    stored, bare = sink.getvalue(), _Bare(plain)

    def seal() -> None:
        sealed.seal(io.BytesIO(plain), cast("BinaryIO", _Nowhere()), context)

    def read(offset: int, size: int) -> bytes:
        return stored[offset : offset + size]

    def open_all() -> None:
        for _ in Opener(key, manifest).plaintext(read):
            pass

    what = f"{size >> 20} MiB"
    yield Pair(name="open", ours=f"open a sealed object of {what}", bare=f"AES-256-GCM over {what}",
               run_ours=open_all, run_bare=bare.decrypt, goal=_GOAL)  # fmt: skip
    yield Pair(name="seal", ours=f"seal {what}, with the ciphertext's SHA-256", bare=f"AES-256-GCM over {what}",
               run_ours=seal, run_bare=bare.encrypt, goal=_GOAL)  # fmt: skip
    yield Pair(name="seal-hash", ours=f"seal {what}, with the ciphertext's SHA-256", bare="AES-256-GCM and SHA-256",
               run_ours=seal, run_bare=bare.encrypt_and_hash)  # fmt: skip
