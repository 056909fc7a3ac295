"""Calls about agreements and the statements that parties make about them.

Runs in: host.   Believes: nothing.   Spec: §8.6.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from sealroom.host import agreements, documents
from sealroom.host.context import Digest, EmptyCall, Here, StatementCall, own
from sealroom.host.problems import conflict, forbidden, not_found, unreadable
from sealroom.host.shapes import (
    READ_ERRORS,
    WRITE_ERRORS,
    AgreementLine,
    Statements,
    Stored,
    body,
    bytes_of,
)  # fmt: skip

router = APIRouter(tags=["agreements"])
_JSON = "application/json"
_KINDS = ("approval", "revocation", "stop", "log")
Kind = Annotated[
    Literal["approval", "revocation", "stop", "log"] | None, Query(description="only statements of this kind")
]


@router.put("/agreements/{version}", responses=WRITE_ERRORS, openapi_extra=body(_JSON, "the agreement's envelope"))
def put_agreement(version: Digest, call: StatementCall, here: Here) -> Stored:
    """Register a version of an agreement: the first by the operator, a later one by a member when all signed it."""
    statement = documents.statement(call.body, "agreement")
    if statement.digest != version:
        raise unreadable("wrong-digest", "the envelope's digest is not the one in the path")
    new = agreements.look(statement)
    if new.sequence == 1:
        if call.key != here.settings.operator_key:
            raise forbidden("only the operator registers new agreements")
    else:
        head, _ = here.member(call, new.id)
        if not here.store.agreements.has(version):
            agreements.succeed(new, statement, head)
    here.store.agreements.add(new, statement, here.clock())
    return Stored(digest=version)


@router.get("/agreements", responses=READ_ERRORS)
def list_agreements(call: EmptyCall, here: Here) -> list[AgreementLine]:
    """List the agreements that the caller is a member of, each with its newest version."""
    lines = here.store.agreements.of(call.key)
    return [AgreementLine(agreement=a, version=v, sequence=s) for a, v, s in lines]


@router.get(
    "/agreements/{version}", response_class=Response, responses=READ_ERRORS | bytes_of(_JSON, "the envelope as stored")
)
def get_agreement(version: Digest, call: EmptyCall, here: Here) -> Response:
    """Get the envelope of one version."""
    if not here.store.agreements.has(version):
        raise not_found("agreement")
    here.member(call, here.store.agreements.version(version).id)
    return Response(here.store.agreements.envelope(version), media_type=_JSON)


@router.post(
    "/agreements/{agreement}/statements", responses=WRITE_ERRORS, openapi_extra=body(_JSON, "the statement's envelope")
)
def post_statement(agreement: Digest, call: StatementCall, here: Here) -> Stored:
    """File an approval, a revocation, a stop or a log's key, of the caller's own; a stop also ends every open run."""
    _, party = here.member(call, agreement)
    statement = documents.statement(call.body, *_KINDS)
    own(statement, agreement, party, call.key)
    with here.store.database.writing():
        here.store.agreements.add_statement(agreement, party, statement, here.clock())
        if statement.kind == "stop":
            _stop_runs(here, agreement)
    return Stored(digest=statement.digest)


@router.get("/agreements/{agreement}/statements", responses=READ_ERRORS)
def get_statements(agreement: Digest, call: EmptyCall, here: Here, kind: Kind = None) -> Statements:
    """List the statements about an agreement in the order they came."""
    here.member(call, agreement)
    return Statements(statements=[json.loads(data) for data in here.store.agreements.statements(agreement, kind)])


def _stop_runs(here: Here, agreement: str) -> None:
    if not here.store.agreements.is_stopped(agreement):
        raise conflict("not-stopped", "the stop was not stored")
    for run in here.store.runs.open():
        if run.agreement == agreement:
            here.store.runs.stop(run, here.clock())
