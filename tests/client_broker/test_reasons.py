"""Sealed reasons are opened by the owners that they are for, told in words, and believed in nothing beyond a code."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.attestation.verdict import Verdict
from sealroom.client import collect, reasons, watching
from sealroom.client.errors import NotAuthorized
from sealroom.protocol import canonical
from sealroom.protocol.errors import CannotOpen, Malformed, NotReleased
from sealroom.protocol.keys import to_text
from sealroom.protocol.reasons import ADVICE, UNKNOWN
from sealroom.protocol.statements import reason_info
from tests.client_broker.world import World


def sealing(world, text, *, run=None, to=("bank", "partner")):
    """What makes the played gate seal `text` (or codes by rule) to owners, as the real one does."""

    def change(receipt):
        data = text if isinstance(text, bytes) else canonical.encode(text).ljust(8192)
        sealed = {
            name: to_text(world.members[name].sealing.public.seal(data, info=reason_info(run or receipt.request, name)))
            for name in to
        }
        return dataclasses.replace(receipt, reasons=sealed)

    return change


def ended(world, text, *, status="completed", rules=("overlap", "quality"), **options):
    """Play a run whose receipt holds these reasons; what the bank finds when it collects."""
    run = world.ask(*rules)
    gate = world.make_gate()
    gate.status, gate.withheld = status, {"quality"}
    gate.change_receipt = sealing(world, text, **options)
    world.play()
    return collect.collect(world.homes["bank"], world.gateway, run).verified


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_each_withheld_rule_is_told_with_its_code_meaning_and_advice(world):
    found = ended(world, {"quality": "job-out-of-memory"})
    for party in ("bank", "partner"):
        why = reasons.of(found, world.homes[party])
        advice = ADVICE["job-out-of-memory"]
        assert why.lines() == [
            f"why quality: job-out-of-memory: {advice.meaning}",
            f"  what to do: {advice.change}",
        ]
        assert why.document()[0]["rule"] == "quality"


def test_a_run_that_ended_as_a_whole_has_one_reason(world):
    why = reasons.of(ended(world, {"*": "E5.load-duplicate-entity"}, status="refused"), world.homes["bank"])
    assert why.lines()[0].startswith("why the run: E5.load-duplicate-entity: An id is missing")
    assert why.document()[0]["rule"] is None


def test_a_code_of_another_version_is_shown_and_said_to_be_unknown(world):
    why = reasons.of(ended(world, {"quality": "of-tomorrow"}), world.homes["bank"])
    assert (why.reasons[0].code, why.reasons[0].meaning) == ("of-tomorrow", UNKNOWN.meaning)


def test_who_owns_nothing_of_the_run_is_told_so(world):
    why = reasons.of(ended(world, {"quality": "too-few"}), world.homes["compliance"])
    assert why.reasons == ()
    assert "sealed to the owners" in why.lines()[0]


def test_nothing_is_said_where_nothing_was_withheld(world, monkeypatch):
    found = ended(world, {}, rules=("overlap",))
    monkeypatch.setattr("sealroom.client.home.Home.sealing_key", lambda _: pytest.fail("no key is needed"))
    assert reasons.of(found, world.homes["bank"]).lines() == []


def test_without_a_passphrase_the_receipt_holds_and_the_reason_stays_closed(world, monkeypatch):
    found = ended(world, {"quality": "too-few"})

    def locked(_):
        raise NotAuthorized("no passphrase for the sealing key")

    monkeypatch.setattr("sealroom.client.home.Home.sealing_key", locked)
    why = reasons.of(found, world.homes["bank"])
    assert why.lines() == ["why: the reasons are sealed to this party; no passphrase for the sealing key"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[]", "E1.wrong-type"),
        (b'{"quality": "too-few"}', "E1.not-canonical"),
        ({"quality": "\x1b[2J"}, "E1.bad-text"),
        ({"quality": "x" * 65}, "E1.bad-text"),
        ({"quality": {"a": 1}}, "E1.wrong-type"),
        ({"overlap": "too-few"}, "E1.unknown-rule"),
        ({"*": 7}, "E1.wrong-type"),
    ],
    ids=["a list", "not canonical", "terminal tricks", "too long", "an object", "a rule that went out", "a number"],
)
def test_reasons_of_another_form_are_not_shown(world, text, code):
    found = ended(world, text)
    why = reasons.of(found, world.homes["bank"])
    assert why.lines() == [f"why: the gate sealed no reasons that this party can read [{code}]"]
    with pytest.raises(Malformed):
        reasons.opened(found.receipt.receipt, "bank", world.members["bank"].sealing)


def test_reasons_of_another_run_or_party_do_not_open(world):
    found = ended(world, {"quality": "too-few"}, run="00" * 32)
    assert "[E4.cannot-open]" in reasons.of(found, world.homes["bank"]).lines()[0]
    with pytest.raises(CannotOpen):
        reasons.opened(found.receipt.receipt, "bank", world.members["partner"].sealing)


@pytest.mark.parametrize("receipt", [True, False])
def test_a_run_that_ended_badly_points_to_its_receipt_only_if_there_is_one(world, receipt):
    run = world.ask("overlap")
    status = dataclasses.replace(world.gateway.run(run), state="failed", receipt=receipt)
    world.gateway.tricks["run"] = lambda _: status
    with pytest.raises(NotReleased) as caught:
        watching.until_ended(_Silent(), world.gateway, run, poll=0)
    assert caught.value.code == "E5.run-failed"
    assert caught.value.hint == (
        f"its receipt says why: `sealroom results {run[:12]}`" if receipt else watching.NO_RECEIPT
    )


class _Silent:
    def say(self, line):
        assert "failed" in line


def test_the_verdict_in_a_receipt_has_every_check(world):
    found = ended(world, {"quality": "too-few"})
    assert isinstance(found.accepted.verdict, Verdict)
    assert len(found.accepted.verdict.checks) > 20
