"""What a home keeps about each object it sealed: the signed manifest, the key (sealed to the party itself), the file.

Runs in: a party.   Believes: its own folder.   Spec: §10.3.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from sealroom.client import files
from sealroom.protocol import canonical, digest, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotGenuine
from sealroom.protocol.keys import SealingKey, SealingPublicKey, VerifyingKey, from_text, to_text
from sealroom.protocol.schema import Base64, Prose, Time
from sealroom.protocol.sealed import Manifest

_MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptObject:
    """`manifest` is the envelope's text, `sealed_key` the object key under the party's own sealing key."""

    format: Literal["sealroom/kept-object/v1"]
    manifest: Envelope
    sealed_key: Base64
    ciphertext: Prose | None
    sealed_at: Time

    @property
    def digest(self) -> str:
        """Names the object: the digest of its manifest."""
        return self.manifest.digest

    @property
    def file(self) -> Path | None:
        """Where the ciphertext was written."""
        return None if self.ciphertext is None else Path(self.ciphertext)

    def verify(self, owner: VerifyingKey) -> Manifest:
        """The manifest, signed by `owner`.

        Raises:
            NotGenuine: it is not.
        """
        return envelopes.verify(self.manifest, Manifest, {"owner": owner})


def make(manifest: Envelope, key: bytes, sealing: SealingPublicKey, *, ciphertext: Path | None, at: int) -> KeptObject:
    """Keep an object's key under the party's own sealing key, bound to the manifest's digest."""
    sealed = sealing.seal(key, info=_info(manifest.digest))
    place = None if ciphertext is None else str(ciphertext.resolve())
    return KeptObject(
        format="sealroom/kept-object/v1", manifest=manifest, sealed_key=to_text(sealed), ciphertext=place, sealed_at=at
    )


def save(folder: Path, kept: KeptObject) -> None:
    """Write it under its digest; the same object again replaces it."""
    files.write(folder / f"{kept.digest}.json", canonical.encode(schema.encode(kept)), overwrite=True)


def load(path: Path) -> KeptObject:
    """One kept object.

    Raises:
        Malformed: the file is not one.
        NotGenuine: it lies under another object's name.
    """
    kept = schema.decode(KeptObject, canonical.decode(files.read(path, most=_MOST_BYTES), most=_MOST_BYTES))
    if kept.digest != path.stem:
        raise NotGenuine("wrong-name", f"{path} holds another object than its name says")
    return kept


def open_key(kept: KeptObject, sealing: SealingKey) -> bytes:
    """The 32-byte object key.

    Raises:
        CannotOpen: it was kept by another party, or altered.
    """
    return sealing.open(from_text(kept.sealed_key), info=_info(kept.digest))


def _info(manifest_digest: str) -> bytes:
    return digest.preimage("kept-object/v1", manifest_digest.encode())
