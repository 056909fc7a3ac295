"""Calls that start a run and follow it up to its evidence.

Runs in: host.   Believes: nothing.   Spec: §8.6.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from sealroom.host import documents, runs
from sealroom.host.agreements import Agreement, signed_by
from sealroom.host.context import Digest, EmptyCall, Here, Party, SmallCall, StatementCall
from sealroom.host.documents import HEX32, Statement
from sealroom.host.problems import Problem, conflict, forbidden, not_found, unreadable
from sealroom.host.runs import Run
from sealroom.host.shapes import READ_ERRORS, WRITE_ERRORS, RunLine, Runs, RunState, RunView, body, bytes_of
from sealroom.host.store.objects import Sealed

router = APIRouter(tags=["runs"])
_JSON = "application/json"
_MOST_OBJECTS = 32
AgreementId = Annotated[str, Query(pattern=f"^{HEX32}$", description="the agreement's id")]


@router.post("/runs", responses=WRITE_ERRORS, openapi_extra=body(_JSON, "the request's envelope"))
def post_run(call: StatementCall, here: Here) -> RunState:
    """File a run request; the run is named by the request's digest, and the same request again changes nothing."""
    statement = documents.statement(call.body, "request")
    agreement, party = here.member(call, statement.text("agreement", HEX32))
    now = here.clock()
    if not here.store.database.one("SELECT 1 FROM runs WHERE run = ?", statement.digest):
        objects = _check_request(here, statement, agreement, party)
        signed_by(statement, call.key)
        here.require_room()
        run = _new_run(here, statement, agreement, frozenset(objects), now)
        here.store.runs.add(run, objects, most_open=here.settings.open_runs)
    run = here.store.runs.get(statement.digest)
    return RunState(run=run.run, state=runs.shown(run, now))


@router.get("/runs", responses=READ_ERRORS)
def list_runs(agreement: AgreementId, call: EmptyCall, here: Here) -> Runs:
    """List the newest thousand runs of an agreement, the newest first."""
    here.member(call, agreement)
    now = here.clock()
    lines = [
        RunLine(run=r.run, state=runs.shown(r, now), waiting_for=waiting_for(here, r, now), created=int(r.created))
        for r in here.store.runs.of(agreement)
    ]
    return Runs(runs=lines)


@router.get("/runs/{run}", responses=READ_ERRORS)
def get_run(run: Digest, call: EmptyCall, here: Here) -> RunView:
    """Get what a run is waiting for, and when results can next show."""
    found, _ = here.run(call, run)
    now = here.clock()
    return RunView(
        run=found.run, state=runs.shown(found, now), waiting_for=waiting_for(here, found, now),
        request=json.loads(found.request), version=found.version,
        launched=None if found.launched is None else int(found.launched),
        next_visible=_next_visible(found, now), receipt=runs.is_visible(found, now),
    )  # fmt: skip


@router.post("/runs/{run}/stop", responses=WRITE_ERRORS)
def stop_run(run: Digest, call: EmptyCall, here: Here) -> RunState:
    """End a run, by any member."""
    found, _ = here.run(call, run)
    return RunState(run=run, state=here.store.runs.stop(found, here.clock()).state)


@router.put(
    "/runs/{run}/challenges/{party}", responses=WRITE_ERRORS,
    openapi_extra=body(_JSON, 'the challenge, `{"nonce": <32 random bytes as hex>}`'),
)  # fmt: skip
def put_challenge(run: Digest, party: Party, call: SmallCall, here: Here) -> RunState:
    """Give the nonce that evidence must answer, once, by an owner of one of the run's objects."""
    found, caller = here.run(call, run)
    if caller != party:
        raise forbidden("a party sends only its own challenge")
    nonce = documents.text(documents.only(call.body, "nonce"), "nonce", HEX32)
    if not int(nonce, 16):
        raise unreadable("bad-field", "the nonce was never drawn")
    here.store.runs.put_challenge(found, party, nonce, here.clock())
    return RunState(run=run, state=runs.shown(here.store.runs.get(run), here.clock()))


@router.get(
    "/runs/{run}/evidence", response_class=Response, responses=READ_ERRORS | bytes_of(_JSON, "canonical evidence")
)
def get_evidence(run: Digest, call: EmptyCall, here: Here) -> Response:
    """Get the enclave's evidence, once it is there."""
    found, _ = here.run(call, run)
    if found.evidence is None:
        raise not_found("evidence")
    return Response(found.evidence, media_type=_JSON)


def waiting_for(here: Here, run: Run, now: float) -> list[str]:
    """Parties whose turn it is, as far as parties may see."""
    state = runs.shown(run, now)
    if state == runs.WAITING_CHALLENGES:
        return [party for party, nonce in here.store.runs.challenges(run.run).items() if nonce is None]
    if state == runs.WAITING_GRANTS:
        rows = here.store.runs.objects(run.run)
        return sorted({row["owner"] for row in rows if row["grant_envelope"] is None})
    return here.store.results.undecided(run.run) if state == runs.WAITING_CONSENT else []


def _next_visible(run: Run, now: float) -> int | None:
    """The next slot boundary while results are still to come; None when there are no slots."""
    going = runs.shown(run, now) in runs.LIVE and run.launched is not None and run.slot
    return math.ceil(runs.boundary(run, now)) if going else None


def _check_request(here: Here, statement: Statement, agreement: Agreement, party: str) -> dict[str, Sealed]:
    """The objects of a request that looks fit to run; the gate checks all of it again, for good.

    (1) the requester's own; (2) on the newest version, which nobody has stopped; (3) not too late; (4) of rules and
    objects that are there.
    """
    if statement.text("requester") != party or party not in agreement.requesters:  # (1)
        raise forbidden("only a requester of the agreement files its own requests")
    if statement.text("version", HEX32) != agreement.version:  # (2)
        raise conflict("stale-version", "the request is on an older version", hint=f"the newest is {agreement.version}")
    if here.store.agreements.is_stopped(agreement.id):
        raise conflict("agreement-stopped", "a party has stopped this agreement")
    deadline = documents.number(statement.unverified, "deadline")
    if here.clock() >= min(deadline, agreement.not_after):  # (3)
        raise conflict("too-late", "the request's deadline or the agreement's end has passed")
    if not set(documents.names(statement.unverified.get("rules"))) <= agreement.rules:  # (4)
        raise unreadable("unknown-rule", "the agreement has no such rule")
    return _objects(here, statement, agreement)


def _objects(here: Here, statement: Statement, agreement: Agreement) -> dict[str, Sealed]:
    wanted = statement.unverified.get("objects")
    if not isinstance(wanted, Mapping) or not 1 <= len(wanted) <= _MOST_OBJECTS:
        raise unreadable("bad-field", "objects is missing or not as specified")
    found = {}
    for name in wanted:
        sealed = here.store.objects.get(documents.text(dict(wanted), name, HEX32))
        if (sealed.agreement, sealed.name) != (agreement.id, name):
            raise Problem(404, "not-found", "there is no such object that you may see")
        if not sealed.complete:
            raise conflict("incomplete-object", f"the upload of {name} is not complete")
        found[name] = sealed
    return found


def _new_run(here: Here, statement: Statement, agreement: Agreement, objects: frozenset[str], now: float) -> Run:
    return Run(
        run=statement.digest, agreement=agreement.id, version=agreement.version, requester=statement.text("requester"),
        request=statement.data, state=runs.WAITING_CHALLENGES, since=now, created=now,
        deadline=documents.number(statement.unverified, "deadline"), slot=agreement.slot(objects), attempts=0,
        launched=None, shown_at=None,
        consent_wait=float(max(agreement.consent_waits.values()) or here.settings.consent_wait),
        run_dir=None, guest=None, evidence=None, evidence_digest=None, receipt=None, receipt_digest=None,
    )  # fmt: skip
