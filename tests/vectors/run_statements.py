"""Runs vectors of statements, of what follows from several of them, and of archives that are described, not given."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable
from typing import Any

from sealroom.client import bundle as bundles
from sealroom.client import receipt, standing
from sealroom.enclave.gate.admit import admit_agreement
from sealroom.protocol import bundle, canonical, envelope, schema, statements
from sealroom.protocol.agreement import Agreement, Party
from sealroom.protocol.decisions import Decision, verify_decision
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused
from sealroom.protocol.sealed import Manifest
from tests.vectors import cases
from tests.vectors.cases import Vector

Ending = tuple[str, str]
KINDS: dict[str, type[Any]] = {
    "approval": statements.Approval, "revocation": statements.Revocation, "stop": statements.Stop,
    "manifest": Manifest, "request": statements.Request, "evidence": statements.Evidence, "grant": statements.Grant,
    "offer": statements.Offer, "consent": statements.Consent, "decision": Decision, "receipt": statements.Receipt,
    "cosignature": statements.Cosignature,
}  # fmt: skip
MEASUREMENT = "c1" * 48
CHAIN_STAGES = {"E1.bad-chain": "1", "E2.broken-chain": "3", "E1.inconsistent": "4", "E1.bad-key": "4"}
RECEIPT_STEPS = {
    "check_logged": "8", "_cosigner": "7", "_consents": "6", "check_one_per_recipient": "5", "check_offer": "5",
    "check_receipt": "4", "_check_granted": "3", "_grant": "3", "_appraise": "2", "verify_chain": "1", "admit": "1",
    "_check_manifests": "1",
}  # fmt: skip
"""Which check of SPEC §5.9 a function makes; what none of them makes is about the list of offers."""
OF_THE_GATE = {"E2.stranger", "E2.signature", "E2.too-few-signatures", "E2.wrong-type", "E3.other-run",
               "E3.not-in-receipt"}  # fmt: skip
"""What can be wrong with an offer before its terms are looked at."""


def _envelopes(values: list[Any]) -> list[Envelope]:
    return [envelope.parse(canonical.encode(value)) for value in values]


def a_statement(vector: Vector) -> Ending:
    kind = vector.headers["kind"]
    value = cases.edited(cases.shared("statements")[kind], json.loads(vector.body))
    try:
        schema.decode(KINDS[kind], canonical.decode(canonical.encode(value), most=4 << 20))
    except Refused as error:
        return error.code, "schema"
    return cases.OK, "schema"


@functools.cache
def _agreement() -> tuple[Agreement, str]:
    (signed,) = _envelopes(cases.shared("receipt-bundle")["agreement"])
    return envelope.unverified(signed, Agreement), signed.digest


def a_standing(vector: Vector) -> Ending:
    """Whether the measurement is approved at `now`, by the statements that are there."""
    value = json.loads(vector.body)
    agreement, name = _agreement()
    found = standing.read(agreement, name, _envelopes(value["statements"]))
    approved = found.approved(agreement, now=value["now"], own=None, past=value["past"])
    return (cases.OK if MEASUREMENT in approved else "E3.measurement"), "approved"


def a_decision(vector: Vector) -> Ending:
    value = json.loads(vector.body)
    (signed,) = _envelopes([value["decision"]])
    party = schema.decode(Party, value["party"])
    try:
        verify_decision(signed, party, agreement=value["agreement"], release=value["release"])
    except Refused as error:
        return error.code, "about" if error.code == "E2.other-release" else "officer"
    return cases.OK, "about"


def a_chain(vector: Vector) -> Ending:
    chain = _envelopes(cases.resolved(json.loads(vector.body)))
    found = _code_of(lambda: admit_agreement(chain))
    if found not in ("E1.bad-chain", "E1.bad-key"):  # the offline check is written elsewhere, after the same steps
        assert _code_of(lambda: receipt.verify_chain(tuple(chain))) == found
    return found, "4" if found == cases.OK else CHAIN_STAGES.get(found, "2")


def _code_of(step: Callable[[], object]) -> str:
    try:
        step()
    except Refused as error:
        return error.code
    return cases.OK


def a_receipt_bundle(vector: Vector) -> Ending:
    value = cases.edited(cases.shared("receipt-bundle"), _repeated(json.loads(vector.body)))
    named = frozenset(vector.headers["roots"].split())
    try:
        read = bundles.parse(canonical.encode(value))
    except Refused as error:
        return error.code, "decode"
    try:
        found = receipt.verify(read, roots=named)
    except Refused as error:
        return error.code, _step(error)
    assert vector.headers["final"] == ("yes" if found.final else "no")
    return cases.OK, "8"


def _repeated(value: Any) -> Any:
    """Every `{"repeat": value, "times": n}` as that many of it in a list, or in one text."""
    if isinstance(value, list):
        return [_repeated(item) for item in value]
    if isinstance(value, dict) and set(value) == {"repeat", "times"}:
        again, times = value["repeat"], value["times"]
        return again * times if isinstance(again, str) else [again] * times
    return value


def _step(error: Refused) -> str:
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    step = next((step for function, step in RECEIPT_STEPS.items() if function in frames), "4")
    return "4" if step == "5" and error.code in OF_THE_GATE else step


def a_described_archive(vector: Vector) -> Ending:
    """An archive of so many files of so many bytes; a header may claim another size than its file has."""
    parts = []
    for item in json.loads(vector.body):
        text = item["text"].encode() if "text" in item else bytes([item["byte"]]) * item["size"]
        for number in range(item.get("times", 1)):
            name = item["name"].replace("#", f"{number:04}")
            parts += [bundle._header(name, item.get("claims", len(text))), text, bytes(-len(text) % 512)]
    try:
        bundle.read(b"".join([*parts, bytes(1024)]))
    except Refused as error:
        return error.code, {"E1.too-large": "size"}.get(error.code, "manifest")
    return cases.OK, "manifest"


RUNNERS: dict[str, Callable[[Vector], Ending]] = {
    "statement": a_statement,
    "standing": a_standing,
    "decision": a_decision,
    "agreement-chain": a_chain,
    "receipt-bundle": a_receipt_bundle,
    "bundle-size": a_described_archive,
}
