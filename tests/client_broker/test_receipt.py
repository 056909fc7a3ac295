"""A receipt bundle holds only if every part of it does; a table of ways to make it say something else."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sealroom.attestation.verdict import WithChecks
from sealroom.client import bundle as bundles
from sealroom.client import collect, receipt
from sealroom.client.bundle import Bundle
from sealroom.client.errors import Waiting
from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine, NotReleased, Refused
from sealroom.protocol.keys import SigningKey, to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.statements import Consent, Cosignature, Grant, Receipt, Request
from tests.client_broker.world import NOW, TEXTS, World


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: the world, its id, its bundle, the roots to trust."""
    world = World(tmp_path_factory.mktemp("finished"))
    run = world.ask("overlap", "quality", "audience")
    world.play()
    return world, run, bundles.gather(world.homes["bank"], world.gateway, run), frozenset({world.processor.root})


def test_a_finished_run_verifies_and_says_what_left(finished):
    world, run, bundle, roots = finished
    found = receipt.verify(bundle, roots=roots, agreement=world.id)
    assert found.final
    assert found.request.digest == run
    assert {(r.offer.offer.rule, r.offer.offer.recipient, r.fate) for r in found.releases} == {
        ("overlap", "bank", "released"),
        ("overlap", "compliance", "released"),
        ("quality", "bank", "released"),
        ("audience", "partner", "released"),
    }
    lines = receipt.explain(found)
    assert lines[0].startswith("SIMULATED")
    assert lines[-1] == "final: cosigned by bank and partner"


def test_a_bundle_survives_its_file(finished, tmp_path):
    _, _, bundle, roots = finished
    path = bundles.save(tmp_path, bundle)
    assert bundles.load(path) == bundle
    bundles.save(tmp_path, dataclasses.replace(bundle, cosignatures=()))
    assert not receipt.verify(bundles.load(path), roots=roots).final


def test_no_bundle_is_laid_over_that_of_another_receipt(finished, tmp_path):
    _, _, bundle, _ = finished
    bundles.save(tmp_path, bundle)
    with pytest.raises(Malformed) as caught:
        bundles.save(tmp_path, dataclasses.replace(bundle, receipt=bundle.request))
    assert caught.value.code == "E1.other-receipt"


def test_a_simulated_root_must_be_named(finished):
    _, _, bundle, _ = finished
    with pytest.raises(NotAcceptable) as caught:
        receipt.verify(bundle)
    assert caught.value.code == "E3.root-not-named"


def test_a_receipt_of_another_agreement_than_named_is_refused(finished):
    _, _, bundle, roots = finished
    with pytest.raises(NotAcceptable) as caught:
        receipt.verify(bundle, roots=roots, agreement="11" * 32)
    assert caught.value.code == "E3.other-agreement"


MALLORY = SigningKey.generate()


def resigned(world, statement, kind, by, **changes):
    document = dataclasses.replace(envelope.unverified(statement, kind), **changes)
    key = world.members[by].signing if isinstance(by, str) else by
    return envelope.sign(document, [key])


def replaced(field, place=0, **made):
    """Replace one statement of a list by one that its own party signs, with other content."""

    def trick(world, bundle):
        items = list(getattr(bundle, field))
        kind = made["kind"]
        document = envelope.unverified(items[place], kind)
        by = made.get("by") or getattr(document, "party", None)
        items[place] = resigned(world, items[place], kind, by, **made.get("changes", {}))
        return dataclasses.replace(bundle, **{field: tuple(items)})

    return trick


def one(field, kind, by, **changes):
    def trick(world, bundle):
        return dataclasses.replace(bundle, **{field: resigned(world, getattr(bundle, field), kind, by, **changes)})

    return trick


def without(field, place=0):
    def trick(_, bundle):
        items = list(getattr(bundle, field))
        del items[place]
        return dataclasses.replace(bundle, **{field: tuple(items)})

    return trick


def twice(field, kind, **changes):
    def trick(world, bundle):
        items = getattr(bundle, field)
        party = envelope.unverified(items[0], kind).party
        return dataclasses.replace(bundle, **{field: (*items, resigned(world, items[0], kind, party, **changes))})

    return trick


def by_gate(**changes):
    def trick(world, bundle):
        return dataclasses.replace(
            bundle, receipt=resigned(world, bundle.receipt, Receipt, world.gateway.gate.signing, **changes)
        )

    return trick


def consented_without(**changes):
    def trick(world, bundle):
        place = next(i for i, c in enumerate(bundle.consents) if envelope.unverified(c, Consent).party == "partner")
        return replaced("consents", place, kind=Consent, changes=changes)(world, bundle)

    return trick


def unapproved(_, bundle):
    return dataclasses.replace(bundle, approvals=())


def other_evidence(_, bundle):
    return dataclasses.replace(bundle, evidence=dataclasses.replace(bundle.evidence, checkpoint="77" * 32))


def no_versions(_, bundle):
    return dataclasses.replace(bundle, agreement=(bundle.agreement[0], bundle.agreement[0]))


TRICKS = {
    "a version of the agreement is unsigned": (
        lambda _, b: dataclasses.replace(
            b, agreement=(dataclasses.replace(b.agreement[0], signatures=b.agreement[0].signatures[:-1]),)
        ),
        "E2.too-few-signatures",
    ),
    "the agreement's chain repeats a version": (no_versions, "E2.broken-chain"),
    "somebody else signed the request": (one("request", Request, "partner"), "E2.stranger"),
    "the request was altered by its requester": (one("request", Request, "bank", nonce="11" * 32), "E3.other-run"),
    "a manifest is missing": (without("manifests"), "E3.other-objects"),
    "a grant is missing": (without("grants"), "E3.other-grants"),
    "a grant was made for another run": (
        replaced("grants", kind=Grant, changes={"request": "11" * 32}),
        "E3.other-run",
    ),
    "a grant was charged less": (
        replaced("grants", kind=Grant, changes={"charged": Cost(epsilon=0, bits=0)}),
        "E3.other-cost",
    ),
    "a grant is of somebody else's object": (
        replaced("grants", kind=Grant, by="operator", changes={"party": "operator"}),
        "E3.other-object",
    ),
    "a stranger granted": (replaced("grants", kind=Grant, by=MALLORY, changes={"party": "mallory"}), "E2.stranger"),
    "somebody signed a grant in an owner's name": (replaced("grants", kind=Grant, by="operator"), "E2.stranger"),
    "a grant was made after the deadline": (
        replaced("grants", kind=Grant, changes={"created": NOW + 3600}),
        "E3.grant-time",
    ),
    "a grant is from before the request": (replaced("grants", kind=Grant, changes={"created": 1000}), "E3.grant-time"),
    "a grant appears that the receipt does not list": (
        twice("grants", Grant, deadline=NOW + 1),
        "E3.other-grants",
    ),
    "the evidence was altered": (other_evidence, "E3.other-run"),
    "no approval is there": (unapproved, "E3.measurement"),
    "another key signed the receipt": (one("receipt", Receipt, MALLORY), "E2.stranger"),
    "the receipt claims hardware": (by_gate(platform_class="confidential-hardware"), "E3.other-platform"),
    "the receipt lists no grants": (by_gate(grants=()), "E3.other-grants"),
    "an offer is missing": (without("offers"), "E3.missing-offer"),
    "a consent is of somebody who was not asked": (
        consented_without(party="operator"),
        "E2.stranger",
    ),
    "a consent was not charged": (consented_without(ledger=None), "E3.uncharged"),
    "a consent was charged less": (consented_without(charged=Cost(epsilon=0, bits=0)), "E3.uncharged"),
    "a consent carries no share": (consented_without(share=None), "E3.uncharged"),
    "a consent carries another share": (consented_without(share=to_text(bytes(32))), "E3.other-share"),
    "a refusal carries a share": (consented_without(decision="refuse"), "E3.refused-with-share"),
    "a consent is about another release": (consented_without(release="11" * 32), "E3.stray-consent"),
    "a party answered twice": (twice("consents", Consent, remark="again"), "E3.second-consent"),
    "a cosignature is of another receipt": (
        replaced("cosignatures", kind=Cosignature, changes={"receipt": "11" * 32}),
        "E3.other-receipt",
    ),
    "a stranger cosigned": (
        replaced("cosignatures", kind=Cosignature, by=MALLORY, changes={"party": "mallory"}),
        "E2.stranger",
    ),
}


@pytest.mark.parametrize(("trick", "code"), TRICKS.values(), ids=TRICKS)
def test_a_bundle_is_refused_when(finished, trick, code):
    world, _, bundle, roots = finished
    with pytest.raises(Refused) as caught:
        receipt.verify(trick(world, bundle), roots=roots)
    assert caught.value.code == code


def test_evidence_that_does_not_hold_carries_its_checks(finished):
    world, _, bundle, roots = finished
    with pytest.raises(WithChecks) as caught:
        receipt.verify(unapproved(world, bundle), roots=roots)
    assert any(check.name == "measurement" and check.outcome == "fail" for check in caught.value.checks)


@pytest.mark.parametrize("change", [b" ", b"{}"])
def test_a_file_with_anything_after_the_bundle_is_malformed(finished, change):
    _, _, bundle, _ = finished
    with pytest.raises(Malformed):
        bundles.parse(bundle.to_bytes() + change)


def test_a_file_with_a_field_more_is_malformed(finished):
    _, _, bundle, _ = finished
    value = {**json.loads(bundle.to_bytes()), "comment": "trust me"}
    with pytest.raises(Malformed):
        bundles.parse(canonical.encode(value))
    assert schema.decode(Bundle, json.loads(bundle.to_bytes())) == bundle


def test_a_receipt_without_all_cosignatures_holds_but_is_not_final(finished):
    _, _, bundle, roots = finished
    found = receipt.verify(dataclasses.replace(bundle, cosignatures=bundle.cosignatures[:1]), roots=roots)
    assert not found.final
    assert len(found.missing) == 1
    assert "NOT FINAL" in receipt.explain(found)[-1]


def test_a_release_without_all_consents_waits(finished):
    _, _, bundle, roots = finished
    found = receipt.verify(dataclasses.replace(bundle, consents=()), roots=roots)
    assert {item.fate for item in found.releases} == {"waiting"}
    assert "no answer yet" in receipt.explain(found)[-1]


def test_a_release_that_one_owner_refused_is_refused(finished):
    world, _, bundle, roots = finished
    refused = consented_without(decision="refuse", share=None, ledger=None, charged=Cost(epsilon=0, bits=0))
    found = receipt.verify(refused(world, bundle), roots=roots)
    assert [item.fate for item in found.releases].count("refused") == 1


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_refusal_leaves_a_receipt_that_verifies(tmp_path, status):
    world = World(tmp_path)
    run = world.ask()
    world.make_gate().status = status
    world.play()
    got = collect.collect(world.homes["bank"], world.gateway, run)
    assert got.verified.receipt.receipt.status == status
    assert got.verified.final
    assert got.opened == ()
    assert "withheld: overlap" in receipt.explain(got.verified)


def test_every_recipient_opens_its_own_and_nothing_else(finished):
    world, run, _, _ = finished
    for party, rules in (("bank", {"overlap", "quality"}), ("partner", {"audience"}), ("compliance", {"overlap"})):
        got = collect.collect(world.homes[party], world.gateway, run)
        assert {item.rule for item in got.opened} == rules
        assert all(item.path.read_bytes() == TEXTS[item.rule] for item in got.opened)
        assert all(item.path.stat().st_mode & 0o077 == 0 for item in got.opened)
    got = collect.collect(world.homes["operator"], world.gateway, run)
    assert got.opened == ()


def test_collecting_twice_changes_nothing(finished):
    world, run, _, _ = finished
    first = collect.collect(world.homes["bank"], world.gateway, run)
    assert collect.collect(world.homes["bank"], world.gateway, run) == first


def test_another_result_is_never_laid_over_the_first(finished):
    world, run, _, _ = finished
    (opened,) = collect.collect(world.homes["compliance"], world.gateway, run).opened
    opened.path.write_bytes(b'{"count":99}')
    with pytest.raises(NotAcceptable) as caught:
        collect.collect(world.homes["compliance"], world.gateway, run)
    assert caught.value.code == "E3.other-result"
    opened.path.write_bytes(TEXTS["overlap"])


def test_an_altered_ciphertext_opens_nothing_and_leaves_no_file(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    world.play()
    world.gateway.tricks["ciphertext"] = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    home = world.homes["compliance"]
    with pytest.raises(CannotOpen):
        collect.collect(home, world.gateway, run)
    assert [path.name for path in home.run_folder(run).iterdir()] == ["receipt.json"]


def test_nothing_is_kept_of_a_receipt_that_does_not_hold(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    world.play()
    world.gateway.tricks["grants"] = lambda grants: grants[:-1]
    home = world.homes["compliance"]
    with pytest.raises(NotAcceptable):
        collect.collect(home, world.gateway, run)
    assert list(home.run_folder(run).iterdir()) == []


def test_another_run_is_not_collected_under_the_name_of_the_one_that_was_asked(tmp_path):
    """The other run's receipt holds in itself; it is just not of this run."""
    world = World(tmp_path)
    first = world.ask("overlap")
    world.play()
    second = world.ask("overlap", "quality")
    world.gateway.run_store[second] = world.gateway.run_store[first]
    home = world.homes["compliance"]
    with pytest.raises(NotGenuine) as caught:
        collect.collect(home, world.gateway, second)
    assert caught.value.code == "E2.other-run"
    assert not (home.root / "runs" / second).exists()
    assert collect.collect(home, world.gateway, first).opened


def test_a_gateway_that_says_done_and_shows_no_receipt_is_not_believed(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    world.play()
    world.gateway.tricks["receipt"] = lambda _: None
    with pytest.raises(NotAcceptable) as caught:
        collect.collect(world.homes["bank"], world.gateway, run)
    assert caught.value.code == "E3.contradiction"


def test_a_run_that_goes_on_is_waited_for(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    with pytest.raises(Waiting):
        collect.collect(world.homes["bank"], world.gateway, run)
    world.gateway.run_store[run].state = "failed"
    with pytest.raises(NotReleased) as caught:
        collect.collect(world.homes["bank"], world.gateway, run)
    assert caught.value.code == "E5.no-receipt"
