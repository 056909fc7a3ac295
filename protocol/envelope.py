"""A signed statement: DSSE envelope (secure-systems-lab/dsse v1.0) with Ed25519 signatures over canonical JSON.

Runs in: parties and gate.   Believes: only keys that the caller names.   Spec: §3.2.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from sealroom.protocol import canonical, digest, schema
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.keys import SigningKey, VerifyingKey
from sealroom.protocol.schema import Many, Text

MOST_BYTES = 4 << 20
_MEDIA = "application/vnd.sealroom.{}+json"
_Base64Text = Annotated[str, Text(r"[A-Za-z0-9+/]+={0,2}", 6 << 20)]
_KeyId = Annotated[str, Text(r"[A-Za-z0-9_-]{43}", 43)]
D = TypeVar("D")


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """One signature, and the text form of the key that made it."""

    keyid: _KeyId
    sig: _Base64Text


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """A payload as received. Nothing in it is believed before `verify`."""

    payload: _Base64Text
    payloadType: Annotated[str, Text(r"application/vnd\.sealroom\.[a-z.-]+/?[a-z0-9]*\+json", 80)]  # noqa: N815 (DSSE's name)
    signatures: Annotated[tuple[Signature, ...], Many(1, 32)]

    @property
    def unverified_payload(self) -> bytes:
        """The payload bytes before any signature was checked."""
        return _from_base64(self.payload)

    @property
    def digest(self) -> str:
        """Names the statement: labelled SHA-256 of type and payload, whoever signed it."""
        return digest.sha256("statement/v1", self.payloadType.encode(), self.unverified_payload)

    def to_bytes(self) -> bytes:
        """The envelope as canonical JSON."""
        return canonical.encode(schema.encode(self))


def pre_authentication_encoding(media: str, payload: bytes) -> bytes:
    """What is signed: `DSSEv1 SP len(type) SP type SP len(payload) SP payload`, lengths of bytes."""
    kind = media.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def media_type(kind: type) -> str:
    """The payload type of a document class: its `FORMAT` `sealroom/grant/v1` gives `...sealroom.grant.v1+json`."""
    return _media_type(kind)


@functools.cache
def _media_type(kind: Any) -> str:
    """The same; resolving annotations is most of the work, and the classes are few."""
    literal = typing.get_type_hints(kind)["format"]
    name, version = typing.get_args(literal)[0].split("/")[1:]
    return _MEDIA.format(f"{name}.{version}")


def sign(document: object, keys: Sequence[SigningKey]) -> Envelope:
    """Wrap and sign a document with every key."""
    payload = canonical.encode(schema.encode(document))
    unsigned = Envelope(base64.b64encode(payload).decode(), media_type(type(document)), ())
    return _with_signatures(unsigned, keys)


def cosign(envelope: Envelope, keys: Sequence[SigningKey]) -> Envelope:
    """Add signatures to an envelope that the caller has read and agrees with; the same key signs once."""
    return _with_signatures(envelope, keys)


def merge(one: Envelope, other: Envelope) -> Envelope:
    """Both envelopes' signatures over the same payload.

    Raises:
        NotGenuine: the payloads differ.
    """
    if (one.payload, one.payloadType) != (other.payload, other.payloadType):
        raise NotGenuine("different-payload", "the two envelopes sign different statements")
    return dataclasses.replace(one, signatures=_by_key((*one.signatures, *other.signatures)))


def parse(data: bytes) -> Envelope:
    """Read an envelope strictly; checks form, believes nothing.

    Raises:
        Malformed: not a canonical envelope.
    """
    envelope = schema.decode(Envelope, canonical.decode(data, most=MOST_BYTES))
    _from_base64(envelope.payload)
    for signature in envelope.signatures:
        _from_base64(signature.sig)
    if len({s.keyid for s in envelope.signatures}) != len(envelope.signatures):
        raise Malformed("duplicate-signature", "the envelope holds two signatures of one key")
    return envelope


def verify(envelope: Envelope, kind: type[D], keys: Mapping[str, VerifyingKey], *, threshold: int | None = None) -> D:
    """The statement inside, if enough of `keys` (name -> key) signed it; all of them unless `threshold` says fewer.

    Steps: (1) the type is the expected one; (2) every signature by a named key holds, and none is by a stranger;
    (3) the threshold is met; (4) the payload decodes strictly.

    Raises:
        NotGenuine: steps 1 to 3.
        Malformed: step 4.
    """
    if envelope.payloadType != media_type(kind):  # (1)
        raise NotGenuine("wrong-type", f"the statement is {envelope.payloadType}, not {media_type(kind)}")
    payload = envelope.unverified_payload
    message = pre_authentication_encoding(envelope.payloadType, payload)
    known = {key.text: key for key in keys.values()}
    for signature in envelope.signatures:  # (2)
        if signature.keyid not in known:
            raise NotGenuine("stranger", "the statement carries a signature by a key that was not expected")
        known[signature.keyid].verify(_from_base64(signature.sig), message)
    need = len(known) if threshold is None else threshold
    if need < 1 or len({s.keyid for s in envelope.signatures}) < need:  # (3)
        raise NotGenuine("too-few-signatures", f"the statement has {len(envelope.signatures)} of {need} signatures")
    return schema.decode(kind, canonical.decode(payload, most=MOST_BYTES))  # (4)


def unverified(envelope: Envelope, kind: type[D]) -> D:
    """Read a statement without checking who signed it: to show it, or to learn whose keys to check it with."""
    if envelope.payloadType != media_type(kind):
        raise NotGenuine("wrong-type", f"the statement is {envelope.payloadType}, not {media_type(kind)}")
    return schema.decode(kind, canonical.decode(envelope.unverified_payload, most=MOST_BYTES))


def _with_signatures(envelope: Envelope, keys: Sequence[SigningKey]) -> Envelope:
    message = pre_authentication_encoding(envelope.payloadType, envelope.unverified_payload)
    made = tuple(Signature(key.public.text, base64.b64encode(key.sign(message)).decode()) for key in keys)
    return dataclasses.replace(envelope, signatures=_by_key((*envelope.signatures, *made)))


def _by_key(signatures: Sequence[Signature]) -> tuple[Signature, ...]:
    """Sorted and without repeats, so that signing in any order gives the same bytes."""
    return tuple(s for _, s in sorted({s.keyid: s for s in signatures}.items()))


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("not-base64", "the envelope holds text that is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Malformed("not-base64", "the envelope holds base64 that is not canonical")
    return data
