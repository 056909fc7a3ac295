"""Targets: what the gateway reads of calls: envelopes, small bodies, and the headers of a signed request."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
from starlette.requests import Request

from sealroom.host import agreements, documents, limits
from sealroom.host.auth import Doorman
from sealroom.host.problems import Problem
from sealroom.protocol import canonical, schema
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target, taken
from tests.vectors import cases

KINDS = (
    "agreement", "approval", "revocation", "stop", "request", "manifest", "grant", "offer", "consent", "receipt",
    "cosignature",
)  # fmt: skip
URL = "https://gateway.test"
TARGET = "/v1/runs?agreement=" + "ab" * 32
BODY = b'{"nonce":"00"}'
NONCE = "n" * 22


def _statement() -> Check:
    """The envelope that the host reads without believing it; parties' own reader must take it too, or refuse it."""

    def check(data: bytes) -> bool:
        held, found = taken(lambda raw: documents.statement(raw, *KINDS), data, Problem)
        if held:
            assert documents.encode(json.loads(data)) == data, "a second spelling was taken"
            assert found.digest == seeds_digest(found)
            if found.kind == "agreement":
                taken(lambda _: agreements.look(found), data, Problem)
        return held

    return check


def seeds_digest(found: documents.Statement) -> str:
    """The digest of what an accepted envelope signs, by the parties' own reader of digests."""
    value = json.loads(found.data)
    payload = base64.b64decode(value["payload"])
    return documents.labelled("statement/v1", value["payloadType"].encode(), payload)


def _agreement() -> Check:
    """Input: an agreement's payload, put into an envelope here."""

    def check(data: bytes) -> bool:
        envelope = seeds.unsigned("agreement", data)
        signature = {"keyid": cases.signing("bank").public.text, "sig": base64.b64encode(bytes(64)).decode()}
        try:
            body = canonical.encode(schema.encode(envelope) | {"signatures": [signature]})
            looked = agreements.look(documents.statement(body, "agreement"))
        except Problem:
            return False
        assert looked.sequence >= 1
        assert looked.slot(frozenset()) >= 0
        return True

    return check


def _small() -> Check:
    def check(data: bytes) -> bool:
        held, value = taken(lambda raw: documents.only(raw, "nonce"), data, Problem)
        return held and taken(lambda _: documents.text(value, "nonce", documents.HEX32), data, Problem)[0]

    return check


class _Message:
    """What a signer needs of a message."""

    def __init__(self) -> None:
        self.method, self.url, self.headers = "POST", URL + TARGET, {"content-type": "application/json"}


def signed_headers() -> dict[str, str]:
    """The headers of a good request: POST to TARGET with BODY, by the bank."""
    key = cases.signing("bank")
    resolver = MappingKeyResolver(
        public_keys={}, private_keys={key.public.text: Ed25519PrivateKey.from_private_bytes(key.seed)}
    )
    message = _Message()
    HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=resolver).sign(
        message, key_id=key.public.text, tag="sealroom-v1", nonce=NONCE, created=_moment(), body=BODY,
        covered_component_ids=("@method", "@authority", "@target-uri"),
    )  # fmt: skip
    return {name.lower(): str(value) for name, value in message.headers.items()}


def _moment() -> Any:
    import datetime as dt  # noqa: PLC0415

    return dt.datetime.fromtimestamp(seeds.NOW, dt.UTC)


def doorman() -> Doorman:
    """A doorman who knows the bank, at the time at which the good request was signed."""
    return Doorman(
        url=URL, knows=lambda key: key == cases.signing("bank").public.text, take_nonce=lambda *_: True,
        callers=limits.Rate(per_second=1e9, burst=10**9, clock=lambda: 0.0), body_wait=5,
        clock=lambda: float(seeds.NOW),
    )  # fmt: skip


def request(lines: bytes) -> Request:
    """A request with these header lines."""
    headers = [tuple(line.split(b":", 1)) for line in lines.split(b"\n") if b":" in line]
    path, _, query = TARGET.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.strip().lower(), value.strip()) for name, value in headers], "scheme": "https",
        "server": ("gateway.test", 443),
    }  # fmt: skip
    return Request(scope)


def _headers() -> Check:
    """Input: header lines; the method, target and body are those of a good request."""
    door = doorman()

    def check(data: bytes) -> bool:
        asked = request(data)
        try:
            limits.declared(asked.headers.get("content-length"), most=1 << 20)
            verifier, message = door._verifier(), door._message(asked)
            result = door._signature(verifier, message)
        except Problem:
            return False
        assert result.parameters["keyid"] == cases.signing("bank").public.text
        assert result.nonce == NONCE
        assert asked.headers["content-digest"] == signed_headers()["content-digest"], "signed for another body"
        return True

    return check


def lines_of(headers: dict[str, str]) -> bytes:
    """Header lines."""
    return "\n".join(f"{name}: {value}" for name, value in headers.items()).encode("latin-1")


TARGETS = (
    Target(
        name="gateway-statement", decoder="host/documents.py statement", law="canonical, and named as parties name it",
        prepare=_statement, shape="json", most=1 << 15,
        seeds=lambda: [
            *(seeds.signed(s).to_bytes() for s in seeds.statements()[:6]), canonical.encode(cases.shared("agreement")),
        ],
    ),
    Target(
        name="gateway-agreement", decoder="host/agreements.py look", law="no other error", prepare=_agreement,
        shape="json", most=1 << 14, seeds=lambda: [canonical.encode(schema.encode(seeds.agreement()))],
    ),
    Target(
        name="gateway-body", decoder="host/documents.py only", law="no other error", prepare=_small, shape="json",
        seeds=lambda: [canonical.encode({"nonce": "ab" * 32})],
    ),
    Target(
        name="signed-headers", decoder="host/auth.py Doorman", law="only the one signature that was made is taken",
        prepare=_headers, shape="text",
        seeds=lambda: [lines_of(signed_headers()), lines_of(signed_headers() | {"content-length": "14"})],
    ),
)  # fmt: skip
