"""Runs through a real process that speaks the gate's protocol, well and badly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sealroom.host import runs
from sealroom.host.launcher.process import ProcessLauncher
from sealroom.host.processor import Processor
from sealroom.host.queue import Worker
from sealroom.protocol import digest, envelope


@pytest.fixture
def worker(gateway: Any, processor: Any) -> Iterator[Worker]:
    """A worker that steps when a test says so."""
    launcher = ProcessLauncher(Processor(processor.path, 10), processor.image)
    yield Worker(
        store=gateway.store, settings=gateway.settings, launcher=launcher, bell=gateway.bell, clock=gateway.clock
    )
    assert not gateway.store.runs.with_guest()
    assert list((gateway.settings.home / "runs").glob("*")) == []
    assert all(process.poll() is not None for process in processor.started), "every enclave has ended"


@pytest.fixture
def going(worker: Worker) -> Iterator[Any]:
    """Starts the worker's thread when called."""
    thread = threading.Thread(target=worker.serve)
    yield thread.start
    worker.stop()
    if thread.is_alive():
        thread.join(20)
    assert not thread.is_alive()


def to_grants(gateway: Any, helpers: Any, **options: Any) -> str:
    run = str(gateway.start(**options))
    gateway.challenge(run)
    helpers.until(lambda: gateway.state(run) in ("waiting-for-grants", "failed"))
    return run


def real_state(gateway: Any, run: str) -> str:
    return str(gateway.store.runs.get(run).state)


def test_a_query_run_goes_from_request_to_receipt_and_done(
    gateway: Any, processor: Any, going: Any, helpers: Any
) -> None:
    g, call = gateway, gateway.call
    going()
    run = to_grants(g, helpers)
    path = f"/runs/{run}"
    evidence = call("bank", "GET", f"{path}/evidence").content
    assert g.store.runs.get(run).evidence_digest == digest.sha256("evidence/v1", evidence)
    assigned = call.ok("bank", "GET", f"{path}/checkpoint")["size"]
    assert json.loads(evidence)["checkpoint"] == g.store.log.root(g.agreement, assigned).hex()
    assert call.ok("bank", "GET", path)["waiting_for"] == ["bank", "partner"]
    g.grant(run)
    helpers.until(lambda: g.state(run) == "waiting-for-consent")
    view = call.ok("bank", "GET", path)
    assert (view["waiting_for"], view["receipt"], view["launched"]) == (["partner"], True, int(g.clock()))
    (offer,) = call.ok("bank", "GET", f"{path}/offers")["offers"]
    inside = envelope.parse(json.dumps(offer["offer"], sort_keys=True, separators=(",", ":")).encode())
    assert inside.digest == offer["digest"]
    ciphertext = call("bank", "GET", f"{path}/offers/{offer['digest']}/ciphertext").content
    assert ciphertext == b"sealed release" * 1000
    receipt = envelope.parse(call("compliance", "GET", f"{path}/receipt").content)
    consent(g, helpers, run, offer["digest"])
    assert g.state(run) == "done"
    cosign(g, helpers, run, receipt.digest)
    size = g.store.log.size(g.agreement)
    g.store.log.inclusion(g.agreement, receipt.digest, size)
    launched = next(m for m in processor.messages if m["op"] == "launch-process")
    assert launched["configuration"] == {"launcher": "process"}
    assert launched["image"] == str(processor.image)
    second = to_grants(g, helpers)
    assert (
        json.loads(call("bank", "GET", f"/runs/{second}/evidence").content)["checkpoint"]
        != json.loads(evidence)["checkpoint"]
    )
    call.ok("partner", "POST", f"/runs/{second}/stop")


def consent(g: Any, helpers: Any, run: str, offer: str) -> None:
    call, path = g.call, f"/runs/{run}/offers/{offer}/consents"
    yes = g.parties.of("partner", "consent", g.agreement, release="ab" * 32, decision="release")
    bank = g.parties.of("bank", "consent", g.agreement, release="ab" * 32, decision="release")
    assert helpers.code(call("bank", "PUT", f"{path}/bank", bank)) == (403, "forbidden")
    assert helpers.code(call("bank", "PUT", f"{path}/partner", yes)) == (403, "forbidden")
    nowhere = f"/runs/{run}/offers/{'0' * 64}"
    assert helpers.code(call("partner", "PUT", f"{nowhere}/consents/partner", yes)) == (404, "not-found")
    assert helpers.code(call("partner", "GET", f"{nowhere}/ciphertext")) == (404, "not-found")
    assert call.ok("partner", "PUT", f"{path}/partner", yes) == {"digest": yes.digest}
    call.ok("partner", "PUT", f"{path}/partner", yes)
    no = g.parties.of("partner", "consent", g.agreement, release="ab" * 32, decision="refuse")
    assert helpers.code(call("partner", "PUT", f"{path}/partner", no)) == (409, "already-there")
    assert call.ok("bank", "GET", f"/runs/{run}/consents") == {"consents": [json.loads(yes.to_bytes())]}


def cosign(g: Any, helpers: Any, run: str, receipt: str) -> None:
    call, path = g.call, f"/runs/{run}/cosignatures"
    good = g.parties.of("compliance", "cosignature", g.agreement, receipt=receipt)
    call.ok("compliance", "PUT", f"{path}/compliance", good)
    call.ok("compliance", "PUT", f"{path}/compliance", good)
    other = g.parties.of("compliance", "cosignature", g.agreement, receipt=receipt, remark="other")
    assert helpers.code(call("compliance", "PUT", f"{path}/compliance", other)) == (409, "already-there")
    assert helpers.code(call("bank", "PUT", f"{path}/compliance", good)) == (403, "forbidden")
    wrong = g.parties.of("bank", "cosignature", g.agreement, receipt="00" * 32)
    assert helpers.code(call("bank", "PUT", f"{path}/bank", wrong)) == (422, "wrong-receipt")
    assert call.ok("bank", "GET", path) == {"cosignatures": [json.loads(good.to_bytes())]}


@pytest.mark.parametrize("mode", ["good", "failed", "die-running", "die-after-offer"])
def test_an_opaque_run_looks_the_same_until_the_slot_boundary(
    gateway: Any, processor: Any, going: Any, helpers: Any, mode: str
) -> None:
    g, call = gateway, gateway.call
    processor.mode(mode)
    going()
    run = to_grants(g, helpers, opaque=True)
    waiting = g.start()
    g.challenge(waiting)
    launched = g.clock()
    g.clock.now += 17
    g.grant(run)
    helpers.until(lambda: real_state(g, run) not in ("waiting-for-grants", "running"))
    g.clock.now = launched + 299
    view = call.ok("bank", "GET", f"/runs/{run}")
    assert (view["state"], view["next_visible"], view["receipt"]) == ("running", launched + 300, False)
    assert view["waiting_for"] == []
    assert call.ok("bank", "GET", f"/runs/{run}/offers") == {"offers": []}
    for what in ("receipt", f"offers/{'0' * 64}/ciphertext"):
        assert helpers.code(call("bank", "GET", f"/runs/{run}/{what}")) == (404, "not-found")
    assert g.state(waiting) == "queued", "the next launch would tell when this one ended"
    g.clock.now = launched + 300
    expected = "waiting-for-consent" if mode == "good" else "failed"
    view = call.ok("bank", "GET", f"/runs/{run}")
    assert (view["state"], view["next_visible"], view["receipt"]) == (expected, None, mode in ("good", "failed"))
    assert len(call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]) == (1 if mode == "good" else 0)
    processor.mode("die-before-evidence")
    g.bell.ring()
    helpers.until(lambda: g.state(waiting) != "queued")


def test_a_stop_does_not_tell_that_a_run_has_ended(gateway: Any, processor: Any, going: Any, helpers: Any) -> None:
    processor.mode("die-running")
    going()
    run = to_grants(gateway, helpers, opaque=True)
    gateway.grant(run)
    helpers.until(lambda: real_state(gateway, run) == "failed")
    assert gateway.call.ok("partner", "POST", f"/runs/{run}/stop")["state"] == "stopped"
    gateway.clock.now += 1000
    assert gateway.state(run) == "stopped"


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        ("garbage-bytes", "failed"), ("garbage-json", "failed"), ("huge-frame", "failed"), ("cut-short", "failed"),
        ("descriptors", "failed"), ("receipt-first", "failed"), ("wrong-evidence", "failed"),
        ("die-after-evidence", "failed"), ("gives-up", "refused"),
    ],
)  # fmt: skip
def test_a_gate_that_misbehaves_before_the_grants_ends_the_run(
    gateway: Any, processor: Any, worker: Worker, mode: str, state: str
) -> None:
    processor.mode(mode)
    run = gateway.start()
    gateway.challenge(run)
    assert worker.step()
    assert gateway.state(run) == state
    assert not worker.step()
    assert len(processor.started) == 1


@pytest.mark.parametrize("mode", ["die-before-evidence", "never", "exit-at-once"])
def test_an_enclave_that_dies_before_evidence_is_started_again_and_then_given_up(
    gateway: Any, processor: Any, worker: Worker, mode: str
) -> None:
    """Nobody has seen it, so nobody has granted to it: another one may serve the run."""
    processor.mode(mode)
    run = gateway.start()
    gateway.challenge(run)
    for state in ("queued", "queued", "failed"):
        assert worker.step()
        assert gateway.state(run) == state
    assert not worker.step()
    assert len(processor.started) == 3


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        ("die-running", "failed"), ("flood", "failed"), ("unknown-phase", "failed"), ("pipe", "failed"),
        ("wrong-ciphertext", "failed"), ("twice", "failed"), ("other-run", "failed"), ("die-after-offer", "failed"),
        ("refused", "refused"), ("failed", "failed"), ("nothing", "done"), ("good", "waiting-for-consent"),
    ],
)  # fmt: skip
def test_a_gate_that_misbehaves_after_the_grants_releases_nothing(
    gateway: Any, processor: Any, going: Any, helpers: Any, mode: str, state: str
) -> None:
    g = gateway
    processor.mode(mode)
    going()
    run = to_grants(g, helpers)
    g.grant(run)
    helpers.until(lambda: g.state(run) not in ("waiting-for-grants", "running"))
    assert g.state(run) == state
    shown = g.call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]
    assert len(shown) == (1 if mode == "good" else 0)
    has_receipt = g.call("bank", "GET", f"/runs/{run}/receipt").status_code == 200
    assert has_receipt == (mode in ("refused", "failed", "nothing", "good"))
    helpers.until(lambda: not g.store.runs.with_guest())


def test_a_gate_that_never_connects_or_hangs_is_ended_in_time(gateway: Any, processor: Any, worker: Worker) -> None:
    worker.settings = dataclasses.replace(gateway.settings, launch_wait=0.5)
    processor.mode("never-connects")
    run = gateway.start()
    gateway.challenge(run)
    worker.step()
    assert gateway.state(run) == "queued"
    assert not gateway.store.runs.with_guest()


@pytest.mark.parametrize("how", ["stop", "expire"])
def test_a_run_that_hangs_ends_by_a_members_stop_or_by_its_deadline(
    gateway: Any, processor: Any, going: Any, helpers: Any, how: str
) -> None:
    processor.mode("hang-running")
    going()
    run = to_grants(gateway, helpers)
    gateway.grant(run)
    helpers.until(lambda: gateway.state(run) == "running")
    if how == "stop":
        gateway.call.ok("compliance", "POST", f"/runs/{run}/stop")
    else:
        gateway.clock.now += gateway.settings.run_wait + 1
        gateway.bell.ring()
    helpers.until(lambda: not gateway.store.runs.with_guest())
    assert gateway.state(run) == {"stop": "stopped", "expire": "expired"}[how]


@pytest.mark.parametrize("how", ["stop", "expire"])
def test_a_run_that_ends_before_its_last_grant_hands_the_gate_none_and_leaves_no_receipt(
    gateway: Any, processor: Any, going: Any, helpers: Any, how: str
) -> None:
    """One of two objects is granted; the gate, told to stop, signs a receipt if it lives, which nobody reads."""
    processor.mode("heard")
    going()
    run = to_grants(gateway, helpers)
    stored = gateway.store.runs.get(run)
    (mine, *_) = [row["object"] for row in gateway.store.runs.objects(run) if row["owner"] == "bank"]
    grant = gateway.parties.of(
        "bank", "grant", gateway.agreement, request=run, evidence=stored.evidence_digest, object=mine
    )
    gateway.call.ok("bank", "PUT", f"/runs/{run}/grants/{mine}", grant)
    time.sleep(0.6)  # long enough for a host that handed it over at once to be heard
    if how == "stop":
        gateway.call.ok("compliance", "POST", f"/runs/{run}/stop")
    else:
        gateway.clock.now += gateway.settings.grant_wait + 1
        gateway.bell.ring()
    helpers.until(lambda: not gateway.store.runs.with_guest())
    heard = gateway.settings.home / "heard"
    assert (heard.read_text() if heard.exists() else "") in ("", "stop\n")
    assert gateway.state(run) == {"stop": "stopped", "expire": "expired"}[how]
    assert gateway.store.runs.get(run).receipt is None
    kinds = [row["kind"] for row in gateway.store.log.entries(gateway.agreement, 0)]
    assert (kinds.count("grant"), kinds.count("receipt")) == (1, 0)


def test_grants_that_do_not_come_expire_the_run(gateway: Any, going: Any, helpers: Any) -> None:
    going()
    run = to_grants(gateway, helpers)
    gateway.clock.now += gateway.settings.grant_wait + 1
    gateway.bell.ring()
    helpers.until(lambda: gateway.state(run) == "expired")


@pytest.mark.parametrize(
    "reply",
    [
        {"error": "no"},
        {"refused": "no"},
        {},
        {"pid": 1, "measurement": "ab" * 48},
        {"pid": os.getpid(), "measurement": "x"},
    ],
)
def test_a_launch_that_fails_is_tried_again_and_then_given_up(
    gateway: Any, processor: Any, worker: Worker, reply: dict[str, Any]
) -> None:
    processor.reply = reply
    run = gateway.start()
    gateway.challenge(run)
    for state in ("queued", "queued", "failed"):
        assert worker.step()
        assert gateway.state(run) == state
    assert gateway.store.runs.get(run).attempts == 3


def test_a_process_that_is_gone_at_once_counts_as_not_launched(gateway: Any, processor: Any, worker: Worker) -> None:
    processor.reply = {"pid": 2**22 - 1, "measurement": "ab" * 48}
    run = gateway.start()
    gateway.challenge(run)
    worker.step()
    assert gateway.state(run) == "queued"


def test_without_a_processor_runs_fail_in_the_end(gateway: Any, worker: Worker) -> None:
    worker.launcher = ProcessLauncher(Processor(gateway.settings.home / "nobody.sock", 1), gateway.settings.home)
    run = gateway.start()
    gateway.challenge(run)
    for _ in range(3):
        worker.step()
    assert gateway.state(run) == "failed"


def test_an_assignment_beyond_a_frame_fails_the_run(
    gateway: Any, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gateway.start()
    gateway.challenge(run)
    big = {"envelope": "x" * (1 << 20)}
    monkeypatch.setattr(type(gateway.store.agreements), "chain", lambda *_: [json.dumps(big).encode()])
    monkeypatch.setattr(type(gateway.store.agreements), "version", lambda *_: type("Look", (), {"sequence": 1})())
    worker.step()
    assert real_state(gateway, run) == "failed"


@pytest.mark.parametrize("again", [True, False])
def test_a_gateway_that_stops_deals_with_the_run_at_hand(
    gateway: Any, processor: Any, worker: Worker, helpers: Any, again: bool
) -> None:
    processor.mode("never" if again else "good")
    worker.settings = dataclasses.replace(gateway.settings, evidence_wait=60)
    run = gateway.start()
    gateway.challenge(run)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    helpers.until(lambda: gateway.state(run) == ("launching" if again else "waiting-for-grants"))
    worker.stop()
    thread.join(20)
    assert gateway.state(run) == ("queued" if again else "failed")


@pytest.mark.parametrize(
    ("state", "expected"), [("launching", "queued"), ("waiting-for-grants", "failed"), ("running", "failed")]
)
def test_after_a_crash_runs_go_back_or_fail(gateway: Any, worker: Worker, state: str, expected: str) -> None:
    run = gateway.start()
    folder = gateway.settings.home / "runs" / "left-over"
    folder.mkdir(parents=True)
    note = json.dumps({"pid": os.getpid(), "started": 1})
    gateway.store.database.write(
        "UPDATE runs SET state = ?, attempts = 1, launched = 1.0, run_dir = ?, guest = ? WHERE run = ?",
        state, str(folder), note, run,
    )  # fmt: skip
    worker.recover()
    assert real_state(gateway, run) == expected
    assert (gateway.store.runs.get(run).launched is None) == (expected == "queued")


def test_lost_runs_are_settled_before_anything_else_is_done(gateway: Any, worker: Worker) -> None:
    lost, free = gateway.start(), gateway.start()
    gateway.store.database.write("UPDATE runs SET state = 'waiting-for-grants', guest = 'x' WHERE run = ?", lost)
    worker.launcher = None  # type: ignore[assignment]
    worker.settle()
    assert real_state(gateway, lost) == "failed"
    assert real_state(gateway, free) == "waiting-for-challenges"


def test_a_worker_that_could_not_clear_up_tries_again(
    gateway: Any, going: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []

    def clear_all(_: object) -> None:
        if not failures:
            failures.append(1)
            raise PermissionError("not now")

    monkeypatch.setattr(ProcessLauncher, "clear_all", clear_all)
    run = gateway.start()
    gateway.challenge(run)
    going()
    helpers.until(lambda: gateway.state(run) == "waiting-for-grants")
    assert failures == [1]


def test_a_run_that_crashes_the_gateway_again_and_again_is_given_up(gateway: Any, worker: Worker) -> None:
    run = gateway.start()
    gateway.store.database.write("UPDATE runs SET state = 'launching', attempts = 3 WHERE run = ?", run)
    worker.recover()
    assert real_state(gateway, run) == "failed"


def test_a_failure_of_the_worker_ends_one_run_and_not_the_queue(
    gateway: Any, going: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, broken = Worker._enclave, []

    def once(self: Worker, run: Any, run_dir: Any) -> None:
        if not broken:
            broken.append(run.run)
            raise RuntimeError("a bug")
        original(self, run, run_dir)

    monkeypatch.setattr(Worker, "_enclave", once)
    run = gateway.start()
    gateway.challenge(run)
    going()
    helpers.until(lambda: gateway.state(run) == "waiting-for-grants")
    assert broken == [run]


def test_a_stranger_on_the_socket_is_not_served(gateway: Any, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(worker.launcher), "guest", property(lambda _: os.geteuid() + 1))
    monkeypatch.setattr(os, "chown", lambda *_: None)
    run = gateway.start()
    gateway.challenge(run)
    worker.step()
    assert real_state(gateway, run) == "queued"


def test_what_parties_upload_reaches_the_gate_read_only(gateway: Any) -> None:
    digest_of = hashlib.sha256(b"c" * 1000).hexdigest()
    gateway.objects()
    descriptor = gateway.store.blobs.open(digest_of)
    with pytest.raises(OSError):
        os.write(descriptor, b"x")
    os.close(descriptor)
    assert runs.LIVE == ("launching", "waiting-for-grants", "running")
