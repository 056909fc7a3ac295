"""Signed HTTP calls to one gateway: pinned certificate, bounded answers, bounded patience.

Runs in: a party.   Believes: nothing that the gateway answers.   Spec: §8.1.

Every call is signed afresh (RFC 9421, Ed25519), so that a repeat after a lost answer is a new message and not a replay.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from sealroom.client.config import Config
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.protocol.errors import NotAcceptable, UsageError
from sealroom.protocol.keys import SigningKey

TAG: Final = "sealroom-v1"
COMPONENTS: Final = ("@method", "@authority", "@target-uri")
"""What is signed besides the digest of the body, which is always signed."""
ERROR_MOST: Final = 64 << 10
TRIES: Final = 4
TRIES_LIMITED: Final = 16
"""How often a call is sent that the gateway calls one too many; pauses grow to two seconds, so it gets its turn."""
PATIENCE: Final = 120.0
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_AGAIN = (502, 503, 504)
_LIMITED = 429
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


class GatewayRefused(NotAcceptable):
    """The gateway said no; its words are printed, never believed. `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        """Keep the HTTP status beside the gateway's own code."""
        super().__init__(f"gateway-{code}", f"the gateway refuses: {message}", hint=hint)
        self.status = status


class Transport:
    """One party's calls to one gateway."""

    def __init__(
        self,
        base: str,
        key: Callable[[], SigningKey],
        *,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`key` is asked for its key at the first call; `transport`, `sleep` and `clock` are for tests."""
        self._base, self._key, self._sleep, self._clock = base, key, sleep, clock
        self._client = httpx2.Client(
            verify=verify, transport=transport, timeout=_TIMEOUT, trust_env=False, follow_redirects=False
        )
        self._signer: tuple[str, HTTPMessageSigner] | None = None

    def call(
        self, method: str, path: str, body: bytes = b"", *, most: int, query: Mapping[str, str] | None = None
    ) -> bytes:
        """The answer's body, at most `most` bytes; tries again, with a pause that grows, when nobody answers.

        Raises:
            Unreachable: no answer, a broken one, or one that is too large.
            NotAuthorized: the gateway does not know this party, or it is not a member.
            GatewayRefused: the gateway says no for another reason.
        """
        pause = _FIRST_PAUSE
        for attempt in range(1, TRIES_LIMITED + 1):
            try:
                status, answer = self._once(method, path, body, most=most, query=query)
            except httpx2.TransportError as error:
                if attempt >= TRIES:
                    raise Unreachable(f"the gateway {self._base} does not answer: {_clean(str(error))}") from error
            else:
                if not _is_again(status, attempt):
                    return _successful(status, answer)
            self._sleep(pause * (1 + secrets.randbelow(256) / 512))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _once(
        self, method: str, path: str, body: bytes, *, most: int, query: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/octet-stream"}
        request = self._client.build_request(method, self._base + path, content=body, headers=headers, params=query)
        self._sign(request, body)
        response = self._client.send(request, stream=True)
        try:
            limit = most if response.is_success else ERROR_MOST
            return response.status_code, _read(response, limit)
        finally:
            response.close()

    def _sign(self, request: httpx2.Request, body: bytes) -> None:
        if self._signer is None:
            self._signer = _signer(self._key())
        key_id, signer = self._signer
        signer.sign(
            request, key_id=key_id, created=dt.datetime.fromtimestamp(self._clock(), dt.UTC), label="sealroom",
            nonce=secrets.token_urlsafe(24), tag=TAG, covered_component_ids=COMPONENTS, body=body,
        )  # fmt: skip


def connect(config: Config, key: Callable[[], SigningKey]) -> Transport:
    """Calls to the gateway that a home names; over TLS only its pinned certificate is trusted, no authority.

    Raises:
        UsageError: the home names no gateway, or its certificate cannot be read.
    """
    if config.gateway is None:
        raise UsageError("this home knows no gateway", hint="give its address: `sealroom init --gateway URL`")
    if config.certificate is None:
        return Transport(config.gateway, key)
    try:
        context = ssl.create_default_context(cafile=str(config.certificate))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{config.certificate} is not a certificate in PEM form") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return Transport(config.gateway, key, verify=context)


def _is_again(status: int, attempt: int) -> bool:
    return attempt < TRIES_LIMITED if status == _LIMITED else status in _AGAIN and attempt < TRIES


def _signer(key: SigningKey) -> tuple[str, HTTPMessageSigner]:
    key_id = key.public.text
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    resolver = MappingKeyResolver(public_keys={}, private_keys={key_id: private})
    return key_id, HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=resolver)


def _read(response: httpx2.Response, most: int) -> bytes:
    """The body, never more than `most` bytes of it, never longer than `PATIENCE` seconds, never unpacked."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unreachable("the gateway compresses its answer, though it was told not to")
    until, parts, size = time.monotonic() + PATIENCE, [], 0
    for part in response.iter_bytes(64 << 10):
        size += len(part)
        if size > most:
            raise Unreachable(f"the gateway's answer is larger than {most} bytes")
        if time.monotonic() > until:
            raise Unreachable("the gateway answers too slowly")
        parts.append(part)
    return b"".join(parts)


def _successful(status: int, answer: bytes) -> bytes:
    if 200 <= status < 300:
        return answer
    code, message, hint = _error_words(answer)
    if status in (401, 403):
        raise NotAuthorized(f"the gateway does not let you in: {message}", hint=hint)
    if status >= 500 or status < 400 or status == _LIMITED:
        raise Unreachable(f"the gateway failed with status {status}: {message}", hint=hint)
    raise GatewayRefused(status, code, message, hint)


def _error_words(answer: bytes) -> tuple[str, str, str]:
    try:
        error: Any = json.loads(answer)["error"]
        code, message, hint = (_clean(str(error.get(name, ""))) for name in ("code", "message", "hint"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        code, message, hint = "", "", ""
    kebab = "".join(c for c in code.lower() if c.isascii() and (c.isalnum() or c == "-"))[:60]
    return kebab or "error", message or "it gives no reason", hint


def _clean(text: str) -> str:
    """Somebody else's words, made harmless for a terminal: printable ASCII, one line, at most 300 characters."""
    return "".join(c if c.isascii() and c.isprintable() else " " for c in text)[:300].strip()
