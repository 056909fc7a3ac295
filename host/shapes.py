"""The JSON that the gateway answers with, as types, so that its OpenAPI description is complete.

Runs in: host.   Believes: nothing.   Spec: §8.6.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Envelope = dict[str, Any]


class Shape(BaseModel):
    """Nothing beyond what is declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Shape):
    """Why a call was not done."""

    code: str = Field(description="stable, in kebab-case")
    message: str
    hint: str = Field(description="what to do about it; may be empty")


class Error(Shape):
    """The one shape of every error."""

    error: ErrorBody


class Health(Shape):
    """The gateway answers."""

    status: str


class Ready(Shape):
    """Runs can be launched."""

    status: str


class Stored(Shape):
    """What was stored, by digest."""

    digest: str


class AgreementLine(Shape):
    """An agreement and its newest version."""

    agreement: str
    version: str
    sequence: int


class Statements(Shape):
    """Envelopes in the order they came."""

    statements: list[Envelope]


class ChunkStored(Shape):
    """One chunk was stored; `complete` when the whole object is there and has its digest."""

    digest: str
    number: int
    complete: bool


class ObjectState(Shape):
    """An object and the numbers of the chunks that have not come."""

    manifest: Envelope
    missing: list[int]
    complete: bool


class ObjectLine(Shape):
    """An object of an agreement."""

    digest: str
    name: str
    owner: str
    kind: str
    complete: bool


class Objects(Shape):
    """Objects of an agreement, the oldest first."""

    objects: list[ObjectLine]


class RunState(Shape):
    """A run by its request's digest, and the state that parties see."""

    run: str
    state: str


class RunLine(RunState):
    """A run in a list."""

    waiting_for: list[str]
    created: int


class Runs(Shape):
    """Runs of an agreement, the newest first."""

    runs: list[RunLine]


class RunView(RunState):
    """A run. `launched` and `next_visible` are unix seconds; results show at slot boundaries only."""

    waiting_for: list[str]
    request: Envelope
    version: str
    launched: int | None
    next_visible: int | None
    receipt: bool


class Challenge(Shape):
    """A party's 32 random bytes, as hex."""

    nonce: str


class Grants(Shape):
    """Grants that have come."""

    grants: list[Envelope]


class Refusals(Shape):
    """Refusals that have come."""

    refusals: list[Envelope]


class OfferLine(Shape):
    """An offer and its digest."""

    digest: str
    offer: Envelope


class Offers(Shape):
    """Offers of a run; none before the slot boundary."""

    offers: list[OfferLine]


class Consents(Shape):
    """Consents that have come."""

    consents: list[Envelope]


class Cosignatures(Shape):
    """Cosignatures that have come."""

    cosignatures: list[Envelope]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        400: "the declared length is no number",
        401: "not signed, or signed by nobody known, too long ago, or before", 403: "not this caller's to do",
        404: "not there, or not the caller's to see", 408: "the body came too slowly",
        409: "does not fit what is there", 410: "kept no longer", 413: "too large",
        422: "not as specified", 429: "too many calls at once",
        503: "not now", 507: "no room",
    }  # fmt: skip
    return {status: {"model": Error, "description": words[status]} for status in statuses}


READ_ERRORS = _errors(400, 401, 404, 413, 422, 429, 503, 507)
GONE = _errors(410)
READY_ERRORS = _errors(503)
WRITE_ERRORS = _errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 503, 507)


def body(media: str, text: str) -> dict[str, Any]:
    """The OpenAPI text of a body that is signed as bytes and read by us, not by FastAPI."""
    return {"requestBody": {"required": True, "description": text, "content": {media: {"schema": _schema(media)}}}}


def bytes_of(media: str, text: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI text of an answer that is stored bytes."""
    return {200: {"description": text, "content": {media: {"schema": _schema(media)}}}}


def _schema(media: str) -> dict[str, str]:
    return {"type": "object"} if media == "application/json" else {"type": "string", "format": "binary"}
