"""The gateway's own description is the schema: signed calls made from it, valid and not, get documented answers."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from sealroom.host import app
from sealroom.host.settings import Settings
from sealroom.host.store import open_store
from sealroom.protocol import canonical
from sealroom.protocol.keys import to_text
from tests.fuzz import shapes

CALLS = settings(
    derandomize=True, deadline=None, database=None, max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip
CALLERS = ("operator", "bank", "partner", "stranger")
ANY = ["ab" * 32, "0", "5", "bank"]
"""For parameters of calls that this file knows nothing of."""
NEAR = 20
"""Calls of each operation that are made of what is really there, with something changed."""


def _description(folder: Path) -> dict[str, Any]:
    store = open_store(folder, most=1 << 30, changed=lambda: None)
    made = app.create(Settings(home=folder, operator_key=to_text(bytes(32)), public_url="https://gateway.test"), store)
    store.close()
    return made.openapi()


def _made() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sealroom-described-") as folder:
        return _description(Path(folder))


DESCRIPTION = _made()
UNSIGNED = {"/v1/health", "/v1/ready"}
OPERATIONS = sorted(
    (method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods if path not in UNSIGNED
)


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return DESCRIPTION


def test_the_description_has_the_calls_that_a_run_needs():
    assert len(OPERATIONS) >= 24
    assert {("post", "/v1/runs"), ("put", "/v1/runs/{run}/offers/{offer}/consents/{party}")} <= set(OPERATIONS)


@pytest.fixture
def played(gateway: Any) -> dict[str, list[str]]:
    """A gateway with objects and two runs; values of path parameters that lead somewhere."""
    run = gateway.start(opaque=True)
    gateway.challenge(run)
    other = gateway.start()
    objects = [
        line["digest"] for line in gateway.call.ok("bank", "GET", f"/agreements/{gateway.agreement}/objects")["objects"]
    ]
    return {
        "version": [gateway.version], "agreement": [gateway.agreement], "manifest": objects, "run": [run, other],
        "party": ["bank", "partner", "compliance", "nobody"], "object_key": [*objects, "customers"],
        "offer": ["ab" * 32], "number": ["0", "1", "1048576", "1048577", "-1", "x"], "kind": ["approval", "stop", "x"],
    }  # fmt: skip


def _judge(answer: Any, operation: dict[str, Any], what: str) -> int:
    """No answer but a documented one, and every error in the one shape."""
    status = answer.status_code
    assert str(status) in operation["responses"], f"{what}: {status} is not documented"
    assert status < 500 or status == 507, f"{what}: {answer.text}"
    if status != 200:
        body = answer.json()
        assert set(body) == {"error"}, what
        assert set(body["error"]) == {"code", "message", "hint"}, what
        assert all(isinstance(text, str) for text in body["error"].values()), what
    return int(status)


def _send(gateway: Any, who: str, method: str, target: str, body: bytes) -> Any:
    request = gateway.call.sign(who, method.upper(), target, body)
    return gateway.call.client.send(request)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{m}-{p}" for m, p in OPERATIONS])
def test_calls_made_from_the_description_get_documented_answers(
    gateway: Any, description: dict[str, Any], method: str, path: str
):
    operation = schemathesis.openapi.from_dict(description)[path][method]
    seen: set[int] = set()

    has_parameters = bool(description["paths"][path][method].get("parameters"))
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[: 1 + has_parameters]:

        @CALLS
        @given(operation.as_strategy(generation_mode=mode), st.sampled_from(CALLERS))
        def call(case: Any, who: str) -> None:
            sent = case.as_transport_kwargs(base_url="https://gateway.test")
            url = gateway.call.client.build_request(method, sent["url"], params=sent.get("params") or None).url
            target = url.raw_path.decode()
            if not target.startswith("/v1/"):
                return  # a parameter that leads out of the path is another call
            body = sent.get("json", sent.get("data", b""))
            data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            seen.add(_judge(_send(gateway, who, method, target, data), description["paths"][path][method], target))

        try:
            call()
        except Exception as error:
            if "Unsatisfiable" in type(error).__name__:  # no invalid value of these parameters can stand in a URL
                continue
            raise
    assert seen


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{m}-{p}" for m, p in OPERATIONS])
def test_calls_near_valid_ones_get_documented_answers(
    gateway: Any, played: dict[str, list[str]], description: dict[str, Any], method: str, path: str
):
    rng = random.Random(f"{method} {path}")
    operation = description["paths"][path][method]
    bodies = _bodies(gateway, played)
    seen = set()
    for _ in range(NEAR):
        target = path
        for parameter in (p for p in operation.get("parameters", ()) if p["in"] == "path"):
            target = target.replace(
                "{" + parameter["name"] + "}", quote(_value(rng, played.get(parameter["name"], ANY)), safe="")
            )
        query = [
            (p["name"], _value(rng, played.get(p["name"], ANY)))
            for p in operation.get("parameters", ())
            if p["in"] == "query"
        ]
        if query and rng.random() < 0.9:
            target += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        body = b""
        if "requestBody" in operation or rng.random() < 0.1:
            body = rng.choice(bodies)
            body = body if rng.random() < 0.4 else shapes.mutate(rng.choice(("json", "bytes")), body, rng)
        answer = _send(gateway, rng.choice(CALLERS), method, target, body)
        seen.add(_judge(answer, operation, f"{method} {target} {body[:200]!r}"))
    assert seen


def test_the_store_is_sound_after_all_kinds_of_calls(gateway: Any, played: dict[str, list[str]]):
    rng = random.Random(4)
    for body in _bodies(gateway, played):
        for who in CALLERS:
            _send(gateway, who, "POST", "/v1/runs", shapes.of_json(body, rng))
    (line,) = gateway.call.ok("bank", "GET", "/agreements")
    assert line["version"] == gateway.version
    assert gateway.state(played["run"][0]) in ("queued", "waiting-for-challenges")


def _value(rng: random.Random, known: list[str]) -> str:
    if rng.random() < 0.75:
        return rng.choice(known)
    return rng.choice(("0" * 64, "F" * 64, " ", "a\x00b", "é", "%", "a" * 300, known[0] + "\n"))


def _bodies(gateway: Any, played: dict[str, list[str]]) -> list[bytes]:
    parties, agreement, run = gateway.parties, gateway.agreement, played["run"][0]
    objects = {"customers": played["manifest"][0], "prospects": played["manifest"][-1]}
    made = [
        parties.agreement(), parties.request(agreement, gateway.version, objects),
        parties.manifest("bank", "customers", agreement, b"c" * 1000),
        parties.of("bank", "approval", agreement, measurement="ab" * 48, not_after=2**40 - 1, nonce="00" * 32),
        parties.of("bank", "stop", agreement),
        parties.of("bank", "grant", agreement, request=run, evidence="ab" * 32, object=objects["customers"]),
        parties.of("partner", "consent", agreement, release="ab" * 32, decision="refuse", share=None),
        parties.of("bank", "cosignature", agreement, receipt="ab" * 32),
    ]  # fmt: skip
    return [*(item.to_bytes() for item in made), canonical.encode({"nonce": "ab" * 32}), b"c" * 1016, b"", b"{}"]


def test_a_length_that_is_no_number_is_a_documented_error(gateway: Any, description: dict[str, Any]):
    request = gateway.call.sign("bank", "GET", "/v1/agreements")
    request.headers["content-length"] = "many"
    _judge(gateway.call.client.send(request), description["paths"]["/v1/agreements"]["get"], "content-length")
