"""Who calls: RFC 9421 signatures over method, target and body digest, each usable once and for a minute.

Runs in: host.   Believes: members' keys of stored agreements, and the operator's.   Spec: §8.1.

Nothing of a body is read before its sender is known; a stranger costs the gateway one header check.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature, algorithms

from sealroom.host import limits
from sealroom.host.documents import KEY
from sealroom.host.problems import Problem
from sealroom.host.store.errors import StoreError
from sealroom.protocol import wire

TAG = "sealroom-v1"
COMPONENTS = ("@method", "@authority", "@target-uri", "content-digest")
_PARAMETERS = {"created", "nonce", "keyid", "tag", "alg"}
_NONCE = re.compile(r"[!-~]{22,128}")
"""16 random bytes are 22 characters of base64url."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call whose sender and body are known: the sender's key, and the body's bytes."""

    key: str
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doorman:
    """What a call is checked against. `take_nonce` says whether a key uses a nonce for the first time."""

    url: str
    knows: Callable[[str], bool]
    take_nonce: Callable[[str, str, float, float], bool]
    callers: limits.Rate
    body_wait: float
    clock: Callable[[], float]

    async def admit(self, request: Request, *, most: int) -> Call:
        """The call, once all of this holds.

        (1) its declared size fits; (2) one signature, by a known key, fresh, over all that counts; (3) the caller is
        not too fast; (4) the nonce is new; (5) the body fits; (6) it is the signed one.

        Raises:
            Problem: 401, 408, 413 or 429.
        """
        limits.declared(request.headers.get("content-length"), most=most)  # (1)
        verifier, message = self._verifier(), self._message(request)
        # In a thread: it asks the database, for which other calls must not wait.
        key, result = await run_in_threadpool(self._sender, verifier, message)  # (2) (3) (4)
        body = await limits.read(request.stream(), most=most, seconds=self.body_wait)  # (5)
        try:
            verifier.verify_body(message, [result], body)  # (6)
        except InvalidSignature:
            raise Problem(401, "altered-body", "the body is not the one that was signed") from None
        return Call(key, body)

    def _sender(self, verifier: HTTPMessageVerifier, message: _Message) -> tuple[str, Any]:
        """The key that signed what may be answered, and what the library found."""
        result = self._signature(verifier, message)  # (2)
        key, nonce = str(result.parameters["keyid"]), str(result.nonce)
        self.callers.spend(key)  # (3)
        expires = int(result.parameters["created"]) + 3 * wire.REQUEST_SKEW
        if not self.take_nonce(key, nonce, self.clock(), expires):  # (4)
            raise Problem(401, "replayed-request", "this request was received before", hint="sign every request anew")
        return key, result

    def _verifier(self) -> HTTPMessageVerifier:
        return _Verifier(self.clock, _Keys(self.knows))

    def _message(self, request: Request) -> _Message:
        """The request as its sender signed it: under the public URL, whatever proxy is in between."""
        query = request.scope.get("query_string", b"").decode("latin-1")
        target = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        return _Message(request.method, self.url + target, request.headers)

    def _signature(self, verifier: HTTPMessageVerifier, message: _Message) -> Any:
        if "signature" not in message.headers or "signature-input" not in message.headers:
            raise Problem(
                401, "not-signed", "this call must be signed", hint="see RFC 9421 and the gateway's description"
            )
        try:
            results = verifier.verify(message, max_age=None, expect_tag=TAG, require_components=COMPONENTS)
        except _UnansweredError as error:  # nobody knows whether the caller is a member: no word about its signature
            raise error.why from None
        except InvalidSignature as error:
            raise _refusal(error) from None
        except Exception:  # noqa: BLE001 (the library has no one error for a malformed header)
            raise Problem(401, "bad-signature", "the signature cannot be read") from None
        if len(results) != 1 or not _PARAMETERS - {"alg"} <= set(results[0].parameters) <= _PARAMETERS:
            raise Problem(401, "bad-signature", "one signature with created, nonce, keyid and tag is needed")
        if not _NONCE.fullmatch(results[0].nonce or ""):
            raise Problem(401, "bad-nonce", "the nonce must hold at least 16 random bytes")
        return results[0]


@dataclasses.dataclass(frozen=True, slots=True)
class _Message:
    method: str
    url: str
    headers: Any


class _StaleError(InvalidSignature):  # type: ignore[misc]  # the library is not typed
    """Signed too long ago, or in the future."""


class _StrangerError(InvalidSignature):  # type: ignore[misc]  # the library is not typed
    """Signed by a key that is no member's."""


class _UnansweredError(InvalidSignature):  # type: ignore[misc]  # the library is not typed
    """Whether the key is a member's could not be found out; the library lets only errors of this kind through."""

    def __init__(self, why: StoreError) -> None:
        super().__init__()
        self.why = why


class _Keys(HTTPSignatureKeyResolver):  # type: ignore[misc]  # the library is not typed
    def __init__(self, knows: Callable[[str], bool]) -> None:
        self._knows = knows

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        try:
            if not re.fullmatch(KEY, key_id) or not self._knows(key_id):
                raise _StrangerError
        except StoreError as error:
            raise _UnansweredError(error) from error
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key_id + "="))


class _Verifier(HTTPMessageVerifier):  # type: ignore[misc]  # the library is not typed
    """The library's verifier with our clock: `created` may be a minute off either way."""

    def __init__(self, clock: Callable[[], float], keys: _Keys) -> None:
        super().__init__(signature_algorithm=algorithms.ED25519, key_resolver=keys)
        self._clock = clock

    def validate_created_and_expires(self, sig_input: Any, max_age: dt.timedelta | None = None) -> None:  # noqa: ARG002
        created = sig_input.params.get("created")
        if type(created) is not int or abs(self._clock() - created) > wire.REQUEST_SKEW:
            raise _StaleError


def _refusal(error: InvalidSignature) -> Problem:
    if isinstance(error, _StaleError):
        hint = f"sign with a clock that is right to {wire.REQUEST_SKEW} seconds"
        return Problem(401, "stale-request", "the request was not signed just now", hint=hint)
    if isinstance(error, _StrangerError):
        return Problem(401, "unknown-caller", "the key is no member's of any agreement here")
    return Problem(401, "bad-signature", "the signature does not hold", hint="sign the method, target and body as sent")
