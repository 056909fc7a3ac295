"""Of a signed call, only what nobody signed can change, and nothing of that matters."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from starlette.requests import Request

from sealroom.host.problems import Problem
from tests.flips.flipping import flips
from tests.fuzz import gateway

UNSIGNED = "content-type"
"""The call's only header that is not signed; the gateway does not read it."""


def raw() -> bytes:
    head = b"POST " + gateway.TARGET.encode() + b" HTTP/1.1\n" + gateway.lines_of(gateway.signed_headers())
    return head + b"\n\n" + gateway.BODY


def parsed(data: bytes) -> tuple[Request, tuple[bytes, bytes, bytes]] | None:
    """The call as a server hands it on, and (method, target, body); None if it is no HTTP at all."""
    head, found, body = data.partition(b"\n\n")
    line, _, headers = head.partition(b"\n")
    parts = line.split(b" ")
    if not found or len(parts) != 3 or not parts[2].startswith(b"HTTP/"):
        return None
    path, _, query = parts[1].partition(b"?")
    listed = [row.split(b":", 1) for row in headers.split(b"\n")]
    if any(len(row) != 2 for row in listed):
        return None
    scope: dict[str, Any] = {
        "type": "http", "method": parts[0].decode("latin-1"), "path": path.decode("latin-1"), "raw_path": path,
        "query_string": query, "headers": [(name.strip().lower(), value.strip()) for name, value in listed],
        "scheme": "https", "server": ("gateway.test", 443),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive), (parts[0], parts[1], body)


def test_a_flip_of_a_signed_call_is_refused_or_changes_nothing_that_counts():
    good = parsed(raw())
    assert good is not None
    door, counted = gateway.doorman(), good[1]
    headers = dict(good[0].headers)

    async def admitted() -> list[dict[str, str]]:
        assert (await door.admit(good[0], most=1 << 20)).body == gateway.BODY
        found: list[dict[str, str]] = []
        statuses: set[int] = set()
        for data in flips(raw()):
            call = parsed(data)
            if call is None:
                continue
            try:
                result = await door.admit(call[0], most=1 << 20)
            except Problem as problem:
                statuses.add(problem.status)
                continue
            assert (result.body, call[1]) == (gateway.BODY, counted)
            found.append(dict(call[0].headers))
        assert statuses <= {400, 401, 413}
        return found

    for other in asyncio.run(admitted()):
        differing = {name for name in headers.keys() | other.keys() if headers.get(name) != other.get(name)}
        if not differing:  # the case of a header's name
            continue
        if differing == {"signature"}:  # base64 that ends in bits without meaning: the same 64 bytes, the same nonce
            assert _signature(other) == _signature(headers)
        else:
            assert UNSIGNED not in other or other[UNSIGNED] != headers[UNSIGNED]
            assert all(name == UNSIGNED or name not in headers for name in differing)


def _signature(headers: dict[str, str]) -> bytes:
    return base64.b64decode(headers["signature"].partition("=:")[2])
