"""A party exports the history that its own home holds: it proves itself like any other, and says what it lacks."""

from __future__ import annotations

import json

import pytest

from sealroom.client import __main__ as program
from sealroom.client import audit, audit_folder, collect, kept_log, own_history
from sealroom.client.errors import Unreachable
from sealroom.client.logbook import Logbook
from sealroom.protocol import notes
from sealroom.protocol.errors import Malformed, Refused
from sealroom.protocol.statements import Stop
from tests.client_broker.world import NOW, PASSPHRASE


def export(world, party, folder):
    home = world.homes[party]
    return own_history.export(home, home.agreement(), folder)


def audited(world, folder):
    return audit.verify(audit_folder.load(folder), roots=frozenset({world.processor.root}), agreement=world.id)


def stopped(world):
    said = Stop(format="sealroom/stop/v1", party="operator", agreement=world.id, created=NOW, remark="enough")
    world.gateway.log.add(world.sign("operator", said))


@pytest.mark.parametrize("party", ["partner", "compliance"])
def test_the_history_of_a_home_alone_passes_the_same_audit_and_is_the_gateway_s(played, tmp_path, party):
    world, run = played
    world.step()
    collect.collect(world.homes[party], world.gateway, run)
    made = export(world, party, tmp_path / "own")
    audit_folder.export(world.gateway, world.id, tmp_path / "theirs")
    assert made.entries == world.gateway.log.store.size(world.id)
    assert (made.uncovered, made.contradicted) == (0, ())
    assert made.looked > 0
    for name in ("tree", *(f"entries/{number:06}.json" for number in range(made.entries))):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    found = audited(world, tmp_path / "own")
    assert found.receipts[run].final
    assert party in found.cosigned


def test_it_ends_where_the_home_last_looked_and_says_that_it_cannot_know_what_came_later(played, tmp_path):
    world, _ = played
    world.step()
    made = export(world, "partner", tmp_path / "before")
    stopped(world)
    again = export(world, "partner", tmp_path / "after")
    assert again == made
    assert audited(world, tmp_path / "after").history.stops == []
    assert again.lacks()[0].startswith("what the log got after this home last looked at it on ")


def test_a_home_that_read_nothing_has_no_history(played, tmp_path):
    world, _ = played
    with pytest.raises(Unreachable, match="read nothing"):
        export(world, "compliance", tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_what_was_read_beyond_every_checkpoint_that_holds_is_left_out_and_counted(played, tmp_path):
    world, _ = played
    home = world.homes["partner"]
    before = Logbook(home, world.gateway, home.agreement(), NOW).look()
    folder = home.root / "log" / world.id
    old = {path: path.read_bytes() for path in (folder / "head", *(folder / "seen").iterdir())}
    stopped(world)
    Logbook(home, world.gateway, home.agreement(), NOW).look()
    for path, data in old.items():
        path.write_bytes(data)
    made = export(world, "partner", tmp_path / "own")
    assert (made.entries, made.uncovered) == (before.size, 1)
    assert made.lacks()[-1].startswith("1 more entries")
    assert audited(world, tmp_path / "own").head == before


def test_a_checkpoint_that_the_log_did_not_sign_is_not_taken_along(played, tmp_path):
    world, _ = played
    world.step()
    folder = world.homes["partner"].root / "log" / world.id
    said = notes.Checkpoint(notes.origin(world.id), 2, bytes(32))
    (folder / "seen" / "bank").write_bytes(notes.sign(said, world.members["bank"].signing).to_bytes())
    export(world, "partner", tmp_path / "own")
    assert not (tmp_path / "own" / "checkpoints" / "by-bank.note").exists()
    assert "bank" not in audited(world, tmp_path / "own").cosigned


def test_who_cosigned_another_history_is_named(played, tmp_path):
    world, _ = played
    world.step()
    folder = world.homes["partner"].root / "log" / world.id
    (folder / "seen" / "bank.contradicts").write_bytes(b"the other history's checkpoint")
    made = export(world, "partner", tmp_path / "own")
    assert made.contradicted == ("bank",)
    assert "bank HAS COSIGNED" in made.lacks()[-1]


def test_a_forged_entry_in_the_home_does_not_pass_and_is_named(played, tmp_path):
    world, _ = played
    world.step()
    folder = world.homes["partner"].root / "log" / world.id
    path, end = folder / kept_log.FILE, kept_log.end(folder)
    lines = path.read_bytes().splitlines()
    salt = json.loads(lines[3])["salt"].encode()
    lines[3] = lines[3].replace(salt, salt[::-1])
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert len(list(kept_log.entries(folder, end))) == end.tree.size
    export(world, "partner", tmp_path / "own")
    with pytest.raises(Refused) as caught:
        audited(world, tmp_path / "own")
    assert caught.value.code == "E2.audit-tree"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(Malformed):
        export(world, "partner", tmp_path / "again")


def test_the_command_asks_no_gateway_and_says_what_it_cannot_show(played, tmp_path, monkeypatch, capsys):
    world, _ = played
    world.step()
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PASSPHRASE)
    words = ["audit", "export", str(tmp_path / "own"), "--from-home", "--home", str(world.homes["partner"].root)]
    assert program.outcome(words) == 0
    said = capsys.readouterr().out
    assert f"wrote {world.gateway.log.store.size(world.id)} entries" in said
    assert said.count("cannot show: ") == 3
    assert program.outcome(words) == 2
    assert "is not empty" in capsys.readouterr().err
    assert program.outcome([*words[:2], str(tmp_path / "too"), *words[3:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["from"] == "home"
