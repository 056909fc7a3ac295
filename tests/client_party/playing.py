"""Players for the tests of a party's tools: real keys, real signatures, small tables, no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sealroom.client import agreeing, spec, templates
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.templates import Template
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingKey, SigningKey
from sealroom.protocol.platform import simulated_policy

PHRASE = "five random words make one"
NOW = 1_790_000_000
ROOT_DIGEST = "ab" * 32
KEYS: dict[str, tuple[SigningKey, SealingKey]] = {}
NAMES = ("bank", "partner", "operator")
BANK_CSV = (
    "bank_id,email,balance,housing,y\nB1,a@x.example,10,yes,no\nB2,b@x.example,-3,no,yes\nB3,c@x.example,,yes,no\n"
)
PARTNER_CSV = "partner_id,email,age,job\nP1,A@X.example,30,clerk\nP2,d@x.example,41,cook\n"


def spec_value(**changes: Any) -> dict[str, Any]:
    """The decoded spec of a bank's and a partner's small tables; `changes` replace top-level fields."""
    bank = {
        "owner": "bank", "id": "bank_id", "most_rows": 1000, "identifiers": {"email": "email"},
        "features": {"balance": "int", "housing": ["no", "yes"], "y": ["no", "yes"]},
    }  # fmt: skip
    partner = {
        "owner": "partner", "id": "partner_id", "most_rows": 1000, "identifiers": {"email": "email"},
        "features": {"age": "int", "job": ["clerk", "cook"]},
    }  # fmt: skip
    value = {
        "title": "Small test", "purpose": "Test the tools", "datasets": {"customers": bank, "people": partner},
        "bundles": {"model": {"owner": "bank"}},
        "outcome": {"dataset": "customers", "column": "y", "positive": "yes"},
    }  # fmt: skip
    return {**value, **changes}


@dataclasses.dataclass(frozen=True)
class Players:
    """The folder that holds one home per player."""

    root: Path

    def home(self, name: str) -> Home:
        """The home as found on disk, with the keys unlocked that `conftest` made it with."""
        home = Home.open(self.root / name)
        home._signing, home._sealing = KEYS[name]
        return home

    def locked(self, name: str) -> Home:
        """The home as a command finds it."""
        return Home.open(self.root / name)

    def agree(self, draft: Agreement, names: Sequence[str] = NAMES) -> PinnedAgreement:
        """Everybody signs and pins."""
        envelope = self.signed(draft, names)
        pinned = [self.home(name).save_agreement(envelope) for name in names]
        return pinned[0]

    def signed(self, draft: Agreement, names: Sequence[str] = NAMES) -> Envelope:
        return envelopes.sign(draft, [self.home(name).signing_key() for name in names])

    def write(self, name: str, text: str) -> Path:
        path = self.root.parent / name
        path.write_text(text, "utf-8")
        return path

    def bundle(self) -> Path:
        folder = self.root.parent / "job"
        folder.mkdir()
        (folder / "bundle.json").write_text('{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}')
        (folder / "job.py").write_text("def run(tables, ask):\n    return []\n")
        return folder


def draft_for(players: Players, template: Template = "lookalike", **changes: Any) -> Agreement:
    """Version 1 between the three players."""
    cards = [players.home(name).card() for name in NAMES]
    return templates.draft(
        template, spec.parse(spec_value(**changes)), cards=cards, operator="operator",
        platforms=[simulated_policy(ROOT_DIGEST)], now=NOW,
    )  # fmt: skip


def next_version(pinned: PinnedAgreement, **changes: Any) -> Agreement:
    return dataclasses.replace(agreeing.amend(pinned), **changes)
