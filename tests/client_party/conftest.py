"""Homes of a bank, a partner and an operator, made once (argon2id takes its time) and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sealroom.client import config
from sealroom.client.__main__ import outcome
from sealroom.client.home import Home
from tests.client_party.playing import KEYS, PHRASE, Players, draft_for


@pytest.fixture(scope="session")
def made_homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("homes")
    for name, role in (("bank", "bank"), ("partner", "partner"), ("operator", "operator")):
        home = Home.create(root / name, config.make(party=name, role=role), phrase=PHRASE)  # type: ignore[arg-type]
        KEYS[name] = (home.signing_key(), home.sealing_key())
    return root


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A passphrase, and no home of the person who runs the tests."""
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PHRASE)
    monkeypatch.delenv("SEALROOM_PASSPHRASE_FILE", raising=False)
    monkeypatch.setenv("SEALROOM_HOME", str(tmp_path / "no-home"))


@pytest.fixture
def players(made_homes: Path, tmp_path: Path) -> Players:
    """Fresh copies of the three homes, and nothing agreed yet."""
    shutil.copytree(made_homes, tmp_path / "homes")
    return Players(tmp_path / "homes")


@pytest.fixture
def agreed(players: Players) -> Players:
    """The same, with an agreement that all three signed and pinned."""
    players.agree(draft_for(players))
    return players


@pytest.fixture
def sealroom(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run one command line in this process: exit code, stdout, stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = outcome([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
