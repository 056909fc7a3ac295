"""Requests name exactly what the rules read, results have one form, prices are those of the agreement."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import asked, files, purses, results, runs
from sealroom.client.entries import Amount
from sealroom.client.errors import Unreachable, Waiting
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import envelope, terms
from sealroom.protocol.errors import Malformed, NotAcceptable, Refused, UsageError
from sealroom.protocol.statements import Request
from tests import parties
from tests.client_broker.world import World


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.setattr("time.time", made.clock)
    return made


def test_a_prepared_request_names_what_its_rules_read_and_nothing_else(world):
    made = runs.prepare(world.homes["bank"], world.gateway, rules=["quality"])
    request = envelope.unverified(made.request, Request)
    assert set(request.objects) == {"customers", "prospects", "model"}
    assert request.columns == {"customers": ("balance", "y"), "prospects": ("age", "job")}
    assert request.rules == ("quality",)
    assert world.gateway.run_store == {}
    assert runs.send(world.gateway, made) == "waiting-for-challenges"
    assert made.run in world.gateway.run_store


def ask(world, *rules):
    """Ask as the command does; the gateway stores the request and its answer is lost, if it plays that trick."""
    made = runs.prepare(world.homes["bank"], world.gateway, rules=rules)
    runs.send(world.gateway, made)
    return made


@pytest.fixture
def silent(world, monkeypatch):
    """A gateway that dies right after it stored a request."""
    post = world.gateway.post_run

    def die(request):
        post(request)
        raise Unreachable("the gateway does not answer")

    monkeypatch.setattr(world.gateway, "post_run", die)
    with pytest.raises(Unreachable) as caught:
        ask(world, "overlap")
    assert "again" in caught.value.hint
    monkeypatch.undo()
    monkeypatch.setattr("time.time", world.clock)
    return world


def test_asking_again_after_an_answer_was_lost_sends_the_same_request(silent):
    (run,) = silent.gateway.run_store
    silent.clock.now += 60
    made = ask(silent, "overlap")
    assert made.again
    assert list(silent.gateway.run_store) == [run] == [made.run]
    assert ask(silent, "overlap").run != run, "what was acknowledged is not sent again"
    assert not list((silent.homes["bank"].root / "asked").iterdir())


def test_who_asks_the_same_while_another_program_is_sending_it_gets_a_run_of_its_own(world, monkeypatch):
    home, post, runs_made = world.homes["bank"], world.gateway.post_run, []

    def meanwhile(request):
        if not runs_made:
            runs_made.append(request.digest)
            runs_made.append(ask(world, "overlap").run)
        return post(request)

    monkeypatch.setattr(world.gateway, "post_run", meanwhile)
    made = ask(world, "overlap")
    assert made.run == runs_made[0]
    assert len(set(runs_made)) == 2
    assert set(world.gateway.run_store) == set(runs_made)
    assert not list((home.root / "asked").iterdir())


def test_what_another_program_takes_up_again_is_sent_by_one_of_them(silent, monkeypatch):
    home, post = silent.homes["bank"], silent.gateway.post_run
    (run,) = silent.gateway.run_store
    silent.clock.now += 60
    first, second = (runs.prepare(home, silent.gateway, rules=["overlap"]) for _ in range(2))
    assert first.run == second.run == run

    def meanwhile(request):
        with pytest.raises(Waiting, match="another program"):
            runs.send(silent.gateway, second)
        return post(request)

    monkeypatch.setattr(silent.gateway, "post_run", meanwhile)
    runs.send(silent.gateway, first)
    assert list(silent.gateway.run_store) == [run]


def test_asking_for_something_else_is_another_run(silent):
    (run,) = silent.gateway.run_store
    assert not ask(silent, "audience").again
    assert ask(silent, "overlap").run == run


def test_a_request_whose_deadline_has_passed_is_not_sent_again(silent):
    (run,) = silent.gateway.run_store
    silent.clock.now += runs.DEADLINE
    assert ask(silent, "overlap").run != run
    assert not list((silent.homes["bank"].root / "asked").iterdir())


def test_a_request_that_the_gateway_refused_is_forgotten(world, monkeypatch):
    def refuse(_):
        raise GatewayRefused(409, "too-many-runs", "no", "")

    monkeypatch.setattr(world.gateway, "post_run", refuse)
    with pytest.raises(GatewayRefused):
        ask(world, "overlap")
    assert not list((world.homes["bank"].root / "asked").iterdir())


def test_who_finds_the_kept_requests_held_waits_for_a_bounded_time_and_keeps_nothing(world, monkeypatch):
    monkeypatch.setattr(asked, "_LOCK_WAIT", 0.05)
    home = world.homes["bank"]
    made = runs.prepare(home, world.gateway, rules=["overlap"])
    with files.locked(home.root / asked.LOCK, seconds=0):
        for held in (
            lambda: runs.send(world.gateway, made), lambda: runs.prepare(home, world.gateway, rules=["overlap"]),
        ):  # fmt: skip
            with pytest.raises(Unreachable, match="another program of this party"):
                held()
    assert not list((home.root / "asked").iterdir())
    assert world.gateway.run_store == {}
    assert runs.send(world.gateway, made) == "waiting-for-challenges"


def test_without_rules_every_rule_is_asked_for(world):
    assert runs.prepare(world.homes["bank"], world.gateway).rules == ("overlap", "quality", "audience")


def test_costs_are_shown_before_anything_is_sent(world):
    made = runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"])
    status = terms.status_cost(world.agreement, ("overlap",))
    assert made.costs["partner"] == {"prospects": Amount(epsilon=1_000_000, bits=status.bits, runs=1)}
    assert made.costs["bank"] == {"customers": Amount(epsilon=500_000, bits=status.bits, runs=1)}


def test_bits_of_rows_are_charged_to_code_and_seed(world):
    charges = purses.all_charges(world.agreement, "bank", ("audience",))
    cost = terms.cost_of(world.agreement, world.agreement.rule("audience"))
    assert cost.bits > 0
    assert all(charge.bits >= cost.bits for charge in charges.values())
    assert set(charges) == {"customers", "model"}


def test_whoever_may_not_ask_is_told_so(world):
    with pytest.raises(NotAcceptable) as caught:
        runs.prepare(world.homes["partner"], world.gateway)
    assert caught.value.code == "E3.requester"


def test_what_is_not_there_yet_is_waited_for(world):
    world.gateway.tricks["objects"] = lambda entries: [e for e in entries if e.name != "prospects"]
    with pytest.raises(Waiting):
        runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"])


def test_of_two_objects_of_one_name_one_must_be_chosen(world):
    item = parties.seal_object(world.members["partner"], "prospects", "dataset", "csv", b"again", world.id)
    world.gateway.manifests[item.envelope.digest] = item.envelope
    world.gateway.tricks["objects"] = lambda entries: [
        *entries,
        dataclasses.replace(entries[1], digest=item.envelope.digest),
    ]
    with pytest.raises(UsageError):
        runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"])
    made = runs.prepare(
        world.homes["bank"], world.gateway, rules=["overlap"], objects={"prospects": item.envelope.digest[:12]}
    )
    assert envelope.unverified(made.request, Request).objects["prospects"] == item.envelope.digest


def test_a_manifest_that_its_owner_did_not_sign_is_refused(world):
    def swap(state):
        forged = envelope.sign(
            envelope.unverified(state.manifest, type(item.manifest)), [world.members["bank"].signing]
        )
        return dataclasses.replace(state, manifest=forged)

    item = world.objects["prospects"]
    world.gateway.tricks["object_state"] = swap
    with pytest.raises(Refused) as caught:
        runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"])
    assert caught.value.code == "E2.stranger"


def test_a_manifest_of_another_object_is_refused(world):
    other = world.objects["customers"].envelope
    world.gateway.tricks["object_state"] = lambda state: dataclasses.replace(state, manifest=other)
    with pytest.raises(NotAcceptable) as caught:
        runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"])
    assert caught.value.code == "E3.other-object"


def test_an_object_that_no_rule_reads_cannot_be_chosen(world):
    with pytest.raises(UsageError):
        runs.prepare(world.homes["bank"], world.gateway, rules=["overlap"], objects={"model": "ab"})


def test_a_run_is_found_by_its_beginning(world):
    run = world.ask()
    assert runs.find(world.homes["bank"], world.gateway, run[:8]) == run
    assert runs.find(world.homes["bank"], world.gateway, run) == run
    for prefix in ("x", ""):
        if prefix == "":
            world.ask("quality")
        with pytest.raises(UsageError):
            runs.find(world.homes["bank"], world.gateway, prefix)


@pytest.mark.parametrize(
    ("text", "form"), [(b'{"a":1}', "json"), (b"[]", "json"), (b"id\n1\n2\n", "csv"), (b'id\n"a,b"\n', "csv")]
)
def test_a_release_is_json_or_csv(text, form):
    assert results.form(text) == form


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"id",
        b"\nid\n",
        b"\xff\n",
        b"id\n\x1b[2J\n",
        b"id\n\0\n",
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1.5}',
        b"{",
    ],
)
def test_a_release_in_any_other_spelling_is_malformed(text):
    with pytest.raises(Malformed):
        results.form(text)


def test_results_read_back(tmp_path):
    path = results.write(tmp_path, "audience", b'partner_id\np1\n"p,2"\n')
    assert path.name == "audience.csv"
    assert results.read(path) == [["p1"], ["p,2"]]
    assert results.read(results.write(tmp_path, "overlap", b'{"count":3}')) == {"count": 3}


def test_a_broker_looks_no_more_at_what_it_posted_for_a_run_that_is_closed(world, monkeypatch):
    world.ask()
    world.play()
    with world.ledger("bank") as ledger:
        broker = world.broker("bank", ledger=ledger)
        broker.step()
        assert {entry.draft.kind for entry in ledger.entries()} >= {"grant", "release", "settled"}
        looked = []
        under = ledger.kept_under
        monkeypatch.setattr(ledger, "kept_under", lambda prefix: looked.append(prefix) or under(prefix))
        broker.step()
    assert not [prefix for prefix in looked if prefix.startswith(("grant/", "consent/", "cosignature/"))]
