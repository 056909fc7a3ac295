"""Laws of offers: whatever the engine says, what leaves the gate has the agreed size and recipients, and is whole."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_request
from sealroom.enclave.gate.compute import Result
from sealroom.enclave.gate.identity import Attested, Identity
from sealroom.enclave.gate.offers import Offers, make_offers
from sealroom.protocol import envelope, release, terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.statements import Offer
from tests import parties
from tests.gate import world

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=40)
RULES = ("overlap", "by-segment", "quality", "audience")
ROOM = 8
"""Bytes before a padded text, which say how long it is."""


@functools.cache
def scene() -> tuple[world.Play, AdmittedRun, Identity]:
    played = world.play(RULES)
    agreed = admit_agreement(played.chain)
    run = admit_request(agreed, played.request, played.manifests, nonces=played.nonces, checkpoint=world.CHECKPOINT)
    return played, run, Identity.generate()


def offered(run: AdmittedRun, rule: str, said: bytes | None, reason: str | None = None) -> Offers:
    evidence: Any = None  # an offer names it by its digest alone
    return make_offers(run, Attested(evidence, "e1" * 32), scene()[2], Result(rule, said, reason))


def sizes(room: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 64), st.integers(-3, 3).map(lambda by: room + by), st.integers(0, 2 * room))


@LAW
@given(st.sampled_from(RULES), st.data(), st.binary(max_size=32))
def test_a_release_of_any_length_leaves_in_the_agreed_size_for_the_agreed_recipients_or_not_at_all(rule, data, text):
    played, run, _ = scene()
    terms_of_rule = played.agreement.rule(rule)
    padded = terms.padded_size(played.agreement, terms_of_rule)
    size = data.draw(sizes(padded - ROOM))
    said = (text * (size // max(len(text), 1) + 1))[:size].ljust(size, b"x")
    found = offered(run, rule, said)
    assert bool(found.offers) == (size + ROOM <= padded)
    assert found.reason == (None if found.offers else "too-large")
    documents = [envelope.unverified(made.envelope, Offer) for made in found.offers]
    assert [offer.recipient for offer in documents] == list(terms_of_rule.recipients if found.offers else ())
    for made, offer in zip(found.offers, documents, strict=True):
        assert len(made.ciphertext) == offer.size == padded + release.LOCK_OVERHEAD
        assert offer.affected == affected_owners(played.agreement, terms_of_rule, offer.recipient)
        assert offer.cost == terms.cost_of(played.agreement, terms_of_rule)
        shares = {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
        member = played.members[offer.recipient]
        assert release.open_release(offer, made.ciphertext, shares, member.sealing) == said


@LAW
@given(st.sampled_from(RULES), st.sampled_from(["below-floor", "job-error", "too-few"]))
def test_what_is_withheld_leaves_as_its_reason_alone(rule, reason):
    assert offered(scene()[1], rule, None, reason) == Offers((), reason)


@LAW
@given(st.sampled_from(RULES[:3]), st.binary(max_size=200), st.sampled_from(["bank", "partner", "operator"]))
def test_an_agreement_with_fewer_recipients_offers_to_some_of_the_same_and_nothing_larger(rule, said, left_out):
    everybody = ("bank", "operator", "partner")
    some = tuple(name for name in everybody if name != left_out)
    many, few = (offered(_with_recipients(rule, to), rule, said) for to in (everybody, some))
    to = [tuple(envelope.unverified(made.envelope, Offer).recipient for made in found.offers) for found in (many, few)]
    assert to == [everybody, some]
    assert {len(made.ciphertext) for made in few.offers} == {len(made.ciphertext) for made in many.offers}


@functools.cache
def _with_recipients(rule: str, recipients: tuple[str, ...]) -> AdmittedRun:
    members = scene()[0].members
    document = parties.agreement_json(members)
    changed = [{**r, "recipients": list(recipients)} if r["name"] == rule else r for r in document["rules"]]
    played = world.play(RULES, members, rules=changed)
    agreed = admit_agreement(played.chain)
    return admit_request(agreed, played.request, played.manifests, nonces=played.nonces, checkpoint=world.CHECKPOINT)
