"""Units for systemd: they are well formed, start commands that exist, are hardened, and give time to leave."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from sealroom.client.cli import cli as client_cli
from sealroom.client.service import GRACE
from sealroom.host.__main__ import cli as host_cli
from sealroom.host.settings import Settings

UNITS = ("sealroom-broker.service", "sealroom-gateway.service", "sealroom-processor.service", "sealroom-prune.service")
# What `systemd-analyze security` may find at most, 0 best to 10 worst. The processor's children confine themselves, and
# need system calls for it that others do without.
EXPOSURE = {
    "sealroom-broker.service": 1.5, "sealroom-gateway.service": 1.5, "sealroom-processor.service": 2.6,
    "sealroom-prune.service": 1.0,
}  # fmt: skip
HARDENED = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "LimitCORE": "0",
    "CapabilityBoundingSet": "", "RestrictSUIDSGID": "yes", "UMask": "0077", "SystemCallArchitectures": "native",
}  # fmt: skip


def service(root: Path, unit: str) -> dict[str, list[str]]:
    """Every setting of a unit's section [Service], as often as it stands there."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (root / "deploy" / unit).read_text("utf-8").splitlines():
        section = line if line.startswith("[") else section
        name, equals, value = line.partition("=")
        if section == "[Service]" and equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def analyze(root: Path, tmp_path: Path) -> Any:
    """`systemd-analyze`, over copies of the units whose programs are there."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (*UNITS, "sealroom-prune.timer"):
        text = (root / "deploy" / unit).read_text("utf-8")
        (tmp_path / unit).write_text(re.sub(r"/opt/sealroom\S*/bin/\w+", "/usr/bin/env", text), "utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        return subprocess.run(
            [program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.parametrize("unit", [*UNITS, "sealroom-prune.timer"])
def test_systemd_takes_a_unit_as_it_is_written(analyze: Any, unit: str):
    done = analyze("verify", f"./{unit}")
    ours = [line for line in done.stderr.splitlines() if unit in line or "sealroom" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_exposes_no_more_than_is_written_down(analyze: Any, unit: str):
    done = analyze("security", "--offline=true", "--no-pager", f"./{unit}")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found.group(1)) <= EXPOSURE[unit]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened(root: Path, unit: str):
    found = service(root, unit)
    assert {name: found.get(name) for name in HARDENED} == {name: [value] for name, value in HARDENED.items()}
    assert found["User"] != ["root"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_starts_a_command_that_there_is_with_options_that_it_has(root: Path, unit: str):
    for line in (*service(root, unit)["ExecStart"], *service(root, unit).get("ExecStartPre", [])):
        words = shlex.split(line)
        if words[1:3] == ["-m", "sealroom.attestation.simulated"]:
            from sealroom.attestation.simulated import __main__ as simulated  # noqa: PLC0415

            assert simulated._parser().parse_args(words[3:]).command in ("init", "serve")
            continue
        group: click.Group = host_cli if words[1:3] == ["-m", "sealroom.host"] else client_cli
        name, *options = words[3:] if group is host_cli else words[1:]
        command = group.get_command(click.Context(group), name)
        assert command is not None
        command.make_context(name, options, resilient_parsing=False)


def test_services_have_more_time_to_leave_than_they_take(root: Path):
    waits = {field: Settings.__dataclass_fields__[field].default for field in ("drain_wait", "stop_wait")}
    gateway = float(service(root, "sealroom-gateway.service")["TimeoutStopSec"][0])
    assert gateway > waits["drain_wait"] + 2 * waits["stop_wait"]
    assert float(service(root, "sealroom-broker.service")["TimeoutStopSec"][0]) > GRACE


def test_the_timer_starts_the_service_of_its_name(root: Path):
    parser = configparser.ConfigParser()
    parser.read(root / "deploy" / "sealroom-prune.timer")
    assert "Unit" not in parser["Timer"]
    assert (root / "deploy" / "sealroom-prune.service").is_file()
