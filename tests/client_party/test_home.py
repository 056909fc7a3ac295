"""A party's home: what it keeps, and what it refuses to believe."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sealroom.client import agreeing, card, config
from sealroom.client.errors import NotAuthorized, Unreachable, Waiting
from sealroom.client.home import Home
from sealroom.protocol import canonical
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine, UsageError
from sealroom.protocol.keys import SealingKey, SigningKey
from tests.client_party.playing import Players, draft_for, next_version


def test_there_is_one_home_per_folder_and_a_clear_word_where_there_is_none(players: Players, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no home"):
        Home.open(tmp_path / "absent")
    with pytest.raises(UsageError, match="already"):
        Home.create(players.root / "bank", config.make(party="bank", role="bank"))


def test_a_home_that_others_can_enter_is_refused(players: Players) -> None:
    (players.root / "bank").chmod(0o750)
    with pytest.raises(UsageError, match="others on this machine"):
        players.home("bank")


def test_everything_in_a_home_is_private(agreed: Players) -> None:
    modes = {p.stat().st_mode & 0o077 for p in (agreed.root / "bank").rglob("*")}
    assert modes == {0}


def test_public_keys_need_no_passphrase_and_private_ones_do(players: Players, monkeypatch: pytest.MonkeyPatch) -> None:
    home = players.locked("bank")
    public = home.public_keys()
    assert home.signing_key().public == public.signing
    assert home.sealing_key().public == public.sealing
    monkeypatch.setenv("SEALROOM_PASSPHRASE", "not the passphrase")
    assert players.locked("bank").card() == home.card()
    with pytest.raises(NotAuthorized):
        players.locked("bank").signing_key()


def test_a_card_shows_the_fingerprint_of_its_keys_and_no_other(players: Players) -> None:
    mine = players.home("bank").card()
    assert card.parse(mine.to_bytes()) == mine
    swapped = dataclasses.replace(mine, signing_key=SigningKey.generate().public.text)
    with pytest.raises(NotGenuine) as caught:
        card.parse(swapped.to_bytes())
    assert caught.value.code == "E2.fingerprint"
    for data in (b"{", b"[]", b'{"format":"sealroom/party/v2"}'):
        with pytest.raises(Malformed):
            card.parse(data)


@pytest.mark.parametrize("gateway", ["ftp://x", "http://other.example:80", "https://other.example", "nonsense"])
def test_a_gateway_is_called_over_tls_with_a_pinned_certificate(gateway: str) -> None:
    with pytest.raises(UsageError):
        config.make(party="bank", role="bank", gateway=gateway)


def test_a_local_gateway_may_be_plain(tmp_path: Path) -> None:
    settings = config.make(party="bank", role="bank", gateway="http://127.0.0.1:8080/")
    assert settings.gateway == "http://127.0.0.1:8080"
    config.save(tmp_path / "c.json", settings)
    assert config.load(tmp_path / "c.json") == settings
    (tmp_path / "c.json").write_text("nonsense")
    with pytest.raises(Malformed):
        config.load(tmp_path / "c.json")


def test_a_version_is_pinned_when_all_signed_it_and_not_before(players: Players) -> None:
    draft, bank = draft_for(players), players.home("bank")
    with pytest.raises(UsageError, match="no agreement"):
        bank.agreement()
    two = players.signed(draft, ("bank", "partner"))
    with pytest.raises(NotGenuine) as caught:
        bank.save_agreement(two)
    assert caught.value.code == "E2.too-few-signatures"
    with pytest.raises(Waiting, match="operator"):
        agreeing.pin(bank, two)
    assert bank.agreements() == []
    pinned = bank.save_agreement(players.signed(draft))
    assert pinned.id == pinned.version
    assert bank.save_agreement(players.signed(draft)).version == pinned.version
    assert bank.agreement(pinned.id[:8]).agreement == draft


def test_an_agreement_of_others_is_not_pinned(agreed: Players, tmp_path: Path) -> None:
    envelope = agreed.home("bank").agreement().envelope
    stranger = Home.create(tmp_path / "x", config.make(party="bank", role="bank"), phrase="a stranger's phrase")
    with pytest.raises(NotGenuine) as caught:
        stranger.save_agreement(envelope)
    assert caught.value.code == "E2.not-a-party"


def test_versions_chain_and_never_go_back(agreed: Players) -> None:
    bank = agreed.home("bank")
    first = bank.agreement()
    second = bank.save_agreement(agreed.signed(next_version(first, title="Second")))
    assert (second.id, second.agreement.sequence) == (first.id, 2)
    assert bank.agreement().version == second.version
    with pytest.raises(NotAcceptable) as caught:
        bank.save_agreement(agreed.signed(next_version(first, title="Another second")))
    assert caught.value.code == "E3.broken-chain"
    third = next_version(second, title="Third")
    skipping = dataclasses.replace(third, sequence=4)
    with pytest.raises(NotAcceptable) as caught:
        bank.save_agreement(agreed.signed(skipping))
    assert caught.value.code == "E3.broken-chain"
    bank.save_agreement(agreed.signed(third))
    with pytest.raises(NotAcceptable) as caught:
        bank.save_agreement(second.envelope)
    assert caught.value.code == "E3.older-version"
    assert bank.agreement().agreement.title == "Third"
    assert len(bank.versions(first.id)) == 3


def test_a_later_version_needs_those_before_it(agreed: Players, players: Players) -> None:
    first = agreed.home("bank").agreement()
    second = agreed.signed(next_version(first))
    operator = agreed.root / "operator" / "agreements"
    for path in sorted(operator.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(NotAcceptable) as caught:
        agreed.home("operator").save_agreement(second)
    assert caught.value.code == "E3.missing-version"


def test_a_version_that_drops_a_party_still_needs_its_signature(agreed: Players) -> None:
    first = agreed.home("bank").agreement()
    bank = first.agreement.party("bank")
    alone = next_version(
        first, operator="bank", parties=(bank, first.agreement.party("partner")), accepts_covert_channel=("partner",)
    )
    with pytest.raises(NotGenuine) as caught:
        agreed.home("bank").save_agreement(agreed.signed(alone, ("bank", "partner")))
    assert caught.value.code == "E2.too-few-signatures"


def test_a_pinned_file_that_was_swapped_is_not_believed(agreed: Players) -> None:
    home = agreed.home("bank")
    path = next((home.root / "agreements").rglob("*.json"))
    value = json.loads(path.read_bytes())
    value["signatures"] = value["signatures"][:2]
    path.write_bytes(canonical.encode(value))
    with pytest.raises(NotGenuine):
        home.agreements()


def test_nobody_signs_for_keys_that_are_not_its_own(players: Players) -> None:
    draft = draft_for(players)
    other = dataclasses.replace(draft.parties[0], sealing_key=SealingKey.generate().public.text)
    wrong = dataclasses.replace(draft, parties=(other, *draft.parties[1:]))
    with pytest.raises(NotAcceptable) as caught:
        agreeing.sign(players.home("bank"), agreeing.Document(wrong, None))
    assert caught.value.code == "E3.not-your-keys"


def test_an_object_key_opens_in_the_home_that_kept_it_alone(agreed: Players) -> None:
    bank, manifest = agreed.home("bank"), envelopes.sign(draft_for(agreed), [SigningKey.generate()])
    bank.save_object(manifest, b"k" * 32)
    assert agreed.home("bank").object_key(manifest.digest) == b"k" * 32
    kept = next((bank.root / "objects").iterdir())
    assert (b"k" * 32).hex().encode() not in kept.read_bytes()
    (agreed.root / "partner" / "objects").mkdir(mode=0o700)
    stolen = agreed.root / "partner" / "objects" / kept.name
    stolen.write_bytes(kept.read_bytes())
    with pytest.raises(CannotOpen):
        agreed.home("partner").object_key(manifest.digest)
    with pytest.raises(Unreachable):
        bank.object_key("0" * 64)
    kept.rename(kept.with_name("1" * 64 + ".json"))
    with pytest.raises(NotGenuine):
        bank.objects()


def test_the_gateway_can_only_bring_what_this_party_signed(agreed: Players) -> None:
    operator = agreed.home("operator")
    first = operator.agreement()
    good = agreed.signed(next_version(first))
    unsigned = agreed.signed(next_version(first, title="Not ours"), ("bank", "partner"))
    forged = dataclasses.replace(unsigned, signatures=good.signatures)
    assert agreeing.fetch(operator, [unsigned, forged]) == []
    assert [p.agreement.sequence for p in agreeing.fetch(operator, [good])] == [2]
