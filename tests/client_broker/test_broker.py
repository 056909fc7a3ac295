"""A broker does its part in a run of several parties, and nothing that was not agreed."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.client import collect, memory, outbox, received
from sealroom.client.desk import pinned_version
from sealroom.client.errors import BudgetSpent, Unreachable
from sealroom.client.ledger import Ledger
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.errors import NotAcceptable
from sealroom.protocol.keys import SealingKey, SigningKey, to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.statements import (
    Approval,
    Consent,
    Cosignature,
    Grant,
    Offer,
    Receipt,
    Request,
    Revocation,
    Stop,
)
from tests import parties
from tests.client_broker.world import MEASUREMENT, NOW, TEXTS, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def kinds(events):
    return [event.kind for event in events]


def codes(events):
    return [event.error.code for event in events if event.error is not None]


def purses(**spent):
    whole = {"bank": ("customers", "model", "segments"), "partner": ("prospects",)}
    return [
        {"owner": owner, "population": name, "epsilon": 4_000_000, "bits": 10**8, "runs": 10, **spent.get(name, {})}
        for owner, names in whole.items()
        for name in names
    ]


def stopped(world, party="partner"):
    said = Stop(format="sealroom/stop/v1", party=party, agreement=world.id, created=NOW, remark="enough")
    world.gateway.post_statement(world.id, world.sign(party, said))


def revoked(world, party="bank", by=None, created=NOW):
    approval = world.gateway.statements(world.id, "approval")[("bank", "partner").index(party)]
    said = Revocation(
        format="sealroom/revocation/v1",
        party=by or party,
        agreement=world.id,
        approval=approval.digest,
        created=created,
        remark="found a flaw",
    )
    world.gateway.post_statement(world.id, world.sign(by or party, said))


def test_a_run_goes_from_request_to_final_receipt(world):
    run = world.ask("overlap", "quality", "audience")
    events = world.play()
    assert codes(events) == []
    assert kinds(events).count("challenged") == 2
    assert kinds(events).count("granted") == 3
    assert kinds(events).count("released") == 5
    assert kinds(events).count("cosigned") == 2
    assert set(world.gateway.gate.opened.values()) == {item.key for item in world.objects.values()}
    got = collect.collect(world.homes["compliance"], world.gateway, run)
    assert got.verified.final
    assert [item.path.read_bytes() for item in got.opened] == [TEXTS["overlap"]]


def test_nothing_is_done_twice_however_often_a_broker_looks(world):
    world.ask()
    world.play()
    posts, entries = list(world.gateway.posts), world.ledger("partner")
    with entries as ledger:
        before = ledger.entries()
    assert world.play(2) == []
    assert world.gateway.posts == posts
    with world.ledger("partner") as ledger:
        assert ledger.entries() == before


def test_a_grant_is_charged_in_advance_and_says_where(world):
    run = world.ask()
    world.step()
    world.step("partner")
    with world.ledger("partner") as ledger:
        (entry,) = ledger.entries()
        assert ledger.spent("prospects").runs == 1
        assert ledger.spent("prospects").bits > 0
    (signed,) = world.gateway.run_store[run].grants.values()
    grant = envelope.verify(signed, Grant, {"partner": world.members["partner"].signing.public})
    assert (grant.ledger.sequence, grant.ledger.previous) == (entry.sequence, entry.previous)
    assert grant.charged == Cost(epsilon=0, bits=entry.draft.charges["prospects"].bits)


# What a broker refuses to answer with a key. Each trick has its sentence and its code.


def at_gate(**changes):
    def trick(world):
        gate = world.make_gate()
        for name, value in changes.items():
            setattr(gate, name, value)

    return trick


def in_evidence(**changes):
    return at_gate(change_evidence=lambda evidence: dataclasses.replace(evidence, **changes))


def instead_of_evidence(change):
    def trick(world):
        world.gateway.tricks["evidence"] = lambda data: data and change(data)

    return trick


def other_nonce(world):
    world.make_gate().change_evidence = lambda e: dataclasses.replace(e, nonces={**e.nonces, "partner": "99" * 32})


def bank_nonce(world):
    world.make_gate().change_evidence = lambda e: dataclasses.replace(e, nonces={**e.nonces, "bank": "99" * 32})


def additional_nonce(world):
    world.make_gate().change_evidence = lambda e: dataclasses.replace(e, nonces={**e.nonces, "operator": "99" * 32})


def without_approvals(*parties_):
    def trick(world):
        for party in parties_:
            revoked(world, party)

    return trick


def later(seconds):
    def trick(world):
        world.clock.now += seconds

    return trick


OTHER_GATE = SigningKey.generate().public.text
OTHER_SEALING = SealingKey.generate().public.text
REFUSED_EVIDENCE = {
    "the evidence is not JSON": (instead_of_evidence(lambda _: b"{"), "E2.log-lacks"),
    "the evidence is not canonical": (instead_of_evidence(lambda d: d + b" "), "E2.log-lacks"),
    "the evidence has a field more": (
        instead_of_evidence(lambda d: canonical.encode({**canonical.decode(d, most=1 << 20), "extra": 1})),
        "E2.log-lacks",
    ),
    "the evidence is for another request": (in_evidence(request="11" * 32), "E3.other-run"),
    "the evidence is for another agreement": (in_evidence(agreement="11" * 32), "E3.other-run"),
    "the evidence is for another version": (in_evidence(version="11" * 32), "E3.other-run"),
    "the evidence answers another nonce of mine": (other_nonce, "E3.other-nonce"),
    "the evidence answers another nonce of the bank": (bank_nonce, "E3.report-data"),
    "the evidence answers somebody who owns nothing": (additional_nonce, "E3.other-owners"),
    "the host swaps the gate's signing key": (in_evidence(gate_signing_key=OTHER_GATE), "E3.report-data"),
    "the host swaps the gate's sealing key": (in_evidence(gate_sealing_key=OTHER_SEALING), "E3.report-data"),
    "the gate's key is no key": (in_evidence(gate_signing_key="AAAA"), "E1.not-base64"),
    "the log's checkpoint is another": (in_evidence(checkpoint="22" * 32), "E3.report-data"),
    "another program was launched": (at_gate(measurement="c2" * 48), "E3.measurement"),
    "another launcher was used": (at_gate(launch=canonical.encode({"launcher": "bare"})), "E3.launcher"),
    "the launch configuration names no launcher": (at_gate(launch=canonical.encode([])), "E3.launcher"),
    "the launch configuration is not JSON": (at_gate(launch=b"\xff"), "E1.launch-configuration"),
    "my own approval was revoked": (without_approvals("partner"), "E3.measurement"),
    "a mandatory party revoked its approval": (without_approvals("bank"), "E3.measurement"),
    "a party stopped the agreement": (stopped, "E3.stopped"),
    "the request's deadline passed": (later(3601), "E3.request-expired"),
    "the agreement ended": (later(10_000_001), "E3.request-expired"),
}


@pytest.mark.parametrize(("trick", "code"), REFUSED_EVIDENCE.values(), ids=REFUSED_EVIDENCE)
def test_no_key_is_granted_when(world, trick, code):
    held = world.gateway.run_store[world.ask()]
    world.step()
    trick(world)
    world.gateway.gate.attest(held)
    events = world.step("partner")["partner"]
    assert codes(events) == [code]
    assert world.posts("grant") == []
    with world.ledger("partner") as ledger:
        assert ledger.entries() == []


def test_a_root_that_was_not_agreed_gets_no_key(tmp_path):
    policy = parties.simulated_policy(parties.ROOT_DIGEST)
    world = World(tmp_path, platforms=[schema.encode(policy)])
    world.ask()
    world.step()
    assert codes(world.step("partner")["partner"]) == ["E3.root-not-agreed"]


def test_a_launcher_that_was_not_agreed_gets_no_key(tmp_path):
    world = World(tmp_path, launchers=["docker"])
    world.ask()
    world.step()
    assert codes(world.step("partner")["partner"]) == ["E3.launcher"]


def test_an_own_approval_that_expired_gets_no_key(world):
    revoked(world, "partner")
    world.approve("partner", not_after=NOW + 10)
    world.ask()
    world.step()
    world.clock.now += 10
    assert codes(world.step("partner")["partner"]) == ["E3.measurement"]


def test_only_its_own_approver_can_revoke(world):
    revoked(world, "bank", by="operator")
    world.ask()
    assert codes(world.play()) == []
    assert world.posts("cosignature")


def test_a_revocation_that_was_seen_once_cannot_be_hidden_afterwards(world):
    world.ask()
    revoked(world, "partner")
    world.step("partner")
    del world.gateway.posted_statements[-1]
    assert codes(world.step()["partner"] + world.step()["partner"]) == ["E3.measurement"]


def test_an_approval_that_came_as_a_file_counts_like_one_from_the_gateway(world):
    approvals = [e for e in world.gateway.posted_statements if "approval" in e.payloadType]
    by_bank = next(e for e in approvals if envelope.unverified(e, Approval).party == "bank")
    world.gateway.posted_statements.remove(by_bank)
    received.keep(world.homes["partner"], by_bank)
    world.ask()
    world.step()
    assert "granted" in [event.kind for event in world.step("partner")["partner"]]


def test_a_stop_signed_at_home_holds_before_anybody_else_hears_it(world):
    world.ask()
    said = Stop(format="sealroom/stop/v1", party="partner", agreement=world.id, created=NOW, remark="enough")
    outbox.put(world.homes["partner"], world.id, world.sign("partner", said))
    assert codes(world.step("partner")["partner"]) == ["E3.stopped"]
    assert world.posts("challenge") == []


def test_statements_that_nobody_signed_change_nothing(world):
    said = Stop(format="sealroom/stop/v1", party="partner", agreement=world.id, created=NOW, remark="forged")
    other = dataclasses.replace(said, agreement="ab" * 32)
    stranger = dataclasses.replace(said, party="mallory")
    world.gateway.posted_statements += [
        world.sign("bank", said), world.sign("partner", other), world.sign("bank", stranger),
    ]  # fmt: skip
    world.ask()
    assert codes(world.play()) == []


def requested(world, **changes):
    signed = parties.make_request(
        world.members["bank"], world.agreement, world.signed, world.objects, changes.pop("rules", ("overlap",))
    )
    by = changes.pop("by", "bank")
    request = dataclasses.replace(envelope.unverified(signed, Request), **changes)
    made = world.sign(by, request)
    world.gateway.post_run(made)
    return made.digest


OBJECTS = "33" * 32
REFUSED_REQUESTS = {
    "a party asks that may not": ({"requester": "partner", "by": "partner"}, "E3.requester"),
    "somebody signs in the requester's name": ({"by": "partner"}, "E2.stranger"),
    "it is for another agreement": ({"agreement": "11" * 32}, "E3.other-agreement"),
    "it is for another version": ({"version": "11" * 32}, "E3.other-version"),
    "it is from the future": ({"created": NOW + 1000}, "E3.request-expired"),
    "its deadline has passed": ({"deadline": NOW}, "E3.request-expired"),
    "a rule is asked for twice": ({"rules": ("overlap", "overlap")}, "E3.unknown-rule"),
    "it leaves a dataset's columns out": ({"columns": {"customers": ("y",)}}, "E3.other-columns"),
    "it reads an identifier": ({"columns": {"customers": ("y",), "prospects": ("email",)}}, "E3.other-columns"),
    "it reads the entity column": (
        {"columns": {"customers": ("y",), "prospects": ("partner_id",)}},
        "E3.other-columns",
    ),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_a_request_is_not_even_challenged_when(world, changes, code):
    requested(world, **dict(changes))
    assert codes(world.step("partner")["partner"]) == [code]
    assert world.posts("challenge") == []


def test_a_request_with_another_object_than_it_needs_is_refused(world):
    signed = parties.make_request(world.members["bank"], world.agreement, world.signed, world.objects, ("overlap",))
    request = envelope.unverified(signed, Request)
    more = dataclasses.replace(request, objects={**request.objects, "model": OBJECTS})
    world.gateway.post_run(world.sign("bank", more))
    assert codes(world.step("partner")["partner"]) == ["E3.other-objects"]


def test_an_object_that_this_home_did_not_seal_is_refused(world):
    signed = parties.make_request(world.members["bank"], world.agreement, world.signed, world.objects, ("overlap",))
    request = envelope.unverified(signed, Request)
    other = dataclasses.replace(request, objects={**request.objects, "prospects": OBJECTS})
    world.gateway.post_run(world.sign("bank", other))
    assert codes(world.step("partner")["partner"]) == ["E3.not-mine"]


def test_the_key_of_one_object_is_not_granted_under_the_name_of_another(world):
    signed = parties.make_request(world.members["bank"], world.agreement, world.signed, world.objects, ("quality",))
    request = envelope.unverified(signed, Request)
    swapped = {**request.objects, "model": request.objects["customers"], "customers": request.objects["model"]}
    world.gateway.post_run(world.sign("bank", dataclasses.replace(request, objects=swapped)))
    assert codes(world.step("bank")["bank"]) == ["E3.other-object"]


def test_a_gateway_that_shows_another_request_is_not_answered(world):
    world.ask()
    other = parties.make_request(world.members["bank"], world.agreement, world.signed, world.objects, ("quality",))
    world.gateway.tricks["run"] = lambda status: dataclasses.replace(status, request=other)
    assert codes(world.step("partner")["partner"]) == ["E2.other-run"]


def test_a_run_that_cannot_be_paid_for_is_refused_before_it_starts(tmp_path):
    world = World(tmp_path, purses=purses(prospects={"epsilon": 999_999}))
    world.ask()
    events = world.step("partner")["partner"]
    assert [event.kind for event in events] == ["declined", "no"]
    assert isinstance(events[1].error, BudgetSpent)
    assert codes(events) == ["E3.budget-spent"]
    assert world.posts("challenge") == []


def test_one_evidence_gets_keys_and_no_second_one_ever(world):
    held = world.gateway.run_store[world.ask()]
    world.step()
    world.step("partner")
    world.gateway.gate = None
    world.make_gate().attest(held)
    held.grants.clear()
    assert codes(world.step("partner")["partner"]) == ["E3.second-evidence"]
    assert held.grants == {}


def test_evidence_that_was_accepted_for_another_run_is_a_replay(world):
    first = world.gateway.run_store[world.ask("overlap")]
    world.step()
    world.step("partner")
    with world.ledger("partner") as ledger:
        before = memory.accepted_before(ledger, first.request.digest)
        assert before.measurement == MEASUREMENT
        assert memory.seen_elsewhere(ledger, "ff" * 32)
        assert memory.seen_elsewhere(ledger, first.request.digest) == frozenset()


def test_a_broker_that_gave_no_nonce_grants_nothing(world):
    held = world.gateway.run_store[world.ask()]
    held.challenges["partner"] = "12" * 32
    world.step("bank")
    assert codes(world.step("partner")["partner"]) == ["E3.no-challenge"]


# What a gate or a gateway may say at the end, and what a broker makes of it.


def in_offer(**changes):
    return at_gate(change_offer=lambda offer: dataclasses.replace(offer, **changes))


def in_receipt(**changes):
    return at_gate(change_receipt=lambda receipt: dataclasses.replace(receipt, **changes))


def signed_by_another(name):
    def trick(world):
        def resign(value):
            if value is None:
                return None
            one = value if name == "receipt" else value[0].offer
            if one is None:
                return one
            kind = world.gate_kinds[name]
            made = envelope.sign(envelope.unverified(one, kind), [SigningKey.generate()])
            return made if name == "receipt" else [dataclasses.replace(value[0], offer=made), *value[1:]]

        world.gateway.tricks[name] = lambda value: value and resign(value)

    return trick


def listed_differently(**changes):
    def trick(world):
        def change(receipt):
            return dataclasses.replace(
                receipt, results=tuple(dataclasses.replace(r, **changes) for r in receipt.results)
            )

        world.make_gate().change_receipt = change

    return trick


def fewer_offers(world):
    world.gateway.tricks["offers"] = lambda offers: offers[:-1]


def without_grants(world):
    world.make_gate().change_receipt = lambda receipt: dataclasses.replace(receipt, grants=())


REFUSED_ENDINGS = {
    "the receipt is for another run": (in_receipt(request="11" * 32), "E3.other-run"),
    "the receipt is for other evidence": (in_receipt(evidence="11" * 32), "E3.other-run"),
    "the receipt claims hardware": (in_receipt(platform_class="confidential-hardware"), "E3.other-platform"),
    "the receipt names another gate key": (in_receipt(gate_key=OTHER_GATE), "E3.other-platform"),
    "the receipt leaves a rule out": (in_receipt(results=()), "E3.other-rules"),
    "the receipt answers another rule": (listed_differently(rule="quality"), "E3.other-rules"),
    "the receipt offers what it withholds": (listed_differently(outcome="withheld"), "E3.contradiction"),
    "a failed run offers": (in_receipt(status="failed"), "E3.contradiction"),
    "the receipt forgets my grant": (without_grants, "E3.missing-grant"),
    "the gateway hides an offer": (fewer_offers, "E3.missing-offer"),
    "the offer is for another request": (in_offer(request="11" * 32), "E3.other-run"),
    "the offer is for other evidence": (in_offer(evidence="11" * 32), "E3.other-run"),
    "the offer is of another rule": (in_offer(rule="quality"), "E3.not-in-receipt"),
    "the offer goes to somebody else": (in_offer(recipient="operator"), "E3.other-recipient"),
    "the offer names another type": (in_offer(rule_type="metrics"), "E3.other-rule-type"),
    "the offer claims another guarantee": (in_offer(guarantee="C"), "E3.other-guarantee"),
    "the offer is cheaper": (in_offer(cost=Cost(epsilon=1, bits=0)), "E3.other-cost"),
    "the offer is larger": (in_offer(size=10**6), "E3.other-size"),
    "the offer leaves me out": (in_offer(affected=("bank",)), "E3.other-affected-owners"),
    "the offer affects more": (in_offer(affected=("bank", "operator", "partner")), "E3.other-affected-owners"),
    "the offer claims hardware": (in_offer(platform_class="confidential-hardware"), "E3.other-platform-class"),
    "the offer holds no shares": (in_offer(sealed_shares={}), "E3.other-shares"),
    "the offer holds no commitments": (in_offer(share_commitments={}), "E3.other-shares"),
}


@pytest.mark.parametrize(("trick", "code"), REFUSED_ENDINGS.values(), ids=REFUSED_ENDINGS)
def test_no_share_is_given_when(world, trick, code):
    world.ask()
    world.step()
    trick(world)
    world.step("bank")
    world.step("partner")
    events = world.step("partner")["partner"]
    assert codes(events) == [code]
    assert [post for post in world.posts("consent") if post[-1] == "partner"] == []
    assert [post for post in world.posts("cosignature") if post[-1] == "partner"] == []
    with world.ledger("partner") as ledger:
        assert {entry.draft.kind for entry in ledger.entries()} <= {"grant", "settled"}


@pytest.mark.parametrize("name", ["receipt", "offers"])
def test_what_another_key_signed_is_nothing(world, name):
    world.gate_kinds = {"receipt": Receipt, "offers": Offer}
    world.ask()
    world.step()
    signed_by_another(name)(world)
    world.step("bank")
    world.step("partner")
    assert codes(world.step("partner")["partner"]) == ["E2.stranger"]
    assert [post for post in world.posts("consent") if post[-1] == "partner"] == []


def test_an_offer_with_a_share_that_is_not_the_committed_one_is_not_charged(world):
    def swap(offer):
        return dataclasses.replace(offer, share_commitments=dict.fromkeys(offer.share_commitments, "44" * 32))

    world.ask()
    world.make_gate().change_offer = swap
    world.step()
    world.step("bank")
    world.step("partner")
    assert codes(world.step("partner")["partner"]) == ["E4.cannot-open"]
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").epsilon == 0


# Between grant and consent the world may change; then the answer is no, and it is an answer.

CHANGED = {
    "a party stopped the agreement": (stopped, "E3.stopped"),
    "the agreement ended": (later(10_000_001), "E3.agreement-expired"),
    "my approval was revoked": (without_approvals("partner"), "E3.approval-gone"),
    "a mandatory approval was revoked": (without_approvals("bank"), "E3.approval-gone"),
    "all approvals expired": (later(10**6), "E3.approval-gone"),
}


@pytest.mark.parametrize(("trick", "code"), CHANGED.values(), ids=CHANGED)
def test_the_answer_is_no_and_free_when_meanwhile(world, trick, code):
    run = world.ask()
    world.step()
    world.step("bank")
    world.step("partner")
    trick(world)
    events = world.step("partner")["partner"]
    assert kinds(events).count("refused") == 2
    assert {c.decision for c in said(world, run, "partner")} == {"refuse"}
    assert {c.remark for c in said(world, run, "partner")} == {"refused"}
    assert [why(event) for event in events if event.kind == "refused"] == [code, code]
    assert all(c.share is None and c.ledger is None for c in said(world, run, "partner"))
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").epsilon == 0


def why(event):
    """The owner's own reason, which stands in what its broker says and in nothing that it posts."""
    return event.text.rpartition(": ")[2]


def said(world, run, party):
    key = {party: world.members[party].signing.public}
    return [
        envelope.verify(c, Consent, key) for (_, by), c in world.gateway.run_store[run].consents.items() if by == party
    ]


def test_a_newer_version_that_is_pinned_ends_what_was_asked_under_the_older(world):
    run = world.ask()
    world.step()
    world.step("bank")
    world.step("partner")
    newer = dataclasses.replace(world.agreement, sequence=2, first=world.id, previous=world.id, title="Narrower")
    world.homes["partner"].save_agreement(envelope.sign(newer, [m.signing for m in world.members.values()]))
    events = world.step("partner")["partner"]
    assert {why(event) for event in events if event.kind == "refused"} == {"E3.other-version"}
    assert {c.decision for c in said(world, run, "partner")} == {"refuse"}
    with pytest.raises(NotAcceptable) as caught:
        pinned_version(world.homes["partner"], world.id, "55" * 32)
    assert caught.value.code == "E3.other-version"


def test_a_purse_emptied_by_another_run_refuses_the_later_release(tmp_path):
    world = World(tmp_path, purses=purses(prospects={"epsilon": 1_500_000}))
    runs = [world.ask("overlap"), requested(world, nonce="6b" * 32)]
    events = world.play()
    answers = [c.decision for run in runs for c in said(world, run, "partner")]
    assert sorted(answers) == ["refuse", "release", "release", "release"]
    assert {why(event) for event in events if event.kind == "refused"} == {"E3.budget-spent"}
    assert {c.remark for run in runs for c in said(world, run, "partner") if c.share is None} == {"refused"}
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").epsilon == 1_500_000


def test_a_run_that_ends_without_a_receipt_is_unresolved_and_stays_charged(world):
    run = world.ask()
    world.step()
    world.step("partner")
    world.gateway.run_store[run].state = "failed"
    world.clock.now += 3600
    (event,) = world.step("partner")["partner"]
    assert event.kind == "unresolved"
    assert world.step("partner")["partner"] == []
    with world.ledger("partner") as ledger:
        assert ledger.spent("prospects").runs == 1


def test_a_receipt_after_the_run_was_noted_as_unresolved_gets_a_refusal(world):
    run = world.ask()
    world.step()
    world.step("partner")
    world.clock.now += 3600
    world.step("partner")
    world.clock.now -= 3600  # the bank's clock is another
    world.step("bank")
    world.clock.now += 3600
    events = world.step("partner")["partner"]
    assert {why(event) for event in events if event.kind == "refused"} == {"E3.unresolved"}
    assert {c.remark for c in said(world, run, "partner")} == {"refused"}


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_run_that_the_gate_refused_is_cosigned_and_frees_nothing(world, status):
    run = world.ask()
    world.make_gate().status = status
    world.play()
    assert world.posts("consent") == []
    for party in ("bank", "partner"):
        signed = world.gateway.run_store[run].cosignatures[party]
        said_ = envelope.verify(signed, Cosignature, {party: world.members[party].signing.public})
        assert said_.receipt == world.gateway.run_store[run].receipt.digest
    with world.ledger("partner") as ledger:
        assert [entry.draft.kind for entry in ledger.entries()] == ["grant", "settled"]


def test_a_rule_that_was_withheld_asks_nobody(world):
    world.ask("overlap", "audience")
    world.make_gate().withheld = {"overlap"}
    world.play()
    assert [post[-1] for post in world.posts("consent")] == ["bank"]


def test_a_second_broker_of_the_same_party_is_refused(world):
    with world.ledger("partner"), pytest.raises(NotAcceptable) as caught:
        Ledger.open(world.homes["partner"].root, "partner")
    assert caught.value.code == "E3.ledger-in-use"


def test_a_ledger_restored_from_a_backup_freezes_its_broker(world):
    home = world.homes["partner"]
    with world.ledger("partner"):
        pass
    backup = {p.name: p.read_bytes() for p in home.root.iterdir() if p.name.startswith("ledger.db")}
    world.ask()
    world.play()
    for path in home.root.glob("ledger.db*"):
        path.unlink()
    for name, body in backup.items():
        (home.root / name).write_bytes(body)
    with pytest.raises(NotAcceptable) as caught:
        world.step("partner")
    assert caught.value.code == "E3.ledger-frozen"
    assert "it had" in caught.value.message


def test_heads_that_others_signed_freeze_nobody(world):
    run = world.ask()
    world.step()
    world.step("bank")
    assert codes(world.step("partner")["partner"]) == []
    assert len(world.gateway.run_store[run].grants) == 2


@pytest.mark.parametrize("kind", [Grant, Consent])
def test_another_partys_name_on_a_statement_freezes_nobody(world, kind):
    """Anybody can write a key's name beside a signature; only its holder can make the signature."""
    run = world.ask()
    world.play()
    held = world.gateway.run_store[run]
    mine = next(iter((held.grants if kind is Grant else held.consents).values()))
    names = tuple(dataclasses.replace(s, keyid=world.members["partner"].signing.public.text) for s in mine.signatures)
    document = envelope.unverified(mine, kind)
    head = dataclasses.replace(document.ledger, sequence=10**6)
    elsewhere = world.sign("bank", dataclasses.replace(document, ledger=head))
    forged = dataclasses.replace(elsewhere, signatures=names)
    world.gateway.tricks["grants"] = lambda grants: [*grants, forged]
    second = requested(world, nonce="6b" * 32)
    assert "challenged" in kinds(e for e in world.step("partner")["partner"] if e.run == second)


def test_an_agreement_that_the_gateway_does_not_know_stops_no_other(world):
    other, signed = parties.sign_agreement(world.members, parties.agreement_json(world.members, title="Another"))
    world.homes["partner"].save_agreement(signed)
    assert other.title == "Another"
    known = world.gateway.runs

    def runs(agreement):
        if agreement != world.id:
            raise GatewayRefused(404, "not-found", "there is no such agreement", "")
        return known(agreement)

    world.gateway.runs = runs
    run = world.ask()
    events = world.step("partner")["partner"]
    assert [(e.kind, e.run) for e in events] == [("no", signed.digest), ("challenged", run)]
    assert codes(events) == ["E3.gateway-not-found"]


def test_statements_that_cannot_be_had_stop_no_other_agreement(world):
    def refused(_):
        raise GatewayRefused(409, "busy", "not now", "")

    world.ask()
    world.gateway.tricks["statements"] = refused
    assert codes(world.step("partner")["partner"]) == ["E3.gateway-busy"]


def test_a_revocation_holds_at_once_whatever_its_clock_says(world):
    world.ask()
    world.step()
    revoked(world, created=NOW + 10**6)
    assert codes(world.step("bank")["bank"]) == ["E3.measurement"]


def test_a_gateway_that_is_gone_is_no_refusal(world):
    def gone(_):
        raise Unreachable("nobody there")

    world.ask()
    world.gateway.tricks["statements"] = gone
    with pytest.raises(Unreachable):
        world.step("partner")


def test_nothing_in_an_event_is_a_key_or_a_share(world):
    run = world.ask("overlap")
    texts = " ".join(event.text for event in world.play())
    for party in ("bank", "partner"):
        for consent in said(world, run, party):
            assert consent.share not in texts
    assert all(to_text(item.key) not in texts for item in world.objects.values())
