"""Valid documents of every kind, with the keys that the vectors are made with: where fuzzing and bit flips begin."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from sealroom.attestation.evidence import SnpEvidence, snp_evidence
from sealroom.attestation.simulated.processor import Keys, Processor, create
from sealroom.attestation.snp import cert_table
from sealroom.client.entries import Amount, Draft
from sealroom.protocol import canonical, digest, envelope, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.decisions import Decision
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SUITE_NAME, to_text
from sealroom.protocol.logged import Log, Refusal
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.rules import Cost
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import (
    Approval,
    Consent,
    Cosignature,
    Evidence,
    Grant,
    LedgerHead,
    Offer,
    Receipt,
    Request,
    Revocation,
    RuleResult,
    Stop,
)
from tests import parties
from tests.vectors import cases

NOW = 1_790_000_000
A, B, C = "ab" * 32, "cd" * 32, "ef" * 32
MEASUREMENT = "c1" * 48
REPORT_DATA = b"\x05" * 64
LAUNCH = parties.LAUNCH
HEAD = LedgerHead(sequence=3, previous=B)
COST = Cost(epsilon=500_000, bits=1585)
_KEPT = tempfile.TemporaryDirectory(prefix="sealroom-fuzz-", ignore_cleanup_errors=True)


def shared_envelope(name: str) -> Envelope:
    """An envelope of the vectors: `agreement`, `request`, `customers`."""
    return envelope.parse(canonical.encode(cases.shared(name)))


def agreement() -> Agreement:
    return schema.decode(Agreement, cases.shared("agreement-document"))


def offer() -> Offer:
    return schema.decode(Offer, cases.shared("offer"))


def statements() -> tuple[Any, ...]:
    """One valid statement of every kind that is signed."""
    return (
        Approval(
            format="sealroom/approval/v1", party="bank", agreement=A, measurement=MEASUREMENT, not_after=NOW + 10**6,
            created=NOW, remark="für heute", nonce=C,
        ),
        Revocation(
            format="sealroom/revocation/v1", party="bank", agreement=A, approval=B, created=NOW, remark="withdrawn"
        ),
        Stop(format="sealroom/stop/v1", party="bank", agreement=A, created=NOW, remark="enough"),
        envelope.unverified(shared_envelope("request"), Request),
        Grant(
            format="sealroom/grant/v1", party="bank", agreement=A, version=A, request=B, evidence=C, object=B,
            suite=SUITE_NAME, sealed_key=to_text(cases.sealing("gate").public.seal(bytes(32), info=b"")), ledger=HEAD,
            charged=COST, created=NOW, deadline=NOW + 3600,
        ),
        offer(),
        Consent(
            format="sealroom/consent/v1", party="bank", agreement=A, release=C, decision="release",
            share=to_text(bytes(32)), ledger=HEAD, charged=COST, created=NOW, remark="as agreed: at once",
        ),
        Receipt(
            format="sealroom/receipt/v1", agreement=A, version=A, request=B, evidence=C, platform_class="simulated",
            gate_key=cases.signing("gate").public.text, grants=(A, B), layers=("landlock", "seccomp"),
            status="completed", results=(RuleResult(rule="overlap", outcome="offered", offers=(C,)),),
            reasons={"bank": to_text(bytes(40))},
        ),
        Cosignature(format="sealroom/cosignature/v1", party="bank", receipt=B, created=NOW),
        Decision(
            format="sealroom/decision/v1", party="bank", agreement=A, release=B, decision="refuse", created=NOW,
            remark="not now",
        ),
        Refusal(
            format="sealroom/refusal/v1", party="bank", agreement=A, version=A, request=B, evidence=None,
            reasons={"partner": to_text(bytes(40))}, created=NOW,
        ),
        Log(
            format="sealroom/log/v1", party="operator", agreement=A, key=cases.signing("operator").public.text,
            created=NOW,
        ),
        envelope.unverified(shared_envelope("customers"), Manifest),
        agreement(),
    )  # fmt: skip


def ledger_draft() -> Draft:
    return Draft(
        format="sealroom/ledger-entry/v1", kind="grant", once="grant/1", name="n", agreement=A, remark="a remark",
        charges={"customers": Amount(bits=1585, runs=1)}, created=NOW, deadline=NOW + 60,
    )  # fmt: skip


@functools.cache
def processor() -> Processor:
    """A simulated processor; its two RSA keys take seconds."""
    return create(Path(_KEPT.name) / "processor", now=NOW - 1000, keys=Keys.generate())


@functools.cache
def table() -> bytes:
    """What a host puts beside a report."""
    return processor().certificate_table(NOW)


def platform_evidence(report_data: bytes = REPORT_DATA) -> SnpEvidence:
    parts = cert_table.parse(table())
    host_data = digest.sha256("launch-configuration/v1", LAUNCH)
    report = processor().report(
        report_data=report_data, measurement=MEASUREMENT, host_data=host_data, report_id=bytes(32)
    )
    return snp_evidence(
        report=report, vek=parts[cert_table.VCEK], intermediate=parts[cert_table.ASK], root=parts[cert_table.ARK],
        crl=parts[cert_table.CRL], host_data_preimage=LAUNCH,
    )  # fmt: skip


def certificates() -> list[bytes]:
    parts = cert_table.parse(table())
    return [parts[cert_table.VCEK], parts[cert_table.ASK], parts[cert_table.ARK]]


def revocation_list() -> bytes:
    return cert_table.parse(table())[cert_table.CRL]


def evidence() -> Evidence:
    """Evidence whose platform part is short; what it says is for `appraise` to judge, not for its decoder."""
    return Evidence(
        format="sealroom/evidence/v1", agreement=A, version=A, request=B, nonces={"bank": C, "partner": A},
        checkpoint=cases.CHECKPOINT, gate_signing_key=cases.signing("gate").public.text,
        gate_sealing_key=cases.sealing("gate").public.text, platform="sev-snp", attestation=to_text(b'{"type":"x"}'),
    )  # fmt: skip


def policy() -> Any:
    return simulated_policy(A)


def signed(document: object, *names: str) -> Envelope:
    return envelope.sign(document, [cases.signing(name) for name in names or ("bank",)])


def receipt_bundle() -> Any:
    """The JSON of a receipt bundle that its reader takes; whether it verifies is another question."""
    by_type = {type(document).__name__: schema.encode(signed(document)) for document in statements()}
    return {
        "format": "sealroom/receipt-bundle/v2", "agreement": [cases.shared("agreement")],
        "approvals": [by_type["Approval"]], "revocations": [by_type["Revocation"]], "manifests": [by_type["Manifest"]],
        "request": cases.shared("request"), "evidence": schema.encode(evidence()), "grants": [by_type["Grant"]],
        "offers": [by_type["Offer"]], "consents": [by_type["Consent"]], "receipt": by_type["Receipt"],
        "cosignatures": [by_type["Cosignature"]],
        "log": {
            "key": by_type["Log"], "checkpoint": cases.shared("receipt-bundle")["log"]["checkpoint"],
            "entries": [{"digest": A, "number": 5, "salt": B, "proof": [C, A]}],
        },
    }  # fmt: skip


def vectors(form: str) -> list[bytes]:
    """The bodies of all vectors of one format."""
    return [cases.load(form, name).body for found, name in cases.names() if found == form]


def keyed(text: str) -> bytes:
    """Bytes that follow from a name."""
    return hashlib.shake_256(text.encode()).digest(32)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def unsigned(kind: str, payload: bytes) -> Envelope:
    """An envelope around any payload, to be signed."""
    return Envelope(base64.b64encode(payload).decode(), f"application/vnd.sealroom.{kind}.v1+json", ())


def hostile(shape: str) -> list[bytes]:
    """Inputs that every decoder of a shape must survive: deep nesting, huge numbers, repeated keys, odd encodings."""
    nested = [opened * 5000 + closed * 5000 for opened, closed in ((b"[", b"]"), (b'{"a":', b"}"))]
    numbers = [b"9" * 5000, b"-" + b"9" * 400, b"1e999999999", b"1e-999999999", b"NaN", b"-Infinity", b"0x10", b"1_0"]
    odd = [
        b"",
        b"\0",
        b"\xff\xfe{\0",
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b'{"\\ud800":1}',
        b'{"a":1,"a":1}',
        b"\x80" * 64,
    ]
    if shape == "json":
        return [*nested, *numbers, *odd, *(b'{"format":' + number + b"}" for number in numbers)]
    if shape == "text":
        inputs = [b"epsilon = " + number for number in numbers]
        inputs += [b"[overlap]\nepsilon = " + number for number in numbers]
        inputs += [b"a = " + text for text in nested] + [b"title = " + text for text in nested]
        return [*inputs, *odd, b"[" * 5000, b"a." * 5000 + b"a = 1", b"[a]\n" * 2, b'"' * 5000, b"," * 5000]
    if shape == "der":
        oid = b"\x06\x82\x0b\xb8" + b"\xff" * 2999 + b"\x7f"
        deep = b""
        for _ in range(3):
            deep = b"\x30\x80" + deep
        return [oid, deep, b"\x30\x84\xff\xff\xff\xff", b"\x02\x82\x0f\xa0\x7f" + b"\xff" * 3999, *odd]
    return [*nested[:1], *odd, b"\0" * 2000, b"\xff" * 2000, b"\x00\x10\x00\x00" + b"[" * 4000]
