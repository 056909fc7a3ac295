"""Builds the gateway from its settings; there are no globals.

Runs in: host.   Believes: nothing.   Spec: §8.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from sealroom.host import (
    problems,
    routes_agreements,
    routes_grants,
    routes_objects,
    routes_results,
    routes_runs,
)  # fmt: skip
from sealroom.host.auth import Doorman
from sealroom.host.context import Context
from sealroom.host.limits import Rate
from sealroom.host.settings import Settings
from sealroom.host.shapes import Health
from sealroom.host.store import Store

_LOG = logging.getLogger("sealroom.host")
_AREAS = (routes_agreements, routes_objects, routes_runs, routes_grants, routes_results)


def create(settings: Settings, store: Store, *, clock: Callable[[], float] = time.time) -> FastAPI:
    """The ASGI application; its description is at `/v1/openapi.json`."""
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
    for area in _AREAS:
        app.include_router(area.router, prefix="/v1")
    app.middleware("http")(_log)
    return app


def health() -> Health:
    """Say that the gateway answers."""
    return Health(status="ok")


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


async def _log(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """One line per call: method, the route's pattern and the status; never a caller's values."""
    try:
        response = await call_next(request)
    except Exception as error:  # noqa: BLE001 (the last line before the server would print the cause)
        response = problems.unexpected(error)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    route = getattr(request.scope.get("route"), "path", "-")
    _LOG.info("%s %s %d", request.method if route != "-" else "-", route, response.status_code)
    return response
