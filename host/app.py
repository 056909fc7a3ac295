"""Builds the gateway from its settings; there are no globals.

Runs in: host.   Believes: nothing.   Spec: §8.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sealroom.host import (
    description,
    disk,
    problems,
    routes_agreements,
    routes_grants,
    routes_log,
    routes_objects,
    routes_results,
    routes_runs,
)  # fmt: skip
from sealroom.host.auth import Doorman
from sealroom.host.context import Context
from sealroom.host.journal import Journal, silent
from sealroom.host.limits import Rate
from sealroom.host.problems import Problem
from sealroom.host.readiness import Readiness
from sealroom.host.settings import Settings
from sealroom.host.shapes import READY_ERRORS, Health, Ready
from sealroom.host.store import Store
from sealroom.host.store.errors import UnavailableError

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_AREAS = (routes_agreements, routes_objects, routes_runs, routes_grants, routes_results, routes_log)


def create(
    settings: Settings,
    store: Store,
    *,
    clock: Callable[[], float] = time.time,
    journal: Journal | None = None,
    readiness: Readiness | None = None,
    counted: Callable[[int], object] = lambda _: None,
) -> FastAPI:
    """The ASGI application; its description is at `/v1/openapi.json`. `counted` is told the status of every answer."""
    app = FastAPI(
        title="Sealroom gateway", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None,
        description="Carries ciphertext and signed statements between parties and an enclave. Every call but health is"
        " signed by RFC 9421: Ed25519 over @method, @authority, @target-uri and content-digest, with created, nonce,"
        " keyid and the tag sealroom-v1.",
        redirect_slashes=False,
    )  # fmt: skip
    app.state.context = Context(settings=settings, store=store, doorman=_doorman(settings, store, clock), clock=clock)
    problems.install(app)
    app.add_api_route("/v1/health", health, methods=["GET"], tags=["health"])
    app.state.readiness = readiness or Readiness(lambda: None)
    app.add_api_route("/v1/ready", ready, methods=["GET"], tags=["health"], responses=READY_ERRORS)
    for area in _AREAS:
        app.include_router(area.router, prefix="/v1")
    description.describe(app)
    app.add_middleware(_Scribe, journal=journal or silent(), counted=counted)
    return app


async def health() -> Health:
    """Say that the gateway answers, whatever its threads wait for."""
    return Health(status="ok")


async def ready(request: Request) -> Ready:
    """Say whether runs could be launched now; what is missing stands in the operator's log."""
    if not request.app.state.readiness.is_ready:
        raise Problem(503, "not-ready", "the gateway cannot launch runs now", hint="try again in a moment")
    return Ready(status="ready")


def _doorman(settings: Settings, store: Store, clock: Callable[[], float]) -> Doorman:
    def knows(key: str) -> bool:
        return key == settings.operator_key or store.agreements.is_member(key)

    def take_nonce(key: str, nonce: str, now: float, expires: float) -> bool:
        return store.agreements.take_nonce(key, nonce, now=now, expires=expires)

    rate = Rate(per_second=settings.requests_per_second, burst=settings.requests_burst, clock=time.monotonic)
    return Doorman(
        url=settings.url, knows=knows, take_nonce=take_nonce, callers=rate,
        body_wait=settings.body_wait, clock=clock,
    )  # fmt: skip


class _Scribe:
    """One line per call: method, the route's pattern and the status; never a caller's values."""

    def __init__(self, app: ASGIApp, *, journal: Journal, counted: Callable[[int], object]) -> None:
        self._app, self._journal, self._counted = app, journal, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and write down that it was."""
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                MutableHeaders(scope=message).update(_HEADERS)
                self._write(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            answer = self._failed(error)
            if began:  # half an answer is out: only a connection that breaks says that it is none
                raise
            await answer(scope, receive, sending)

    def _write(self, scope: Scope, status: int) -> None:
        route: Any = getattr(scope.get("route"), "path", "-")
        method = scope["method"] if route != "-" and scope["method"] in ("GET", "PUT", "POST") else "-"
        self._journal.say("call", method=method, route=route, status=status)
        self._counted(status)

    def _failed(self, error: Exception) -> Response:
        if disk.is_full(error):
            self._journal.say("disk-full")
            return problems.answer(disk.problem())
        if isinstance(error, UnavailableError):
            self._journal.say("store-lost")
            return problems.answer(problems.unavailable())
        self._journal.failure("call-failed", error)
        return problems.answer(problems.internal())
