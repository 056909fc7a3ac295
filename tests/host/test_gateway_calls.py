"""Every call of the gateway: how it goes well, and who may not do it."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
from typing import Any

import pytest

from sealroom.protocol import canonical, digest, envelope
from tests.postgres import BOTH

STORES = BOTH

HEX = "ab" * 32


def challenge(nonce: str | None = None, **more: Any) -> bytes:
    return canonical.encode({"nonce": nonce or secrets.token_hex(32), **more})


def test_health_needs_no_signature(gateway: Any) -> None:
    answer = gateway.call.client.get("/v1/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_only_the_operator_registers_a_first_version(empty_gateway: Any, helpers: Any) -> None:
    g, first = empty_gateway, empty_gateway.parties.agreement()
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{first.digest}", first)) == (401, "unknown-caller")
    g.call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
    g.call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
    other = g.parties.agreement(title="another")
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{other.digest}", other)) == (403, "forbidden")
    entry = {"agreement": first.digest, "version": first.digest, "sequence": 1}
    assert g.call.ok("partner", "GET", "/agreements") == [entry]
    assert g.call("partner", "GET", f"/agreements/{first.digest}").content == first.to_bytes()


def test_the_operators_key_alone_sees_no_agreement(gateway: Any, helpers: Any) -> None:
    assert gateway.call.ok("operator", "GET", "/agreements") == []
    answer = gateway.call("operator", "GET", f"/agreements/{gateway.version}")
    assert helpers.code(answer) == (404, "not-found")


def test_a_member_of_another_agreement_finds_nothing_of_this_one(gateway: Any, helpers: Any) -> None:
    g = gateway
    run = g.start()
    other = g.parties.agreement(members=("stranger", "compliance"), title="another", requesters=["stranger"])
    g.call.ok("operator", "PUT", f"/agreements/{other.digest}", other)
    paths = [
        f"/agreements/{g.version}", f"/agreements/{g.agreement}/statements", f"/agreements/{g.agreement}/objects",
        f"/objects/{g.store.objects.of(g.agreement)[0].digest}", f"/runs?agreement={g.agreement}", f"/runs/{run}",
        *(f"/runs/{run}/{what}" for what in ("evidence", "grants", "offers", "consents", "receipt", "cosignatures")),
        f"/runs/{run}/offers/{HEX}/ciphertext",
    ]  # fmt: skip
    for path in paths:
        assert helpers.code(g.call("stranger", "GET", path)) == (404, "not-found"), path
    stop = g.parties.of("stranger", "stop", g.agreement)
    puts = {
        f"/runs/{run}/challenges/stranger": challenge(), f"/runs/{run}/grants/customers": stop.to_bytes(),
        f"/runs/{run}/offers/{HEX}/consents/stranger": stop.to_bytes(),
        f"/runs/{run}/cosignatures/stranger": stop.to_bytes(),
        f"/objects/{g.store.objects.of(g.agreement)[0].digest}/chunks/0": b"x",
    }  # fmt: skip
    for path, body in puts.items():
        assert helpers.code(g.call("stranger", "PUT", path, body)) == (404, "not-found"), path
    for path, body in ((f"/agreements/{g.agreement}/statements", stop.to_bytes()), (f"/runs/{run}/stop", b"")):
        assert helpers.code(g.call("stranger", "POST", path, body)) == (404, "not-found"), path
    manifest = g.parties.manifest("stranger", "customers", g.agreement, b"x" * 100)
    assert helpers.code(g.call("stranger", "PUT", f"/objects/{manifest.digest}", manifest)) == (404, "not-found")
    request = g.parties.request(g.agreement, g.version, {"customers": HEX}, requester="stranger")
    assert helpers.code(g.call("stranger", "POST", "/runs", request)) == (404, "not-found")


def test_a_later_version_needs_the_chain_and_everybodys_signature(gateway: Any, helpers: Any) -> None:
    g = gateway
    first = envelope.parse(g.store.agreements.envelope(g.version))
    partial = g.parties.successor(first, title="second", signers=("bank", "compliance"))
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{partial.digest}", partial)) == (403, "forbidden")
    forged = envelope.parse(
        canonical.encode(
            json.loads(g.parties.successor(first, title="second").to_bytes())
            | {"payload": base64.b64encode(g.parties.agreement(
                sequence=2, first=first.digest, previous=first.digest, title="third").unverified_payload).decode()}
        )
    )  # fmt: skip
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{forged.digest}", forged)) == (403, "forbidden")
    gap = g.parties.agreement(sequence=3, first=first.digest, previous=first.digest)
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{gap.digest}", gap)) == (409, "not-next")
    second = g.parties.successor(first, title="second")
    g.call.ok("partner", "PUT", f"/agreements/{second.digest}", second)
    g.call.ok("bank", "PUT", f"/agreements/{second.digest}", second)
    entry = {"agreement": first.digest, "version": second.digest, "sequence": 2}
    assert g.call.ok("bank", "GET", "/agreements") == [entry]
    rival = g.parties.successor(first, title="rival")
    assert helpers.code(g.call("bank", "PUT", f"/agreements/{rival.digest}", rival)) == (409, "not-next")
    stale = g.parties.request(g.agreement, first.digest, g.objects())
    assert helpers.code(g.call("bank", "POST", "/runs", stale)) == (409, "stale-version")


def test_an_envelope_goes_under_its_own_digest_only(gateway: Any, helpers: Any) -> None:
    g, first = gateway, gateway.parties.agreement(title="x")
    assert helpers.code(g.call("operator", "PUT", f"/agreements/{HEX}", first)) == (422, "wrong-digest")
    manifest = g.parties.manifest("bank", "customers", g.agreement, b"x" * 100)
    assert helpers.code(g.call("bank", "PUT", f"/objects/{HEX}", manifest)) == (422, "wrong-digest")


def test_statements_are_filed_by_their_author_and_listed_by_kind(gateway: Any, helpers: Any) -> None:
    g, path = gateway, f"/agreements/{gateway.agreement}/statements"
    approval = g.parties.of("bank", "approval", g.agreement, measurement="cd" * 48, not_after=1, nonce=HEX)
    revocation = g.parties.of("partner", "revocation", g.agreement, approval=approval.digest)
    assert g.call.ok("bank", "POST", path, approval) == {"digest": approval.digest}
    g.call.ok("bank", "POST", path, approval)
    g.call.ok("partner", "POST", path, revocation)
    both = [json.loads(s.to_bytes()) for s in (approval, revocation)]
    assert g.call.ok("compliance", "GET", path) == {"statements": both}
    assert g.call.ok("compliance", "GET", f"{path}?kind=approval") == {"statements": both[:1]}
    assert helpers.code(g.call("bank", "GET", f"{path}?kind=grant")) == (422, "bad-parameter")
    assert helpers.code(g.call("bank", "POST", path, g.parties.of("partner", "stop", g.agreement))) == (
        403,
        "forbidden",
    )
    foreign = g.parties.of("bank", "approval", HEX)
    assert helpers.code(g.call("bank", "POST", path, foreign)) == (422, "wrong-agreement")
    grant = g.parties.of("bank", "grant", g.agreement)
    assert helpers.code(g.call("bank", "POST", path, grant)) == (422, "wrong-kind")


def test_nobody_crowds_out_another_partys_stop(gateway: Any, helpers: Any) -> None:
    g, path = gateway, f"/agreements/{gateway.agreement}/statements"
    for number in range(2):
        g.call.ok(
            "compliance", "POST", path, g.parties.of("compliance", "stop", g.agreement, remark="x" * 380_000 * number)
        )
    full = g.parties.of("compliance", "stop", g.agreement, remark="y" * 600_000)
    assert helpers.code(g.call("compliance", "POST", path, full)) == (409, "too-many-statements")
    g.call.ok("compliance", "POST", path, g.parties.of("compliance", "revocation", g.agreement, approval=HEX))
    g.call.ok("partner", "POST", path, g.parties.of("partner", "stop", g.agreement))


def test_what_the_caller_did_not_sign_takes_nobodys_place(gateway: Any, helpers: Any) -> None:
    """The digest does not cover signatures: a body that does not verify would stay where the right one belongs."""
    g, path = gateway, f"/agreements/{gateway.agreement}/statements"
    right = g.parties.of("bank", "approval", g.agreement, measurement="cd" * 48, not_after=1, nonce=HEX)
    other = g.parties.of("partner", "approval", g.agreement)
    (sig,) = right.signatures
    for signatures in (
        (dataclasses.replace(sig, sig=other.signatures[0].sig),), other.signatures, (sig, *other.signatures)
    ):  # fmt: skip
        spoilt = dataclasses.replace(right, signatures=signatures)
        assert helpers.code(g.call("bank", "POST", path, spoilt)) == (403, "forbidden")
    g.call.ok("bank", "POST", path, right)
    request = g.parties.request(g.agreement, g.version, g.objects())
    spoilt = dataclasses.replace(request, signatures=other.signatures)
    assert helpers.code(g.call("bank", "POST", "/runs", spoilt)) == (403, "forbidden")
    manifest = dataclasses.replace(
        g.parties.manifest("bank", "customers", g.agreement, b"x" * 100), signatures=other.signatures
    )
    assert helpers.code(g.call("bank", "PUT", f"/objects/{manifest.digest}", manifest)) == (403, "forbidden")


def test_a_changed_key_signs_beside_the_old_one_and_nobody_else_does(gateway: Any, helpers: Any) -> None:
    g = gateway
    first = envelope.parse(g.store.agreements.envelope(g.version))
    old = g.parties.keys["compliance"]
    g.parties.keys["compliance"] = g.parties.keys["stranger"]
    second = g.parties.successor(first, title="second")
    both = envelope.cosign(second, [old])
    without_new = dataclasses.replace(
        both, signatures=tuple(s for s in both.signatures if s.keyid != g.parties.keys["stranger"].public.text)
    )
    one_more = envelope.cosign(both, [g.parties.keys["operator"]])
    for wrong in (second, without_new, one_more):
        assert helpers.code(g.call("bank", "PUT", f"/agreements/{both.digest}", wrong)) == (403, "forbidden")
    g.call.ok("bank", "PUT", f"/agreements/{both.digest}", both)


def test_a_run_is_asked_for_once_and_waits_for_every_owner(gateway: Any, helpers: Any) -> None:
    g, call = gateway, gateway.call
    request = g.parties.request(g.agreement, g.version, g.objects())
    expected = {"run": request.digest, "state": "waiting-for-challenges"}
    assert call.ok("bank", "POST", "/runs", request) == expected
    assert call.ok("bank", "POST", "/runs", request) == expected
    line = {"run": request.digest, "state": "waiting-for-challenges", "waiting_for": ["bank", "partner"]}
    assert call.ok("partner", "GET", f"/runs?agreement={g.agreement}") == {"runs": [line | {"created": int(g.clock())}]}
    view = call.ok("compliance", "GET", f"/runs/{request.digest}")
    assert view == line | {
        "request": json.loads(request.to_bytes()), "version": g.version, "launched": None, "next_visible": None,
        "receipt": False,
    }  # fmt: skip
    path = f"/runs/{request.digest}"
    assert helpers.code(call("bank", "PUT", f"{path}/challenges/partner", challenge())) == (403, "forbidden")
    assert helpers.code(call("compliance", "PUT", f"{path}/challenges/compliance", challenge())) == (403, "forbidden")
    body = challenge()
    assert call.ok("bank", "PUT", f"{path}/challenges/bank", body)["state"] == "waiting-for-challenges"
    call.ok("bank", "PUT", f"{path}/challenges/bank", body)
    assert helpers.code(call("bank", "PUT", f"{path}/challenges/bank", challenge())) == (409, "already-there")
    assert call.ok("bank", "GET", path)["waiting_for"] == ["partner"]
    assert call.ok("partner", "PUT", f"{path}/challenges/partner", challenge())["state"] == "queued"
    assert helpers.code(call("bank", "GET", f"{path}/evidence")) == (404, "not-found")
    assert call.ok("bank", "GET", f"{path}/offers") == {"offers": []}
    assert helpers.code(call("bank", "GET", f"{path}/receipt")) == (404, "not-found")
    assert call.ok("bank", "GET", f"{path}/consents") == {"consents": []}
    assert call.ok("bank", "GET", f"{path}/grants") == {"grants": []}
    assert call.ok("bank", "GET", f"{path}/cosignatures") == {"cosignatures": []}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"nonce":"' + b"0" * 64 + b'"}', (422, "bad-field")), (b"{}", (422, "missing-field")),
        (challenge("5a" * 32, more=1), (422, "unknown-field")), (b"not json", (422, "not-json")),
        (b"[]", (422, "not-json")),
        (challenge("AB" * 32), (422, "bad-field")), (b'{"nonce":1}', (422, "bad-field")),
        (b'{"nonce":"a","nonce":"b"}', (422, "not-json")), (b"x" * 4097, (413, "too-large")),
    ],
)  # fmt: skip
def test_a_challenge_must_be_as_specified(gateway: Any, helpers: Any, body: bytes, expected: tuple[int, str]) -> None:
    run = gateway.start()
    assert helpers.code(gateway.call("bank", "PUT", f"/runs/{run}/challenges/bank", body)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"requester": "partner"}, (403, "forbidden")), ({"version": HEX}, (409, "stale-version")),
        ({"deadline": 5}, (409, "too-late")), ({"rules": ["everything"]}, (422, "unknown-rule")),
        ({"rules": "overlap"}, (422, "bad-field")), ({"objects": {}}, (422, "bad-field")),
        ({"objects": {"customers": HEX}}, (404, "not-found")), ({"agreement": HEX}, (404, "not-found")),
        ({"objects": {"customers": "x"}}, (422, "bad-field")), ({"deadline": "soon"}, (422, "bad-field")),
    ],
)  # fmt: skip
def test_a_request_must_fit_the_agreement(gateway: Any, helpers: Any, changes: Any, expected: tuple[int, str]) -> None:
    fields = {"agreement": gateway.agreement, "version": gateway.version, "objects": gateway.objects()} | changes
    request = gateway.parties.request(**fields)
    assert helpers.code(gateway.call("bank", "POST", "/runs", request)) == expected


def test_a_request_names_objects_by_their_own_name_and_only_complete_ones(gateway: Any, helpers: Any) -> None:
    g, objects = gateway, gateway.objects()
    swapped = g.parties.request(g.agreement, g.version, {"prospects": objects["customers"]})
    assert helpers.code(g.call("bank", "POST", "/runs", swapped)) == (404, "not-found")
    manifest = g.parties.manifest("bank", "customers", g.agreement, b"new" * 100)
    g.call.ok("bank", "PUT", f"/objects/{manifest.digest}", manifest)
    early = g.parties.request(g.agreement, g.version, {"customers": manifest.digest})
    assert helpers.code(g.call("bank", "POST", "/runs", early)) == (409, "incomplete-object")


def test_an_agreement_holds_a_bounded_number_of_open_runs(gateway: Any, helpers: Any) -> None:
    g, objects = gateway, gateway.objects()
    requests = [g.parties.request(g.agreement, g.version, objects) for _ in range(g.settings.open_runs + 1)]
    for request in requests[:-1]:
        g.call.ok("bank", "POST", "/runs", request)
    assert helpers.code(g.call("bank", "POST", "/runs", requests[-1])) == (409, "too-many-runs")


def test_any_member_stops_a_run_and_a_stop_of_the_agreement_stops_all(gateway: Any, helpers: Any) -> None:
    g = gateway
    one, two = g.start(), g.start()
    assert g.call.ok("compliance", "POST", f"/runs/{one}/stop") == {"run": one, "state": "stopped"}
    assert g.call.ok("partner", "POST", f"/runs/{one}/stop") == {"run": one, "state": "stopped"}
    assert helpers.code(g.call("bank", "PUT", f"/runs/{one}/challenges/bank", challenge())) == (409, "wrong-state")
    g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", g.parties.of("partner", "stop", g.agreement))
    assert g.state(two) == "stopped"
    again = g.parties.request(g.agreement, g.version, g.objects())
    assert helpers.code(g.call("bank", "POST", "/runs", again)) == (409, "agreement-stopped")


def test_grants_come_only_after_evidence_and_from_owners(gateway: Any, helpers: Any) -> None:
    g, run = gateway, gateway.start()
    rows = {row["name"]: row["object"] for row in g.store.runs.objects(run)}
    name = digest.sha256("evidence/v1", b"{}")

    def grant(signer: str, object_name: str, /, **changes: Any) -> Any:
        fields = {"request": run, "evidence": name, "object": rows[object_name]} | changes
        return g.parties.of(signer, "grant", g.agreement, **fields)

    path = f"/runs/{run}/grants"
    early = g.call("bank", "PUT", f"{path}/customers", grant("bank", "customers"))
    assert helpers.code(early) == (409, "wrong-state")
    g.challenge(run)
    g.store.runs.step(g.store.runs.get(run), "take", g.clock(), launched=g.clock())
    g.store.runs.put_evidence(g.store.runs.get(run), b"{}", g.clock())
    assert g.call("partner", "GET", f"/runs/{run}/evidence").content == b"{}"
    wrong = {
        (422, "wrong-request"): {"request": HEX}, (422, "wrong-evidence"): {"evidence": HEX},
        (422, "wrong-object"): {"object": HEX}, (422, "wrong-agreement"): {"agreement": HEX},
        (403, "forbidden"): {"party": "partner"}, (422, "bad-field"): {"evidence": "x"},
    }  # fmt: skip
    for expected, changes in wrong.items():
        answer = g.call("bank", "PUT", f"{path}/customers", grant("bank", "customers", **changes))
        assert helpers.code(answer) == expected
    other = g.call("partner", "PUT", f"{path}/customers", grant("partner", "customers"))
    assert helpers.code(other) == (403, "forbidden")
    assert helpers.code(g.call("bank", "PUT", f"{path}/nothing", grant("bank", "customers"))) == (404, "not-found")
    good = grant("bank", "customers")
    assert g.call.ok("bank", "PUT", f"{path}/{rows['customers']}", good) == {"digest": good.digest}
    g.call.ok("bank", "PUT", f"{path}/customers", good)
    second = g.call("bank", "PUT", f"{path}/customers", grant("bank", "customers", remark="again"))
    assert helpers.code(second) == (409, "already-there")
    assert g.call.ok("partner", "GET", path) == {"grants": [json.loads(good.to_bytes())]}
    assert g.call.ok("partner", "GET", f"/runs/{run}")["waiting_for"] == ["partner"]


def test_what_is_no_call_gets_the_one_shape_too(gateway: Any, helpers: Any) -> None:
    client = gateway.call.client
    assert helpers.code(client.get("/v1/nothing")) == (404, "not-found")
    assert helpers.code(client.get("/")) == (404, "not-found")
    assert helpers.code(client.delete("/v1/health")) == (405, "method-not-allowed")
    assert helpers.code(gateway.call("bank", "GET", "/runs/UPPER")) == (422, "bad-parameter")
    assert helpers.code(gateway.call("bank", "GET", "/runs")) == (422, "bad-parameter")


def test_a_failure_of_ours_tells_nothing_of_its_cause(
    gateway: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret of customer 17")

    monkeypatch.setattr(type(gateway.store.agreements), "of", broken)
    answer = gateway.call("bank", "GET", "/agreements")
    assert helpers.code(answer) == (500, "internal")
    assert "secret" not in answer.text + "".join(gateway.log)
    assert [line["kind"] for line in map(json.loads, gateway.log) if line["event"] == "call-failed"] == ["RuntimeError"]


def test_the_description_documents_every_call(gateway: Any) -> None:
    text = gateway.call.client.get("/v1/openapi.json").json()
    calls = {(method, path): call for path, methods in text["paths"].items() for method, call in methods.items()}
    assert len(calls) == 35
    for (method, path), call in calls.items():
        assert call["summary"], (method, path)
        assert call["description"].endswith("."), (method, path)
        assert call["tags"], (method, path)
        if path not in ("/v1/health", "/v1/ready"):
            assert {"401", "404", "413", "422", "429"} <= set(call["responses"]), (method, path)
        if method == "put" or (method, path[-4:]) in (("post", "runs"), ("post", "ents")):
            assert call["requestBody"]["description"], (method, path)
        assert call["responses"]["200"]["content"], (method, path)
