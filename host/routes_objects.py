"""Calls that carry sealed objects: a manifest, then chunks of ciphertext in any order, resumed as often as need be.

Runs in: host.   Believes: nothing.   Spec: §8.6.
"""

from __future__ import annotations

import json

from fastapi import APIRouter

from sealroom.host import documents
from sealroom.host.agreements import Agreement, signed_by
from sealroom.host.context import ChunkCall, Digest, EmptyCall, Here, Number, StatementCall
from sealroom.host.problems import forbidden, unreadable
from sealroom.host.shapes import (
    READ_ERRORS,
    WRITE_ERRORS,
    ChunkStored,
    ObjectLine,
    Objects,
    ObjectState,
    Stored,
    body,
)  # fmt: skip
from sealroom.host.store.objects import Sealed, look

router = APIRouter(tags=["objects"])


@router.put(
    "/objects/{manifest}", responses=WRITE_ERRORS, openapi_extra=body("application/json", "the manifest's envelope")
)
def put_object(manifest: Digest, call: StatementCall, here: Here) -> Stored:
    """Announce an object of the caller's own by its signed manifest."""
    statement = documents.statement(call.body, "manifest")
    if statement.digest != manifest:
        raise unreadable("wrong-digest", "the envelope's digest is not the one in the path")
    sealed = look(statement)
    agreement, party = here.member(call, sealed.agreement)
    _check_declared(agreement, sealed, party)
    signed_by(statement, call.key)
    here.require_room()
    here.store.objects.add(sealed, statement, here.clock())
    return Stored(digest=manifest)


@router.put(
    "/objects/{manifest}/chunks/{number}", responses=WRITE_ERRORS,
    openapi_extra=body("application/octet-stream", "the sealed chunk, of exactly the size that the manifest gives it"),
)  # fmt: skip
def put_chunk(manifest: Digest, number: Number, call: ChunkCall, here: Here) -> ChunkStored:
    """Store one chunk of ciphertext; the last one completes the object if the whole has its digest."""
    sealed = here.store.objects.get(manifest)
    _, party = here.member(call, sealed.agreement)
    if party != sealed.owner:
        raise forbidden("only its owner uploads an object")
    here.require_room()
    complete = here.store.objects.put_chunk(sealed, number, call.body)
    return ChunkStored(digest=manifest, number=number, complete=complete)


@router.get("/objects/{manifest}", responses=READ_ERRORS)
def get_object(manifest: Digest, call: EmptyCall, here: Here) -> ObjectState:
    """Get an object's manifest and what of it is missing; ciphertext goes to the enclave only."""
    sealed = here.store.objects.get(manifest)
    here.member(call, sealed.agreement)
    envelope = json.loads(here.store.objects.manifest(manifest))
    return ObjectState(manifest=envelope, missing=here.store.objects.missing(sealed), complete=sealed.complete)


@router.get("/agreements/{agreement}/objects", responses=READ_ERRORS)
def list_objects(agreement: Digest, call: EmptyCall, here: Here) -> Objects:
    """List the objects of an agreement, the oldest first."""
    here.member(call, agreement)
    lines = [
        ObjectLine(digest=o.digest, name=o.name, owner=o.owner, kind=o.kind, complete=o.complete)
        for o in here.store.objects.of(agreement)
    ]
    return Objects(objects=lines)


def _check_declared(agreement: Agreement, sealed: Sealed, party: str) -> None:
    if sealed.owner != party:
        raise forbidden("a party uploads only its own objects")
    if agreement.owners.get(sealed.name) != party or agreement.kinds.get(sealed.name) != sealed.kind:
        raise forbidden(f"the agreement declares no {sealed.kind} of that name by this party")
