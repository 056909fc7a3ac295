"""A broker reads what is new in the log: what is kept from its lists counts, and what is kept from the log shows."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import files, following, kept_log, logged_entry, refusing
from sealroom.client.errors import Unreachable
from sealroom.client.gateway_log import LogCalls
from sealroom.client.logbook import Logbook
from sealroom.client.read_entries import ReadEntries
from sealroom.protocol import envelope, merkle, notes, schema
from sealroom.protocol.errors import Malformed, Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Approval, Consent, Revocation, Stop
from tests import parties
from tests.client_broker.world import NOW, World

MALLORY = SigningKey.generate()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def codes(events):
    return [event.error.code for event in events if event.error is not None]


def stop(world, party="bank"):
    said = Stop(format="sealroom/stop/v1", party=party, agreement=world.id, created=NOW, remark="enough")
    return world.sign(party, said)


def revocation(world, party="bank"):
    approvals = [(e, envelope.unverified(e, Approval)) for e in world.gateway.posted_statements]
    mine = next(e for e, said in approvals if said.party == party)
    said = Revocation(
        format="sealroom/revocation/v1", party=party, agreement=world.id, approval=mine.digest, created=NOW, remark="x"
    )
    return world.sign(party, said)


def logged_only(world, signed):
    """The gateway takes a statement, logs it, and lists it to nobody."""
    world.gateway.log.add(signed)


def test_a_stop_that_is_logged_and_not_listed_ends_challenges_grants_and_consents(world):
    run = world.ask()
    logged_only(world, stop(world))
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]
    assert world.posts("challenge") == []
    assert world.gateway.run_store[run].grants == {}


def test_no_key_follows_a_stop_that_is_logged_and_not_listed(world):
    world.ask()
    world.step()
    logged_only(world, stop(world))
    granted = len(world.posts("grant"))
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]
    assert len(world.posts("grant")) == granted


def test_no_share_follows_a_stop_that_is_logged_and_not_listed(world):
    world.ask()
    for party in ("bank", "partner", "bank", "partner"):
        if not any(held.receipt for held in world.gateway.run_store.values()):
            world.step(party)
    (held,) = world.gateway.run_store.values()
    logged_only(world, stop(world))
    (refused,) = [event for event in world.step("partner")["partner"] if event.kind == "refused"][:1]
    assert refused.text.endswith("E3.stopped")
    assert all(said.decision == "refuse" for said in consents(held, "partner"))


def consents(held, party):
    said = [envelope.unverified(signed, Consent) for signed in held.consents.values()]
    return [one for one in said if one.party == party]


def test_a_revocation_that_is_logged_and_not_listed_counts(world):
    world.ask()
    world.step()
    logged_only(world, revocation(world))
    granted = len(world.posts("grant"))
    assert "E3.measurement" in codes(world.step("partner")["partner"])
    assert len(world.posts("grant")) == granted


def test_an_approval_that_is_logged_and_not_listed_counts(world):
    world.gateway.posted_statements.clear()
    world.ask()
    assert codes(world.step()["partner"]) == []
    assert codes(world.step("partner")["partner"]) == []
    assert world.posts("grant")


def test_what_is_listed_and_not_logged_stops_everything_and_is_remembered(world):
    world.ask()
    world.gateway.posted_statements.append(stop(world))
    assert codes(world.step("partner")["partner"]) == ["E2.log-lacks"]
    del world.gateway.posted_statements[-1]
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]
    assert world.posts("challenge") == []


def test_a_statement_in_the_log_that_nobody_signed_changes_nothing(world):
    said = Stop(format="sealroom/stop/v1", party="bank", agreement=world.id, created=NOW, remark="forged")
    logged_only(world, envelope.sign(said, [MALLORY]))
    world.ask()
    assert codes(world.step("partner")["partner"]) == []
    assert world.posts("challenge")


def refused_by(world, run, signer):
    """A refusal of a run in the partner's name."""
    held = world.gateway.run_store[run]
    with world.ledger("partner") as ledger:
        desk = world.broker("partner", ledger=ledger)._desk
        made = refusing._signed(desk, world.homes["partner"].agreement(), held.request, None, "E3.objects")
    said = envelope.unverified(made, refusing.Refusal)
    return envelope.sign(said, [signer])


def test_a_run_that_the_log_says_was_refused_gets_no_key_whatever_its_state_is_said_to_be(world):
    run = world.ask()
    world.step()
    granted = len(world.posts("grant"))
    logged_only(world, refused_by(world, run, world.members["partner"].signing))
    assert codes(world.step("bank")["bank"]) == ["E3.run-refused"]
    assert len(world.posts("grant")) == granted
    assert world.posts("refusal") == []


def test_a_refusal_that_no_owner_signed_ends_nothing(world):
    run = world.ask()
    logged_only(world, refused_by(world, run, MALLORY))
    assert codes(world.step()["bank"]) == []
    assert codes(world.step("bank")["bank"]) == []
    assert world.posts("grant")


def change(number, **fields):
    def over(entries):
        return [dataclasses.replace(e, **fields) if e.number == number else e for e in entries]

    return over


LIES = {
    "no entry is shown": (lambda _: [], "E2.log-withheld"),
    "one is left out in the middle": (lambda entries: [e for e in entries if e.number != 2], "E2.log-other-entry"),
    "the first one is left out": (lambda entries: entries[1:], "E2.log-other-entry"),
    "the last one is left out": (lambda entries: [e for e in entries if e.number < 4], "E2.log-withheld"),
    "two change places": (lambda entries: [*entries[1::-1], *entries[2:]], "E2.log-other-entry"),
    "two change places and numbers": (
        lambda entries: [
            dataclasses.replace(e, number=n) for n, e in enumerate([*entries[1::-1], *entries[2:]], entries[0].number)
        ],
        "E2.log-other-entry",
    ),
    "one is shown twice": (lambda entries: [entries[0], *entries], "E2.log-other-entry"),
    "one has another salt": (change(2, salt=bytes(32)), "E2.log-other-entry"),
    "one has another digest": (change(2, digest="ab" * 32), "E2.log-other-entry"),
    "one has another kind": (change(2, kind="receipt"), "E2.log-other-entry"),
    "one has no statement": (change(2, body=b"{}"), "E2.log-other-entry"),
}


@pytest.mark.parametrize(("lie", "code"), LIES.values(), ids=LIES)
def test_nothing_is_given_when_the_gateway_s_entries_lie(world, lie, code):
    world.ask()
    world.gateway.tricks["log_entries"] = lambda entries: lie(entries) if entries else entries
    assert codes(world.step("partner")["partner"]) == [code]
    assert world.posts("challenge") == []
    del world.gateway.tricks["log_entries"]
    assert codes(world.step("partner")["partner"]) == []
    assert world.posts("challenge")


def test_an_entry_of_another_statement_of_the_same_kind_is_not_the_one_that_was_logged(world):
    world.ask()

    def swapped(entries):
        place = next(n for n, e in enumerate(entries) if e.kind == "approval")
        other = envelope.parse(entries[place].body)
        said = dataclasses.replace(envelope.unverified(other, Approval), remark="another")
        made = world.sign(said.party, said)
        return [
            dataclasses.replace(e, digest=made.digest, body=made.to_bytes()) if n == place else e
            for n, e in enumerate(entries)
        ]

    world.gateway.tricks["log_entries"] = swapped
    assert codes(world.step("partner")["partner"]) == ["E2.log-other-entry"]
    assert world.posts("challenge") == []


def asked_from(world):
    """Where each page was asked for, from now on."""
    found, answer = [], world.gateway.log.entries

    def entries(start):
        found.append(start)
        return answer(start)

    world.gateway.log.entries = entries
    return found


def test_what_was_read_is_not_asked_for_again_even_after_a_restart(world):
    world.ask()
    world.step("partner")
    size = world.gateway.log.store.size(world.id)
    starts = asked_from(world)
    world.step("partner")
    assert starts == []
    logged_only(world, stop(world))
    world.step("partner")
    assert starts == [size]


def test_a_broker_that_died_before_it_noted_a_page_reads_it_again(world, monkeypatch):
    world.ask()
    logged_only(world, stop(world))

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(following, "_note", dies)
        with pytest.raises(KeyboardInterrupt):
            world.step("partner")
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]


def test_pages_are_bounded_and_the_next_look_goes_on_where_the_last_one_ended(world, monkeypatch):
    monkeypatch.setattr(following, "MOST_PAGES", 3)
    world.gateway.tricks["log_entries"] = lambda entries: entries[:1]
    world.ask()
    starts, size = asked_from(world), world.gateway.log.store.size(world.id)
    seen = [codes(world.step("partner")["partner"]) for _ in range(-(-size // 3))]
    assert seen[:-1] == [["E3.log-unread"]] * (len(seen) - 1)
    assert seen[-1] == []
    assert starts == list(range(size))


def test_entries_beyond_the_checkpoint_are_left_for_the_next_one(world):
    home, taken = world.homes["partner"], []

    def take(entries):
        taken.extend(entry.number for entry in entries)
        return False

    def late(data):
        logged_only(world, stop(world))
        return data

    world.gateway.tricks["log_checkpoint"] = late
    head = Logbook(home, world.gateway, home.agreement(), NOW, take).look()
    assert taken == list(range(head.size))


def test_another_version_of_the_agreement_takes_the_log_from_its_beginning_without_asking_again(world):
    """A statement by somebody who is no party yet is kept with the log, and counts once he is one."""
    home, taken = world.homes["partner"], []

    def take(entries):
        taken.extend(entry.number for entry in entries)
        return False

    size = Logbook(home, world.gateway, home.agreement(), NOW, take).look().size
    number = {"sequence": 2, "first": world.id, "previous": world.id}
    document = {**schema.encode(world.agreement), **number}
    _, signed = parties.sign_agreement(world.members, document)
    home.save_agreement(signed)
    starts = asked_from(world)
    Logbook(home, world.gateway, home.agreement(), NOW, take).look()
    assert starts == []
    assert taken == [*range(size), *range(size)]


def test_a_page_of_more_than_256_entries_is_no_answer():
    class Endless(LogCalls):
        def _json(self, path, query=None):
            return {"entries": [{}] * 257}

        def _put_bytes(self, path, body): ...

    with pytest.raises(Malformed) as caught:
        Endless().log_entries("a1" * 32, 0)
    assert caught.value.code == "E1.gateway-answer"


def test_what_comes_into_the_log_between_two_looks_of_one_step_gives_nothing_yet(world):
    """The run's request is not in the first checkpoint; the second one has a stop before it."""
    first = world.gateway.log.checkpoint()
    logged_only(world, stop(world))
    world.ask()
    shown = [first]
    world.gateway.tricks["log_checkpoint"] = lambda data: shown.pop() if shown else data
    assert codes(world.step("partner")["partner"]) == ["E3.log-moved"]
    assert world.posts("challenge") == []
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]


def test_a_party_s_programs_look_at_a_log_one_after_the_other(tmp_path):
    with (
        files.locked(tmp_path / "lock", seconds=0),
        pytest.raises(Unreachable),
        files.locked(tmp_path / "lock", seconds=0.05),
    ):
        pass
    with files.locked(tmp_path / "lock", seconds=0):
        pass


def kept(world, party="partner"):
    folder = world.homes[party].root / "log" / world.id
    return folder, kept_log.end(folder)


def test_a_home_keeps_every_entry_that_it_read_whoever_takes_it(world):
    home = world.homes["compliance"]
    head = Logbook(home, world.gateway, home.agreement(), NOW).look()
    folder, end = kept(world, "compliance")
    assert (end.tree.size, end.tree.root) == (head.size, head.root)
    shown = world.gateway.log.entries(0)
    assert [line for _, line, _ in kept_log.entries(folder, end)] == [logged_entry.to_bytes(one) for one in shown]
    with pytest.raises(Refused):
        Logbook(home, world.gateway, home.agreement(), NOW).require("request", "00" * 32)


def test_a_home_of_before_that_kept_no_history_reads_all_of_it_again(world):
    folder = world.homes["partner"].root / "log" / world.id
    files.private_folder(folder)
    (folder / "read").write_bytes(b'{"format":"sealroom/log-read/v1","peaks":[],"size":0,"version":"%s"}' % (b"0" * 64))
    world.ask()
    assert codes(world.step("partner")["partner"]) == []
    assert kept(world)[1].tree.size == world.gateway.log.store.size(world.id)


def test_what_a_crash_left_behind_the_noted_end_is_written_over(world):
    world.step("partner")
    folder, end = kept(world)
    with (folder / kept_log.FILE).open("ab") as sink:
        sink.write(b'{"half of an entry')
    world.ask()
    assert codes(world.step("partner")["partner"]) == []
    size = world.gateway.log.store.size(world.id)
    assert [entry.number for entry, _, _ in kept_log.entries(*kept(world))] == list(range(size))
    assert size > end.tree.size


def test_a_history_that_lost_its_end_is_read_again(world):
    world.ask()
    world.step("partner")
    folder, end = kept(world)
    with (folder / kept_log.FILE).open("r+b") as sink:
        sink.truncate(end.length - 1)
    starts = asked_from(world)
    assert codes(world.step("partner")["partner"]) == []
    assert starts[0] == 0
    assert [entry.number for entry, _, _ in kept_log.entries(*kept(world))] == list(range(end.tree.size))


def test_a_history_that_was_altered_in_the_home_is_named_and_gives_nothing(world):
    world.step("partner")
    folder, _ = kept(world)
    data = (folder / kept_log.FILE).read_bytes()
    (folder / kept_log.FILE).write_bytes(data.replace(b'"kind":"approval"', b'"kind":"apqroval"'))
    (folder / "read").unlink()
    world.ask()
    assert codes(world.step("partner")["partner"]) == ["E1.log-history"]
    assert world.posts("challenge") == []


def test_a_log_that_does_not_continue_what_the_home_read_is_noticed_without_its_checkpoint(world):
    world.step("partner")
    folder, _ = kept(world)
    (folder / "head").unlink()
    tree = merkle.Frontier().add(bytes(32))
    kept_log.extend(folder, kept_log.End(), world.gateway.log.entries(0)[:1], tree)
    end = kept_log.end(folder)
    forked = notes.Checkpoint(notes.origin(world.id), end.tree.size, b"\x01" * 32)
    with pytest.raises(Refused) as caught:
        following.follow(folder, world.gateway, world.homes["partner"].agreement(), forked, None, ReadEntries())
    assert caught.value.code == "E2.log-forked"
