"""Whoever collects finds the run's end in the log, keeps the proof, and anybody checks it offline."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import bundle as bundles
from sealroom.client import collect, receipt, received
from sealroom.protocol import envelope, notes
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.logged import Log
from sealroom.protocol.statements import Approval, Revocation, Stop
from tests.client_broker.world import NOW

MALLORY = SigningKey.generate()


def collected(world, run, party="compliance"):
    return collect.collect(world.homes[party], world.gateway, run)


def test_who_collects_keeps_a_proof_that_anybody_verifies_offline(played):
    world, run = played
    got = collected(world, run)
    kept = bundles.load(got.bundle)
    found = receipt.verify(kept, roots=frozenset({world.processor.root}))
    assert found.logged is not None
    assert found.logged.checkpoint.size == world.gateway.log.store.size(world.id)
    assert len(found.logged.numbers) == len(kept.offers) + 1 + len(kept.consents)
    assert [line for line in receipt.explain(found) if line.startswith("logged: among entries ")]


def test_who_collects_pins_and_cosigns_what_it_saw(played):
    world, run = played
    assert "compliance" not in world.gateway.log.cosignatures()
    collected(world, run)
    seen = notes.parse(world.gateway.log.cosignatures()["compliance"]).unverified
    head = world.homes["compliance"].root / "log" / world.id / "head"
    assert notes.parse(head.read_bytes()).unverified == seen


def withdrawn(world, party="bank"):
    """The party's revocation, from before the run, of the approval that the run rests on."""
    approvals = [(e, envelope.unverified(e, Approval)) for e in world.gateway.posted_statements]
    (mine,) = [e.digest for e, said in approvals if said.party == party]
    said = Revocation(
        format="sealroom/revocation/v1", party=party, agreement=world.id, approval=mine, created=NOW - 400, remark="x"
    )
    return world.sign(party, said)


def test_a_revocation_that_is_logged_and_not_listed_counts_for_who_collects(played):
    world, run = played
    world.gateway.log.add(withdrawn(world))
    with pytest.raises(Refused) as caught:
        collected(world, run)
    assert caught.value.code == "E3.measurement"
    assert list(world.homes["compliance"].run_folder(run).iterdir()) == []


def test_without_a_log_that_revocation_stays_hidden_and_the_receipt_says_that_nothing_is_proved(played):
    world, run = played
    world.gateway.log.add(withdrawn(world))
    world.gateway.log_statements.clear()
    assert collected(world, run).verified.logged is None


def test_approvals_that_are_logged_and_not_listed_count_for_who_collects(played):
    world, run = played
    signed = {statement.digest for statement in world.gateway.posted_statements}
    world.gateway.posted_statements.clear()
    got = collected(world, run)
    assert got.opened
    kept = bundles.load(got.bundle)
    assert {statement.digest for statement in kept.approvals} == signed
    assert receipt.verify(kept, roots=frozenset({world.processor.root})).logged is not None


def test_what_is_listed_and_not_logged_opens_nothing(played):
    world, run = played
    world.gateway.posted_statements.append(withdrawn(world, "partner"))
    with pytest.raises(Refused) as caught:
        collected(world, run)
    assert caught.value.code == "E2.log-lacks"


def test_what_is_listed_and_signed_by_nobody_stops_nobody_from_collecting(played):
    world, run = played
    said = envelope.unverified(withdrawn(world), Revocation)
    world.gateway.posted_statements.append(envelope.sign(said, [MALLORY]))
    assert collected(world, run).opened


def test_an_approval_that_came_as_a_file_counts_though_the_log_lacks_it(played):
    world, run = played
    home = world.homes["compliance"]
    later = dataclasses.replace(
        envelope.unverified(world.gateway.posted_statements[0], Approval), nonce="78" * 32, party="operator"
    )
    received.keep(home, world.sign("operator", later))
    kept = bundles.load(collected(world, run).bundle)
    assert len(kept.approvals) == len(world.gateway.posted_statements) + 1


def test_who_collects_asks_for_each_entry_once(played):
    world, run = played
    starts, answer = [], world.gateway.log.entries
    world.gateway.log.entries = lambda start: [starts.append(start), answer(start)][1]
    collected(world, run)
    collected(world, run)
    assert starts == [0]


def test_without_a_named_key_a_run_is_collected_as_ever_and_says_that_nothing_is_proved(played):
    world, run = played
    world.gateway.log_statements.clear()
    got = collected(world, run)
    assert got.opened
    assert got.verified.logged is None
    assert [line for line in receipt.explain(got.verified) if line.startswith("NOT SHOWN TO BE LOGGED")]
    assert bundles.load(got.bundle).log is None


def test_a_key_that_was_seen_once_cannot_be_denied_afterwards(played):
    world, run = played
    collected(world, run)
    world.gateway.log_statements.clear()
    assert collected(world, run).verified.logged is not None


def two_keys(world):
    said = Log(format="sealroom/log/v1", party="operator", agreement=world.id, key=MALLORY.public.text, created=NOW)
    world.gateway.log_statements.append(world.sign("operator", said))


def other_key(world):
    def signed(data):
        return notes.sign(notes.parse(data).unverified, MALLORY).to_bytes()

    world.gateway.tricks["log_checkpoint"] = signed


def older(world):
    """A checkpoint that the log really signed, from before the run."""
    log = world.gateway.log.store
    at = notes.Checkpoint(notes.origin(world.id), 3, log.root(world.id, 3))
    note = notes.sign(at, SigningKey(log.key().private_bytes_raw())).to_bytes()
    world.gateway.tricks["log_checkpoint"] = lambda _: note


def older_to_one(world):
    older(world)
    world.gateway.tricks["log_cosignatures"] = lambda _: {}


def bent_path(world):
    world.gateway.tricks["log_inclusion"] = lambda at: dataclasses.replace(at, proof=(bytes(32), *at.proof[1:]))


def other_place(world):
    world.gateway.tricks["log_inclusion"] = lambda at: dataclasses.replace(at, number=at.number - 1)


def other_leaf(world):
    answer = world.gateway.log.inclusion
    world.gateway.log.inclusion = lambda _, size: answer(world.id, size)


LIES = {
    "the operator names two keys": (two_keys, "E3.log-key"),
    "another key signed the checkpoint": (other_key, "E2.not-signed"),
    "the checkpoint is older than what others cosigned": (older, "E2.log-split"),
    "the checkpoint is from before the run, and nobody cosigned": (older_to_one, "E2.log-lacks"),
    "the path is bent": (bent_path, "E2.log-not-included"),
    "the place is another": (other_place, "E2.log-not-included"),
    "the proof is of another entry": (other_leaf, "E2.log-not-included"),
}


@pytest.mark.parametrize(("lie", "code"), LIES.values(), ids=LIES)
def test_nothing_is_opened_or_kept_when_the_log_lies_to_who_collects(played, lie, code):
    world, run = played
    lie(world)
    with pytest.raises(Refused) as caught:
        collected(world, run)
    assert caught.value.code == code
    assert list(world.homes["compliance"].run_folder(run).iterdir()) == []


@pytest.mark.parametrize("kind", ["receipt", "offer", "consent"])
def test_nothing_is_opened_when_the_log_lacks_a(played, kind):
    world, run = played
    held, answer = world.gateway.run_store[run], world.gateway.log.inclusion
    hidden = {
        "receipt": held.receipt.digest, "offer": next(iter(held.offers)),
        "consent": next(iter(held.consents.values())).digest,
    }[kind]  # fmt: skip
    world.gateway.log.inclusion = lambda digest, size: answer("00" * 32 if digest == hidden else digest, size)
    with pytest.raises(Refused) as caught:
        collected(world, run)
    assert caught.value.code == "E2.log-lacks"
    assert list(world.homes["compliance"].run_folder(run).iterdir()) == []


def test_a_log_that_is_not_the_one_of_the_last_time_opens_nothing(played, tmp_path):
    world, run = played
    collected(world, run)
    first = world.gateway.log.store.size(world.id)
    stop = Stop(format="sealroom/stop/v1", party="operator", agreement=world.id, created=NOW, remark="x")
    world.gateway.log.add(world.sign("operator", stop))
    forked = notes.Checkpoint(notes.origin(world.id), first + 1, bytes(32))
    note = notes.sign(forked, SigningKey(world.gateway.log.store.key().private_bytes_raw())).to_bytes()
    world.gateway.tricks["log_checkpoint"] = lambda _: note
    with pytest.raises(Refused) as caught:
        collected(world, run)
    assert caught.value.code == "E2.log-forked"


def test_a_file_of_the_first_format_is_read_as_it_was_and_written_as_it_was(played):
    world, run = played
    kept = bundles.load(collected(world, run).bundle)
    old = dataclasses.replace(kept, format=bundles.FIRST, log=None).to_bytes()
    assert b'"log":' not in old
    assert bundles.parse(old).to_bytes() == old
    assert receipt.verify(bundles.parse(old), roots=frozenset({world.processor.root})).logged is None
