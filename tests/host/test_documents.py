"""The host's plain look into envelopes agrees with the parties' own code, and refuses what is out of form."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sealroom.host import agreements, documents
from sealroom.host.problems import Problem
from sealroom.protocol import canonical, digest, wire

SIG = {"keyid": "A" * 43, "sig": "AAAA"}


def raw(**changes: Any) -> bytes:
    payload = changes.pop("inside", {"format": "sealroom/stop/v1"})
    encoded = payload if isinstance(payload, bytes) else canonical.encode(payload)
    fields = {
        "payload": base64.b64encode(encoded).decode(), "payloadType": "application/vnd.sealroom.stop.v1+json",
        "signatures": [SIG],
    }  # fmt: skip
    return canonical.encode({name: value for name, value in (fields | changes).items() if value is not None})


def test_a_statement_has_the_digest_that_parties_compute(gateway: Any) -> None:
    made = gateway.parties.of("bank", "stop", "ab" * 32)
    read = documents.statement(made.to_bytes(), "approval", "stop")
    assert (read.kind, read.digest, read.data) == ("stop", made.digest, made.to_bytes())
    assert read.unverified["party"] == "bank"
    assert list(read.signers) == [gateway.parties.keys["bank"].public.text]
    assert documents.labelled("evidence/v1", b"x", b"") == digest.sha256("evidence/v1", b"x", b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-json"), (b"[]", "not-json"), (b"{", "not-json"), (b"\xff", "not-json"),
        (b'{"a":1,"a":1}', "not-json"),
        (b'{"a": 1}', "not-canonical"), (b'{"a":NaN}', "not-json"), (b'{"a":' * 100 + b"1" + b"}" * 100, "not-json"),
        (b'{"a":' * 90000 + b"1" + b"}" * 90000, "not-json"), (b"x" * (wire.STATEMENT_MOST + 1), "too-large"),
        (raw() + b" ", "not-canonical"), (raw(extra=1), "unknown-field"), (raw(payload=None), "missing-field"),
        (raw(payloadType="text/plain"), "bad-field"), (raw(payloadType=1), "bad-field"),
        (raw(payloadType="application/vnd.sealroom.grant.v1+json"), "wrong-kind"),
        (raw(payloadType="application/vnd.sealroom.stop.v2+json"), "bad-field"),
        (raw(inside={"format": "sealroom/grant/v1"}), "wrong-kind"), (raw(inside=b"not json"), "not-json"),
        (raw(inside=b'{ "format":"sealroom/stop/v1"}'), "not-canonical"), (raw(payload="***"), "not-base64"),
        (raw(payload=""), "not-base64"), (raw(payload=1), "not-base64"), (raw(payload="QQ"), "not-base64"),
        (raw(payload="QR=="), "not-base64"), (raw(signatures=[]), "bad-field"), (raw(signatures={}), "bad-field"),
        (raw(signatures=[1]), "bad-field"), (raw(signatures=[SIG | {"x": 1}]), "unknown-field"),
        (raw(signatures=[{"keyid": "A" * 43}]), "missing-field"), (raw(signatures=[SIG | {"keyid": "x"}]), "bad-field"),
        (raw(signatures=[SIG, SIG]), "duplicate-signature"), (raw(signatures=[SIG] * 33), "bad-field"),
    ],
    ids=range(33),
)  # fmt: skip
def test_an_envelope_out_of_form_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(Problem) as refused:
        documents.statement(data, "stop")
    assert (refused.value.status, refused.value.code) == (422, code)


def test_what_has_no_canonical_form_is_refused() -> None:
    for value in (2**60, "\ud800", {1: 2}):
        with pytest.raises(Problem) as refused:
            documents.encode({"a": value})
        assert refused.value.code == "not-canonical"


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 0}, {"sequence": True}, {"sequence": "1"}, {"first": "ab" * 32}, {"previous": "ab" * 32},
        {"sequence": 2}, {"parties": None}, {"parties": [1]}, {"parties": [{}] * 17}, {"slots": None},
        {"slots": {"query": 0}},
        {"slots": {"query": 0, "opaque": 0}}, {"slots": {"query": -1, "opaque": 1}}, {"requesters": "bank"},
        {"requesters": [1]}, {"not_after": 2**50}, {"rules": [{}]}, {"datasets": [{"name": "A B", "owner": "x"}]},
        {"bundles": {}}, {"rules": None},
    ],
)  # fmt: skip
def test_an_agreement_that_cannot_be_read_is_refused(empty_gateway: Any, helpers: Any, changes: Any) -> None:
    g = empty_gateway
    made = g.parties.agreement(**changes)
    assert helpers.code(g.call("operator", "PUT", f"/agreements/{made.digest}", made)) == (422, "bad-field")


@pytest.mark.parametrize("twice", ["name", "signing_key"])
def test_parties_that_share_a_name_or_a_key_are_refused(empty_gateway: Any, helpers: Any, twice: str) -> None:
    g = empty_gateway
    fields = json.loads(g.parties.agreement().unverified_payload)["parties"]
    fields[1][twice] = fields[0][twice]
    made = g.parties.agreement(parties=fields)
    assert helpers.code(g.call("operator", "PUT", f"/agreements/{made.digest}", made)) == (422, "bad-field")
    fields[0]["consent"] = None
    made = g.parties.agreement(parties=fields[:1])
    assert helpers.code(g.call("operator", "PUT", f"/agreements/{made.digest}", made)) == (422, "bad-field")


def test_any_lane_but_query_makes_a_run_opaque(parties: Any) -> None:
    bundles = [{"name": n, "owner": "bank", "lane": lane} for n, lane in (("a", "query"), ("b", "whole"), ("c", "new"))]
    read = agreements.look(documents.statement(parties.agreement(bundles=bundles).to_bytes(), "agreement"))
    assert read.opaque == {"b", "c"}
    assert read.slot(frozenset({"customers", "a"})) == 0
    assert read.slot(frozenset({"customers", "a", "c"})) == 300
