"""Who is let in: signatures, freshness, nonces, sizes and rates."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sealroom.host import limits
from sealroom.host.problems import Problem
from sealroom.host.store.pruning import Pruning
from sealroom.protocol import envelope
from tests.postgres import BOTH

STORES = BOTH

PATH = "/v1/agreements"


def send(gateway: Any, **options: Any) -> Any:
    return gateway.call.client.send(gateway.call.sign("bank", "GET", PATH, **options))


def at(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def test_a_signed_call_of_a_member_is_let_in(gateway: Any) -> None:
    assert send(gateway).status_code == 200
    assert send(gateway, include_alg=False).status_code == 200


def test_an_unsigned_call_is_not(gateway: Any, helpers: Any) -> None:
    assert helpers.code(gateway.call.client.get(PATH)) == (401, "not-signed")
    request = gateway.call.sign("bank", "GET", PATH)
    del request.headers["signature"]
    assert helpers.code(gateway.call.client.send(request)) == (401, "not-signed")


def test_a_key_that_nobody_knows_is_refused(gateway: Any, helpers: Any) -> None:
    assert helpers.code(gateway.call("stranger", "GET", "/agreements")) == (401, "unknown-caller")
    request = gateway.call.sign("bank", "GET", PATH)
    request.headers["signature-input"] = request.headers["signature-input"].replace('keyid="', 'keyid="x')
    assert helpers.code(gateway.call.client.send(request)) == (401, "unknown-caller")


def test_a_request_counts_once(gateway: Any, helpers: Any) -> None:
    request = gateway.call.sign("bank", "GET", PATH)
    assert gateway.call.client.send(request).status_code == 200
    assert helpers.code(gateway.call.client.send(request)) == (401, "replayed-request")
    gateway.clock.now += 30
    assert helpers.code(gateway.call.client.send(request)) == (401, "replayed-request")


def test_two_callers_may_draw_the_same_nonce(gateway: Any) -> None:
    nonce = secrets.token_urlsafe(24)
    for party in ("bank", "partner"):
        gateway.call.ok(party, "GET", "/agreements", nonce=nonce)


@pytest.mark.parametrize("seconds", [-61, 61, -86400])
def test_a_request_of_another_time_is_stale(gateway: Any, helpers: Any, seconds: int) -> None:
    answer = send(gateway, created=at(gateway.clock.now + seconds))
    assert helpers.code(answer) == (401, "stale-request")


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_may_be_a_minute_off(gateway: Any, seconds: int) -> None:
    assert send(gateway, created=at(gateway.clock.now + seconds)).status_code == 200


def test_a_nonce_is_forgotten_only_when_its_request_is_stale(gateway: Any, helpers: Any) -> None:
    request = gateway.call.sign("bank", "GET", PATH, created=at(gateway.clock.now + 60))
    assert gateway.call.client.send(request).status_code == 200
    gateway.clock.now += 119
    send(gateway)
    assert helpers.code(gateway.call.client.send(request)) == (401, "replayed-request")
    gateway.clock.now += 122
    send(gateway)
    assert kept_nonces(gateway) == 2
    assert helpers.code(gateway.call.client.send(request)) == (401, "stale-request")


def kept_nonces(gateway: Any) -> int:
    return gateway.store.database.number("SELECT count(*) FROM nonces WHERE nonce != ''")


@pytest.mark.parametrize("hours", [1, 24 * 365])
@pytest.mark.parametrize("by", ["a call", "pruning"])
def test_what_was_forgotten_while_the_clock_was_ahead_is_not_let_in_again_when_it_is_back(
    gateway: Any, helpers: Any, hours: int, by: str
) -> None:
    right = gateway.clock.now
    request = gateway.call.sign("bank", "GET", PATH)
    assert gateway.call.client.send(request).status_code == 200
    gateway.clock.now += 3600 * hours
    if by == "a call":
        gateway.call.ok("partner", "GET", "/agreements")
    else:
        Pruning(gateway.store, gateway.settings).prune(gateway.clock.now, dry_run=False)
    assert gateway.store.database.one("SELECT 1 FROM nonces WHERE expires < ? AND nonce != ''", right + 3600) is None
    gateway.clock.now = right + 30
    assert helpers.code(gateway.call.client.send(request)) == (401, "replayed-request")
    assert send(gateway).status_code == 200, "who signs now is let in at once"


def test_a_clock_that_jumps_back_and_forth_lets_every_call_in_once(gateway: Any, helpers: Any) -> None:
    start, sent = gateway.clock.now, []
    for ahead in (0, 7200, 5, 3600, 9, 86_400, 14, -86_400, 20):
        gateway.clock.now = start + ahead
        if 0 <= ahead < 60:
            sent.append(gateway.call.sign("bank", "GET", PATH))
            assert gateway.call.client.send(sent[-1]).status_code == 200
        for request in sent:
            assert helpers.code(gateway.call.client.send(request))[0] == 401
        gateway.call.ok("partner", "GET", "/agreements") if ahead > 60 else None


def test_who_called_with_a_clock_that_was_ahead_too_waits_until_that_time_and_nobody_else_does(
    gateway: Any, helpers: Any
) -> None:
    right = gateway.clock.now
    gateway.clock.now += 3600
    assert send(gateway).status_code == 200
    gateway.clock.now += 600
    gateway.call.ok("partner", "GET", "/agreements")
    gateway.clock.now = right
    assert helpers.code(send(gateway)) == (401, "replayed-request")
    gateway.call.ok("compliance", "GET", "/agreements")
    gateway.clock.now = right + 3601
    assert send(gateway).status_code == 200


def test_the_store_keeps_of_each_key_how_late_what_it_forgot_would_have_counted(gateway: Any) -> None:
    store, right = gateway.store, gateway.clock.now
    assert store.agreements.take_nonce("key", "n" * 22, now=right, expires=right + 180)
    assert store.agreements.take_nonce("other", "n" * 22, now=right + 3600, expires=right + 3780)
    marks = store.database.all("SELECT key, expires FROM nonces WHERE nonce = '' AND key = 'key'")
    assert [(row["key"], row["expires"]) for row in marks] == [("key", right + 180)]
    store.agreements.forget_nonces(right)
    assert not store.agreements.take_nonce("key", "m" * 22, now=right, expires=right + 180)
    assert store.agreements.take_nonce("key", "m" * 22, now=right, expires=right + 181)


@pytest.mark.parametrize("nonce", ["short", "x" * 21, "x" * 129])
def test_a_nonce_of_another_size_is_refused(gateway: Any, helpers: Any, nonce: str) -> None:
    assert helpers.code(send(gateway, nonce=nonce)) == (401, "bad-nonce")


@pytest.mark.parametrize(
    "options",
    [
        {"nonce": None}, {"tag": "other"}, {"tag": None}, {"expires": at(2**32)},
        {"covered_component_ids": ("@method", "@authority")}, {"covered_component_ids": ("@target-uri", "@method")},
        {"body": None},
    ],
)  # fmt: skip
def test_a_signature_must_cover_all_that_counts(gateway: Any, helpers: Any, options: Any) -> None:
    assert helpers.code(send(gateway, **options)) == (401, "bad-signature")


def test_an_altered_request_is_refused(gateway: Any, helpers: Any) -> None:
    call, client = gateway.call, gateway.call.client
    approval = gateway.parties.of("bank", "approval", gateway.agreement).to_bytes()
    path = f"/v1/agreements/{gateway.agreement}/statements"
    request = call.sign("bank", "POST", path, approval)
    body = client.build_request(
        "POST", gateway.settings.url + path, content=approval + b" ", headers=dict(request.headers)
    )
    body.headers["content-length"] = str(len(approval) + 1)
    assert helpers.code(client.send(body)) == (401, "altered-body")
    other = call.sign("bank", "GET", PATH)
    moved = client.build_request("GET", gateway.settings.url + path, headers=dict(other.headers))
    assert helpers.code(client.send(moved)) == (401, "bad-signature")
    third = call.sign("bank", "POST", path, approval)
    third.headers["content-digest"] = call.sign("bank", "POST", path, b"x").headers["content-digest"]
    assert helpers.code(client.send(third)) == (401, "bad-signature")
    fourth = call.sign("bank", "GET", PATH)
    fourth.headers["signature"] = "sig=:AAAA:, garbage"
    assert helpers.code(client.send(fourth)) == (401, "bad-signature")


def test_the_signed_authority_is_the_public_one(gateway: Any, helpers: Any) -> None:
    request = gateway.call.sign("bank", "GET", PATH)
    behind_a_proxy = gateway.call.client.build_request(
        "GET", "https://inner:1234" + PATH, headers=dict(request.headers)
    )
    behind_a_proxy.headers["host"] = "inner:1234"
    assert gateway.call.client.send(behind_a_proxy).status_code == 200
    gateway.call.url = "https://elsewhere.test"
    assert helpers.code(gateway.call("bank", "GET", "/agreements")) == (401, "bad-signature")


def test_a_member_that_a_later_version_leaves_out_is_out(gateway: Any, helpers: Any) -> None:
    g = gateway
    without = g.parties.agreement(
        members=("bank", "partner"), sequence=2, first=g.agreement, previous=g.agreement, requesters=["bank"]
    )
    signed = envelope.cosign(without, [g.parties.keys["compliance"]])
    g.call.ok("bank", "PUT", f"/agreements/{signed.digest}", signed)
    assert helpers.code(g.call("compliance", "GET", "/agreements")) == (401, "unknown-caller")


def test_a_body_beyond_the_cap_is_refused_before_it_is_read(gateway: Any, helpers: Any) -> None:
    answer = gateway.call("bank", "POST", "/runs", b"x" * ((1 << 20) + 1))
    assert helpers.code(answer) == (413, "too-large")
    assert gateway.store.database.number("SELECT count(*) FROM nonces") == 1  # the operator's, of the set-up


def test_a_body_without_a_length_is_cut_off_while_it_streams(gateway: Any, helpers: Any) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    signed = gateway.call.sign("bank", "POST", "/v1/runs", b"x")
    headers = {name: value for name, value in signed.headers.items() if name != "content-length"}
    request = gateway.call.client.build_request(
        "POST", gateway.settings.url + "/v1/runs", content=endless(), headers=headers
    )
    assert helpers.code(gateway.call.client.send(request)) == (413, "too-large")


def test_reading_ends_at_the_cap_and_in_time() -> None:
    taken = 0

    async def parts(pause: float) -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            await asyncio.sleep(pause)
            yield b"12345"

    with pytest.raises(Problem) as refused:
        asyncio.run(limits.read(parts(0), most=9, seconds=5))
    assert (refused.value.code, taken) == ("too-large", 2)
    with pytest.raises(Problem) as refused:
        asyncio.run(limits.read(parts(1), most=9, seconds=0.01))
    assert refused.value.code == "too-slow"
    assert len(asyncio.run(limits.read(parts(0), most=500, seconds=5))) == 500


@pytest.mark.parametrize(
    ("length", "code"), [("-1", "bad-length"), ("1e3", "bad-length"), ("9" * 30, "bad-length"), ("11", "too-large")]
)
def test_a_declared_length_is_read_strictly(length: str, code: str) -> None:
    with pytest.raises(Problem) as refused:
        limits.declared(length, most=10)
    assert refused.value.code == code
    limits.declared("10", most=10)
    limits.declared(None, most=10)


def test_a_caller_that_is_too_fast_waits(helpers: Any) -> None:
    clock = helpers.Clock()
    rate = limits.Rate(per_second=2, burst=3, clock=clock)
    for _ in range(3):
        rate.spend("bank")
    with pytest.raises(Problem) as refused:
        rate.spend("bank")
    assert (refused.value.status, refused.value.code) == (429, "too-many-requests")
    rate.spend("partner")
    clock.now += 0.5
    rate.spend("bank")
    with pytest.raises(Problem):
        rate.spend("bank")


def test_the_rate_remembers_a_bounded_number_of_callers(helpers: Any) -> None:
    rate = limits.Rate(per_second=1, burst=1, clock=helpers.Clock())
    for number in range(5000):
        rate.spend(str(number))
    rate.spend("0")
    with pytest.raises(Problem):
        rate.spend("4999")


def test_one_request_sent_by_many_at_once_counts_once(gateway: Any) -> None:
    results: list[bool] = []
    key, nonce = gateway.parties.keys["bank"].public.text, secrets.token_urlsafe(24)

    def take() -> None:
        results.append(gateway.store.agreements.take_nonce(key, nonce, now=1.0, expires=2.0))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
