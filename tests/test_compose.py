"""Compose files: every service is closed off, and they say the same as the units for systemd where both can say it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sealroom.client.cli import cli as client_cli
from sealroom.host.__main__ import cli as host_cli
from tests.test_deploy import service as unit_of

SERVICES = {"broker": "broker", "gateway": "gateway", "processor": "gateway"}
"""Each service, and the folder of its file; a unit `sealroom-<service>.service` goes with it."""
CHOSEN = {
    "SEALROOM_BROKER_IMAGE": "sha256:" + "1" * 64, "SEALROOM_BROKER_USER": "998:998",
    "SEALROOM_GATEWAY_IMAGE": "sha256:" + "2" * 64, "SEALROOM_ENGINE_GROUP": "997",
}  # fmt: skip
"""Variables that have no default."""
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
UNSAID = {"TimeoutStopSec": ["90"], "LimitNOFILE": ["4096"]}
"""What holds where a unit says nothing; a processor's files are bounded like a gateway's."""


def text_of(root: Path, folder: str) -> str:
    return (root / "deploy" / "compose" / folder / "docker-compose.yml").read_text("utf-8")


def file_of(root: Path, folder: str) -> dict[str, Any]:
    """A compose file, with the defaults of its variables in their places."""
    plain = VARIABLE.sub(lambda found: CHOSEN.get(found[1]) or found[3], text_of(root, folder))
    return dict(yaml.safe_load(plain))


@pytest.fixture(params=SERVICES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(root: Path, name: str) -> dict[str, Any]:
    return dict(file_of(root, SERVICES[name])["services"][name])


@pytest.fixture
def unit(root: Path, name: str) -> dict[str, list[str]]:
    return unit_of(root, f"sealroom-{name}.service")


def test_no_service_is_left_out_here(root: Path) -> None:
    folders = {folder.name for folder in (root / "deploy" / "compose").iterdir() if folder.is_dir()}
    assert folders == set(SERVICES.values())
    assert {name: folder for folder in folders for name in file_of(root, folder)["services"]} == SERVICES


def test_a_service_is_closed_off_and_bounded(service: dict[str, Any]) -> None:
    wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "init": True}
    assert {key: service.get(key) for key in wanted} == wanted
    opening = {"cap_add", "privileged", "devices", "pid", "ipc", "uts", "userns_mode", "env_file", "build", "extends"}
    assert not opening & set(service)
    assert 0 < service["pids_limit"] <= 256
    assert service["ulimits"]["core"] == 0
    assert all({"nosuid", "nodev", "noexec"} < set(re.split("[:,]", place)) for place in service["tmpfs"])
    assert all("size=" in place for place in service["tmpfs"])
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_a_service_runs_as_an_ordinary_user_of_an_image_that_is_named_by_id(
    root: Path, name: str, service: dict[str, Any]
) -> None:
    user, _, group = service["user"].partition(":")
    assert int(user) > 0 < int(group)
    assert service["image"] in CHOSEN.values()
    dockerfile = (root / "deploy" / "programs.Dockerfile").read_text("utf-8")
    assert re.findall(r"^(?:USER|ENTRYPOINT|CMD|RUN|FROM) .*", dockerfile, re.MULTILINE) == [
        "FROM ${BASE} AS base", "FROM scratch", "USER 65532:65532",
    ]  # fmt: skip
    variables = {found[0]: found[1] for found in VARIABLE.findall(text_of(root, SERVICES[name]))}
    assert {variable for variable, kind in variables.items() if kind == "?"} <= set(CHOSEN)
    assert all(f"#   {variable} " in text_of(root, SERVICES[name]) for variable in variables)


def test_a_service_is_started_by_the_command_of_its_unit(
    name: str, service: dict[str, Any], unit: dict[str, list[str]]
) -> None:
    # The unit's socket lies in a folder that systemd makes anew; compose has none such.
    said = unit["ExecStart"][0].replace("/run/sealroom-processor/", "/var/lib/sealroom/socket/")
    assert service["command"] == shlex.split(said), name


def test_a_service_has_as_long_to_stop_as_its_unit_and_as_many_files(
    service: dict[str, Any], unit: dict[str, list[str]]
) -> None:
    found = {**UNSAID, **unit}
    assert service["stop_grace_period"] == found["TimeoutStopSec"][0] + "s"
    assert service["ulimits"]["nofile"] == int(found["LimitNOFILE"][0])
    assert service["mem_limit"] == service["memswap_limit"]
    assert unit.get("MemorySwapMax", ["0"]) == ["0"]


def test_a_service_is_started_again_after_failures_only_and_not_for_ever(
    service: dict[str, Any], unit: dict[str, list[str]]
) -> None:
    assert unit["Restart"] == ["on-failure"]
    policy, _, most = service["restart"].partition(":")
    assert (policy, int(most)) == ("on-failure", 10)


@pytest.mark.parametrize(("name", "group"), [("broker", client_cli), ("gateway", host_cli)])
def test_health_is_asked_by_a_command_that_there_is_and_that_takes_no_secret(
    service: dict[str, Any], group: click.Group
) -> None:
    kind, *words = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert words[0] == service["command"][0]
    command, *options = words[3:] if words[1] == "-m" else words[1:]
    found = group.get_command(click.Context(group), command)
    assert found is not None
    parsed = found.make_context(command, list(options)).params
    assert command == "health" or parsed["health"] is True
    assert int(service["healthcheck"]["timeout"].removesuffix("s")) >= 20


def test_no_secret_is_in_a_variable_of_a_service_or_a_unit(service: dict[str, Any], unit: dict[str, list[str]]) -> None:
    inside = set(service.get("environment", {}))
    assert inside <= {"SEALROOM_HOME", "SEALROOM_PASSPHRASE_FILE"}
    assert {line.partition("=")[0] for line in unit.get("Environment", [])} == inside
    assert "EnvironmentFile" not in unit


def test_the_passphrase_is_a_file_that_lies_where_the_unit_has_it(root: Path) -> None:
    found = file_of(root, "broker")
    unit = unit_of(root, "sealroom-broker.service")["Environment"]
    assert f"SEALROOM_PASSPHRASE_FILE={found['secrets']['passphrase']['file']}" in unit
    broker = found["services"]["broker"]
    assert broker["secrets"] == ["passphrase"]
    assert f"SEALROOM_HOME={broker['environment']['SEALROOM_HOME']}" in unit
    assert broker["environment"]["SEALROOM_PASSPHRASE_FILE"] == "/run/secrets/passphrase"


def test_everything_mounted_has_the_same_path_inside_and_outside(service: dict[str, Any]) -> None:
    for mount in service["volumes"]:
        assert mount["type"] == "bind"
        assert mount["source"] == mount["target"]
        assert mount["target"].startswith(("/var/lib/sealroom", "/var/run/docker.sock", "/etc/machine-id"))


def test_a_broker_is_not_reachable_and_holds_no_socket_of_the_engine(root: Path) -> None:
    broker = file_of(root, "broker")["services"]["broker"]
    assert not {"ports", "expose", "network_mode", "group_add"} & set(broker)
    targets = {mount["target"]: mount.get("read_only", False) for mount in broker["volumes"]}
    # The ledger tells machines apart by this file: without it a home made on the machine would be frozen inside.
    assert targets == {"/var/lib/sealroom-broker/home": False, "/etc/machine-id": True}


def test_only_the_gateway_is_reached_and_the_processor_sees_run_folders_alone(root: Path) -> None:
    services = file_of(root, "gateway")["services"]
    assert services["gateway"]["ports"] == ["8443:8443"]
    assert services["processor"]["network_mode"] == "none"
    assert services["gateway"]["depends_on"] == ["processor"]
    seen = {mount["target"] for mount in services["processor"]["volumes"]}
    top = "/var/lib/sealroom"
    assert seen == {"/var/run/docker.sock", f"{top}/socket", f"{top}/processor", f"{top}/host/runs"}


@pytest.mark.parametrize("folder", sorted(set(SERVICES.values())))
def test_docker_compose_takes_a_file_as_it_is_written_and_not_without_its_variables(root: Path, folder: str) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    where = root / "deploy" / "compose" / folder
    path = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [program, "config", "--quiet"], cwd=where, env={**path, **CHOSEN}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    bare = subprocess.run([program, "config", "--quiet"], cwd=where, env=path, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert bare.returncode != 0
    assert "SEALROOM_" in bare.stderr
