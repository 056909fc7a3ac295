"""A broker gives nothing under a log that shrank, forked, lost its statements, or is not everybody's."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from sealroom.client.gateway_log import LoggedAt
from sealroom.client.logbook import Logbook
from sealroom.protocol import envelope, merkle, notes
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.logged import Log
from sealroom.protocol.statements import Grant, Stop
from tests.client_broker.world import NOW, World
from tests.logs import PlayedLog

MALLORY = SigningKey.generate()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def codes(events):
    return [event.error.code for event in events if event.error is not None]


def until_evidence(world):
    world.ask()
    world.step()


def another_log(world, *, key=None, less=0, change=False):
    """The same entries under the log's own key, but fewer, or with one of them another."""
    made = PlayedLog(world.folder / "other", world.id)
    seed = key.seed if key else world.gateway.log.store.key().private_bytes_raw()
    made.store.database.write("INSERT INTO log_key VALUES (1, ?)", seed)
    rows = world.gateway.log.store.entries(world.id, 0)
    for number, row in enumerate(rows[: len(rows) - less]):
        stop = Stop(format="sealroom/stop/v1", party="operator", agreement=world.id, created=NOW, remark="x")
        if change and number == 3:
            made.add(world.sign("operator", stop))
        made.store.database.write(
            "INSERT INTO log_entries VALUES (?, ?, ?, ?, ?, ?)",
            world.id, made.store.size(world.id), row["kind"], row["digest"], row["salt"], row["body"],
        )  # fmt: skip
        place = made.store.size(world.id) - 1
        leaf = merkle.entry_hash(bytes(row["salt"]), row["kind"], row["digest"])
        from sealroom.host import tree  # noqa: PLC0415

        for level, index, hashed in tree.completed(place, leaf, made.store._node(world.id)):
            made.store.database.write("INSERT INTO log_nodes VALUES (?, ?, ?, ?)", world.id, level, index, hashed)
    made.sizes = world.gateway.log.sizes
    for run, size in [
        (r["run"], r["size"]) for r in world.gateway.log.store.database.all("SELECT * FROM log_assigned")
    ]:
        made.store.database.write("INSERT INTO log_assigned VALUES (?, ?)", run, size)
    return made


def shrunk(world):
    world.gateway.log = another_log(world, less=2)


def forked(world):
    world.gateway.log = another_log(world, change=True)


def other_key(world):
    world.gateway.log = another_log(world, key=MALLORY)


def unsigned(world):
    def strip(data):
        note = notes.parse(data)
        line = dataclasses.replace(note.signatures[0], signature=bytes(64))
        return notes.Note(note.unverified, (line,)).to_bytes()

    world.gateway.tricks["log_checkpoint"] = strip


def garbage(world):
    world.gateway.tricks["log_checkpoint"] = lambda _: b"no note"


def proof_of_nothing(world):
    read_by_another(world)
    world.gateway.tricks["log_inclusion"] = lambda at: LoggedAt(at.number, bytes(32), at.proof)


def other_size(world):
    world.gateway.tricks["assigned_size"] = lambda size: size - 1


def beyond(world):
    world.gateway.tricks["assigned_size"] = lambda size: size + 100


def before_the_request(world):
    run = next(iter(world.gateway.run_store))
    held = world.gateway.run_store[run]
    number = world.gateway.log.inclusion(run, world.gateway.log.store.size(world.id)).number
    world.gateway.log.store.database.write("UPDATE log_assigned SET size = ?", number)
    world.assign = lambda _: world.gateway.log.store.root(world.id, number).hex()
    world.gateway.gate.attest(held)


def two_keys(world):
    said = Log(format="sealroom/log/v1", party="operator", agreement=world.id, key=MALLORY.public.text, created=NOW)
    world.gateway.log_statements.append(world.sign("operator", said))


LIES = {
    "the log is shorter than it was": (shrunk, "E2.log-shrank"),
    "the log has another entry in its middle": (forked, "E2.log-forked"),
    "another key signs the log": (other_key, "E2.not-signed"),
    "the log's signature does not hold": (unsigned, "E2.signature"),
    "the checkpoint is no note": (garbage, "E1.bad-note"),
    "the operator names two keys": (two_keys, "E3.log-key"),
    "the proof of inclusion is for something else": (proof_of_nothing, "E2.log-not-included"),
    "the evidence's checkpoint has another size": (other_size, "E2.log-other-checkpoint"),
    "the evidence's checkpoint is beyond the log": (beyond, "E2.log-other-checkpoint"),
    "the evidence's checkpoint is older than the request": (before_the_request, "E2.log-other-checkpoint"),
}


@pytest.mark.parametrize(("lie", "code"), LIES.values(), ids=LIES)
def test_no_key_is_granted_when_the_gateway_s_log_lies(world, lie, code):
    until_evidence(world)
    lie(world)
    assert codes(world.step("partner")["partner"]) == [code]
    assert world.posts("grant") == []
    assert world.posts("refusal") == []
    with world.ledger("partner") as ledger:
        assert ledger.entries() == []


def test_the_same_run_is_granted_when_nobody_lies(world):
    until_evidence(world)
    assert codes(world.step("partner")["partner"]) == []
    assert world.posts("grant")


def test_nothing_is_challenged_without_a_log_key_that_the_operator_signed(world):
    world.gateway.log_statements.clear()
    world.ask()
    assert codes(world.step("partner")["partner"]) == ["E3.log-key"]
    said = Log(format="sealroom/log/v1", party="bank", agreement=world.id, key=MALLORY.public.text, created=NOW)
    world.gateway.log_statements.append(world.sign("bank", said))
    assert codes(world.step("partner")["partner"]) == ["E3.log-key"]
    assert world.posts("challenge") == []


def test_a_key_that_was_named_once_cannot_be_hidden_or_replaced(world):
    until_evidence(world)
    world.gateway.log_statements.clear()
    assert codes(world.step("partner")["partner"]) == []
    world.gateway.log_statements.clear()
    two_keys(world)
    assert codes(world.step("partner")["partner"]) == ["E3.log-key"]


def test_a_statement_of_one_s_own_that_the_log_lacks_stops_everything(world):
    until_evidence(world)
    add = world.gateway.log.add

    def left_out(signed):
        partners = signed.signatures[0].keyid == world.members["partner"].signing.public.text
        if not (partners and signed.payloadType == envelope.media_type(Grant)):
            add(signed)

    world.gateway.log.add = left_out
    world.step()
    assert world.posts("grant")
    assert codes(world.step("partner")["partner"]) == ["E2.log-lacks"]
    assert world.posts("consent") == []


def test_what_another_program_of_the_party_read_is_asked_for_by_its_proof(world):
    until_evidence(world)
    world.step()
    grants = list(world.gateway.run_store[next(iter(world.gateway.run_store))].grants.values())
    own = next(g.digest for g in grants if g.signatures[0].keyid == world.members["partner"].signing.public.text)
    read_by_another(world)
    answer = world.gateway.log.inclusion

    def hidden(digest, size):
        if digest == own:
            raise answer_404()
        return answer(digest, size)

    world.gateway.log.inclusion = hidden
    assert codes(world.step("partner")["partner"]) == ["E2.log-lacks"]
    assert world.posts("consent") == []


def read_by_another(world):
    """A program of the partner's reads all that is new in the log, so that its broker does not."""
    home = world.homes["partner"]
    assert Logbook(home, world.gateway, home.agreement(), NOW, lambda _: False).look().size


def answer_404():
    from sealroom.protocol.errors import NotGenuine  # noqa: PLC0415

    return NotGenuine("log-lacks", "the log lacks a statement that was accepted")


def test_two_parties_that_are_shown_two_histories_find_out_by_their_cosignatures(world):
    """The gateway keeps one history for the bank and another for the partner, and passes cosignatures on."""
    until_evidence(world)
    mine = world.gateway.log
    theirs = another_log(world, change=True)
    bank = world.homes["bank"]
    shutil.rmtree(bank.root / "log")
    world.gateway.log = theirs
    book = Logbook(bank, world.gateway, bank.agreement(), NOW)
    world.gateway.tricks["log_cosignatures"] = lambda found: {}
    book.look()
    del world.gateway.tricks["log_cosignatures"]
    shown = theirs.cosignatures()["bank"]
    world.gateway.log = mine
    mine.store.database.write("DELETE FROM log_cosignatures WHERE party = 'bank'")
    mine.cosign("bank", shown)
    assert codes(world.step("partner")["partner"]) == ["E2.log-split"]
    assert world.posts("grant") == []
    kept = world.homes["partner"].root / "log" / world.id / "seen" / "bank.contradicts"
    assert kept.read_bytes() == shown


def test_a_cosignature_that_nobody_made_counts_as_none(world):
    until_evidence(world)
    note = notes.parse(world.gateway.log.checkpoint())
    forged = notes.cosign(note, MALLORY, name=notes.cosigner(world.id, "bank"), at=NOW).to_bytes()
    world.gateway.tricks["log_cosignatures"] = lambda found: {**found, "bank": forged, "nobody": b"?"}
    assert codes(world.step("partner")["partner"]) == []
    assert world.posts("grant")


def test_a_party_cosigns_each_checkpoint_once_and_never_goes_back(world):
    until_evidence(world)
    home = world.homes["partner"]
    book = Logbook(home, world.gateway, home.agreement(), NOW)
    head = book.look()
    first = world.gateway.log.cosignatures()["partner"]
    later = Logbook(home, world.gateway, home.agreement(), NOW + 5)
    assert later.look() == head
    assert world.gateway.log.cosignatures()["partner"] == first
    shrunk(world)
    with pytest.raises(Refused) as caught:
        later.look()
    assert caught.value.code == "E2.log-shrank"
    assert notes.parse((home.root / "log" / world.id / "head").read_bytes()).unverified == head


def test_a_log_s_key_for_another_agreement_is_no_key(world):
    said = Log(format="sealroom/log/v1", party="operator", agreement="11" * 32, key=MALLORY.public.text, created=NOW)
    world.gateway.log_statements[:] = [envelope.sign(said, [world.members["operator"].signing])]
    world.ask()
    assert codes(world.step("partner")["partner"]) == ["E3.log-key"]
