"""Not one bit of any signed statement can change: refused by whoever reads it with its signers' keys."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sealroom.protocol import canonical, consistency, envelope, schema
from sealroom.protocol.agreement import Agreement
from tests.flips.flipping import STRIDE, taken
from tests.fuzz import seeds
from tests.vectors import cases


def short_agreement() -> Agreement:
    """Two parties and one rule: everything that an agreement has, once."""
    full = seeds.agreement()
    parties = tuple(p for p in full.parties if p.name in ("bank", "partner"))
    changes = {"status_recipients": ("bank", "partner")} if hasattr(full, "status_recipients") else {}
    short = dataclasses.replace(
        full,
        parties=parties,
        operator="partner",
        rules=full.rules[:1],
        bundles=(),
        purses=tuple(p for p in full.purses if p.population in ("customers", "prospects")),
        **changes,
    )
    return consistency.check(short)


LONG = ("Agreement", "Offer", "Grant")
STATEMENTS = {type(s).__name__: s for s in seeds.statements()} | {"Agreement": short_agreement()}


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_no_bit_of_a_statement_can_be_flipped(name: str):
    document = STATEMENTS[name]
    signers = ("bank", "partner") if name == "Agreement" else ("bank",)
    signed = seeds.signed(document, *signers)
    keys = {signer: cases.signing(signer).public for signer in signers}

    def read(data: bytes) -> Any:
        return envelope.verify(envelope.parse(data), type(document), keys)

    assert taken(read, signed.to_bytes(), stride=STRIDE if name in LONG else 1) == []


def test_every_flip_of_a_payload_names_another_statement():
    """Whoever keeps a digest instead of a signature notices as well."""
    signed = seeds.signed(STATEMENTS["Stop"])

    def named(data: bytes) -> str:
        return dataclasses.replace(signed, payload=seeds.unsigned("stop", data).payload).digest

    found = taken(named, canonical.encode(schema.encode(STATEMENTS["Stop"])))
    assert signed.digest not in {digest for _, digest in found}
    assert len({digest for _, digest in found}) == len(found) > 1000
