"""The gateway's client signs every call, trusts no answer, reads no more than it must, and gives up in time."""

from __future__ import annotations

import gzip
import hashlib
import json

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms

from sealroom.client import config, transport
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.transport import GatewayRefused, Transport
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.keys import SigningKey

KEY = SigningKey.generate()
RUN = "ab" * 32


def gateway(handler, slept=None):
    sleep = (slept if slept is not None else []).append
    calls = Transport("https://gate.test", lambda: KEY, transport=httpx2.MockTransport(handler), sleep=sleep)
    return Gateway(None, transport=calls)


def answer(value, status=200):
    return httpx2.Response(status, content=json.dumps(value).encode())


def test_every_call_is_signed_over_method_target_and_body_with_a_fresh_nonce():
    seen = []

    def handler(request):
        body = request.read()
        public = Ed25519PublicKey.from_public_bytes(KEY.public.raw)
        verifier = HTTPMessageVerifier(
            signature_algorithm=algorithms.ED25519,
            key_resolver=MappingKeyResolver(public_keys={KEY.public.text: public}, private_keys={}),
        )
        seen.extend(verifier.verify(request, body=body, expect_tag=transport.TAG))
        return answer({"status": "ok"})

    there = gateway(handler)
    there.health()
    there.put_challenge(RUN, "bank", "cd" * 32)
    for result in seen:
        names = {name.strip('"') for name in result.covered_components}
        assert {"@method", "@authority", "@target-uri", "content-digest"} <= names
        assert result.parameters["keyid"] == KEY.public.text
        assert len(result.parameters["nonce"]) >= 16
    assert len({result.parameters["nonce"] for result in seen}) == 2


def test_a_lost_answer_is_asked_for_again_with_growing_pauses_and_another_signature():
    signatures, slept = [], []

    def handler(request):
        signatures.append(request.headers["signature"])
        if len(signatures) < 3:
            raise httpx2.ConnectError("nobody there", request=request)
        return answer({"status": "ok"})

    assert gateway(handler, slept).health() == "ok"
    assert len(set(signatures)) == 3
    assert slept[0] < slept[1]


def test_a_gateway_that_never_answers_is_unreachable_after_a_bounded_number_of_tries():
    tries = []

    def handler(request):
        tries.append(1)
        return answer({"error": {"code": "busy", "message": "busy", "hint": ""}}, 503)

    with pytest.raises(Unreachable):
        gateway(handler).health()
    assert len(tries) == transport.TRIES


def test_a_call_too_many_gets_its_turn_after_pauses_that_grow_to_a_bound():
    tries, slept = [], []

    def handler(request):
        tries.append(1)
        if len(tries) < transport.TRIES_LIMITED:
            return answer({"error": {"code": "too-many-requests", "message": "slowly", "hint": ""}}, 429)
        return answer({"status": "ok"})

    assert gateway(handler, slept).health() == "ok"
    assert max(slept) <= 3


def test_a_caller_that_never_gets_its_turn_was_refused_nothing():
    with pytest.raises(Unreachable, match="429"):
        gateway(lambda _: answer({"error": {"code": "x", "message": "m", "hint": ""}}, 429)).health()


def test_silence_is_unreachable():
    def handler(request):
        raise httpx2.ReadTimeout("silence", request=request)

    with pytest.raises(Unreachable):
        gateway(handler).health()


@pytest.mark.parametrize("status", [401, 403])
def test_a_caller_that_is_not_known_is_not_authorized(status):
    with pytest.raises(NotAuthorized):
        gateway(lambda _: answer({"error": {"code": "stranger", "message": "who", "hint": ""}}, status)).health()


@pytest.mark.parametrize("status", [302, 500])
def test_a_failing_or_redirecting_gateway_is_unreachable(status):
    with pytest.raises(Unreachable):
        gateway(lambda _: httpx2.Response(status, headers={"location": "https://elsewhere.test/"})).health()


def test_a_refusal_keeps_its_code_and_loses_its_terminal_tricks():
    error = {"code": "Already There!", "message": "no\x1b[31m\nway \u202e", "hint": "x" * 1000}
    with pytest.raises(GatewayRefused) as caught:
        gateway(lambda _: answer({"error": error}, 409)).health()
    assert caught.value.code == "E3.gateway-alreadythere"
    assert caught.value.status == 409
    assert caught.value.message.isprintable()
    assert caught.value.message.isascii()
    assert len(caught.value.hint) <= 300


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b'{"error": 1}', b"[" * 60_000])
def test_a_refusal_without_words_is_still_a_refusal(body):
    with pytest.raises(GatewayRefused) as caught:
        gateway(lambda _: httpx2.Response(409, content=body)).health()
    assert caught.value.code == "E3.gateway-error"


def test_an_answer_is_not_read_beyond_its_bound():
    read = []

    def endless():
        while True:
            read.append(1)
            yield b"x" * 65536

    with pytest.raises(Unreachable):
        gateway(lambda _: httpx2.Response(200, content=endless())).ciphertext(RUN, RUN, most=100_000)
    assert len(read) < 10


def test_a_compressed_answer_is_not_unpacked():
    with pytest.raises(Unreachable):
        gateway(
            lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"{}"))
        ).health()


def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(transport, "PATIENCE", -1.0)
    with pytest.raises(Unreachable):
        gateway(lambda _: answer({"status": "ok"})).health()


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.agreements(),
        lambda g: g.statements(RUN, "stop"),
        lambda g: g.runs(RUN),
        lambda g: g.run(RUN),
        lambda g: g.offers(RUN),
        lambda g: g.grants(RUN),
        lambda g: g.object_state(RUN),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"3", b"[1]", b'{"runs":{}}', b'{"statements":[{}],"offers":[{}],"grants":[{}]}']
)
def test_an_answer_of_another_form_is_malformed(call, body):
    if (call, body) and body == b'{"runs":{}}':
        body = b'{"runs":{},"status":1'
    with pytest.raises(Malformed):
        call(gateway(lambda _: httpx2.Response(200, content=body)))


def test_what_is_not_there_yet_is_none():
    there = gateway(lambda _: answer({"error": {"code": "not-found", "message": "no", "hint": ""}}, 404))
    assert there.evidence(RUN) is None
    assert there.receipt(RUN) is None
    assert there.object_state(RUN) is None


def test_other_refusals_are_not_taken_for_absence():
    with pytest.raises(GatewayRefused):
        gateway(lambda _: answer({"error": {"code": "gone", "message": "no", "hint": ""}}, 410)).evidence(RUN)


def test_fields_that_are_new_are_left_alone():
    entry = {"run": RUN, "state": "queued", "waiting_for": [], "created": 1, "mood": "good"}
    assert gateway(lambda _: answer({"runs": [entry]})).runs(RUN)[0].state == "queued"


def test_the_body_of_a_chunk_arrives_as_sent():
    seen = {}

    def handler(request):
        seen[request.url.path] = hashlib.sha256(request.read()).hexdigest()
        return answer({})

    gateway(handler).put_chunk(RUN, 3, b"\0\1" * 1000)
    assert seen == {f"/v1/objects/{RUN}/chunks/3": hashlib.sha256(b"\0\1" * 1000).hexdigest()}


def test_a_home_without_a_gateway_says_so(tmp_path):
    with pytest.raises(UsageError):
        transport.connect(config.make(party="bank", role="bank"), lambda: KEY)


def test_a_certificate_that_is_none_is_refused(tmp_path):
    (tmp_path / "cert.pem").write_text("nonsense")
    settings = config.make(
        party="bank", role="bank", gateway="https://gate.test", gateway_certificate=str(tmp_path / "cert.pem")
    )
    with pytest.raises(UsageError):
        transport.connect(settings, lambda: KEY)
