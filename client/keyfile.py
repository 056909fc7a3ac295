"""Key files: a secret under a passphrase, by argon2id and XSalsa20-Poly1305, in a JSON envelope of mode 600.

Runs in: a party.   Believes: the passphrase.   Spec: §10.1.   Cost: 3 passes over 64 MiB (RFC 9106 §4, second choice).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Final, Literal

from nacl import exceptions, pwhash, secret, utils
from nacl.encoding import RawEncoder

from sealroom.client import files
from sealroom.client.errors import NotAuthorized
from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.keys import SealingKey, SigningKey, from_text, to_text
from sealroom.protocol.schema import Base64, Int

PASSES: Final = 3
MEMORY: Final = 64 << 20
_MOST_BYTES = 16 << 10
Kind = Literal["signing", "sealing"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """The envelope. `public` can be read without the passphrase and is checked against the secret on unlocking.

    The costs have a floor, so that no file asks for a cheap guess, and a ceiling, so that none stalls its reader.
    """

    format: Literal["sealroom/key/v1"]
    kind: Kind
    public: Base64
    kdf: Literal["argon2id13"]
    passes: Annotated[int, Int(2, 16)]
    memory: Annotated[int, Int(64 << 20, 1 << 30)]
    salt: Base64
    cipher: Literal["xsalsa20-poly1305"]
    sealed: Base64


def create(path: Path, key: SigningKey | SealingKey, passphrase: str, *, overwrite: bool = False) -> KeyFile:
    """Write `key` to `path` under `passphrase`.

    Raises:
        UsageError: `path` exists and `overwrite` was not asked for.
    """
    salt = utils.random(pwhash.argon2id.SALTBYTES)
    box = secret.SecretBox(_stretch(passphrase, salt, PASSES, MEMORY))
    document = KeyFile(
        format="sealroom/key/v1", kind="signing" if isinstance(key, SigningKey) else "sealing", public=key.public.text,
        kdf="argon2id13", passes=PASSES, memory=MEMORY, salt=to_text(salt), cipher="xsalsa20-poly1305",
        sealed=to_text(bytes(box.encrypt(key.seed))),
    )  # fmt: skip
    files.write(path, canonical.encode(schema.encode(document)) + b"\n", overwrite=overwrite)
    return document


def load(path: Path, kind: Kind) -> KeyFile:
    """The envelope at `path`, still locked.

    Raises:
        UsageError: others on this machine can read the file.
        Malformed: it is not a key file of that kind.
    """
    files.require_private(path)
    try:
        value = json.loads(files.read(path, most=_MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{path} is not a key file") from error
    document = schema.decode(KeyFile, value)
    if document.kind != kind:
        raise Malformed("wrong-kind", f"{path} holds a {document.kind} key, not a {kind} key")
    return document


def unlock_signing(path: Path, passphrase: str) -> SigningKey:
    """The signing key in the file.

    Raises:
        NotAuthorized: the passphrase is wrong, or the file was altered.
    """
    document = load(path, "signing")
    key = SigningKey(_open(path, document, passphrase))
    _same(path, key.public.text, document)
    return key


def unlock_sealing(path: Path, passphrase: str) -> SealingKey:
    """The sealing key in the file.

    Raises:
        NotAuthorized: the passphrase is wrong, or the file was altered.
    """
    document = load(path, "sealing")
    key = SealingKey(_open(path, document, passphrase))
    _same(path, key.public.text, document)
    return key


def _open(path: Path, document: KeyFile, passphrase: str) -> bytes:
    salt = from_text(document.salt, size=pwhash.argon2id.SALTBYTES)
    box = secret.SecretBox(_stretch(passphrase, salt, document.passes, document.memory))
    try:
        return bytes(box.decrypt(from_text(document.sealed)))
    except (exceptions.CryptoError, ValueError) as error:
        raise NotAuthorized(f"the passphrase does not open {path}, or the file was altered") from error


def _same(path: Path, public: str, document: KeyFile) -> None:
    """Refuse a file whose readable half names another key: requests would be signed by a key nobody was shown."""
    if public != document.public:
        raise NotAuthorized(f"{path} was altered: its public half belongs to another key")


def _stretch(passphrase: str, salt: bytes, passes: int, memory: int) -> bytes:
    size = secret.SecretBox.KEY_SIZE
    return pwhash.argon2id.kdf(size, passphrase.encode(), salt, opslimit=passes, memlimit=memory, encoder=RawEncoder)
