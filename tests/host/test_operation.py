"""What an operator watches: readiness, metrics, room on the disk; and a gateway that is told to leave."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sealroom.host import app, disk, metrics, readiness
from sealroom.host.bell import Bell
from sealroom.host.journal import Journal
from sealroom.host.launcher.process import ProcessLauncher
from sealroom.host.metrics import Listener, Meters, Metrics
from sealroom.host.processor import Processor
from sealroom.host.queue import LAST_FAILURE, Worker
from sealroom.host.readiness import Readiness
from sealroom.host.settings import Settings
from sealroom.host.store import open_store
from sealroom.host.store import runs as stored_runs
from sealroom.host.store.blobs import Blobs
from sealroom.host.store.errors import FullError, StoreError, UnavailableError
from sealroom.protocol import wire


@pytest.fixture
def worker(gateway: Any, processor: Any) -> Iterator[Worker]:
    launcher = ProcessLauncher(Processor(processor.path, 10), processor.image)
    made = Worker(
        store=gateway.store, settings=gateway.settings, launcher=launcher, bell=gateway.bell, clock=gateway.clock,
        journal=Journal(gateway.log.append),
    )  # fmt: skip
    threads: list[threading.Thread] = []

    def start() -> None:
        threads.append(threading.Thread(target=made.serve))
        threads[-1].start()

    gateway.go = start
    yield made
    made.stop()
    for thread in threads:
        thread.join(20)


def events(gateway: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.log]


def names(gateway: Any) -> list[str]:
    return [line["event"] for line in events(gateway)]


def free_of(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(disk, "free", lambda _: size)


def to(gateway: Any, helpers: Any, state: str, **options: Any) -> str:
    run = str(gateway.start(**options))
    gateway.challenge(run)
    helpers.until(lambda: gateway.state(run) == "waiting-for-grants")
    if state != "waiting-for-grants":
        gateway.grant(run)
        helpers.until(lambda: gateway.store.runs.get(run).state == state)
    return run


# Readiness.


def test_ready_takes_no_signature_and_tells_one_bit(gateway: Any, helpers: Any) -> None:
    client = gateway.call.client
    assert helpers.code(client.get("/v1/ready")) == (503, "not-ready")
    before = client.get("/v1/ready").content
    gateway.readiness.look()
    assert (client.get("/v1/ready").status_code, client.get("/v1/ready").json()) == (200, {"status": "ready"})
    gateway.readiness.leave()
    assert client.get("/v1/ready").content == before
    assert client.get("/v1/health").json() == {"status": "ok"}


def test_only_a_change_is_logged_and_says_which_part_is_missing(gateway: Any) -> None:
    answers = iter(["processor", "processor", None, None, "image"])
    lines: list[str] = []
    watched = Readiness(lambda: next(answers), journal=Journal(lines.append))
    for _ in range(6):  # the last look finds no answer at all
        watched.look()
    found = [(line["event"], line.get("part")) for line in map(json.loads, lines)]
    assert found == [("not-ready", "processor"), ("ready", None), ("not-ready", "image"), ("not-ready", "worker")]
    assert not watched.is_ready


def test_the_probe_names_each_part_that_does_not_answer(
    gateway: Any, worker: Worker, processor: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = readiness.probe(gateway.store, worker, worker.launcher)
    assert ask() == "worker"
    gateway.go()
    helpers.until(lambda: worker.is_sound)
    assert ask() == "image"
    (processor.image / "launch.json").write_text("{}")
    assert ask() is None
    gone = ProcessLauncher(Processor(processor.path.with_name("nobody"), 1), processor.image)
    assert readiness.probe(gateway.store, worker, gone)() == "processor"
    processor.reply = {"error": {"code": "usage", "message": "m", "hint": ""}}
    assert ask() is None, "a refusal is an answer"

    def broken(*_: object) -> None:
        raise StoreError("the database failed")

    monkeypatch.setattr(type(gateway.store.database), "number", broken)
    assert ask() == "store"


def test_a_container_launcher_names_each_part_that_does_not_answer(tmp_path: Path, processor: Any) -> None:
    from sealroom.host.launcher.docker import DockerLauncher  # noqa: PLC0415
    from sealroom.host.launcher.hardening import Share  # noqa: PLC0415

    made = DockerLauncher(
        engine=f"unix://{tmp_path}/nobody.sock", image="sha256:" + "0" * 64, home=tmp_path,
        share=Share(memory=1, processes=1, processors=1), processor=Processor(processor.path, 5),
    )  # fmt: skip
    assert made.check() == "launcher"
    gone = Processor(tmp_path / "nobody", 1)
    assert dataclasses.replace(made, processor=gone).check() == "processor"


# Metrics.


def measured(gateway: Any, meters: Meters | None = None) -> Metrics:
    return Metrics(
        store=gateway.store, settings=gateway.settings, readiness=gateway.readiness, meters=meters or Meters(),
        clock=gateway.clock,
    )  # fmt: skip


def values(text: str) -> dict[str, int]:
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_the_text_holds_every_declared_sample_and_no_other(gateway: Any) -> None:
    text = measured(gateway).text()
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert families == list(metrics.FAMILIES)
    samples = values(text)
    assert {name.partition("{")[0].removesuffix("_total") for name in samples} == set(families)
    states = [name for name in samples if name.startswith("sealroom_runs")]
    assert states == [f'sealroom_runs{{state="{state}"}}' for state in wire.RUN_STATES]
    assert set(samples.values()) == {0}


def test_what_was_answered_and_launched_is_counted(gateway: Any) -> None:
    meters = Meters()
    made = app.create(gateway.settings, gateway.store, counted=meters.answered)
    from fastapi.testclient import TestClient  # noqa: PLC0415

    with TestClient(made, base_url=gateway.settings.url) as client:
        assert [client.get(path).status_code for path in ("/v1/health", "/v1/no", "/v1/ready")] == [200, 404, 503]
    meters.launched("failed")
    found = values(measured(gateway, meters).text())
    assert [found[f'sealroom_calls_total{{class="{c}"}}'] for c in metrics.CLASSES] == [1, 0, 1, 1]
    assert found['sealroom_launches_total{result="failed"}'] == 1


def test_a_run_that_has_ended_counts_as_running_until_its_slot(gateway: Any, worker: Worker, helpers: Any) -> None:
    gateway.go()
    run = to(gateway, helpers, "waiting-for-consent", opaque=True)
    shown = values(measured(gateway).text())
    assert (shown['sealroom_runs{state="running"}'], shown['sealroom_runs{state="waiting-for-consent"}']) == (1, 0)
    gateway.clock.now += 301
    shown = values(measured(gateway).text())
    assert (shown['sealroom_runs{state="running"}'], shown['sealroom_runs{state="waiting-for-consent"}']) == (0, 1)
    assert gateway.state(run) == "waiting-for-consent"


def played(folder: Path, parties: Any, processor: Any, helpers: Any, content: bytes) -> str:
    """The metrics of a gateway of its own after a whole run over objects that hold `content`."""
    from fastapi.testclient import TestClient  # noqa: PLC0415

    clock, bell, meters = helpers.Clock(), Bell(), Meters()
    settings = Settings(
        home=folder, operator_key=parties.keys["operator"].public.text, public_url="https://gateway.test",
        requests_per_second=10_000, requests_burst=10_000, disk_reserve=1,
    )  # fmt: skip
    store = open_store(folder, most=1 << 30, changed=bell.ring)
    launcher = ProcessLauncher(Processor(processor.path, 10), processor.image)
    worker = Worker(store=store, settings=settings, launcher=launcher, bell=bell, clock=clock, launched=meters.launched)
    watched = Readiness(lambda: None)
    made = app.create(settings, store, clock=clock, readiness=watched, counted=meters.answered)
    first = parties.agreement()
    with TestClient(made, base_url=settings.url) as client:
        call = helpers.Caller(client, parties, settings.url, clock)
        g = helpers.Gateway(settings, store, call, parties, clock, bell, [], watched)
        call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
        g.agreement = g.version = first.digest
        objects = {
            "customers": g.upload("bank", "customers", content),
            "prospects": g.upload("partner", "prospects", content),
        }
        run = call.ok("bank", "POST", "/runs", parties.request(g.agreement, g.version, objects))["run"]
        g.challenge(run)
        working = threading.Thread(target=worker.step)
        working.start()
        helpers.until(lambda: store.runs.get(run).state == "waiting-for-grants")
        g.grant(run)
        working.join(30)
        (offer,) = call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]
        consent = parties.of("partner", "consent", g.agreement, release="ab" * 32, decision="release")
        call.ok("partner", "PUT", f"/runs/{run}/offers/{offer['digest']}/consents/partner", consent)
        watched.look()
    found = Metrics(store=store, settings=settings, readiness=watched, meters=meters, clock=clock).text()
    store.close()
    bell.close()
    return found


def test_the_whole_text_is_the_same_for_two_secrets_of_equal_size(
    tmp_path: Path, parties: Any, processor: Any, helpers: Any
) -> None:
    texts = []
    for name, content in (("one", b"rich" * 500), ("two", b"poor" * 500)):
        (tmp_path / name).mkdir()
        texts.append(played(tmp_path / name, parties, processor, helpers, content))
    assert texts[0] == texts[1]
    assert values(texts[0])['sealroom_runs{state="done"}'] == 1
    assert values(texts[0])['sealroom_calls_total{class="2xx"}'] > 5


@pytest.fixture
def listener(gateway: Any) -> Iterator[Listener]:
    made = Listener(measured(gateway), 0)
    yield made
    made.close()


def test_the_listener_serves_metrics_on_this_machine_and_nothing_else(gateway: Any, listener: Listener) -> None:
    address = f"http://127.0.0.1:{listener.port}"
    with httpx2.Client(trust_env=False) as client:
        answer = client.get(f"{address}/metrics")
        assert answer.headers["Content-Type"] == metrics.MEDIA
        assert values(answer.text) == values(measured(gateway).text())
        assert [client.get(address + path).status_code for path in ("/", "/v1/health", "/metrics?x")] == [404] * 3
    assert listener._server.server_address[0] == "127.0.0.1"


# Room.


def test_with_less_than_the_reserve_uploads_and_runs_are_refused_and_statements_kept(
    gateway: Any, worker: Worker, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = gateway
    gateway.go()
    run = to(g, helpers, "waiting-for-grants")
    free_of(monkeypatch, g.settings.disk_reserve - 1)
    full = (507, "disk-full")
    manifest = g.parties.manifest("bank", "customers", g.agreement, b"n" * 900)
    assert helpers.code(g.call("bank", "PUT", f"/objects/{manifest.digest}", manifest)) == full
    objects = {"customers": g.store.objects.of(g.agreement)[0].digest}
    request = g.parties.request(g.agreement, g.version, objects)
    assert helpers.code(g.call("bank", "POST", "/runs", request)) == full
    assert values(measured(g).text())["sealroom_disk_low"] == 1
    # What has begun goes on to its end, and anybody can still stop.
    g.grant(run)
    helpers.until(lambda: g.state(run) == "waiting-for-consent")
    g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", g.parties.of("partner", "stop", g.agreement))
    free_of(monkeypatch, g.settings.disk_reserve)
    assert values(measured(g).text())["sealroom_disk_low"] == 0
    g.call.ok("bank", "PUT", f"/objects/{manifest.digest}", manifest)


def test_no_enclave_is_launched_with_less_than_the_reserve_and_the_run_waits(
    gateway: Any, worker: Worker, processor: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gateway.start()
    gateway.challenge(run)
    free_of(monkeypatch, 0)
    gateway.go()
    helpers.until(lambda: "disk-low" in names(gateway))
    gateway.bell.ring()
    helpers.until(lambda: worker.is_sound)
    assert gateway.store.runs.get(run).state == "queued"
    assert not processor.started
    free_of(monkeypatch, 1 << 40)
    helpers.until(lambda: gateway.state(run) == "waiting-for-grants")
    assert names(gateway).count("disk-low") == 1


def test_a_call_that_meets_a_full_disk_is_answered_so_keeps_nothing_and_works_later(gateway: Any, helpers: Any) -> None:
    g = gateway
    pages = g.store.database.number("PRAGMA page_count")
    g.store.database._connection.execute(f"PRAGMA max_page_count = {pages}")
    data = b"x" * 5000
    manifest = g.parties.manifest("bank", "customers", g.agreement, data)
    statements = [g.parties.of("bank", "approval", g.agreement, remark="r" * 9000 + str(n)) for n in range(3)]
    answers = [g.call("bank", "POST", f"/agreements/{g.agreement}/statements", made) for made in statements]
    assert {helpers.code(a) for a in answers if a.status_code != 200} == {(507, "disk-full")}
    assert "disk-full" in names(g)
    g.store.database._connection.execute("PRAGMA max_page_count = 1000000")
    kept = g.call.ok("bank", "GET", f"/agreements/{g.agreement}/statements")["statements"]
    assert len(kept) == sum(a.status_code == 200 for a in answers) < 3
    for made in statements:
        g.call.ok("bank", "POST", f"/agreements/{g.agreement}/statements", made)
    assert len(g.call.ok("bank", "GET", f"/agreements/{g.agreement}/statements")["statements"]) == 3
    assert g.store.database.one("PRAGMA integrity_check")[0] == "ok"
    g.call.ok("bank", "PUT", f"/objects/{manifest.digest}", manifest)


def test_a_chunk_that_meets_a_full_disk_is_missing_until_it_is_sent_again(
    gateway: Any, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = gateway
    data = b"x" * 5000
    manifest = g.parties.manifest("bank", "customers", g.agreement, data)
    g.call.ok("bank", "PUT", f"/objects/{manifest.digest}", manifest)
    path = f"/objects/{manifest.digest}/chunks/0"
    real = os.pwrite

    def half(descriptor: int, part: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, part[: len(part) // 2], offset)

    monkeypatch.setattr(os, "pwrite", half)
    assert helpers.code(g.call("bank", "PUT", path, data)) == (507, "disk-full")
    monkeypatch.setattr(os, "pwrite", real)
    assert g.call.ok("bank", "GET", f"/objects/{manifest.digest}")["missing"] == [0]
    assert g.call.ok("bank", "PUT", path, data)["complete"]


@pytest.mark.parametrize("what", ["ciphertext", "offer", "receipt"])
def test_what_an_enclave_said_is_kept_until_there_is_room(
    gateway: Any, worker: Worker, helpers: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    error = OSError(errno.ENOSPC, "full") if what == "ciphertext" else FullError("full")
    kind, name = (Blobs, "take") if what == "ciphertext" else (type(gateway.store.results), f"add_{what}")
    real: Callable[..., Any] = getattr(kind, name)
    tried = []

    def full(*args: Any, **options: Any) -> Any:
        tried.append(1)
        if len(tried) <= 2:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(kind, name, full)
    gateway.go()
    run = to(gateway, helpers, "waiting-for-consent")
    assert len(tried) == 3
    assert names(gateway).count("disk-full") == 2
    (offer,) = gateway.call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]
    path = f"/runs/{run}/offers/{offer['digest']}/ciphertext"
    assert gateway.call("bank", "GET", path).content == b"sealed release" * 1000


@pytest.mark.parametrize("what", ["put_evidence", "step", "add_offer", "add_receipt", "objects"])
@pytest.mark.parametrize("doubt", [False, True])
def test_a_run_outlives_a_database_that_was_away(
    gateway: Any, worker: Worker, helpers: Any, monkeypatch: pytest.MonkeyPatch, what: str, doubt: bool
) -> None:
    """In doubt, the first attempt was kept and nobody could tell."""
    kind = type(gateway.store.results) if what.startswith("add_") else type(gateway.store.runs)
    real: Callable[..., Any] = getattr(kind, what)
    tried = []

    def away(self: Any, *args: Any, **options: Any) -> Any:
        if (what == "step" and args[1] != "granted") or threading.current_thread() is threading.main_thread():
            return real(self, *args, **options)
        tried.append(1)
        if len(tried) > 1:
            return real(self, *args, **options)
        if doubt and what == "add_offer":
            real(self, *args, **options)
        raise UnavailableError("away", in_doubt=doubt and what == "add_offer")

    monkeypatch.setattr(kind, what, away)
    gateway.go()
    run = to(gateway, helpers, "waiting-for-consent")
    assert len(tried) >= 2
    assert "store-lost" in names(gateway)
    assert len(gateway.call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]) == 1


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "m"), True), (OSError(errno.EDQUOT, "m"), True), (OSError(errno.EIO, "m"), False),
        (FullError("full"), True), (StoreError("database or disk is full"), False), (RuntimeError(), False),
    ],
    ids=["no-space", "quota", "broken", "database", "no-code", "other"],
)  # fmt: skip
def test_only_the_code_of_an_error_says_that_the_disk_is_full(error: Exception, full: bool) -> None:
    assert disk.is_full(error) is full


# Leaving.


def grant_one(gateway: Any, run: str, row: Any) -> None:
    evidence = gateway.store.runs.get(run).evidence_digest
    made = gateway.parties.of(
        row["owner"], "grant", gateway.agreement, request=run, evidence=evidence, object=row["object"]
    )
    gateway.call.ok(row["owner"], "PUT", f"/runs/{run}/grants/{row['object']}", made)


def test_a_drain_waits_for_an_enclave_that_has_a_grant_and_launches_no_other(
    gateway: Any, worker: Worker, helpers: Any
) -> None:
    g = gateway
    g.go()
    run = to(g, helpers, "waiting-for-grants")
    g.clock.now += 60  # its evidence is no longer fresh
    first, rest = g.store.runs.objects(run)
    grant_one(g, run, first)
    leaving = threading.Thread(target=worker.drain, args=(60,))
    leaving.start()
    second = g.start()
    g.challenge(second)
    assert leaving.is_alive()
    grant_one(g, run, rest)
    leaving.join(20)
    assert not leaving.is_alive()
    assert g.state(run) == "waiting-for-consent"
    assert g.store.runs.get(second).state == "queued"


@pytest.mark.parametrize("state", ["waiting-for-grants", "launching"])
def test_a_drain_does_not_wait_for_an_enclave_that_nobody_granted_to(
    gateway: Any, worker: Worker, processor: Any, helpers: Any, state: str
) -> None:
    g = gateway
    processor.mode("never" if state == "launching" else "good")
    g.go()
    run = g.start()
    g.challenge(run)
    helpers.until(lambda: g.store.runs.get(run).state == state)
    g.clock.now += 60
    worker.drain(600)
    worker.stop()
    helpers.until(lambda: not worker.is_sound)
    assert g.store.runs.get(run).state == {"launching": "queued", "waiting-for-grants": "failed"}[state]


def away(*_: object) -> None:
    raise UnavailableError("away")


def test_without_its_database_a_drain_waits_and_metrics_are_a_status_alone(
    gateway: Any, worker: Worker, listener: Listener, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("with_guest", "all"):
        monkeypatch.setattr(type(gateway.store.runs), name, away)
    leaving = threading.Thread(target=worker.drain, args=(0.5,))
    leaving.start()
    with httpx2.Client(trust_env=False) as client:
        answer = client.get(f"http://127.0.0.1:{listener.port}/metrics")
    assert (answer.status_code, answer.content) == (503, b"")
    leaving.join(20)
    assert not leaving.is_alive()
    assert capfd.readouterr().err == ""


def test_a_drain_ends_when_its_time_has_passed(gateway: Any, worker: Worker, processor: Any, helpers: Any) -> None:
    processor.mode("hang-running")
    gateway.go()
    run = to(gateway, helpers, "running")
    worker.drain(0.2)
    worker.stop()
    helpers.until(lambda: gateway.store.runs.get(run).state == "failed")


def test_why_an_enclave_was_not_launched_is_a_word_in_the_log_and_a_sentence_in_a_file(
    gateway: Any, worker: Worker, processor: Any, helpers: Any
) -> None:
    processor.reply = {"error": {"code": "usage", "message": "no\x1b[2J such image é", "hint": ""}}
    gateway.go()
    run = gateway.start()
    gateway.challenge(run)
    helpers.until(lambda: gateway.state(run) == "failed")
    failed = [line for line in events(gateway) if line["event"] == "launch-failed"]
    assert {line["why"] for line in failed} == {"processor-refuses"}
    assert len(failed) == gateway.settings.launch_attempts
    text = (gateway.settings.home / LAST_FAILURE).read_text("utf-8")
    assert text == "the simulated processor refuses: no [2J such image  \n"


def test_every_run_is_stored_under_a_state_of_the_protocol() -> None:
    assert stored_runs.runs.TABLE.keys() == set(wire.RUN_STATES)
