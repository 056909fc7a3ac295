"""Brokers, requester and recipient against the real gateway; only the enclave behind it is played."""

from __future__ import annotations

import os

import pytest
from fastapi.testclient import TestClient

from sealroom.client import audit, audit_folder, audit_words, collect, refusing, runs, submitting
from sealroom.client.errors import NotAuthorized
from sealroom.client.gateway import Gateway
from sealroom.client.ledger import Ledger
from sealroom.client.transport import GatewayRefused, Transport
from sealroom.enclave import memory
from sealroom.host import app, documents
from sealroom.host.settings import Settings
from sealroom.host.store import open_store
from sealroom.protocol import envelope
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Approval, Grant, Offer
from tests.client_broker.world import FakeRun, World

URL = "https://gateway.test"


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path / "homes")
    monkeypatch.setattr("time.time", made.clock)
    settings = Settings(
        home=tmp_path,
        operator_key=made.members["operator"].signing.public.text,
        public_url=URL,
        requests_per_second=10_000,
        requests_burst=10_000,
        store_most=1 << 30,
    )
    made.store = open_store(tmp_path, most=settings.store_most)
    with TestClient(app.create(settings, made.store, clock=made.clock), base_url=URL) as client:
        made.client = client
        made.gateways = {name: gateway(made, member.signing) for name, member in made.members.items()}
        fill(made)
        yield made
    made.store.close()


def gateway(world, key):
    calls = Transport(URL, lambda: key, transport=world.client._transport, clock=world.clock)
    return Gateway(None, transport=calls)


def fill(world):
    """What parties send before a run: agreement, approvals, sealed objects."""
    assert world.gateways["operator"].health() == "ok"
    world.gateways["operator"].put_agreement(world.signed)
    submitting.name_log_key(world.homes["operator"], world.gateways["operator"], world.homes["operator"].agreement())
    monkeypatch_assign(world)
    for statement in world.gateway.posted_statements:
        said = envelope.unverified(statement, Approval)
        world.gateways[said.party].post_statement(world.id, statement)
    for item in world.objects.values():
        mine = world.gateways[item.manifest.owner]
        mine.put_object(item.envelope)
        assert mine.object_state(item.envelope.digest).missing == (0,)
        mine.put_chunk(item.envelope.digest, 0, item.ciphertext)
        assert mine.object_state(item.envelope.digest).complete


def monkeypatch_assign(world):
    """The played enclave binds the root of the real gateway's log."""
    world.assign = lambda run: world.store.log.assign(run, world.id, world.clock())


def step(world, party):
    home = world.homes[party]
    with Ledger.open(home.root, party) as ledger:
        return world.broker(party, gateway=world.gateways[party], ledger=ledger).step()


def errors(events):
    return [event.error.code for event in events if event.error is not None]


def enclave_starts(world, run):
    """The host takes the run from its queue, and its enclave shows evidence."""
    store, now = world.store.runs, world.clock()
    taken = store.step(store.get(run), "take", now, launched=now, attempts=1)
    held = FakeRun(world.gateways["bank"].run(run).request, dict(store.challenges(run)))
    world.make_gate().attest(held)
    store.put_evidence(taken, held.evidence, now)
    return held


def enclave_ends(world, run, held):
    """With all grants, the enclave computes; the host keeps offers and receipt."""
    store, now = world.store, world.clock()
    for signed in world.gateways["bank"].grants(run):
        held.grants[envelope.unverified(signed, Grant).object] = signed
    if store.runs.get(run).state == "waiting-for-grants":
        store.runs.step(store.runs.get(run), "granted", now)
    world.gateway.gate.compute(held)
    found = store.runs.get(run)
    for signed, ciphertext in held.offers.values():
        offer = envelope.unverified(signed, Offer)
        descriptor = memory.sealed_copy("ciphertext", [ciphertext])
        store.blobs.take(descriptor, size=len(ciphertext), digest=offer.ciphertext_sha256)
        os.close(descriptor)
        statement = documents.statement(signed.to_bytes(), "offer")
        store.results.add_offer(found, statement, offer.ciphertext_sha256, offer.affected)
    receipt = documents.statement(held.receipt.to_bytes(), "receipt")
    store.results.add_receipt(found, receipt, "completed", now)


def test_a_run_through_the_real_gateway(world):
    bank = world.gateways["bank"]
    made = runs.prepare(world.homes["bank"], bank, rules=["overlap", "audience"])
    assert runs.send(bank, made) == "waiting-for-challenges"
    assert runs.send(bank, made) == "waiting-for-challenges"
    run = made.run
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    assert bank.run(run).state == "queued"
    held = enclave_starts(world, run)
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    enclave_ends(world, run, held)
    assert bank.offers(run) == []
    assert bank.receipt(run) is None
    world.clock.now += world.agreement.slots.opaque
    for party in ("bank", "partner", "bank"):
        assert errors(step(world, party)) == []
    assert bank.run(run).state == "done"
    for party, rules in (("bank", ["overlap"]), ("compliance", ["overlap"]), ("partner", ["audience"])):
        got = collect.collect(world.homes[party], world.gateways[party], run)
        assert [item.rule for item in got.opened] == rules
        assert got.verified.final
        assert got.verified.logged is not None
        assert got.verified.logged.checkpoint.root == world.store.log.root(world.id, world.store.log.size(world.id))
    assert step(world, "partner") == []


def test_the_history_of_a_real_gateway_proves_itself(world, tmp_path):
    bank, size = world.gateways["bank"], {}
    made = runs.prepare(world.homes["bank"], bank, rules=["overlap", "audience"])
    runs.send(bank, made)
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    held = enclave_starts(world, made.run)
    for party in ("bank", "partner"):
        assert errors(step(world, party)) == []
    size["before"] = world.store.log.size(world.id)
    enclave_ends(world, made.run, held)
    step(world, "partner")
    assert world.store.log.size(world.id) == size["before"], "the log's size would tell when the run ended"
    world.clock.now += world.agreement.slots.opaque
    for party in ("bank", "partner", "bank", "partner"):
        assert errors(step(world, party)) == []
    audit_folder.export(bank, world.id, tmp_path / "history")
    found = audit.verify(audit_folder.load(tmp_path / "history"), roots=frozenset({world.processor.root}))
    assert found.receipts[made.run].final
    assert [e.kind for e in found.entries][:2] == ["agreement", "log"]
    assert set(found.cosigned) == {"bank", "partner"}
    assert "released: audience to partner" in "\n".join(audit_words.lines(found))


def test_a_refused_run_ends_at_once_and_its_owners_alone_read_why(world, tmp_path):
    bank = world.gateways["bank"]
    made = runs.prepare(world.homes["bank"], bank, rules=["overlap"])
    runs.send(bank, made)
    for party in ("bank", "partner"):
        step(world, party)
    world.make_gate().launch = b"[]"
    enclave_starts(world, made.run)
    assert "declined" in {event.kind for event in step(world, "partner")}
    assert bank.run(made.run).state == "refused"
    assert step(world, "partner") == []
    pinned = world.homes["bank"].agreement()
    (why,) = refusing.told(world.homes["bank"], bank, pinned, made.run)
    assert why == "partner refused: E3.launcher"
    (why,) = refusing.told(world.homes["compliance"], world.gateways["compliance"], pinned, made.run)
    assert why == "partner refused: the reason is sealed to the owners of what the run reads"
    with pytest.raises(NotReleased, match=r"partner refused: E3\.launcher"):
        collect.collect(world.homes["bank"], bank, made.run)
    audit_folder.export(bank, world.id, tmp_path / "history")
    found = audit.verify(audit_folder.load(tmp_path / "history"), roots=frozenset({world.processor.root}))
    assert [f["party"] for f in audit_words.facts(found) if f["what"] == "declined"] == ["partner"]


def test_a_stranger_is_not_let_in(world):
    with pytest.raises(NotAuthorized):
        gateway(world, SigningKey.generate()).agreements()


def test_answering_twice_with_other_bytes_is_refused(world):
    bank = world.gateways["bank"]
    made = runs.prepare(world.homes["bank"], bank, rules=["overlap"])
    runs.send(bank, made)
    bank.put_challenge(made.run, "bank", "11" * 32)
    bank.put_challenge(made.run, "bank", "11" * 32)
    with pytest.raises(GatewayRefused) as caught:
        bank.put_challenge(made.run, "bank", "22" * 32)
    assert caught.value.status == 409
