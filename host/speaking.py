"""HTTP/1.1 as uvicorn speaks it, but with every error in the one shape, those before any route included.

Runs in: host.   Believes: nothing.   Spec: §8.2.
"""

from __future__ import annotations

import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sealroom.host import problems
from sealroom.host.problems import Problem

_CLOSE = {"connection": "close", "cache-control": "no-store"}


class Protocol(H11Protocol):
    """One connection. uvicorn would answer malformed messages, and calls beyond its limit, in plain text."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take over the limit on connections, so that what exceeds it is answered here."""
        super().__init__(*arguments, **named)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._application, self.app = self.app, self._admit

    async def _admit(self, scope: Any, receive: Any, send: Any) -> None:
        if self._most is None or len(self.connections) <= self._most:
            await self._application(scope, receive, send)
            return
        answer = problems.answer(Problem(503, "busy", "too many connections", hint="wait a moment and try again"))
        answer.headers.update(_CLOSE)
        await answer(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close; `msg` is uvicorn's sentence about it."""
        body = json.dumps(Problem(400, "malformed-http", msg.rstrip(".").lower()).body()).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), *_CLOSE.items()]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
