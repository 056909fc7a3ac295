"""Statements of other parties that come as files, not over a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sealroom.client import approving, received
from sealroom.protocol.envelope import Envelope, Signature
from sealroom.protocol.errors import NotAcceptable, NotGenuine
from tests.client_party.playing import Players

MEASUREMENT = "ab" * 48


def approval(players: Players, party: str) -> tuple[str, Envelope]:
    home = players.home(party)
    agreement = home.agreement().id
    return agreement, approving.approve(home, agreement, MEASUREMENT, days=5)


def test_an_approval_in_a_file_is_kept_and_found(agreed: Players, tmp_path: Path, sealroom: Any):
    agreement, signed = approval(agreed, "partner")
    file = tmp_path / "approval.json"
    file.write_bytes(signed.to_bytes())
    bank = agreed.home("bank")
    code, out, _ = sealroom("agreement", "import", file, "--home", bank.root)
    assert (code, "approval by partner" in out) == (0, True)
    assert [e.digest for e in received.kept(bank, agreement)] == [signed.digest]


def test_a_statement_that_its_party_did_not_sign_is_refused(agreed: Players):
    agreement, signed = approval(agreed, "partner")
    other = approval(agreed, "bank")[1]
    forged = Envelope(
        signed.payload, signed.payloadType, (Signature(other.signatures[0].keyid, signed.signatures[0].sig),)
    )
    with pytest.raises(NotGenuine):
        received.keep(agreed.home("bank"), forged)
    assert received.kept(agreed.home("bank"), agreement) == []


def test_a_statement_about_an_agreement_that_is_not_pinned_is_refused(
    agreed: Players, players: Players, tmp_path: Path
):
    _, signed = approval(agreed, "partner")
    bank = agreed.home("bank")
    for path in (bank.root / "agreements").rglob("*.json"):
        path.unlink()
    with pytest.raises(NotAcceptable) as refusal:
        received.keep(agreed.home("bank"), signed)
    assert refusal.value.code == "E3.unknown-agreement"
