"""Keyed digests of many texts at once, and the keys for them.

Runs in: engine.   Believes: nothing.   Spec: §6.3.

BLAKE2b in keyed mode (RFC 7693): a pseudo-random function, so that equal texts meet and nothing else can be
learned from it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Digests of 16 bytes as uint64[n, 2]."""

_BATCH = 1 << 18  # Python objects for one batch live at a time: about 20 MiB
_SIZE = 16


def subkey(run_key: bytes, label: str) -> bytes:
    """A 32-byte key for one purpose; knowing it says nothing about other purposes."""
    return hashlib.blake2b(label.encode(), key=run_key, digest_size=32, person=b"sealroom-subkey").digest()


def digests(texts: Any, *, key: bytes) -> Words:
    """16-byte digests of a `pyarrow` large_string array as uint64[n, 2]; null gives zeros.

    `key` is 1..64 bytes; a fixed public key makes a plain labelled hash of it.
    """
    new = hashlib.blake2b(key=key, digest_size=_SIZE).copy
    null = bytes(_SIZE)
    out = np.empty((len(texts), 2), dtype=np.uint64)
    for start in range(0, len(texts), _BATCH):
        found = []
        for cell in texts.slice(start, _BATCH).cast(pa.large_binary()).to_pylist():
            if cell is None:
                found.append(null)
                continue
            state = new()
            state.update(cell)
            found.append(state.digest())
        out[start : start + len(found)] = np.frombuffer(b"".join(found), dtype="<u8").reshape(-1, 2)
    return out


def ranks(words: Words) -> NDArray[np.int64]:
    """Position of each digest in ascending order: int64[n]. Only equal digests are told apart by where they stand."""
    order = np.argsort(words[:, 0])
    first = words[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort((words[:, 1], words[:, 0]))
    out = np.empty(len(words), dtype=np.int64)
    out[order] = np.arange(len(words))
    return out
