"""Unique strings are planted in code and data; after whole runs nobody but their owner has one, in any form.

What is scanned of the host: everything in the operator's folder (its home, database with write-ahead log, blobs, logs,
run folders), the plaintext of all traffic that reached its gateway, what the run folders held while there was a run,
its enclaves' command lines and environments, and what the engine tells of their containers: logs, settings, changed
files, processes. Then the files that parties exchanged, and each owner's folder for the other owner's values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealroom.client.demo import pair as pairs
from sealroom.client.demo import services
from sealroom.client.demo.stage import Props, Stage
from tests.e2e import planted
from tests.e2e.capture import Traffic, Watch
from tests.e2e.scanner import Scanner

SAID = "saidinacontainerzq85"
SENT = "senttothegatewayzq86"
LEFT = "leftinarunfolderzq87"


class Overheard(Stage):
    """A stage whose parties reach the gateway through a proxy that writes everything down."""

    def prepare_operator(self) -> dict[str, Any]:
        """As always; the gateway is told that parties know it under another port than its own."""
        card = super().prepare_operator()
        with (self.host_home / "host.toml").open("a", encoding="utf-8") as file:
            file.write(f"public_url = {json.dumps(card['url'])}\n")
        return card

    @contextlib.contextmanager
    def gateway(self, url: str, image: str) -> Iterator[None]:
        """The gateway on a port that parties do not know, behind the proxy and beside the watch."""
        port, log, tls = services.free_port(), self.operator.folder / "host.log", self.host_home / "tls"
        command = ["sealroom.host", "serve", "--home", str(self.host_home), "--image", image]
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(services.running([*command, "--listen", f"127.0.0.1:{port}"], log=log))
            services.wait_for_port("the gateway", port, process, log)
            seen = self.props.folder / "overheard"
            traffic = Traffic(
                seen / "traffic", listen=int(url.rpartition(":")[2]), forward=port,
                certificate=tls / "certificate.pem", key=tls / "key.pem",
            )  # fmt: skip
            stack.callback(traffic.close)
            engine = engine_of(self.props)
            if engine is not None:
                stack.callback(engine.close)
            self.watch = Watch(
                seen / "watch", runs=self.host_home / "runs", plant=LEFT.encode(), engine=engine,
                image=self.props.image,
            )  # fmt: skip
            stack.callback(self.watch.close)
            yield


@dataclasses.dataclass(frozen=True)
class Played:
    """Where everything is after two runs, and what was planted."""

    stage: Stage
    values: planted.Planted
    run: str

    @property
    def heard(self) -> Path:
        """What the proxy and the watch wrote down."""
        return self.stage.props.folder / "overheard"


def engine_of(props: Props) -> Any:
    if props.engine is None:
        return None
    import docker  # noqa: PLC0415 (only with an engine)

    return docker.DockerClient(base_url=props.engine, timeout=60)


def send_openly(url: str, certificate: Path, text: str) -> None:
    """A call that no party makes: a body that holds a planted text."""
    address = url.removeprefix("https://")
    trusted = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection(address, context=trusted, timeout=60)
    connection.request("POST", "/v1/runs", body=json.dumps({"note": text}))
    assert connection.getresponse().read()
    connection.close()


def say_in_a_container(stage: Overheard, text: str) -> None:
    """Start a container of the same image whose engine keeps its words for as long as it is there."""
    client = engine_of(stage.props)
    if client is None:
        return
    command = ["-c", f"import sys; sys.stderr.write({text!r})"]
    container = client.containers.create(
        stage.props.image, command, entrypoint=["python3"], network_mode="none", log_config={"Type": "json-file"}
    )
    try:
        container.start()
        container.wait(timeout=60)
        stage.watch.wait()
    finally:
        container.remove(force=True)
        client.close()


def launched_from(request: pytest.FixtureRequest, launcher: str) -> dict[str, Any]:
    image: Path = request.getfixturevalue("image")
    if launcher == "process":
        request.getfixturevalue("instead_of_docker")
        return {"launcher": launcher, "image": str(image), "measured": image}
    described: Path = request.getfixturevalue("container")
    built = json.loads(described.read_text("utf-8"))
    engine = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    measured = (described.parent / built["archive"]).resolve()
    return {"launcher": launcher, "image": built["id"], "measured": measured, "engine": engine}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("process", marks=pytest.mark.slow),
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
    ],
)
def played(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A whole run of overlap and segments and a whole look-alike run, over real programs."""
    launch = launched_from(request, request.param)
    data = tmp_path_factory.mktemp("data")
    values = planted.plant(root, data)
    props = Props(
        folder=tmp_path_factory.mktemp("parties"), data=data, pair=pairs.load(data / "pair.toml"),
        model=data / "model", segments=data / "segments", **launch,
    )  # fmt: skip
    stage = Overheard(props, lambda _: None)
    gateway = stage.prepare_operator()
    stage.agree(gateway)
    with stage.processor(), stage.gateway(gateway["url"], props.image):
        stage.bring(gateway)
        with stage.brokers():
            first = stage.collect(stage.bank, stage.run("overlap", "segments"))
            assert set(first) == {"overlap", "segments"}
            run = stage.run("quality", "audience")
            assert "quality" in stage.collect(stage.bank, run)
            assert "audience" in stage.collect(stage.partner, run)
        send_openly(gateway["url"], Path(gateway["certificate"]), SENT)
        say_in_a_container(stage, SAID)
    return Played(stage, values, run)


def found_in(values: dict[str, planted.Value], *places: Path) -> dict[str, set[str]]:
    """File -> names of the values found in it."""
    scanner, found = Scanner(values), {}
    for place in places:
        for path in sorted(place.rglob("*") if place.is_dir() else [place]):
            if path.is_file() and not path.is_symlink() and (names := scanner.names(path.read_bytes())):
                found[str(path.relative_to(place.parent))] = names
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_canary_is_found_in_what_the_host_holds_or_others_received(played: Played) -> None:
    stage, bank, partner = played.stage, played.values.bank, played.values.partner
    assert found_in({**bank, **partner}, stage.operator.folder, played.heard) == {}
    exchanged = [path for path in stage.props.folder.iterdir() if path.is_file()]
    assert found_in({**bank, **partner}, *exchanged) == {}
    assert found_in(bank, stage.partner.folder) == {}
    assert found_in(partner, stage.bank.folder) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_scan_finds_what_everybody_may_see_and_what_is_planted_on_purpose(
    played: Played, tmp_path: Path
) -> None:
    stage = played.stage
    label = found_in({"label": planted.PUBLIC}, stage.operator.folder, played.heard / "traffic")
    assert any(name.startswith("operator/host/") for name in label)
    assert any(name.startswith("traffic/") and name.endswith("-calls") for name in label)
    answered = found_in({"run": played.run}, played.heard / "traffic")
    assert any(name.endswith("-answers") for name in answered)
    sent = found_in({"sent": SENT}, played.heard)
    assert {name.split("/")[1] for name in sent} == {"traffic"}
    assert found_in({"left": LEFT}, played.heard / "watch")
    if stage.props.launcher == "docker":
        assert any("logs" in name for name in found_in({"said": SAID}, played.heard / "watch"))
    copy = tmp_path / "operator"
    shutil.copytree(stage.operator.folder / "host", copy)
    victim = max((p for p in copy.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes() + b"\0" + str(played.values.bank["constant"]).encode("utf-16-le"))
    assert found_in(played.values.bank, copy) == {f"operator/{victim.relative_to(copy)}": {"constant"}}
