"""Which measurements enough parties approve: k of n, mandatory ones, expiry, revocation, and an upgrade's overlap."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import standing
from sealroom.protocol import envelope
from sealroom.protocol.agreement import Approvals
from sealroom.protocol.errors import NotAcceptable, NotGenuine
from sealroom.protocol.statements import Approval, Revocation
from tests import parties
from tests.client_broker.world import World

NOW = parties.NOW
OLD, NEW = "a1" * 48, "b2" * 48
NAMES = ("bank", "partner", "operator")
AGREEMENT_ID = "44" * 32


class Court:
    """Three parties, the statements that they signed, and what follows from them."""

    def __init__(self) -> None:
        self.members = {name: parties.Member.make(name) for name in NAMES}
        self.agreement, _ = parties.sign_agreement(self.members, parties.agreement_json(self.members))
        self.statements: list[envelope.Envelope] = []

    def rule(self, threshold: int, *mandatory: str) -> None:
        self.agreement = dataclasses.replace(
            self.agreement, approvals=Approvals(threshold=threshold, mandatory=mandatory)
        )

    def approve(
        self, party, measurement=OLD, *, since=NOW - 1000, until=NOW + 1000, by=None, agreement=AGREEMENT_ID
    ) -> envelope.Envelope:
        said = Approval(
            format="sealroom/approval/v1", party=party, agreement=agreement, measurement=measurement, not_after=until,
            created=since, remark="looked at it", nonce=f"{len(self.statements):064x}",
        )  # fmt: skip
        return self._sign(by or party, said)

    def revoke(self, party, approval, *, created=NOW, by=None) -> envelope.Envelope:
        said = Revocation(
            format="sealroom/revocation/v1", party=party, agreement=AGREEMENT_ID, approval=approval.digest,
            created=created, remark="found a flaw",
        )  # fmt: skip
        return self._sign(by or party, said)

    def _sign(self, party, said) -> envelope.Envelope:
        signed = envelope.sign(said, [self.members[party].signing])
        self.statements.append(signed)
        return signed

    def approved(self, *, now=NOW, own=None, past=False) -> dict[str, set[str]]:
        """Approved measurements, each with those whose approvals carry it."""
        found = standing.read(self.agreement, AGREEMENT_ID, self.statements)
        carried = found.approved(self.agreement, now=now, own=own, past=past)
        return {m: {envelope.unverified(e, Approval).party for e in signed} for m, signed in carried.items()}


@pytest.fixture
def court():
    return Court()


# Two of three must approve, the partner among them.


@pytest.mark.parametrize(
    ("approvers", "enough"),
    [
        ((), False),
        (("partner",), False),  # the mandatory one alone: one too few
        (("bank",), False),
        (("bank", "operator"), False),  # two, but not the mandatory one
        (("bank", "partner"), True),
        (("operator", "partner"), True),
        (("bank", "operator", "partner"), True),
    ],
)
def test_two_of_three_with_one_mandatory(court, approvers, enough):
    court.rule(2, "partner")
    for party in approvers:
        court.approve(party)
    assert court.approved() == ({OLD: set(approvers)} if enough else {})


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_one_approval_fewer_than_needed_is_not_enough_whoever_gives_them(court, threshold):
    court.rule(threshold)
    for party in NAMES[: threshold - 1]:
        court.approve(party)
    assert court.approved() == {}
    court.approve(NAMES[threshold - 1])
    assert court.approved() == {OLD: set(NAMES[:threshold])}


def test_a_party_counts_once_however_often_it_approves(court):
    court.rule(2)
    court.approve("bank")
    court.approve("bank")
    assert court.approved() == {}


def test_approvals_of_different_measurements_do_not_add_up(court):
    court.rule(2)
    court.approve("bank", OLD)
    court.approve("partner", NEW)
    assert court.approved() == {}


def test_an_owner_needs_its_own_approval_besides_those_of_the_agreement(court):
    court.rule(2, "partner")
    court.approve("operator")
    court.approve("partner")
    assert court.approved(own="bank") == {}
    court.approve("bank")
    assert court.approved(own="bank") == {OLD: set(NAMES)}


@pytest.mark.parametrize(("now", "enough"), [(NOW + 99, True), (NOW + 100, False), (NOW + 10_000, False)])
def test_an_approval_counts_until_the_second_at_which_it_expires(court, now, enough):
    court.rule(2, "partner")
    court.approve("partner", until=NOW + 20_000)
    court.approve("bank", until=NOW + 100)
    assert bool(court.approved(now=now)) is enough


@pytest.mark.parametrize(("since", "enough"), [(NOW + standing.SKEW, True), (NOW + standing.SKEW + 1, False)])
def test_an_approval_counts_from_its_creation_give_or_take_the_clocks(court, since, enough):
    court.rule(2, "partner")
    court.approve("partner")
    court.approve("bank", since=since, until=NOW + 10_000)
    assert bool(court.approved()) is enough


@pytest.mark.parametrize("party", ["bank", "partner"])
def test_a_revoked_approval_no_longer_counts(court, party):
    court.rule(2, "partner")
    signed = {name: court.approve(name) for name in ("bank", "partner")}
    assert court.approved() == {OLD: {"bank", "partner"}}
    court.revoke(party, signed[party])
    assert court.approved() == {}


def test_a_revocation_takes_back_one_approval_and_not_what_was_signed_again(court):
    court.rule(1)
    court.revoke("bank", court.approve("bank"))
    assert court.approved() == {}
    court.approve("bank")
    assert court.approved() == {OLD: {"bank"}}


def test_a_revocation_counts_as_soon_as_it_is_seen_but_does_not_reach_into_the_past(court):
    court.rule(1)
    court.revoke("bank", court.approve("bank"), created=NOW + 5000)
    assert court.approved(now=NOW) == {}
    assert court.approved(now=NOW, past=True) == {OLD: {"bank"}}
    assert court.approved(now=NOW + 5000, past=True) == {}


def test_nobody_revokes_for_somebody_else(court):
    court.rule(1)
    signed = court.approve("bank")
    court.revoke("operator", signed)  # signed by the operator, in its own name
    court.revoke("bank", signed, by="operator")  # signed by the operator, in the bank's name
    assert court.approved() == {OLD: {"bank"}}


# An upgrade: two measurements side by side, until the old one's approvals run out or are taken back.


def test_at_an_upgrade_both_measurements_stand_while_approvals_overlap(court):
    court.rule(2, "partner")
    for party in ("bank", "partner"):
        court.approve(party, OLD, until=NOW + 200)
    assert set(court.approved()) == {OLD}
    court.approve("partner", NEW, since=NOW + 50)
    assert set(court.approved(now=NOW + 60)) == {OLD}  # one is not enough for the new one
    court.approve("bank", NEW, since=NOW + 100)
    assert set(court.approved(now=NOW + 150)) == {OLD, NEW}
    assert set(court.approved(now=NOW + 200)) == {NEW}


def test_revoking_the_old_measurement_ends_it_at_once_and_leaves_the_new_one(court):
    court.rule(2, "partner")
    signed = {(m, party): court.approve(party, m) for m in (OLD, NEW) for party in ("bank", "partner")}
    assert set(court.approved()) == {OLD, NEW}
    court.revoke("bank", signed[OLD, "bank"])
    assert set(court.approved()) == {NEW}


# What proves nothing.


def test_what_somebody_else_signed_or_said_about_another_agreement_is_left_out(court):
    court.rule(1)
    court.approve("bank", by="operator")
    court.approve("bank", agreement="55" * 32)
    assert court.approved() == {}


def test_a_statement_alone_is_refused_with_a_reason(court):
    forged, elsewhere = court.approve("bank", by="operator"), court.approve("bank", agreement="55" * 32)
    with pytest.raises(NotGenuine) as caught:
        standing.verify(Approval, forged, court.agreement, AGREEMENT_ID)
    assert caught.value.code == "E2.stranger"
    with pytest.raises(NotAcceptable) as refused:
        standing.verify(Approval, elsewhere, court.agreement, AGREEMENT_ID)
    assert refused.value.code == "E3.other-agreement"


# The same through a broker: what keys go to.


@pytest.mark.parametrize(
    ("approvers", "granted"),
    [(("partner", "bank"), True), (("partner", "compliance"), True), (("partner",), False), (("bank",), False)],
)
def test_a_broker_lets_a_key_go_only_with_two_of_four_approvals_its_own_among_them(tmp_path, approvers, granted):
    world = World(tmp_path, approvals={"threshold": 2, "mandatory": ["partner"]}, approvers=approvers)
    world.ask()
    world.step()
    events = world.step("partner")["partner"]
    assert ("granted" in [event.kind for event in events]) is granted
    if not granted:
        assert [event.error.code for event in events if event.error is not None] == ["E3.measurement"]
        assert world.posts("grant") == []
