"""The doctor looks at the engine that is meant, at what evidence may lead to, and at all that a demo needs."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sealroom.client import approving, doctor, errors
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.gateway import AgreementEntry
from tests.client_party.playing import ROOT_DIGEST, Players

Run = Callable[..., tuple[int, str, str]]
MEASUREMENT = "ab" * 48


@contextlib.contextmanager
def listening(family: int, address: object) -> Iterator[socket.socket]:
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen(1)
        yield sock


def test_the_engine_that_docker_host_names_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert (doctor._docker().health, str(path) in doctor._docker().detail) == ("note", True)
    with listening(socket.AF_UNIX, str(path)):
        assert doctor._docker().health == "ok"
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        assert doctor._docker().health == "ok"
    assert doctor._docker().health == "note"
    for odd in ("ssh://somewhere", "tcp://", "tcp://127.0.0.1:99999"):
        monkeypatch.setenv("DOCKER_HOST", odd)
        assert doctor._docker().health == "note"


def found_in(home: object) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor._attestation(home)}  # type: ignore[arg-type]


def test_the_root_and_the_own_approval_are_named(agreed: Players, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = agreed.home("bank")
    monkeypatch.setattr("time.time", lambda: bank.agreement().agreement.not_before + 1000.0)
    found = found_in(bank)
    assert (found["platform"].health, ROOT_DIGEST[:16] in found["platform"].detail) == ("ok", True)
    assert "simulated" in found["platform"].detail
    assert "protects nobody" in found["platform"].hint
    assert (found["approval"].health, "sealroom approve" in found["approval"].hint) == ("note", True)
    approving.approve(bank, bank.agreement().id, MEASUREMENT, days=2)
    assert (found_in(bank)["approval"].health, MEASUREMENT[:16] in found_in(bank)["approval"].detail) == ("ok", True)
    assert "approval" not in found_in(agreed.home("operator"))
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("time.time", lambda: later)
    assert found_in(bank)["approval"].health == "bad"


@pytest.mark.parametrize(
    ("answer", "health"),
    [([AgreementEntry("a", "a", 1)], "ok"), (NotAuthorized("who"), "note"), (Unreachable("gone"), "bad")],
    ids=["known", "stranger", "gone"],
)
def test_the_gateway_is_asked_whether_it_knows_this_party(
    agreed: Players, monkeypatch: pytest.MonkeyPatch, answer: object, health: str
) -> None:
    def agreements() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(doctor, "Gateway", lambda _: SimpleNamespace(agreements=agreements))
    (finding,) = doctor._known(agreed.home("bank"))
    assert finding.health == health
    monkeypatch.delenv("SEALROOM_PASSPHRASE")
    monkeypatch.setattr("sealroom.client.passphrase.source", lambda: "a prompt")
    assert list(doctor._known(agreed.home("bank"))) == []


@pytest.mark.parametrize(
    ("system", "machine", "abi", "named"),
    [("Linux", "aarch64", 7, "machine"), ("Darwin", "arm64", 0, "machine"), ("Linux", "x86_64", 0, "landlock")],
)
def test_a_demo_names_what_the_machine_lacks_before_anything_else(
    sealroom: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, machine: str, abi: int, named: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(doctor, "_landlock_abi", lambda: abi)
    code, _, err = sealroom("demo", "--image", tmp_path / "nothing", "--container", tmp_path / "nothing")
    assert code == errors.USAGE
    assert err.startswith("sealroom: error: this machine cannot launch an enclave: ")
    assert f"{named}: " in err


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr(doctor, "_OLDEST_PYTHON", (9, 0))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    assert [f.name for f in doctor.lacking(docker=True)] == ["machine", "python", "packages", "docker"]


def test_a_machine_that_runs_these_tests_in_a_jail_lacks_nothing() -> None:
    assert doctor.lacking(docker=False) == []
