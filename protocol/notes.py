"""Checkpoints of a log and their cosignatures, as signed notes: C2SP signed-note, tlog-checkpoint, tlog-cosignature.

Runs in: parties.   Believes: only keys that the caller names.   Spec: §13.2.

    sealroom.agreement/<id>        origin
    <number of entries>
    <base64 of the root>

    — <key name> <base64 of key id (4), signature>
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.keys import SigningKey, VerifyingKey
from sealroom.protocol.merkle import EMPTY, MOST_SIZE

MOST_BYTES: Final = 8 << 10
MOST_SIGNATURES: Final = 33
MOST_TIME: Final = 1 << 40
_LOG, _COSIGNATURE = b"\x01", b"\x04"
_LINE: Final = re.compile("— ([!-*,-~]{1,255}) ([A-Za-z0-9+/]+={0,2})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_ORIGIN: Final = re.compile(r"[!-*,-~]{1,255}")


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many entries a log has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """What is signed: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    @property
    def tree(self) -> tuple[int, bytes]:
        """Size and root."""
        return self.size, self.root


@dataclasses.dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who, which key, and what that key made of the text."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """As it stands in the note."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with signature lines; nothing in it is believed before `verify_log` or `verify_cosignature`."""

    unverified: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """The whole note."""
        return self.unverified.text + b"\n" + "".join(s.line for s in self.signatures).encode()


def origin(agreement: str) -> str:
    """The name of an agreement's log, and of the key that signs it."""
    return f"sealroom.agreement/{agreement}"


def cosigner(agreement: str, party: str) -> str:
    """The name of a party's key for cosigning an agreement's log."""
    return f"{origin(agreement)}/{party}"


def parse(data: bytes) -> Note:
    """Read a note strictly; it has one spelling.

    Raises:
        Malformed: it is no checkpoint, or another spelling of one.
    """
    try:
        text = data.decode() if len(data) <= MOST_BYTES else ""
    except UnicodeDecodeError:
        text = ""
    body, gap, rest = text.rpartition("\n\n")
    lines, signed = body.split("\n"), rest.split("\n")
    if not gap or len(lines) != 3 or signed[-1] or not 1 <= len(signed) - 1 <= MOST_SIGNATURES:
        raise _malformed("is not a checkpoint in the form of a signed note")
    if not _ORIGIN.fullmatch(lines[0]) or not _NUMBER.fullmatch(lines[1]) or int(lines[1]) > MOST_SIZE:
        raise _malformed("names its log or its size in a form that is not allowed")
    found = Checkpoint(lines[0], int(lines[1]), _bytes(lines[2], least=32, most=32))
    if not found.size and found.root != EMPTY:
        raise _malformed("gives an empty log a root that is not that of no entries")
    signatures = tuple(_signature(line) for line in signed[:-1])
    if len({(s.name, s.key_id) for s in signatures}) != len(signatures):
        raise _malformed("holds two signatures of one key")
    return Note(found, signatures)


def verify_log(note: Note, *, name: str, key: VerifyingKey) -> Checkpoint:
    """The checkpoint, if the log of that name signed it.

    Raises:
        NotGenuine: another log's, not signed, or the signature does not hold.
    """
    if note.unverified.origin != name:
        raise NotGenuine("other-log", "the checkpoint is of another log")
    key.verify(_by(note, name, _key_id(name, _LOG, key), 64), note.unverified.text)
    return note.unverified


def verify_cosignature(note: Note, *, name: str, key: VerifyingKey) -> int:
    """When (seconds since 1970, by its own clock) the cosigner of that name saw this checkpoint.

    Raises:
        NotGenuine: it did not cosign it, or the signature does not hold.
    """
    data = _by(note, name, _key_id(name, _COSIGNATURE, key), 72)
    at = int.from_bytes(data[:8], "big")
    if at > MOST_TIME:
        raise NotGenuine("signature", "the cosignature is from a time that cannot be")
    key.verify(data[8:], _cosigned(note.unverified, at))
    return at


def sign(checkpoint: Checkpoint, key: SigningKey) -> Note:
    """The log's own note about its tree."""
    key_id = _key_id(checkpoint.origin, _LOG, key.public)
    return Note(checkpoint, (NoteSignature(checkpoint.origin, key_id, key.sign(checkpoint.text)),))


def cosign(note: Note, key: SigningKey, *, name: str, at: int) -> Note:
    """The note with one more line: this is the largest tree of the log that `name` has seen and found consistent."""
    signature = at.to_bytes(8, "big") + key.sign(_cosigned(note.unverified, at))
    made = NoteSignature(name, _key_id(name, _COSIGNATURE, key.public), signature)
    return dataclasses.replace(note, signatures=(*note.signatures, made))


def cosigners(note: Note, keys: Mapping[str, VerifyingKey]) -> dict[str, int]:
    """Which of these (name -> key) cosigned, and when; lines by keys that nobody named are left alone.

    Raises:
        NotGenuine: a line of a named key does not hold.
    """
    known = {(name, _key_id(name, _COSIGNATURE, key)): (name, key) for name, key in keys.items()}
    there = [known[s.name, s.key_id] for s in note.signatures if (s.name, s.key_id) in known]
    return {name: verify_cosignature(note, name=name, key=key) for name, key in there}


def _by(note: Note, name: str, key_id: bytes, size: int) -> bytes:
    for signature in note.signatures:
        if (signature.name, signature.key_id) == (name, key_id):
            if len(signature.signature) != size:
                raise NotGenuine("signature", "a signature of the checkpoint has another length")
            return signature.signature
    raise NotGenuine("not-signed", f"the checkpoint is not signed by {name}")


def _key_id(name: str, kind: bytes, key: VerifyingKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + key.raw).digest()[:4]


def _cosigned(checkpoint: Checkpoint, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % at + checkpoint.text


def _signature(line: str) -> NoteSignature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed("holds a signature line that cannot be read")
    data = _bytes(match[2], least=5, most=4 << 10)
    return NoteSignature(match[1], data[:4], data[4:])


def _bytes(text: str, *, least: int, most: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not least <= len(data) <= most or base64.b64encode(data).decode() != text:
        raise _malformed("holds text that is not canonical base64 of the right length")
    return data


def _malformed(what: str) -> Malformed:
    return Malformed("bad-note", f"the note {what}")
