"""What a gate offers: who can open it, who cannot, and what a host can tell from it."""

from __future__ import annotations

import pytest

from sealroom.enclave.gate.compute import Result
from sealroom.protocol import release, terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.errors import CannotOpen
from sealroom.protocol.keys import from_text
from sealroom.protocol.statements import Offer
from tests.gate import world

RULES = ("overlap", "by-segment", "quality", "audience")


def opened(played: world.Play, offer: Offer, ciphertext: bytes) -> bytes:
    """Every affected owner consents, and the recipient opens."""
    shares = {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
    return release.open_release(offer, ciphertext, shares, played.members[offer.recipient].sealing)


@pytest.fixture(scope="module")
def ended() -> tuple[world.Play, world.Host]:
    played = world.three_data_parties()
    host = world.Host([Result("overlap", world.CANARY + b" one", None), Result("overlap-second", b"two", None)])
    host.finish(played)
    return played, host


def test_every_recipient_opens_its_release_with_every_affected_owners_share(ended):
    played, host = ended
    found = {(o.rule, o.recipient): opened(played, o, data) for o, data in host.offers()}
    assert found == {
        ("overlap", "bank"): world.CANARY + b" one",
        ("overlap-second", "bank"): b"two",
        ("overlap-second", "partner"): b"two",
    }


def test_offers_say_what_the_agreement_says(ended):
    played, host = ended
    for offer, data in host.offers():
        rule = played.agreement.rule(offer.rule)
        assert offer.affected == affected_owners(played.agreement, rule, offer.recipient)
        assert offer.cost == terms.cost_of(played.agreement, rule)
        assert (offer.guarantee, offer.rule_type) == (rule.guarantee, rule.type)
        assert offer.size == len(data) == terms.padded_size(played.agreement, rule) + release.LOCK_OVERHEAD
        assert offer.platform_class == "simulated"
        assert set(offer.sealed_shares) == set(offer.share_commitments) == set(offer.affected)


def test_the_receipt_names_exactly_the_offers_that_were_made(ended):
    _, host = ended
    named = [digest for result in host.receipt().results for digest in result.offers]
    made = [world.envelope.parse(world.canonical.encode(m["offer"])).digest for m in host.of_type("offer")]
    assert named == made
    assert len(set(made)) == 3


def test_without_one_owner_nothing_opens(ended):
    played, host = ended
    offer, data = next((o, d) for o, d in host.offers() if len(o.affected) == 2)
    shares = {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
    for missing in offer.affected:
        left = {name: share for name, share in shares.items() if name != missing}
        with pytest.raises(CannotOpen):
            release.open_release(offer, data, left, played.members[offer.recipient].sealing)


def test_all_owners_together_cannot_read_what_is_not_for_them(ended):
    played, host = ended
    for offer, data in host.offers():
        shares = {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
        for name, member in played.members.items():
            if name != offer.recipient:
                with pytest.raises(CannotOpen):
                    release.open_release(offer, data, shares, member.sealing)


def test_an_owner_cannot_open_another_owners_share_or_one_of_another_offer(ended):
    played, host = ended
    offers = [offer for offer, _ in host.offers()]
    for offer in offers:
        for name, member in played.members.items():
            for other in offers:
                if name in offer.affected and other is not offer:
                    sealed = from_text(offer.sealed_shares[name])
                    info = release.share_info(release.context_of(other), other.ciphertext_sha256, name)
                    with pytest.raises(CannotOpen):
                        member.sealing.open(sealed, info=info)
            if name not in offer.affected:
                with pytest.raises(CannotOpen):
                    release.open_share(offer, name, member.sealing)


def test_the_host_sees_neither_plaintext_nor_results(ended):
    played, host = ended
    seen = host.everything_seen() + b"".join(o.ciphertext for o in played.objects.values())
    assert host.payloads["customers"].startswith(world.CANARY)
    assert world.CANARY not in seen
    assert world.CANARY.hex().encode() not in seen
    for wrapped in (world.to_base64(world.CANARY, shift) for shift in range(3)):
        assert wrapped not in seen


def test_the_same_scan_finds_what_is_there(ended):
    _, host = ended
    host_that_leaks = host.everything_seen() + b"..." + world.CANARY
    assert world.CANARY in host_that_leaks


def test_what_a_host_sees_has_the_same_sizes_whatever_the_results_are():
    played = world.play(RULES)
    shapes = set()
    for texts in ((b"", b"", b"", b""), (b"x" * 4000, b"y" * 3000, b"1", b"z" * 8000)):
        host = world.Host([Result(rule, text, None) for rule, text in zip(RULES, texts, strict=True)])
        host.finish(played)
        shapes.add(
            (
                tuple(len(data) for data in host.files),
                tuple(len(world.canonical.encode(m)) for m in host.of_type("offer")),
                tuple(len(world.canonical.encode(m)) for m in host.of_type("receipt")),
            )
        )
    assert len(shapes) == 1


def test_a_result_that_does_not_fit_its_size_is_withheld_and_never_cut():
    played = world.play()
    room = terms.padded_size(played.agreement, played.agreement.rule("overlap")) - 8
    for size, outcome in ((room, "offered"), (room + 1, "withheld")):
        host = world.Host([Result("overlap", b"x" * size, None)])
        receipt = host.finish(played)
        assert receipt.results[0].outcome == outcome
        if outcome == "withheld":
            assert world.reasons_for(receipt, played.members["bank"]) == {"overlap": "too-large"}
        else:
            assert opened(played, *host.offers()[0]) == b"x" * size


def test_two_runs_over_the_same_data_have_nothing_in_common():
    played = world.play()
    hosts = [world.Host([Result("overlap", b"same", None)]) for _ in range(2)]
    for host in hosts:
        host.finish(played)
    (one, first), (two, second) = hosts[0].offers()[0], hosts[1].offers()[0]
    assert first != second
    assert one.share_commitments != two.share_commitments
    assert hosts[0].evidence.gate_signing_key != hosts[1].evidence.gate_signing_key
