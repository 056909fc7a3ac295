"""A plain look into what parties and gate sign: bounded, canonical, and believed in nothing.

Runs in: host.   Believes: nothing; parties verify signatures, the host files envelopes by what they say.   Spec: §8.3.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Never

import rfc8785

from sealroom.host.problems import unreadable
from sealroom.protocol import wire

NAME = r"[a-z][a-z0-9_-]{0,62}"
HEX32 = r"[0-9a-f]{64}"
KEY = r"[A-Za-z0-9_-]{43}"
MOST_TIME = 2**40
_TYPE = re.compile(r"application/vnd\.sealroom\.([a-z-]+)\.v1\+json")
_MOST_DEPTH = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """An envelope as received: its kind, its digest, the payload that nobody here has verified, and the bytes."""

    kind: str
    digest: str
    unverified: dict[str, Any]
    signers: dict[str, bytes]
    signed: bytes
    data: bytes

    def text(self, name: str, pattern: str = NAME) -> str:
        """A string field that matches `pattern` from end to end."""
        return text(self.unverified, name, pattern)


def statement(data: bytes, *kinds: str) -> Statement:
    """Read an envelope that must hold a statement of one of `kinds`.

    Raises:
        Problem: 422, with the code of what is wrong.
    """
    value = canonical(data)
    _exactly(value, ("payload", "payloadType", "signatures"))
    media = text(value, "payloadType", _TYPE.pattern)
    kind = _TYPE.fullmatch(media)[1]  # type: ignore[index]
    if kind not in kinds:
        raise unreadable("wrong-kind", f"this call takes {' or '.join(kinds)}, not {kind}")
    payload = _base64(value["payload"])
    inside = canonical(payload)
    if inside.get("format") != f"sealroom/{kind}/v1":
        raise unreadable("wrong-kind", "the payload's format is not the envelope's type")
    name = labelled("statement/v1", media.encode(), payload)
    return Statement(kind, name, inside, _signers(value["signatures"]), _signed(media, payload), data)


def encode(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value.

    Raises:
        Problem: 422 `not-canonical`.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, ValueError) as error:
        raise unreadable("not-canonical", "the document has no canonical form") from error


def canonical(data: bytes) -> dict[str, Any]:
    """The JSON object of canonical bytes.

    Raises:
        Problem: 422, with the code of what is wrong.
    """
    value = plain(data)
    if encode(value) != data:
        raise unreadable("not-canonical", "the document is JSON, but not in its canonical form")
    return value


def plain(data: bytes) -> dict[str, Any]:
    """The JSON object of at most 1 MiB, without repeated keys, numbers that are not finite, or deep nesting.

    Raises:
        Problem: 422, with the code of what is wrong.
    """
    if len(data) > wire.STATEMENT_MOST:
        raise unreadable("too-large", f"a document has at most {wire.STATEMENT_MOST} bytes")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unrepeated, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable("not-json", "the document is not JSON, or repeats a key") from error
    if not isinstance(value, dict) or _too_deep(value, _MOST_DEPTH):
        raise unreadable("not-json", "the document is not an object of reasonable depth")
    return value


def only(data: bytes, *names: str) -> dict[str, Any]:
    """The JSON object, which has these fields and no others.

    Raises:
        Problem: 422, `unknown-field` or `missing-field` among others.
    """
    value = plain(data)
    _exactly(value, names)
    return value


def text(fields: dict[str, Any], name: str, pattern: str = NAME) -> str:
    """A string field that matches `pattern` from end to end.

    Raises:
        Problem: 422 `bad-field`.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise unreadable("bad-field", f"{name} is missing or not as specified")
    return value


def number(fields: dict[str, Any], name: str, *, least: int = 0, most: int = MOST_TIME) -> int:
    """An integer field within bounds.

    Raises:
        Problem: 422 `bad-field`.
    """
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise unreadable("bad-field", f"{name} is missing or not as specified")
    return value


def names(value: object, *, most: int = 64) -> tuple[str, ...]:
    """A list of names.

    Raises:
        Problem: 422 `bad-field`.
    """
    items = value if isinstance(value, list) and len(value) <= most else [None]
    if not all(isinstance(item, str) and re.fullmatch(NAME, item) for item in items):
        raise unreadable("bad-field", "a list of names is missing or not as specified")
    return tuple(str(item) for item in items)


def objects(fields: dict[str, Any], name: str, *, most: int = 64) -> tuple[dict[str, Any], ...]:
    """A list of JSON objects.

    Raises:
        Problem: 422 `bad-field`.
    """
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise unreadable("bad-field", f"{name} is missing or not as specified")
    return tuple(value)


def labelled(label: str, *parts: bytes) -> str:
    """SHA-256 under a domain label: `"sealroom" NUL label NUL`, then each part behind its length in 8 bytes."""
    hasher = hashlib.sha256(b"sealroom\0" + label.encode() + b"\0")
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.hexdigest()


def _signers(value: object) -> dict[str, bytes]:
    if not isinstance(value, list) or not 1 <= len(value) <= 32 or not all(isinstance(s, dict) for s in value):
        raise unreadable("bad-field", "signatures are missing or not as specified")
    found: dict[str, bytes] = {}
    for signature in value:
        _exactly(signature, ("keyid", "sig"))
        found[text(signature, "keyid", KEY)] = _base64(signature["sig"])
    if len(found) != len(value):
        raise unreadable("duplicate-signature", "the envelope holds two signatures of one key")
    return found


def _signed(media: str, payload: bytes) -> bytes:
    """What DSSE signs: `DSSEv1 SP len(type) SP type SP len(payload) SP payload`."""
    return b"DSSEv1 %d %b %d %b" % (len(media), media.encode(), len(payload), payload)


def _exactly(fields: dict[str, Any], wanted: Sequence[str]) -> None:
    unknown, missing = sorted(set(fields) - set(wanted)), sorted(set(wanted) - set(fields))
    if unknown:
        raise unreadable("unknown-field", f"{len(unknown)} unknown field(s)")
    if missing:
        raise unreadable("missing-field", f"missing: {', '.join(missing)}")


def _base64(value: object) -> bytes:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data or base64.b64encode(data).decode() != value:
        raise unreadable("not-base64", "a field is not canonical base64")
    return data


def _too_deep(value: object, levels: int) -> bool:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return levels == 0 or any(_too_deep(item, levels - 1) for item in inner)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated key")
    return found


def _constant(_: str) -> Never:
    raise ValueError("not a number")
