"""Calls with which owners let an attested enclave open their objects, or refuse to.

Runs in: host.   Believes: nothing; the gate verifies every grant.   Spec: §8.6.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

from fastapi import APIRouter, Path

from sealroom.host import documents
from sealroom.host.context import Digest, EmptyCall, Here, Party, StatementCall, own
from sealroom.host.documents import HEX32, NAME, Statement
from sealroom.host.problems import conflict, forbidden, not_found, unreadable
from sealroom.host.runs import Run
from sealroom.host.shapes import READ_ERRORS, WRITE_ERRORS, Grants, Refusals, Stored, body
from sealroom.host.store.database import Row

router = APIRouter(tags=["grants"])
ObjectKey = Annotated[
    str, Path(pattern=f"^({HEX32}|{NAME})$", description="the object's manifest digest, or its name in the request")
]


@router.put(
    "/runs/{run}/grants/{object_key}", responses=WRITE_ERRORS,
    openapi_extra=body("application/json", "the grant's envelope"),
)  # fmt: skip
def put_grant(run: Digest, object_key: ObjectKey, call: StatementCall, here: Here) -> Stored:
    """Grant the run one object, once, by its owner."""
    found, party = here.run(call, run)
    wanted = _object(here, found, object_key)
    if wanted["owner"] != party:
        raise forbidden("only its owner grants an object")
    grant = documents.statement(call.body, "grant")
    own(grant, found.agreement, party, call.key)
    _check(grant, found, wanted["object"])
    here.store.runs.put_grant(found, wanted["object"], grant, here.clock())
    return Stored(digest=grant.digest)


@router.get("/runs/{run}/grants", responses=READ_ERRORS)
def get_grants(run: Digest, call: EmptyCall, here: Here) -> Grants:
    """List the grants that have come; each is sealed to the enclave."""
    found, _ = here.run(call, run)
    rows = here.store.runs.objects(found.run)
    return Grants(grants=[json.loads(row["grant_envelope"]) for row in rows if row["grant_envelope"] is not None])


@router.put(
    "/runs/{run}/refusals/{party}", responses=WRITE_ERRORS,
    openapi_extra=body("application/json", "the refusal's envelope; its reasons are sealed to the owners"),
)  # fmt: skip
def put_refusal(run: Digest, party: Party, call: StatementCall, here: Here) -> Stored:
    """Refuse a run, once, by an owner of one of its objects; it ends as `refused`."""
    found, caller = here.run(call, run)
    if caller != party:
        raise forbidden("a party refuses only in its own name")
    refusal = documents.statement(call.body, "refusal")
    own(refusal, found.agreement, party, call.key)
    if refusal.text("request", HEX32) != run:
        raise unreadable("wrong-request", "the refusal is of another run")
    here.store.runs.put_refusal(found, party, refusal, here.clock())
    return Stored(digest=refusal.digest)


@router.get("/runs/{run}/refusals", responses=READ_ERRORS)
def get_refusals(run: Digest, call: EmptyCall, here: Here) -> Refusals:
    """List the refusals of a run."""
    here.run(call, run)
    return Refusals(refusals=[json.loads(data) for data in here.store.runs.refusals(run)])


def _object(here: Here, run: Run, key: str) -> Row:
    column = "object" if re.fullmatch(HEX32, key) else "name"
    row = next((row for row in here.store.runs.objects(run.run) if row[column] == key), None)
    if row is None:
        raise not_found("object in this run")
    return row


def _check(grant: Statement, run: Run, object_digest: str) -> None:
    if run.evidence_digest is None:
        raise conflict("wrong-state", "there is no evidence to grant to yet")
    expected = {"request": run.run, "evidence": run.evidence_digest, "object": object_digest}
    for name, value in expected.items():
        if grant.text(name, HEX32) != value:
            raise unreadable(f"wrong-{name}", f"the grant is for another {name}")
