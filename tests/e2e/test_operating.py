"""Operation over real programs: from one measurement to the next without a gap, and what logs and metrics hold.

The gateway logs to files and serves metrics; the brokers run as services. One stage goes through an upgrade of
the image, beginning with its first run; another stage, with other secrets of equal size, plays that first run only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sealroom.client import journal as broker_journal
from sealroom.client.demo import pair as pairs
from sealroom.client.demo import props as things
from sealroom.client.demo import services
from sealroom.client.demo.actors import Actor
from sealroom.client.demo.play import TAMPERED
from sealroom.client.demo.stage import Props, Stage
from sealroom.host import journal as host_journal
from tests.e2e import planted
from tests.e2e.scanner import Scanner

WAIT = 240.0


class Operated(Stage):
    """A stage whose gateway logs to files and serves metrics, and whose brokers are services."""

    port = 0

    def prepare_operator(self) -> dict[str, Any]:
        card = super().prepare_operator()
        self.port = services.free_port()
        with (self.host_home / "host.toml").open("a", encoding="utf-8") as file:
            file.write(f'logs = "files"\nmetrics_port = {self.port}\ndrain_wait = 60\n')
        return card

    @contextlib.contextmanager
    def brokers(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for owner in self.owners:
                process = owner.start("broker", "--service", log=owner.folder / "broker.log")
                stack.callback(services.stop, process)
            yield

    def metrics(self) -> dict[str, int]:
        """Every sample but how often brokers happened to ask."""
        with httpx2.Client(trust_env=False, timeout=30) as client:
            lines = client.get(f"http://127.0.0.1:{self.port}/metrics").text.splitlines()
        samples = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
        return {name: int(value) for name, value in samples.items() if not name.startswith("sealroom_calls")}

    def host_log(self) -> list[dict[str, Any]]:
        files = sorted((self.host_home / "logs").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]

    def broker_log(self, owner: Actor) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (owner.folder / "broker.log").read_text("utf-8").splitlines()]

    def state(self, run: str) -> str:
        return str(self.bank.type("watch", run, "--once", may_fail=True)["state"])


@dataclasses.dataclass(frozen=True)
class Upgraded:
    """What is left of the upgrade: the stage, the runs by when they were asked for, and both measurements."""

    stage: Operated
    values: planted.Planted
    runs: dict[str, str]
    old: str
    new: str
    after_first: dict[str, int]


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.3)


def staged(folder: Path, data: Path, built: Path) -> Operated:
    """A stage that launches from a copy of its own, which nobody builds anew meanwhile."""
    image = folder.parent / f"{folder.name}-image"
    subprocess.run(["cp", "-a", str(built), str(image)], check=True)
    props = Props(
        folder=folder, data=data, pair=pairs.load(data / "pair.toml"), model=data / "model", segments=data / "segments",
        launcher="process", image=str(image), measured=image,
    )  # fmt: skip
    return Operated(props, lambda _: None)


def first_run(stage: Operated) -> str:
    run = stage.run("overlap")
    assert set(stage.collect(stage.bank, run)) == {"overlap"}
    until(lambda: stage.state(run) == "done", "the run is done")
    return run


@pytest.fixture(scope="module")
def upgraded(root: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    data = tmp_path_factory.mktemp("data")
    values = planted.plant(root, data)
    stage = staged(tmp_path_factory.mktemp("parties"), data, image)
    image = stage.props.measured
    card = stage.prepare_operator()
    old = str(stage.agree(card)["measurement"])
    new_image, runs = stage.operator.folder / "image-2", {}
    things.tampered_copy(image, new_image, TAMPERED)
    with stage.processor(), stage.brokers():
        with stage.gateway(card["url"], str(image)):
            stage.bring(card)
            runs["before"] = first_run(stage)
            after_first = stage.metrics()
            # Both owners approve the next image while the old one is in use, then the operator switches.
            new = {str(owner.type("approve", "--image", new_image)["measurement"]) for owner in stage.owners}
            runs["during"] = str(stage.bank.type("run", "--rules", "overlap", "--yes")["run"])
        with stage.gateway(card["url"], str(new_image)):
            until(lambda: stage.state(runs["during"]) == "done", "the run that met the switch is done")
            runs["after"] = first_run(stage)
            stage.bank.type("revoke", old[:16])
        with stage.gateway(card["url"], str(image)):
            runs["revoked"] = str(stage.bank.type("run", "--rules", "overlap", "--yes")["run"])
            until(
                lambda: any(e.get("run") == runs["revoked"][:16] and e["event"] == "would-not"
                            for e in stage.broker_log(stage.bank)),
                "the bank's broker refuses the old image",
            )  # fmt: skip
    (measurement,) = new
    return Upgraded(stage, values, runs, old, measurement, after_first)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_before_during_and_after_an_upgrade_succeed_and_the_old_image_gets_nothing_afterwards(
    upgraded: Upgraded,
) -> None:
    stage, runs = upgraded.stage, upgraded.runs
    assert upgraded.old != upgraded.new
    launched: dict[str, list[str]] = {}
    for line in stage.host_log():
        if line["event"] == "run-launched":
            launched.setdefault(line["run"], []).append(line["measurement"])
    measured = {when: launched[run[:16]] for when, run in runs.items()}
    assert (measured["before"], measured["after"]) == ([upgraded.old], [upgraded.new])
    assert set(measured["during"]) <= {upgraded.old, upgraded.new}
    assert set(measured["revoked"]) == {upgraded.old}
    for owner in stage.owners:
        did = [(line.get("did"), line["run"]) for line in stage.broker_log(owner) if line["event"] == "did"]
        granted = [run for what, run in did if what == "granted"]
        assert granted.count(runs["before"][:16]) == granted.count(runs["during"][:16]) == 1
        assert runs["after"][:16] in granted
    bank = [line for line in stage.broker_log(stage.bank) if line.get("run") == runs["revoked"][:16]]
    assert "granted" not in {line.get("did") for line in bank}
    refused = {line["code"] for line in bank if line["event"] == "would-not"}
    assert any("measurement" in code or "approv" in code for code in refused), refused


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_line_of_every_log_is_a_declared_event_and_no_secret_or_name_is_in_any(upgraded: Upgraded) -> None:
    stage, values = upgraded.stage, {**upgraded.values.bank, **upgraded.values.partner}
    host = stage.host_log()
    brokers = [line for owner in stage.owners for line in stage.broker_log(owner)]
    for lines, declared in ((host, host_journal.declared), (brokers, broker_journal.declared)):
        for line in lines:
            fields = {name: value for name, value in line.items() if name not in ("time", "level", "event")}
            assert declared(line["event"], fields), line
    assert {"gateway-started", "ready", "call", "run-launched", "run-left", "gateway-stopped"} <= {
        e["event"] for e in host
    }
    assert {"broker-started", "did", "would-not", "broker-stopped"} <= {e["event"] for e in brokers}
    assert not {"undeclared", "crashed", "call-failed", "worker-failed"} & {e["event"] for e in (*host, *brokers)}
    text = "\n".join(json.dumps(line) for line in (*host, *brokers)).encode()
    rest = (stage.operator.folder / "host.log").read_bytes() + json.dumps(upgraded.after_first).encode()
    assert Scanner(values).names(text + rest) == set()
    said = {str(v) for e in (*host, *brokers) for v in e.values()}
    assert not said & {"bank", "partner", "operator", "customers", "prospects", "overlap", planted.PUBLIC}
    # The same scan finds what is there.
    assert Scanner({"run": upgraded.runs["before"][:16]}).names(text) == {"run"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_metrics_after_a_run_over_other_secrets_of_equal_size_are_the_same(
    upgraded: Upgraded, root: Path, image: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("other")
    planted.plant(root, data)
    for side in ("bank", "partner"):
        path = data / f"{side}.csv"
        text = path.read_text("utf-8")
        other = text.replace("canaryzq", "canaryzk").replace("7340", "7529").replace("Ann1", "Eve1")
        assert (len(other), other == text) == (len(text), False)
        path.write_text(other, "utf-8")
    stage = staged(tmp_path_factory.mktemp("others"), data, image)
    card = stage.prepare_operator()
    stage.agree(card)
    with stage.processor(), stage.brokers(), stage.gateway(card["url"], stage.props.image):
        stage.bring(card)
        first_run(stage)
        found = stage.metrics()
    assert found == upgraded.after_first
    assert found['sealroom_runs{state="done"}'] == 1
    assert found["sealroom_ready"] == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_health_of_gateway_and_broker_takes_no_passphrase(upgraded: Upgraded) -> None:
    """Nothing runs any more: both say so, and neither needs a key to find out."""
    stage = upgraded.stage
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SEALROOM")}
    home = stage.bank.folder / "home"
    python = services.sys.executable
    broker = [python, "-m", "sealroom.client", "broker", "--health", "--home", str(home)]
    gateway = [python, "-m", "sealroom.host", "health", "--home", str(stage.host_home)]
    for command in (broker, gateway):
        done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done.stderr
        assert "passphrase" not in done.stderr
    log = stage.bank.folder / "again.log"
    process = stage.bank.start("broker", "--service", log=log)
    try:
        until((home / "broker.health").exists, "the broker shows that it lives")
        done = subprocess.run([*broker, "--json"], env=bare, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "gateway-silent")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
