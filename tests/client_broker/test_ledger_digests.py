"""Digests of a ledger as the specification spells them (§2.2, §10.5), worked out by hand."""

from __future__ import annotations

import hashlib

from sealroom.client import entries
from tests.fuzz import seeds


def labelled(label: bytes, *parts: bytes) -> str:
    data = b"sealroom\0" + label + b"\0" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(data).hexdigest()


def test_a_chain_starts_with_its_owners_name():
    assert entries.start("bank") == labelled(b"ledger-start/v1", b"bank")


def test_an_entry_is_named_by_number_predecessor_and_content():
    body, before = seeds.ledger_draft().to_bytes(), entries.start("bank")
    entry = entries.read(3, before, body)
    assert entry.draft == seeds.ledger_draft()
    assert entry.digest == labelled(b"ledger-entry/v1", (3).to_bytes(8, "big"), before.encode(), body)
