"""Parties that ask for what is not theirs, grant twice, replay, or run the machine themselves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

from sealroom.enclave.gate.admit import admit_agreement
from sealroom.protocol import consistency, envelope, release, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import CannotOpen, Malformed, NotGenuine, Refused
from sealroom.protocol.statements import Evidence, Grant, Request
from tests import parties
from tests.gate import world

RULES = ("overlap", "by-segment")
Plan = Callable[[world.Play], dict[str, Any]]


@pytest.fixture(scope="module")
def played() -> world.Play:
    return world.play(RULES)


def asked(played: world.Play, *, by: str = "bank", **changes: Any) -> dict[str, Any]:
    return {"request": schema.encode(world.resigned(played.request, Request, played.members[by], **changes))}


def columns(**changes: tuple[str, ...]) -> Plan:
    def plan(played: world.Play) -> dict[str, Any]:
        before = envelope.unverified(played.request, Request).columns
        return asked(played, columns={**before, **changes})

    return plan


def objects(**changes: str) -> Plan:
    """Objects by name -> the object whose digest is put in its place."""

    def plan(played: world.Play) -> dict[str, Any]:
        before = envelope.unverified(played.request, Request).objects
        return asked(played, objects=before | {n: played.objects[o].envelope.digest for n, o in changes.items()})

    return plan


REQUESTS: dict[str, tuple[Plan, str]] = {
    "an-identifier-of-the-other-owner": (columns(prospects=("job", "email")), "E3.columns"),
    "an-entity-id-of-the-other-owner": (columns(prospects=("job", "partner_id")), "E3.columns"),
    "a-column-of-the-other-table": (columns(customers=("balance", "y", "age")), "E3.columns"),
    "a-column-that-is-not-declared": (columns(prospects=("job", "salary")), "E3.columns"),
    "a-column-twice": (columns(prospects=("job", "job")), "E3.columns"),
    "columns-of-a-table-that-is-not-read": (columns(panel=("age",)), "E3.columns"),
    "its-own-table-in-the-place-of-the-other": (objects(prospects="customers"), "E3.manifests"),
    "an-object-that-no-rule-reads": (objects(model="model"), "E3.objects"),
    "a-rule-that-is-not-agreed": (lambda p: asked(p, rules=("overlap", "all-rows")), "E3.unknown-rule"),
    "a-rule-twice": (lambda p: asked(p, rules=("overlap", "overlap")), "E1.repeated-rule"),
    "a-run-that-only-the-bank-may-ask-for": (lambda p: asked(p, by="partner", requester="partner"), "E3.requester"),
    "a-run-in-the-name-of-the-bank": (lambda p: asked(p, by="partner"), "E2.stranger"),
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_request_for_more_than_is_agreed_gets_no_evidence(played: world.Play, name: str) -> None:
    plan, code = REQUESTS[name]
    host = world.Host()
    with pytest.raises(Refused) as caught:
        host.tell(played.assign(**plan(played)))
    assert caught.value.code == code
    assert (host.messages, host.reports) == ([], [])


def test_the_request_that_these_are_made_of_is_attested(played: world.Play) -> None:
    host = world.Host()
    host.tell(played.assign())
    assert [m["type"] for m in host.messages] == ["evidence"]


def another_key(played: world.Play, evidence: Evidence) -> Any:
    """A grant for one manifest that holds another object key than the one it commits to."""
    other = dataclasses.replace(played.objects["prospects"], key=os.urandom(32))
    context = {"agreement": played.id, "version": played.signed.digest, "request": played.request.digest}
    gate = world.SealingPublicKey.parse(evidence.gate_sealing_key)
    evidence_digest = world.digest_of(evidence)
    return parties.make_grant(played.members["partner"], other, **context, evidence=evidence_digest, gate=gate)


def by(name: str) -> Callable[[world.Play, Evidence], Any]:
    """The partner's object, granted by somebody else in their own name."""

    def make(played: world.Play, evidence: Evidence) -> Any:
        return world.resigned(played.grant("prospects", evidence), Grant, played.members[name], party=name)

    return make


GRANTS: dict[str, tuple[Callable[[world.Play, Evidence], Any], str]] = {
    "another-key-for-the-same-digest": (another_key, "E4.cannot-open"),
    "an-object-of-another-owner": (by("bank"), "E3.grant-object"),
    "an-object-by-the-operator": (by("operator"), "E3.grant-object"),
    "another-run": (lambda p, e: p.grant("prospects", e, request="00" * 32), "E3.grant-context"),
    "an-earlier-gate": (
        lambda p, e: world.resigned(p.grant("prospects", e), Grant, p.members["partner"], evidence="00" * 32),
        "E3.grant-context",
    ),
    "an-earlier-version": (lambda p, e: p.grant("prospects", e, version="00" * 32), "E3.grant-context"),
}


@pytest.mark.parametrize("name", sorted(GRANTS))
def test_a_grant_that_is_not_the_owners_for_this_run_ends_it(played: world.Play, name: str) -> None:
    make, code = GRANTS[name]
    host = world.Host()
    evidence = host.start(played)
    steps = [lambda: host.give(make(played, evidence))]
    steps += [lambda n=n: host.give(played.grant(n, evidence)) for n in played.names if n != "prospects"]
    steps += [lambda n=n: host.hand_over(n, played) for n in played.names]
    for step in steps:
        if not host.of_type("receipt"):
            step()
    receipt = host.receipt()
    assert receipt.status == "refused"
    for owner in ("bank", "partner"):
        assert world.reasons_for(receipt, played.members[owner]) == {"*": code}
    assert set(receipt.reasons) == {"bank", "partner"}
    assert code.encode() not in host.everything_seen()


def test_two_grants_for_one_object_end_the_run_even_if_both_are_good(played: world.Play) -> None:
    host = world.Host()
    evidence = host.start(played)
    for _ in range(2):
        host.give(played.grant("prospects", evidence))
    assert world.reasons_for(host.receipt(), played.members["partner"]) == {"*": "E3.second-grant"}


def test_one_plaintext_sealed_twice_is_two_objects_and_their_parts_do_not_mix(played: world.Play) -> None:
    again = parties.seal_object(
        played.members["partner"], "prospects", "dataset", "csv", world.CANARY + b" prospects of partner", played.id
    )
    assert again.envelope.digest != played.objects["prospects"].envelope.digest
    host = world.Host()
    evidence = host.start(played)
    for name in played.names:
        host.give(played.grant(name, evidence))
    for name in played.names:
        host.hand_over(name, played, again.ciphertext if name == "prospects" else None)
    assert world.reasons_for(host.receipt(), played.members["partner"]) == {"*": "E4.cannot-open"}


def test_a_recipient_cannot_use_an_earlier_runs_shares_or_ciphertext(played: world.Play) -> None:
    offers = []
    for _ in range(2):
        host = world.Host()
        host.finish(played)
        offers.append(host.offers()[0])
    (first, earlier), (second, data) = offers
    key = played.members["bank"].sealing
    old, new = (
        {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
        for offer in (first, second)
    )
    assert release.open_release(second, data, new, key) == world.CANARY
    for offer, ciphertext, shares in ((second, data, old), (second, earlier, new), (first, earlier, new)):
        with pytest.raises(CannotOpen):
            release.open_release(offer, ciphertext, shares, key)


def bank_runs_the_machine(*accepting: str) -> dict[str, Any]:
    return {"operator": "bank", "accepts_covert_channel": list(accepting)}


def test_a_bank_that_is_the_operator_needs_every_other_owners_word() -> None:
    members = world.people("bank", "partner", "second", "operator")
    three = {
        "datasets": [
            *parties.agreement_json(members)["datasets"],
            parties.dataset("panel", "second", "panel_id", [parties.column("age", "int")]),
        ],
        "purses": [
            *parties.agreement_json(members)["purses"],
            {"owner": "second", "population": "panel", "epsilon": 1, "bits": 1, "runs": 1},
        ],
    }
    for accepting in ((), ("partner",), ("second",), ("bank",), ("bank", "operator")):
        document = parties.agreement_json(members, **three, **bank_runs_the_machine(*accepting))
        with pytest.raises(Malformed) as caught:
            consistency.check(schema.decode(Agreement, document))
        assert caught.value.code == "E1.inconsistent"
        signed = envelope.sign(schema.decode(Agreement, document), [m.signing for m in members.values()])
        with pytest.raises(Malformed, match="covert"):
            admit_agreement([signed])
    document = parties.agreement_json(members, **three, **bank_runs_the_machine("partner", "second"))
    agreement, signed = parties.sign_agreement(members, document)
    assert admit_agreement([signed]).agreement == agreement


def test_a_bank_cannot_write_that_word_for_another_owner() -> None:
    members = world.people("bank", "partner", "operator")
    agreement = schema.decode(Agreement, parties.agreement_json(members, **bank_runs_the_machine("partner")))
    signed = envelope.sign(agreement, [members[name].signing for name in ("bank", "operator")])
    with pytest.raises(NotGenuine) as caught:
        admit_agreement([signed])
    assert caught.value.code == "E2.too-few-signatures"


def test_without_opaque_code_the_bank_may_run_the_machine() -> None:
    members = world.people("bank", "partner", "operator")
    base = parties.agreement_json(members)
    document = parties.agreement_json(
        members,
        **bank_runs_the_machine(),
        bundles=[b for b in base["bundles"] if b["lane"] == "query"],
        rules=[r for r in base["rules"] if "bundle" not in r],
    )
    consistency.check(schema.decode(Agreement, document))
