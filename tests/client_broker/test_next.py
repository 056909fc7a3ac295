"""`sealroom next` names the one whose turn it is: where people decide, where a run has ended, where all have signed."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import agreeing, collect, inbox, next_steps, runs
from sealroom.client.errors import Waiting
from sealroom.client.gateway import RunEntry
from sealroom.protocol import envelope
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.keys import SigningKey
from tests.client_broker.world import NOW, World

OFFICERS = tuple(SigningKey.generate() for _ in range(2))


@pytest.fixture
def world(tmp_path, monkeypatch):
    manual = {
        "mode": "manual", "threshold": 2, "officers": [key.public.text for key in OFFICERS], "deadline": 1000,
    }  # fmt: skip
    made = World(tmp_path, consent={"partner": manual})
    monkeypatch.setattr("time.time", made.clock)
    return made


def of_run(world, party, *, state="waiting-for-consent", waiting=("partner",)):
    """What `next` says to a party about the only run; the played gateway has no such state of its own."""
    (run,) = world.gateway.run_store
    home = world.homes[party]
    pinned = home.agreement()
    seen = next_steps.Seen(registered=True, runs=[RunEntry(run, state, waiting, NOW)])
    return [s for s in next_steps.of_agreement(home, pinned, seen, now=int(world.clock.now)) if run[:12] in s.what]


def until_offered(world):
    world.ask("overlap")
    world.step()
    world.step("bank")
    with world.ledger("partner") as ledger:
        world.broker("partner", ledger=ledger).step()


def test_the_broker_asks_then_officers_decide_then_the_broker_answers(world):
    until_offered(world)
    (step,) = of_run(world, "partner")
    assert (step.command, "has to look at the offers first" in step.what) == ("sealroom broker", True)
    world.step("partner")
    (step,) = of_run(world, "partner")
    assert (step.command, "officers to decide about overlap" in step.what) == ("sealroom inbox", True)
    home = world.homes["partner"]
    releases = [item.question.release for item in inbox.questions(home)]
    for release in releases:
        inbox.decide(home, release, "release", remark="fine", now=NOW, key=OFFICERS[0])
    assert of_run(world, "partner")[0].command == "sealroom inbox"
    inbox.decide(home, releases[0], "refuse", remark="no", now=NOW, key=OFFICERS[1])
    assert of_run(world, "partner")[0].command == "sealroom inbox"
    inbox.decide(home, releases[1], "release", remark="fine", now=NOW, key=OFFICERS[1])
    (step,) = of_run(world, "partner")
    assert (step.command, "your broker has to answer" in step.what) == ("sealroom broker", True)
    world.step("partner")
    (step,) = of_run(world, "partner", waiting=("bank",))
    assert (step.command, step.what.endswith("is waiting-for-consent for bank")) == (None, True)


def test_when_the_deadline_has_passed_it_is_the_brokers_turn(world):
    until_offered(world)
    world.step("partner")
    assert of_run(world, "partner")[0].command == "sealroom inbox"
    world.clock.now += 1001
    assert of_run(world, "partner")[0].command == "sealroom broker"


def test_a_party_that_consents_at_once_needs_its_broker_alone(world):
    until_offered(world)
    assert of_run(world, "bank", waiting=("bank",))[0].command == "sealroom broker"


@pytest.mark.parametrize("state", ["failed", "refused", "expired", "stopped"])
def test_a_run_that_ended_without_a_receipt_is_told_until_somebody_looked(world, state):
    run = world.ask("overlap")
    (step,) = of_run(world, "bank", state=state, waiting=())
    assert (step.command, f"ended as {state}" in step.what) == (f"sealroom results {run[:12]}", True)
    world.gateway.run_store[run].state = state
    with pytest.raises(NotReleased):
        collect.collect(world.homes["bank"], world.gateway, run)
    assert of_run(world, "bank", state=state, waiting=()) == []
    assert len(of_run(world, "partner", state=state, waiting=())) == 1


def test_a_run_whose_results_are_here_is_done(tmp_path):
    world = World(tmp_path)
    run = world.ask("quality")
    world.play()
    assert of_run(world, "bank", state="done", waiting=())[0].command == f"sealroom results {run[:12]}"
    collect.collect(world.homes["bank"], world.gateway, run)
    assert of_run(world, "bank", state="done", waiting=()) == []
    assert of_run(world, "operator", state="done", waiting=()) == []


def test_results_without_a_name_are_those_of_the_newest_run_that_ended(tmp_path):
    world = World(tmp_path)
    home = world.homes["bank"]
    with pytest.raises(Waiting):
        runs.newest_ended(home, world.gateway)
    entries = [
        RunEntry("a" * 64, "done", (), NOW), RunEntry("b" * 64, "failed", (), NOW + 2),
        RunEntry("c" * 64, "queued", (), NOW + 3),
    ]  # fmt: skip
    world.gateway.tricks["runs"] = lambda _: entries
    assert runs.newest_ended(home, world.gateway) == "b" * 64
    assert runs.newest_ended(home, world.gateway, agreement=world.id[:9]) == "b" * 64


def next_version(world, **changes):
    home = world.homes["bank"]
    draft = dataclasses.replace(agreeing.amend(home.agreement()), **changes)
    return draft, envelope.sign(draft, [world.members["bank"].signing])


def test_a_version_that_others_must_still_sign_is_told_with_their_names(world):
    home, (_, signed) = world.homes["bank"], next_version(world, title="The second version")
    agreeing.keep_signed(home, signed)
    (step,) = [s for s in next_steps.steps(home) if "you signed version" in s.what]
    assert step.command is None
    assert "compliance, operator and partner" in step.what or "partner" in step.what
    assert "sealroom agreement import FILE" in step.what


def test_a_version_that_everybody_signed_is_imported_by_the_command_that_is_shown(world):
    home, (draft, _) = world.homes["bank"], next_version(world, title="The second version")
    signed = envelope.sign(draft, [member.signing for member in world.members.values()])
    agreeing.keep_signed(home, signed)
    (step,) = [s for s in next_steps.steps(home) if "everybody has signed" in s.what]
    path = step.command.removeprefix("sealroom agreement import ")
    document = agreeing.read(type(home.root)(path))
    agreeing.pin(home, document.envelope)
    assert not [s for s in next_steps.steps(home) if "signed version" in s.what]


def test_a_version_that_another_one_replaced_waits_for_nobody(world):
    home, (_, abandoned) = world.homes["bank"], next_version(world, title="One that was given up")
    agreeing.keep_signed(home, abandoned)
    draft, _ = next_version(world, title="The second version")
    home.save_agreement(envelope.sign(draft, [member.signing for member in world.members.values()]))
    assert agreeing.signed_and_waiting(home) == []
