"""Calls about what came of a run: offers, their ciphertext, consents, the receipt and its cosignatures.

Runs in: host.   Believes: nothing.   Spec: §8.6.   Nothing here is seen before the slot boundary.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from sealroom.host import documents, runs
from sealroom.host.agreements import signed_by
from sealroom.host.context import Digest, EmptyCall, Here, Party, StatementCall, own
from sealroom.host.documents import HEX32
from sealroom.host.problems import Problem, forbidden, not_found, unreadable
from sealroom.host.runs import Run
from sealroom.host.shapes import (
    GONE,
    READ_ERRORS,
    WRITE_ERRORS,
    Consents,
    Cosignatures,
    OfferLine,
    Offers,
    Stored,
    body,
    bytes_of,
)  # fmt: skip

router = APIRouter(tags=["results"])
_JSON, _BYTES = "application/json", "application/octet-stream"


@router.get("/runs/{run}/offers", responses=READ_ERRORS)
def get_offers(run: Digest, call: EmptyCall, here: Here) -> Offers:
    """List what a run offers to release; empty before the slot boundary."""
    found, _ = here.run(call, run)
    rows = here.store.results.offers(run) if runs.is_visible(found, here.clock()) else []
    return Offers(offers=[OfferLine(digest=row["digest"], offer=json.loads(row["envelope"])) for row in rows])


@router.get(
    "/runs/{run}/offers/{offer}/ciphertext", response_class=FileResponse,
    responses=READ_ERRORS | GONE | bytes_of(_BYTES, "the release, sealed to its recipient under a release key"),
)  # fmt: skip
def get_ciphertext(run: Digest, offer: Digest, call: EmptyCall, here: Here) -> FileResponse:
    """Get an offer's ciphertext."""
    _visible(here, call, run)
    digest = here.store.results.offer(run, offer)["ciphertext"]
    if not digest:
        raise Problem(410, "pruned", "the gateway kept this ciphertext as long as its operator said, and no longer")
    return FileResponse(here.store.blobs.path(digest), media_type=_BYTES)


@router.put(
    "/runs/{run}/offers/{offer}/consents/{party}", responses=WRITE_ERRORS,
    openapi_extra=body(_JSON, "the consent's envelope"),
)  # fmt: skip
def put_consent(run: Digest, offer: Digest, party: Party, call: StatementCall, here: Here) -> Stored:
    """Answer an offer, once, by a party that it affects."""
    found, caller = _visible(here, call, run)
    if caller != party:
        raise forbidden("a party gives only its own consent")
    here.store.results.offer(run, offer)
    consent = documents.statement(call.body, "consent")
    own(consent, found.agreement, party, call.key)
    here.store.results.put_consent(found, offer, party, consent, here.clock())
    return Stored(digest=consent.digest)


@router.get("/runs/{run}/consents", responses=READ_ERRORS)
def get_consents(run: Digest, call: EmptyCall, here: Here) -> Consents:
    """List the consents that have come."""
    here.run(call, run)
    return Consents(consents=[json.loads(data) for data in here.store.results.consents(run)])


@router.get(
    "/runs/{run}/receipt", response_class=Response, responses=READ_ERRORS | bytes_of(_JSON, "the receipt's envelope")
)
def get_receipt(run: Digest, call: EmptyCall, here: Here) -> Response:
    """Get the receipt, once it may be seen."""
    found, _ = _visible(here, call, run)
    return Response(found.receipt, media_type=_JSON)


@router.put(
    "/runs/{run}/cosignatures/{party}", responses=WRITE_ERRORS, openapi_extra=body(_JSON, "the cosignature's envelope")
)
def put_cosignature(run: Digest, party: Party, call: StatementCall, here: Here) -> Stored:
    """Cosign the receipt, once, by any member."""
    found, caller = _visible(here, call, run)
    statement = documents.statement(call.body, "cosignature")
    if not caller == party == statement.text("party"):
        raise forbidden("a party cosigns only in its own name")
    signed_by(statement, call.key)
    if statement.text("receipt", HEX32) != found.receipt_digest:
        raise unreadable("wrong-receipt", "the cosignature is for another receipt")
    here.store.results.put_cosignature(found, party, statement, here.clock())
    return Stored(digest=statement.digest)


@router.get("/runs/{run}/cosignatures", responses=READ_ERRORS)
def get_cosignatures(run: Digest, call: EmptyCall, here: Here) -> Cosignatures:
    """List the cosignatures that have come."""
    here.run(call, run)
    return Cosignatures(cosignatures=[json.loads(data) for data in here.store.results.cosignatures(run)])


def _visible(here: Here, call: EmptyCall, run: str) -> tuple[Run, str]:
    found, party = here.run(call, run)
    if not runs.is_visible(found, here.clock()):
        raise not_found("result yet")
    return found, party
