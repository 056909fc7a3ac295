"""A broker that is killed between any two steps charges once, forgets nothing, posts the same bytes, and finishes."""

from __future__ import annotations

import contextlib

import pytest

from sealroom.client.ledger import Ledger
from sealroom.protocol import envelope
from sealroom.protocol.statements import Consent, Grant, Stop
from tests.client_broker.world import World


class Killed(BaseException):
    """The process is gone; nothing of its own runs any more."""


class Fuse:
    """Kills at the `at`-th point that is passed."""

    def __init__(self, at):
        self.at, self.passed = at, 0

    def point(self):
        self.passed += 1
        if self.passed == self.at:
            raise Killed


class MortalLedger(Ledger):
    """A ledger whose process may die right before or right after each commit."""

    fuse: Fuse

    @contextlib.contextmanager
    def _transaction(self):
        with super()._transaction():
            yield
            self.fuse.point()
        self.fuse.point()


class MortalGateway:
    """A gateway that is told something right before or right after its caller dies."""

    def __init__(self, gateway, fuse):
        self.gateway, self.fuse = gateway, fuse

    def __getattr__(self, name):
        inner = getattr(self.gateway, name)
        if not name.startswith("put_"):
            return inner

        def put(*arguments):
            self.fuse.point()
            inner(*arguments)
            self.fuse.point()

        return put


def live(world, fuse):
    """One step of the partner's broker; whether it survived it."""
    with MortalLedger.open(world.homes["partner"].root, "partner") as ledger:
        ledger.fuse = fuse
        try:
            world.broker("partner", gateway=MortalGateway(world.gateway, fuse), ledger=ledger).step()
        except Killed:
            return False
    return True


def play(world, run, fuse):
    """Both brokers until all is signed; the partner's dies when the fuse says so, and is started again."""
    survived = True
    for _ in range(6):
        cosigned = world.gateway.run_store[run].cosignatures
        if "bank" not in cosigned:
            world.step("bank")
        survived = live(world, fuse) and survived
        if set(cosigned) == {"bank", "partner"} and fuse.at <= fuse.passed:
            break
    return survived


def posted(world, run):
    held = world.gateway.run_store[run]
    mine = [c for (_, party), c in held.consents.items() if party == "partner"]
    grants = [g for g in held.grants.values() if envelope.unverified(g, Grant).party == "partner"]
    return mine, grants


def check(world, run):
    """Everything was posted, on exactly the charges that the ledger holds."""
    consents, grants = posted(world, run)
    assert len(consents) == 2
    assert len(grants) == 1
    assert set(world.gateway.run_store[run].cosignatures) == {"bank", "partner"}
    with world.ledger("partner") as ledger:
        found = ledger.entries()
        assert [e.draft.kind for e in found] == ["grant", "settled", "release", "release"]
        assert ledger.spent("prospects").epsilon == 1_000_000
        assert ledger.spent("prospects").runs == 1
    places = {(e.sequence, e.previous) for e in found}
    for statement, kind in [(c, Consent) for c in consents] + [(g, Grant) for g in grants]:
        said = envelope.unverified(statement, kind)
        assert (said.ledger.sequence, said.ledger.previous) in places


def charged_before(world, run):
    """At no time is there a posted share or key that the ledger does not know of."""
    consents, grants = posted(world, run)
    with world.ledger("partner") as ledger:
        kinds = [e.draft.kind for e in ledger.entries()]
    assert kinds.count("release") >= len(consents)
    assert kinds.count("grant") >= len(grants)


SHARDS = 6


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_broker_that_is_killed_anywhere_goes_on_where_it_was(tmp_path, shard):
    for at in range(1 + shard, 1000, SHARDS):
        world = World(tmp_path / str(at))
        run = world.ask()
        if play(world, run, Fuse(at)):
            assert at > 20, "a run passes more points than this"
            break
        charged_before(world, run)
        play(world, run, Fuse(at=0))
        check(world, run)


def test_a_stop_between_charge_and_posting_still_holds_the_share_back(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    world.step()
    world.step("bank")
    world.step("partner")
    with MortalLedger.open(world.homes["partner"].root, "partner") as ledger:
        ledger.fuse = Fuse(at=0)
        broker = world.broker(
            "partner", gateway=MortalGateway(world.gateway, Fuse(at=3)), ledger=ledger
        )  # 1, 2: cosigning
        with pytest.raises(Killed):
            broker.step()
    said = Stop(format="sealroom/stop/v1", party="bank", agreement=world.id, created=world.clock.now, remark="no")
    world.gateway.post_statement(world.id, world.sign("bank", said))
    events = world.step("partner")["partner"]
    assert [e.error.code for e in events if e.error] == ["E3.stopped"]
    assert posted(world, run)[0] == []
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").epsilon == 500_000
