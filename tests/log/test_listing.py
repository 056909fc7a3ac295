"""A broker that goes on from step to step: what it read it has found, and lists are asked for when there is cause."""

from __future__ import annotations

from typing import Any

import pytest

from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.read_entries import MOST, ReadEntries
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.logged import Log
from sealroom.protocol.statements import Stop
from tests.client_broker.world import NOW, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class Counted:
    """A gateway that counts the calls of some kinds."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.calls = inner, {"statements": 0, "log_inclusion": 0, "run": 0}

    def __getattr__(self, name: str) -> Any:
        if name in self.calls:
            self.calls[name] += 1
        return getattr(self._inner, name)


@pytest.fixture
def partner(world):
    """The partner's broker, which lives on, and the gateway as it sees it."""
    gateway = Counted(world.gateway)
    with world.ledger("partner") as ledger:
        yield world.broker("partner", gateway=gateway, ledger=ledger), gateway


def stop(world: World) -> Envelope:
    return world.sign(
        "bank", Stop(format="sealroom/stop/v1", party="bank", agreement=world.id, created=NOW, remark="x")
    )


def codes(events):
    return [event.error.code for event in events if event.error is not None]


def test_a_broker_that_lives_on_asks_for_no_proof_of_what_it_read(world, partner):
    broker, gateway = partner
    world.ask()
    for _ in range(4):
        assert codes(broker.step()) == []
        world.step("bank")
    broker.step()
    assert world.posts("cosignature")
    assert gateway.calls["log_inclusion"] == 0


def test_lists_are_asked_for_when_the_log_has_moved_and_not_while_it_stays(world, partner):
    broker, gateway = partner
    broker.step()
    before = gateway.calls["statements"]
    for _ in range(3):
        broker.step()
    assert gateway.calls["statements"] == before
    world.ask()
    broker.step()
    assert gateway.calls["statements"] > before


def test_a_stop_that_is_listed_and_not_logged_is_found_before_anything_new_is_given(world, partner):
    broker, _ = partner
    broker.step()
    world.gateway.posted_statements.append(stop(world))
    world.ask()
    assert codes(broker.step()) == ["E2.log-lacks"]
    assert world.posts("challenge") == []


def test_what_is_listed_and_not_logged_is_found_out_within_a_minute(world, partner):
    broker, _ = partner
    broker.step()
    world.gateway.posted_statements.append(stop(world))
    world.clock.now = NOW + 59
    assert codes(broker.step()) == []
    world.clock.now = NOW + 60
    assert codes(broker.step()) == ["E2.log-lacks"]
    assert codes(broker.step()) == ["E2.log-lacks"]


def test_a_second_key_of_the_log_is_found_when_lists_are_asked_for(world, partner):
    broker, _ = partner
    broker.step()
    key = SigningKey.generate().public.text
    said = Log(format="sealroom/log/v1", party="operator", agreement=world.id, key=key, created=NOW)
    world.gateway.log_statements.append(world.sign("operator", said))
    world.gateway.log.add(world.gateway.log_statements[-1])
    assert codes(broker.step()) == ["E3.log-key"]
    assert codes(broker.step()) == ["E3.log-key"]


def test_a_run_in_which_this_party_has_done_its_part_is_not_asked_about(world, partner):
    broker, gateway = partner
    world.ask()
    broker.step()
    before = gateway.calls["run"]
    for _ in range(3):
        broker.step()
    assert gateway.calls["run"] == before


def entry(number: int, kind: str = "grant") -> LoggedEntry:
    return LoggedEntry(number, kind, f"{number:064x}", bytes(32), None, b"")


def test_read_entries_are_found_below_their_size_only():
    read = ReadEntries()
    read.note([entry(0), entry(1, "stop")])
    assert read.holds("grant", entry(0).digest, size=1)
    assert not read.holds("grant", entry(0).digest, size=0)
    assert not read.holds("consent", entry(0).digest, size=1)


def test_what_was_read_is_forgotten_when_the_home_goes_back():
    read = ReadEntries()
    read.note([entry(0), entry(1)])
    read.continue_from(2)
    assert read.holds("grant", entry(1).digest, size=2)
    read.continue_from(1)
    assert not read.holds("grant", entry(0).digest, size=2)


def test_only_so_many_read_entries_are_kept():
    read = ReadEntries()
    read.note([entry(number) for number in range(MOST + 2)])
    assert not read.holds("grant", entry(1).digest, size=MOST)
    assert read.holds("grant", entry(2).digest, size=MOST)
