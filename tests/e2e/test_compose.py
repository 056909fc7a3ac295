"""Compose files, played: processor, gateway and both brokers as containers, a run, a stop in order, and a run after it.

Homes are made and filled by commands on the machine; the services then use them from inside, under their own users.
What is changed of the files is said in `adapted`: a test's engine has no bridge, so that no port can be published.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sealroom.client.demo import pair as pairs
from sealroom.client.demo.actors import Actor
from sealroom.client.demo.stage import Props, Stage
from tests.e2e import planted

GUEST, PARTY = 65532, 65530
"""The users of the operator's services, which compose file and launcher name, and of the brokers here."""
SECONDS = 600.0
"""For one command; the processor measures the image anew after each start, which takes minutes on a busy machine."""
pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("SEALROOM_COMPOSE" not in os.environ, reason="takes minutes: `make compose-test`"),
]


@dataclasses.dataclass(frozen=True)
class Project:
    """One compose project: its file, what is changed of it, and its variables."""

    name: str
    files: tuple[Path, Path]
    variables: dict[str, str]

    def compose(self, *words: str) -> str:
        """Run docker-compose; what it printed."""
        chosen = [word for file in self.files for word in ("-f", str(file))]
        return command("docker-compose", "-p", self.name, *chosen, *words, env={**os.environ, **self.variables})

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()

    def healthy(self, service: str) -> None:
        """Wait until its health command says that it fares well."""
        container, end = self.container(service), time.monotonic() + SECONDS
        while (state := inspected(container)["State"]).get("Health", {}).get("Status") != "healthy":
            assert state["Status"] in ("running", "restarting"), self.compose("logs", "--no-color", service)
            assert time.monotonic() < end, (state, self.compose("logs", "--no-color", service))
            time.sleep(0.5)

    def sealroom(self, *words: str) -> dict[str, Any]:
        """A party's command, typed in the container of its broker."""
        said = self.compose("exec", "-T", "broker", "sealroom", *words, "--json")
        return dict(json.loads(said.strip().splitlines()[-1]))


@dataclasses.dataclass(frozen=True)
class Running:
    """The projects, with homes that are ready."""

    operator: Project
    bank: Project
    partner: Project

    @property
    def projects(self) -> tuple[Project, ...]:
        return self.operator, self.bank, self.partner


def command(*words: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, (words, done.stdout[-1000:], done.stderr[-3000:])
    return done.stdout


def inspected(container: str) -> dict[str, Any]:
    """What the engine says of a container."""
    return dict(json.loads(command("docker", "inspect", container))[0])


@pytest.fixture(scope="module")
def programs(root: Path, container: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ids of the programs' images, on the enclave image's base, or a new one if the engine has forgotten that."""
    if os.geteuid() != 0:
        pytest.skip("homes of services under other users can only be made by root")
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    if not Path("/etc/machine-id").is_file():
        pytest.skip("this machine has no /etc/machine-id to mount")
    out = tmp_path_factory.mktemp("programs")
    base = json.loads(container.read_text("utf-8"))["base"]
    known = subprocess.run(["docker", "image", "inspect", base], capture_output=True, timeout=60, check=False)
    variables = {**os.environ, "OUT": str(out), "PYTHON": sys.executable, "BASE": "" if known.returncode else base}
    command(root / "deploy" / "build-programs.sh", env=variables)
    return dict(json.loads((out / "programs.json").read_text("utf-8")))


@pytest.fixture(scope="module")
def stage(root: Path, container: Path, programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Three parties with keys, an agreement and approvals, and the operator's home; nothing runs yet."""
    data = tmp_path_factory.mktemp("data")
    planted.plant(root, data)
    said = json.loads(container.read_text("utf-8"))
    props = Props(
        folder=tmp_path_factory.mktemp("parties"), data=data, pair=pairs.load(data / "pair.toml"),
        model=data / "model", segments=data / "segments", launcher="docker", image=said["id"],
        measured=container.parent / said["archive"], engine="unix:///var/run/docker.sock",
    )  # fmt: skip
    made = Stage(props, lambda _: None)
    made.socket = made.operator.folder / "socket" / "processor.sock"
    return made


def adapted(root: Path, folder: Path, which: str, *services: str) -> tuple[Path, Path]:
    """The compose file without published ports, and beside it: the machine's network, and health asked more often."""
    file, beside = folder / f"{which}.yml", folder / f"{which}.override.yml"
    found = yaml.safe_load((root / "deploy" / "compose" / which / "docker-compose.yml").read_text("utf-8"))
    for service in found["services"].values():
        service.pop("ports", None)
    file.write_text(yaml.safe_dump(found), "utf-8")
    changed = {name: {"network_mode": "host", "healthcheck": {"interval": "2s"}} for name in services}
    beside.write_text(yaml.safe_dump({"services": changed}), "utf-8")
    return file, beside


def give(path: Path, user: int) -> None:
    command("chown", "-R", f"{user}:{user}", path)


def operator_project(root: Path, stage: Stage, programs: dict[str, str], folder: Path) -> Project:
    socket = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
    for name in ("host/runs", "socket"):
        (stage.operator.folder / name).mkdir(mode=0o700)
    for name in ("host", "processor", "socket"):
        give(stage.operator.folder / name, GUEST)
    variables = {
        "SEALROOM_GATEWAY_IMAGE": programs["gateway"], "SEALROOM_OPERATOR": str(stage.operator.folder),
        "SEALROOM_ENGINE": str(socket), "SEALROOM_ENGINE_GROUP": str(socket.stat().st_gid),
    }  # fmt: skip
    return Project(f"operator-{os.getpid()}", adapted(root, folder, "gateway", "gateway"), variables)


def broker_project(root: Path, owner: Actor, programs: dict[str, str], folder: Path) -> Project:
    give(owner.folder, PARTY)
    variables = {
        "SEALROOM_BROKER_IMAGE": programs["broker"], "SEALROOM_BROKER": str(owner.folder),
        "SEALROOM_BROKER_USER": f"{PARTY}:{PARTY}",
    }  # fmt: skip
    return Project(f"{owner.name}-{os.getpid()}", adapted(root, folder, "broker", "broker"), variables)


@pytest.fixture(scope="module")
def running(
    root: Path, stage: Stage, programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder, started = tmp_path_factory.mktemp("compose"), []
    card = stage.prepare_operator()
    stage.agree(card)
    try:
        operator = operator_project(root, stage, programs, folder)
        started.append(operator)
        operator.compose("up", "-d")
        operator.healthy("gateway")
        stage.bring(card)
        for owner in stage.owners:
            pinned = owner.folder / "home" / "gateway.pem"
            shutil.copy(card["certificate"], pinned)
            owner.type("init", "--gateway", card["url"], "--gateway-certificate", pinned)
            started.append(broker_project(root, owner, programs, folder))
            started[-1].compose("up", "-d")
        yield Running(*started)
    finally:
        for project in reversed(started):
            project.compose("down", "--timeout", "60")


def overlap(running: Running) -> dict[str, Any]:
    """Ask for a run from inside the bank's broker, wait, and open what it released."""
    run = str(running.bank.sealroom("run", "--rules", "overlap", "--wait", "--yes")["run"])
    (opened,) = running.bank.sealroom("results", run)["opened"]
    assert opened["rule"] == "overlap"
    return dict(json.loads(Path(opened["file"]).read_text("utf-8")))


def finished(state: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(state["FinishedAt"])


def test_a_run_goes_through_services_in_containers_which_stop_in_order_and_go_on(running: Running) -> None:
    brokers = (running.bank, running.partner)
    for party in brokers:
        party.healthy("broker")
    first = overlap(running)
    for project in reversed(running.projects):
        project.compose("stop")
    stopped = [
        (running.operator, "gateway"),
        (running.operator, "processor"),
        *((party, "broker") for party in brokers),
    ]
    states = [inspected(project.container(service))["State"] for project, service in stopped]
    assert [(state["Status"], state["ExitCode"], state["OOMKilled"]) for state in states] == [("exited", 0, False)] * 4
    assert finished(states[0]) < finished(states[1])
    assert '"gateway-stopped"' in running.operator.compose("logs", "--no-color", "gateway")
    for party in brokers:
        assert '"broker-stopped"' in party.compose("logs", "--no-color", "broker")
    for project in running.projects:
        project.compose("up", "-d")
    running.operator.healthy("gateway")
    for party in brokers:
        party.healthy("broker")
    assert set(overlap(running)) == set(first)


def test_a_broker_that_is_killed_is_started_again(running: Running) -> None:
    container = running.partner.container("broker")
    before = inspected(container)
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    end = time.monotonic() + SECONDS
    while (now := inspected(container))["State"]["StartedAt"] == before["State"]["StartedAt"]:
        assert time.monotonic() < end, now["State"]
        time.sleep(0.5)
    assert now["RestartCount"] == 1
    running.partner.healthy("broker")


def test_the_engine_confirms_that_every_service_is_closed_off(running: Running) -> None:
    for project, service in ((p, s) for p in running.projects for s in p.compose("ps", "--services").split()):
        found = inspected(project.container(service))
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] == host["MemorySwap"] == 1 << 30
        assert host["PidsLimit"] > 0
        assert host["LogConfig"]["Config"] == {"max-file": "5", "max-size": "10m"}
        assert found["Config"]["User"].split(":")[0] in (str(GUEST), str(PARTY))
        assert not any("PASSPHRASE=" in variable for variable in found["Config"]["Env"])
        status = project.compose("exec", "-T", service, "/usr/local/bin/python3", "-c", PRINT_STATUS)
        assert set(status.split()) == {
            "CapEff:0000000000000000",
            "CapBnd:0000000000000000",
            "NoNewPrivs:1",
            "Seccomp:2",
        }


PRINT_STATUS = """
for line in open("/proc/1/status"):
    name, _, value = line.partition(":")
    if name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        print(f"{name}:{value.strip()}")
"""
