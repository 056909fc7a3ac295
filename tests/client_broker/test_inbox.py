"""A release that waits for people goes when enough officers said so, and not before, and not after its deadline."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import inbox
from sealroom.protocol import decisions, envelope
from sealroom.protocol.decisions import Decision
from sealroom.protocol.errors import NotAcceptable, NotGenuine, UsageError
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Consent
from tests.client_broker.world import NOW, World

OFFICERS = [SigningKey.generate() for _ in range(3)]
STRANGER = SigningKey.generate()


def manual(threshold=2, officers=OFFICERS, deadline=1000):
    texts = [officer.public.text for officer in officers]
    return {"partner": {"mode": "manual", "threshold": threshold, "officers": texts, "deadline": deadline}}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, consent=manual())


def asked(world):
    """A run whose two releases wait in the partner's inbox."""
    run = world.ask()
    world.play(3)
    return run, [item.question for item in inbox.questions(world.homes["partner"])]


def consents(world, run):
    held = world.gateway.run_store[run].consents
    return [envelope.unverified(c, Consent) for (_, party), c in held.items() if party == "partner"]


def decide(world, question, answer, officer):
    return inbox.decide(
        world.homes["partner"], question.release[:10], answer, remark="seen", now=int(world.clock()), key=officer
    )


def test_the_question_says_in_plain_words_what_would_leave(world):
    _, questions = asked(world)
    text = "\n".join(questions[0].lines)
    for words in ("how many people", "sealed to its key", "guarantee: F", "SIMULATED", "epsilon 0.5", "afterwards"):
        assert words in text
    assert {question.recipient for question in questions} == {"bank", "compliance"}
    assert all(question.needed == 2 for question in questions)


def test_nothing_leaves_and_nothing_is_charged_before_enough_officers_said_yes(world):
    run, (first, _) = asked(world)
    decide(world, first, "release", OFFICERS[0])
    events = world.step("partner")["partner"]
    assert [event.kind for event in events] == ["asked", "asked"]
    assert consents(world, run) == []
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").epsilon == 0


def test_enough_officers_let_it_go(world):
    run, (first, second) = asked(world)
    for officer in OFFICERS[:2]:
        decide(world, first, "release", officer)
    decide(world, second, "refuse", OFFICERS[2])
    world.step("partner")
    answers = {c.release: c for c in consents(world, run)}
    assert answers[first.release].decision == "release"
    assert answers[second.release].decision == "refuse"
    assert answers[second.release].remark == "seen"
    outcomes = {i.question.release: i.outcome.decision for i in inbox.questions(world.homes["partner"])}
    assert outcomes == {first.release: "release", second.release: "refuse"}


def test_one_officers_no_outweighs_enough_yeses(world):
    run, (first, _) = asked(world)
    for officer, answer in zip(OFFICERS, ("release", "release", "refuse"), strict=True):
        decide(world, first, answer, officer)
    world.step("partner")
    assert [c.decision for c in consents(world, run)] == ["refuse"]


def test_one_officer_counts_once(world):
    _, (first, _) = asked(world)
    decide(world, first, "release", OFFICERS[0])
    with pytest.raises(NotAcceptable) as caught:
        decide(world, first, "release", OFFICERS[0])
    assert caught.value.code == "E3.decided-already"


def test_silence_is_a_no_after_the_deadline(world):
    run, _ = asked(world)
    world.clock.now += 1000
    events = world.step("partner")["partner"]
    assert {e.text.rpartition(": ")[2] for e in events if e.kind == "refused"} == {"nobody decided in time"}
    assert {c.remark for c in consents(world, run)} == {"refused"}
    assert {c.decision for c in consents(world, run)} == {"refuse"}


def test_a_decision_after_the_deadline_is_not_taken(world):
    _, (first, _) = asked(world)
    world.clock.now += 1000
    with pytest.raises(NotAcceptable) as caught:
        decide(world, first, "release", OFFICERS[0])
    assert caught.value.code == "E3.too-late"


def test_a_decision_after_the_answer_is_not_taken(world):
    _, (first, _) = asked(world)
    decide(world, first, "refuse", OFFICERS[0])
    world.step("partner")
    with pytest.raises(NotAcceptable) as caught:
        decide(world, first, "release", OFFICERS[1])
    assert caught.value.code == "E3.decided-already"


@pytest.mark.parametrize("key", [STRANGER, "partner"])
def test_whoever_is_no_officer_decides_nothing(world, key):
    _, (first, _) = asked(world)
    key = world.members["partner"].signing if key == "partner" else key
    with pytest.raises(NotAcceptable) as caught:
        decide(world, first, "release", key)
    assert caught.value.code == "E3.no-officer"


def forged(world, question, change, keys):
    decision = Decision(
        format="sealroom/decision/v1",
        party="partner",
        agreement=world.id,
        release=question.release,
        decision="release",
        created=NOW,
        remark="x",
    )
    return envelope.sign(dataclasses.replace(decision, **change), keys)


FORGED = {
    "a stranger signed it": ({}, [STRANGER]),
    "it is about another release": ({"release": "11" * 32}, OFFICERS[:1]),
    "it is about another agreement": ({"agreement": "11" * 32}, OFFICERS[:1]),
    "it is another party's": ({"party": "bank"}, OFFICERS[:1]),
    "two officers share one decision": ({}, OFFICERS[:2]),
}


@pytest.mark.parametrize(("change", "keys"), FORGED.values(), ids=FORGED)
def test_a_decision_file_counts_for_nothing_when(world, change, keys):
    run, (first, _) = asked(world)
    decision = forged(world, first, change, keys)
    party = world.agreement.party("partner")
    with pytest.raises(NotGenuine):
        decisions.verify_decision(decision, party, agreement=world.id, release=first.release)
    inbox.keep(world.homes["partner"], first.release, decision)
    decide(world, first, "release", OFFICERS[2])
    world.step("partner")
    assert consents(world, run) == []


def test_a_party_without_officers_decides_with_its_own_key(tmp_path):
    world = World(tmp_path, consent=manual(threshold=0, officers=[]))
    run, (first, _) = asked(world)
    decide(world, first, "release", world.members["partner"].signing)
    world.step("partner")
    assert [c.decision for c in consents(world, run)] == ["release"]


def test_a_question_must_be_named_clearly(world):
    asked(world)
    for prefix in ("", "nothing"):
        with pytest.raises(UsageError):
            inbox.find(world.homes["partner"], prefix)


def test_asking_again_changes_neither_question_nor_deadline(world):
    _, before = asked(world)
    world.clock.now += 10
    world.step("partner")
    assert [item.question for item in inbox.questions(world.homes["partner"])] == before
