"""The gateway as its own process: TLS, signals, and `kill -9` between the steps of a run."""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sealroom.host import settings as host_settings
from sealroom.host.bell import Bell
from sealroom.host.readiness import Readiness
from sealroom.host.store import open_store
from tests.postgres import BOTH


class Process:
    """A gateway that can be killed and started again; `gateway` plays the parties against it."""

    def __init__(self, home: Path, processor: Any, parties: Any, helpers: Any, database: str) -> None:
        self.home, self.helpers, self.processor = home, helpers, processor
        command = ["init", "--operator-key", parties.keys["operator"].public.text, "--listen", "127.0.0.1:0", "--json"]
        command += ["--database", database] if database else []
        done = self.run(*command, "--image", str(processor.image), "--processor", str(processor.path))
        self.card = json.loads(done.stdout)
        self.process: subprocess.Popen[bytes] | None = None
        context = ssl.create_default_context(cafile=self.card["certificate"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        self.client = httpx2.Client(verify=context, trust_env=False, timeout=30)
        self.store = open_store(home, most=1 << 30, database=database, resume=False)
        self.gateway = helpers.Gateway(
            host_settings.load(home), self.store, helpers.Caller(self.client, parties, self.card["url"], time.time),
            parties, time.time, Bell(), [], Readiness(lambda: None),
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sealroom.host", words[0], "--home", str(self.home), *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start(self) -> None:
        command = [sys.executable, "-m", "sealroom.host", "serve", "--home", str(self.home)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        assert ready == {"format": "sealroom/host-ready/v1", "ready": True} | {
            name: self.card[name] for name in ("url", "certificate", "certificate_sha256")
        }

    def kill(self) -> None:
        assert self.process is not None
        self.helpers.kill(self.process)
        self.process.stdout.close()  # type: ignore[union-attr]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.client.close()
        self.store.close()
        self.gateway.bell.close()


@pytest.fixture
def started(tmp_path: Path, processor: Any, parties: Any, helpers: Any, database: str) -> Iterator[Process]:
    """A running gateway with one agreement."""
    made = Process(tmp_path / "home", processor, parties, helpers, database)
    try:
        made.start()
        first = parties.agreement()
        made.gateway.call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
        made.gateway.agreement = made.gateway.version = first.digest
        yield made
    finally:
        made.close()


def alive(processor: Any) -> list[int]:
    return [p.pid for p in processor.started if p.poll() is None]


@pytest.mark.parametrize("database", BOTH, indirect=True)
@pytest.mark.timeout(120)
def test_kill_between_any_two_steps_leaves_a_clear_state(started: Process, processor: Any, helpers: Any) -> None:
    g = started.gateway
    run = g.start()
    again(started)
    assert g.state(run) == "waiting-for-challenges"
    processor.mode("never")
    g.challenge(run)
    helpers.until(lambda: g.state(run) == "launching" and alive(processor))
    processor.mode("good")
    again(started)  # before evidence: back to the queue, into another enclave
    helpers.until(lambda: g.state(run) == "waiting-for-grants")
    assert len(alive(processor)) == 1
    evidence = g.call("bank", "GET", f"/runs/{run}/evidence").content
    again(started)  # the enclave that gave the evidence is gone
    assert g.state(run) == "failed"
    assert g.call("bank", "GET", f"/runs/{run}/evidence").content == evidence
    helpers.until(lambda: not alive(processor))
    finished(started, processor, helpers)


def finished(started: Process, processor: Any, helpers: Any) -> None:
    g = started.gateway
    run = g.start()
    g.challenge(run)
    helpers.until(lambda: g.state(run) == "waiting-for-grants")
    g.grant(run)
    helpers.until(lambda: g.state(run) == "waiting-for-consent")
    offers = g.call.ok("bank", "GET", f"/runs/{run}/offers")
    receipt = g.call("bank", "GET", f"/runs/{run}/receipt").content
    again(started)
    assert g.state(run) == "waiting-for-consent"
    assert g.call.ok("bank", "GET", f"/runs/{run}/offers") == offers
    assert g.call("bank", "GET", f"/runs/{run}/receipt").content == receipt
    consent = g.parties.of("partner", "consent", g.agreement, release="ab" * 32, decision="release")
    path = f"/runs/{run}/offers/{offers['offers'][0]['digest']}"
    g.call.ok("partner", "PUT", f"{path}/consents/partner", consent)
    again(started)
    assert g.state(run) == "done"
    assert g.call("bank", "GET", f"{path}/ciphertext").content == b"sealed release" * 1000
    helpers.until(lambda: not alive(processor))
    assert list((started.home / "runs").glob("*")) == []


def again(started: Process) -> None:
    started.kill()
    started.start()


def test_a_run_that_was_computing_fails_and_shows_no_offer(started: Process, processor: Any, helpers: Any) -> None:
    g = started.gateway
    processor.mode("hang-running")
    run = g.start()
    g.challenge(run)
    helpers.until(lambda: g.state(run) == "waiting-for-grants")
    g.grant(run)
    helpers.until(lambda: g.state(run) == "running")
    again(started)
    helpers.until(lambda: g.state(run) == "failed")
    helpers.until(lambda: not alive(processor))
    assert g.call.ok("bank", "GET", f"/runs/{run}/offers") == {"offers": []}


def test_a_request_cannot_be_replayed_after_a_restart(started: Process, helpers: Any) -> None:
    request = started.gateway.call.sign("bank", "GET", "/v1/agreements")
    assert started.client.send(request).status_code == 200
    again(started)
    assert helpers.code(started.client.send(request)) == (401, "replayed-request")


def test_the_gateway_stops_in_order_and_ends_its_enclave(started: Process, processor: Any, helpers: Any) -> None:
    g = started.gateway
    run = g.start()
    g.challenge(run)
    helpers.until(lambda: g.state(run) == "waiting-for-grants")
    assert started.process is not None
    started.process.terminate()
    assert started.process.wait(30) == 0
    started.process.stdout.close()  # type: ignore[union-attr]
    assert started.store.runs.get(run).state == "failed"
    helpers.until(lambda: not alive(processor))
    log = (started.home / "log").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert {"gateway-started", "run-launched", "call", "gateway-draining", "run-left"} <= set(events)
    assert events[-1] == "gateway-stopped"


def test_a_gateway_that_is_told_to_leave_sees_an_enclave_through_and_answers_meanwhile(
    started: Process, processor: Any, helpers: Any
) -> None:
    g = started.gateway
    processor.mode("slow-running")
    run = g.start()
    g.challenge(run)
    helpers.until(lambda: g.state(run) == "waiting-for-grants")
    g.grant(run)
    helpers.until(lambda: g.state(run) == "running")
    assert started.process is not None
    started.process.terminate()
    helpers.until(lambda: started.client.get(started.card["url"] + "/v1/ready").status_code == 503)
    assert g.state(run) == "running"
    second = g.start()
    g.challenge(second)
    assert started.process.wait(60) == 0
    started.process.stdout.close()  # type: ignore[union-attr]
    assert started.store.runs.get(run).state == "waiting-for-consent"
    assert started.store.runs.get(second).state == "queued"
    log = [json.loads(line) for line in (started.home / "log").read_text().splitlines()]
    left = [(line["run"], line["state"]) for line in log if line["event"] == "run-left"]
    assert left == [(run[:16], "waiting-for-consent")]
    started.start()
    helpers.until(lambda: g.state(second) == "waiting-for-grants")


def test_only_one_gateway_runs_on_a_home_and_status_works_beside_it(started: Process) -> None:
    second = started.run("serve")
    assert (second.returncode, second.stdout) == (2, "")
    assert "sealroom-host: error: another gateway runs on" in second.stderr
    shown = json.loads(started.run("status", "--json").stdout)
    assert (shown["agreements"], shown["objects"], shown["runs"], shown["receipts"]) == (1, 0, {}, 0)
    assert shown["url"] == started.card["url"]
    assert "agreements: 1" in started.run("status").stdout


def test_a_home_is_private_and_never_made_over(started: Process) -> None:
    for name in ("host.toml", "tls/key.pem", "host.db", "lock"):
        assert (started.home / name).stat().st_mode & 0o077 == 0, name
    assert started.home.stat().st_mode & 0o077 == 0
    key = started.gateway.parties.keys["operator"].public.text
    again_made = started.run("init", "--operator-key", key)
    assert again_made.returncode == 1
    assert "is there already" in again_made.stderr


def test_a_client_that_pins_another_certificate_refuses(started: Process) -> None:
    with (
        httpx2.Client(verify=ssl.create_default_context(), trust_env=False) as stranger,
        pytest.raises(httpx2.ConnectError),
    ):
        stranger.get(started.card["url"] + "/v1/health")
    old = ssl.create_default_context(cafile=started.card["certificate"])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx2.Client(verify=old, trust_env=False) as client, pytest.raises(httpx2.ConnectError):
        client.get(started.card["url"] + "/v1/health")


def test_serving_needs_an_image_and_a_processor(tmp_path: Path, processor: Any, parties: Any, helpers: Any) -> None:
    made = Process(tmp_path / "home", processor, parties, helpers, "")
    bare = dataclasses.replace(host_settings.load(made.home), image="")
    (made.home / "host.toml").unlink()
    host_settings.save(bare)
    refused = made.run("serve")
    made.close()
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "image and processor_socket must be set" in refused.stderr
    assert os.path.exists(made.card["certificate"])
