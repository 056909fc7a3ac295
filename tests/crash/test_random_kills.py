"""How kills are shared among batches, and counted."""

from __future__ import annotations

from tests.crash import random_kills


def test_every_kill_belongs_to_one_batch():
    assert random_kills.sizes(25) == {0: 10, 1: 10, 2: 5}


def test_a_kill_counts_only_if_everything_held_in_its_batch(capsys):
    kill = {"victim": "gate", "state": "done"}
    found = {0: random_kills.Played(0, [kill] * 10, ""), 1: random_kills.Played(1, [kill] * 4, "lost a run")}
    assert random_kills.tell(20, found) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "10 passed, 10 failed"
    assert random_kills.tell(30, found) == 1, "what was not played has not passed"
    assert capsys.readouterr().out.splitlines()[-2:] == ["not played: 10", "10 passed, 10 failed"]
    assert random_kills.tell(10, found) == 0
