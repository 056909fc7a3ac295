"""`sealroom ledger`: show, ask another party, confirm, by commands alone."""

from __future__ import annotations

import json

import pytest

from sealroom.client import choosing, confirming
from sealroom.client.__main__ import outcome
from sealroom.client.home import Home
from tests.client_broker.world import PASSPHRASE, World


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path / "world")
    monkeypatch.setattr("time.time", made.clock)
    monkeypatch.setattr(choosing, "require_gateway", lambda _: made.gateway)
    monkeypatch.setattr(choosing, "fetch", lambda *_: [])
    by_root = {home.root: home for home in made.homes.values()}
    monkeypatch.setattr(Home, "open", classmethod(lambda _, root=None: by_root[root]))
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PASSPHRASE)
    return made


@pytest.fixture
def sealroom(world, capsys):
    """Run one command line as a party: exit code, JSON answer, talk."""

    def run(party, *words):
        capsys.readouterr()
        code = outcome([*words, "--home", str(world.homes[party].root), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    return run


def test_a_lost_ledger_is_made_whole_with_a_file_of_another_party(world, sealroom, tmp_path):
    world.ask()
    world.play()
    with world.ledger("partner") as ledger:
        paid = ledger.spent("prospects")
    for path in world.homes["partner"].root.glob("ledger*"):
        path.unlink()
    code, shown, _ = sealroom("partner", "ledger", "show")
    assert (code, shown["frozen"]["reason"]) == (0, "lost")
    code, answer, _ = sealroom("partner", "ledger", "confirm", "--yes")
    assert code == 5
    assert shown["frozen"]["challenge"] in answer["error"]["hint"]
    file = str(tmp_path / "word.json")
    challenge = shown["frozen"]["challenge"]
    code, made, _ = sealroom("bank", "ledger", "witness", "partner", "--challenge", challenge, "--output", file)
    assert (code, made["statements"]) == (0, 3)
    code, done, said = sealroom("partner", "ledger", "confirm", file, "--yes")
    assert (code, len(done["adopted"]), done["confirmed_by"], done["alone"]) == (0, 3, ["bank"], [])
    assert "WARNING" not in said
    code, shown, _ = sealroom("partner", "ledger", "show")
    assert (code, shown["frozen"]) == (0, None)
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").runs == paid.runs


def test_a_person_alone_is_warned(world, sealroom):
    for path in world.homes["partner"].root.glob("ledger*"):
        path.unlink()
    code, done, said = sealroom("partner", "ledger", "confirm", "--alone", "the bank is gone", "--yes")
    assert (code, done["alone"]) == (0, [world.id])
    assert confirming.WARNING in said


def test_nobody_confirms_without_being_asked(world, sealroom):
    for path in world.homes["partner"].root.glob("ledger*"):
        path.unlink()
    assert sealroom("partner", "ledger", "confirm", "--alone", "the bank is gone")[0] == 2
    with world.ledger("partner") as ledger:
        assert ledger.frozen() is not None


@pytest.mark.parametrize(
    "words",
    [("mallory", "--challenge", "11" * 32), ("bank", "--challenge", "11" * 32), ("partner", "--challenge", "1x")],
)
def test_a_witness_is_about_another_party_and_a_challenge(world, sealroom, words):
    assert world.homes["bank"].config.party == "bank"
    assert sealroom("bank", "ledger", "witness", *words)[0] == 2
