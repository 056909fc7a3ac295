"""Runs one vector and says how it ended: (`ok` or an error code, the stage that decided)."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import traceback
from collections.abc import Callable
from typing import Any
from unittest import mock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_grant, admit_request
from sealroom.protocol import bundle, canonical, consistency, digest, envelope, release, schema, sealed
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import from_text
from sealroom.protocol.sealed import CHUNK, TAG, Manifest, Opener
from sealroom.protocol.statements import Offer, Stop
from tests.vectors import cases, run_log, run_statements, run_witness
from tests.vectors.cases import Vector

Ending = tuple[str, str]
MOST = 8 << 20
ENVELOPE_STAGES = {
    "E2.wrong-type": "type",
    "E2.stranger": "signatures",
    "E2.signature": "signatures",
    "E2.too-few-signatures": "threshold",
}
BUNDLE_STAGES = {
    "E1.too-large": "size",
    "E1.bad-header": "header",
    "E1.bad-name": "header",
    "E1.out-of-order": "order",
    "E1.cut-short": "content",
    "E1.bad-padding": "content",
    "E1.trailing-bytes": "end",
}
CHECKS = {
    "E1.bad-chain": "1",
    "E2.broken-chain": "3",
    "E1.inconsistent": "4",
    "E1.bad-key": "4",
    "E3.requester": "5",
    "E3.other-agreement": "6",
    "E1.repeated-rule": "7",
    "E3.unknown-rule": "7",
    "E3.objects": "8",
    "E3.columns": "9",
    "E3.manifests": "10",
    "E3.manifest-context": "10",
    "E3.manifest-media": "10",
    "E3.nonce": "11",
    "E3.grant-object": "12",
    "E3.grant-context": "13",
    "E4.cannot-open": "14",
    "E1.not-base64": "14",
}
STEPS = {"_admit_manifests": "10", "admit_request": "5", "admit_agreement": "2", "admit_grant": "12"}
"""Where a signature is checked, innermost first: the check that it belongs to."""


def run(form: str, vector: Vector) -> Ending:
    return RUNNERS[form](vector)


def _steps(*steps: tuple[str, Callable[[], Any]]) -> Ending:
    """Run named steps until one refuses."""
    stage = ""
    for stage, step in steps:
        try:
            step()
        except Refused as error:
            return error.code, stage
    return cases.OK, stage


def canonical_json(vector: Vector) -> Ending:
    return _steps(("decode", lambda: canonical.encode(canonical.decode(vector.body, most=1 << 16))))


def an_envelope(vector: Vector) -> Ending:
    keys = {name: cases.signing(name).public for name in vector.headers["signers"].split()}
    threshold = None if vector.headers["threshold"] == "all" else int(vector.headers["threshold"])
    try:
        read = envelope.parse(vector.body)
    except Refused as error:
        return error.code, "parse"
    try:
        envelope.verify(read, Stop, keys, threshold=threshold)
    except Refused as error:
        return error.code, ENVELOPE_STAGES.get(error.code, "payload")
    return cases.OK, "payload"


def sealed_object(vector: Vector) -> Ending:
    value = json.loads(vector.body)
    key = bytes.fromhex(value["key"])
    try:
        manifest = schema.decode(Manifest, value["manifest"])
    except Refused as error:
        return error.code, "manifest"
    try:
        opener = Opener(key, manifest)
    except Refused as error:
        return error.code, "sizes" if error.code == "E1.bad-sizes" else "commitment"
    data = _recipe(key, manifest, value["recipe"]) if "recipe" in value else bytes.fromhex(value["ciphertext"])
    return _steps(("chunk", lambda: list(opener.plaintext(lambda offset, size: data[offset : offset + size]))))


def _recipe(key: bytes, manifest: Manifest, recipe: dict[str, Any]) -> bytes:
    """Seal so many equal bytes again under the same key and salt, and put the chunks in the order that is asked for."""
    fields = {name: getattr(manifest, name) for name in ("agreement", "kind", "name", "owner", "media")}
    out = io.BytesIO()
    with mock.patch.object(os, "urandom", side_effect=[key, bytes.fromhex(manifest.salt)]):
        _, again = sealed.seal(
            io.BytesIO(bytes([recipe["byte"]]) * recipe["size"]), out, sealed.Context(size=recipe["size"], **fields)
        )
    assert again == manifest, "the recipe does not make this object"
    step = CHUNK + TAG
    return b"".join(out.getvalue()[n * step : (n + 1) * step] for n in recipe["order"])


def an_archive(vector: Vector) -> Ending:
    try:
        read = bundle.read(vector.body)
    except Refused as error:
        return error.code, BUNDLE_STAGES.get(error.code, "manifest")
    assert bundle.build(read.files) == vector.body
    return cases.OK, "manifest"


def an_agreement(vector: Vector) -> Ending:
    document = cases.edited(cases.shared("agreement-document"), json.loads(vector.body))
    try:
        agreement = schema.decode(Agreement, document)
    except Refused as error:
        return error.code, "schema"
    return _steps(("consistency", lambda: consistency.check(agreement)))


def _envelopes(values: list[Any]) -> list[Envelope]:
    return [envelope.parse(canonical.encode(value)) for value in values]


def _admitted(value: dict[str, Any]) -> AdmittedRun:
    (request,) = _envelopes([value["request"]])
    agreed = admit_agreement(_envelopes(value["agreement"]))
    return admit_request(
        agreed, request, _envelopes(value["manifests"]), nonces=value["nonces"], checkpoint=value["checkpoint"]
    )


def _check_of(error: Refused) -> str:
    if error.code in CHECKS:
        return CHECKS[error.code]
    frames = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    return next(check for function, check in STEPS.items() if any(function in frame for frame in frames))


def request_admission(vector: Vector) -> Ending:
    try:
        _admitted(cases.resolved(json.loads(vector.body)))
    except Refused as error:
        return error.code, _check_of(error)
    return cases.OK, "11"


@functools.cache
def _run() -> AdmittedRun:
    return _admitted(cases.resolved(cases.shared("run")))


def a_grant(vector: Vector) -> Ending:
    (grant,) = _envelopes([json.loads(vector.body)])
    try:
        admit_grant(_run(), grant, evidence=cases.EVIDENCE, key=cases.sealing("gate"))
    except Refused as error:
        return error.code, _check_of(error)
    return cases.OK, "14"


def a_share(vector: Vector) -> Ending:
    value = cases.resolved(json.loads(vector.body))
    offer = schema.decode(Offer, value["offer"])
    return _steps(("share", lambda: release.open_share(offer, value["party"], cases.sealing(value["party"]))))


def a_release(vector: Vector) -> Ending:
    value = cases.resolved(json.loads(vector.body))
    offer = schema.decode(Offer, value["offer"])
    ciphertext = from_text(value["ciphertext"])
    shares = {name: from_text(share) for name, share in value["shares"].items()}
    stage = _release_stage(offer, ciphertext, shares, value["recipient"])
    try:
        text = release.open_release(offer, ciphertext, shares, cases.sealing(value["recipient"]))
    except Refused as error:
        return error.code, stage
    assert text.decode() == value["text"]
    return cases.OK, stage


def _release_stage(offer: Offer, ciphertext: bytes, shares: dict[str, bytes], recipient: str) -> str:
    """The steps of SPEC §7.4 once more, with primitives: the first that does not hold."""
    words = (offer.agreement, offer.version, offer.request, offer.rule, offer.recipient)
    context = digest.preimage("release/v1", *map(str.encode, words))
    if (len(ciphertext), hashlib.sha256(ciphertext).hexdigest()) != (offer.size, offer.ciphertext_sha256):
        return "ciphertext"
    said = {n: digest.sha256("share-commitment/v1", context, n.encode(), share) for n, share in shares.items()}
    if said != offer.share_commitments or set(said) != set(offer.affected) or not said:
        return "shares"
    key = functools.reduce(lambda a, b: bytes(x ^ y for x, y in zip(a, b, strict=True)), shares.values())
    try:
        inner = AESGCM(key).decrypt(bytes(12), ciphertext, context)
    except InvalidTag:
        return "outer"
    try:
        cases.sealing(recipient).open(inner, info=context)
    except Refused:
        return "inner"
    return "padding"


RUNNERS: dict[str, Callable[[Vector], Ending]] = {
    "canonical-json": canonical_json,
    "envelope": an_envelope,
    "sealed-object": sealed_object,
    "bundle": an_archive,
    "agreement": an_agreement,
    "request-admission": request_admission,
    "grant": a_grant,
    "share": a_share,
    "release": a_release,
    **run_statements.RUNNERS,
    **run_log.RUNNERS,
    **run_witness.RUNNERS,
}
