"""Opens what was sealed to this run, into memory that the kernel then freezes.

Runs in: the gate (TCB).   Believes: a manifest that its owner signed.   Spec: §3.3, §9.4.

The host owns the file behind the descriptor and may change it at any time: each chunk is read once into our own memory,
and only what its tag covers is used.
"""

from __future__ import annotations

import functools
import hashlib
import os

from sealroom.enclave import memory
from sealroom.protocol.sealed import Manifest, Opener

_NAME = "payload"


def open_object(key: bytes, manifest: Manifest, fd: int) -> tuple[int, str]:
    """Decrypt a whole object: (frozen memory descriptor, SHA-256 of the plaintext as hex).

    Raises:
        CannotOpen: wrong key, or any byte differs from what was sealed.
        Malformed: the manifest's sizes disagree.
    """
    opener = Opener(key, manifest)
    plain_digest = hashlib.sha256()
    with memory.Sealer(_NAME, most=manifest.plaintext_size) as sealer:
        for chunk in opener.plaintext(functools.partial(_read_at, fd)):
            plain_digest.update(chunk)
            sealer.write(chunk)
        return sealer.finish(), plain_digest.hexdigest()


def _read_at(fd: int, offset: int, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = os.pread(fd, left, offset + size - left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
