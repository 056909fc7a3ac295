"""A gateway restored from an older backup: every party notices, gives nothing, and still holds what was lost."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt

import pytest
from fastapi.testclient import TestClient

from sealroom.client import advice, audit, audit_folder, collect, own_history, runs, submitting
from sealroom.client.ledger import Ledger
from sealroom.host import app, backup, settings, tls
from sealroom.host.settings import Settings
from sealroom.host.store import open_store
from sealroom.protocol import schema
from sealroom.protocol.errors import Refused
from sealroom.protocol.statements import Stop
from tests import parties
from tests.client_broker.test_with_a_gateway import URL, enclave_ends, enclave_starts, errors, fill, gateway, step
from tests.client_broker.world import World


class Operator:
    """Runs a gateway, backs it up, and restores an older backup in its place."""

    def __init__(self, world, folder, stack):
        self.world, self.folder, self.stack = world, folder, stack
        self.settings = Settings(
            home=folder / "gateway", operator_key=world.members["operator"].signing.public.text, public_url=URL,
            requests_per_second=10_000, requests_burst=10_000, store_most=1 << 30,
        )  # fmt: skip
        self.settings.home.mkdir()
        settings.save(self.settings)
        certificate, key = self.settings.certificate, self.settings.private_key
        tls.create(certificate=certificate, key=key, url=URL, now=dt.datetime.now(dt.UTC))
        self.serve()

    def serve(self):
        world, used = self.world, self.settings
        world.store = open_store(used.home, most=used.store_most)
        world.client = TestClient(app.create(used, world.store, clock=world.clock), base_url=URL)
        self.stack.enter_context(world.client)
        self.stack.callback(world.store.close)
        world.gateways = {name: gateway(world, member.signing) for name, member in world.members.items()}

    def back_up(self):
        backup.make(self.settings.home, self.folder / "backup.tar", now=self.world.clock())

    def restore(self):
        self.stack.close()
        home = self.folder / "restored"
        backup.restore(self.folder / "backup.tar", home)
        self.settings = dataclasses.replace(self.settings, home=home)
        self.serve()


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path / "homes")
    monkeypatch.setattr("time.time", made.clock)
    with contextlib.ExitStack() as stack:
        made.operator = Operator(made, tmp_path, stack)
        fill(made)
        yield made


def asked(world):
    bank = world.gateways["bank"]
    made = runs.prepare(world.homes["bank"], bank, rules=["overlap"])
    runs.send(bank, made)
    return made.run


def played(world):
    """A whole run, from its request to its cosignatures."""
    run = asked(world)
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    held = enclave_starts(world, run)
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    enclave_ends(world, run, held)
    world.clock.now += world.agreement.slots.opaque
    for party in ("bank", "partner", "bank", "partner"):
        assert errors(step(world, party)) == []
    return run


def spent(world, party):
    with Ledger.open(world.homes[party].root, party) as ledger:
        return [entry.digest for entry in ledger.entries()]


def test_every_party_notices_that_the_log_is_shorter_and_gives_nothing(world, tmp_path):
    world.operator.back_up()
    run = played(world)
    collect.collect(world.homes["compliance"], world.gateways["compliance"], run)
    size, before = world.store.log.size(world.id), {p: spent(world, p) for p in ("bank", "partner")}
    world.operator.restore()
    assert world.store.log.size(world.id) < size
    for party in ("bank", "partner"):
        (event,) = step(world, party)
        assert event.error.code == "E2.log-shrank"
        assert "agree anew" in advice.of(event.error)
        assert spent(world, party) == before[party]
    assert world.store.log.size(world.id) < size, "nobody posted anything"
    home = world.homes["compliance"]
    own_history.export(home, home.agreement(), tmp_path / "history")
    found = audit.verify(audit_folder.load(tmp_path / "history"), roots=frozenset({world.processor.root}))
    assert found.receipts[run].final, "what the gateway lost is in every home that read it"


def test_a_restored_log_that_grew_past_the_lost_one_is_another_log(world):
    world.operator.back_up()
    played(world)
    size = world.store.log.size(world.id)
    world.operator.restore()
    for number in range(size):
        said = Stop(
            format="sealroom/stop/v1", party="operator", agreement=world.id, created=int(world.clock.now) + number,
            remark="again",
        )  # fmt: skip
        world.gateways["operator"].post_statement(world.id, world.sign("operator", said))
    assert world.store.log.size(world.id) > size
    (event,) = step(world, "partner")
    assert event.error.code == "E2.log-forked"
    assert "agree anew" in advice.of(event.error)


def test_a_party_that_saw_nothing_of_what_was_lost_gets_no_key_from_one_that_did(world):
    """The bank looks for the first time after the restoring; the partner had seen more, and lets nothing go."""
    world.operator.back_up()
    assert errors(step(world, "partner")) == []
    asked(world)
    assert errors(step(world, "partner")) == []
    world.operator.restore()
    run = asked(world)
    assert errors(step(world, "bank")) == []
    assert errors(step(world, "partner")) == ["E2.log-forked"]
    assert world.gateways["bank"].run(run).waiting_for == ("partner",)


def test_who_collects_notices_it_too_and_keeps_what_it_had(world):
    world.operator.back_up()
    run = played(world)
    got = collect.collect(world.homes["compliance"], world.gateways["compliance"], run)
    kept = got.bundle.read_bytes()
    world.operator.restore()
    again = asked(world)
    held = enclave_starts_without_owners(world, again)
    assert held
    with pytest.raises(Refused) as caught:
        collect.collect(world.homes["compliance"], world.gateways["compliance"], again)
    assert caught.value.code in ("E2.log-shrank", "E2.log-forked")
    assert got.bundle.read_bytes() == kept


def enclave_starts_without_owners(world, run):
    """An operator that lets a run go on though no owner answers: challenges, evidence and a receipt of its own."""
    for party in ("bank", "partner"):
        world.gateways[party].put_challenge(run, party, "5a" * 32)
    held = enclave_starts(world, run)
    world.gateway.gate.status = "failed"
    enclave_ends(world, run, held)
    world.clock.now += world.agreement.slots.opaque
    return held


def test_under_a_new_agreement_the_restored_gateway_serves_again(world):
    world.operator.back_up()
    played(world)
    world.operator.restore()
    document = {**schema.encode(world.agreement), "title": "agreed anew"}
    _, signed = parties.sign_agreement(world.members, document)
    for home in world.homes.values():
        home.save_agreement(signed)
    operator = world.gateways["operator"]
    operator.put_agreement(signed)
    submitting.name_log_key(world.homes["operator"], operator, world.homes["operator"].agreement(signed.digest))
    events = step(world, "partner")
    assert [(event.run, event.error.code) for event in events] == [(world.id, "E2.log-shrank")]
    seen = world.homes["partner"].root / "log" / signed.digest / "head"
    assert seen.exists(), "it looked at the new agreement's log, and found nothing wrong"
