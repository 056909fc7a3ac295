"""Not one bit of what a gate shows before it is given keys can change: evidence, report, certificates, list."""

from __future__ import annotations

from typing import Any

import pytest

from sealroom.attestation.snp import cert_table
from sealroom.client import admission, appraise, standing
from sealroom.client.appraise import Question
from tests.client_broker.world import NOW, World
from tests.flips.flipping import STRIDE, taken


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Question]:
    """The evidence of a run, and what an owner asks about it."""
    world = World(tmp_path_factory.mktemp("shown"))
    run = world.ask("overlap")
    world.step()
    held = world.gateway.run_store[run]
    assert held.evidence is not None
    pinned = world.homes["bank"].agreement()
    request = admission.admit(held.request, pinned, now=NOW)
    known = standing.read(pinned.agreement, pinned.id, world.gateway.posted_statements)
    question = Question(request=request, standing=known, nonces=dict(held.challenges), own="bank", now=NOW)
    return held.evidence, question


def test_no_bit_of_the_evidence_can_be_flipped(shown: Any):
    evidence, question = shown
    assert taken(lambda data: appraise.appraise(data, question), evidence, stride=STRIDE) == []


def test_every_flip_of_a_certificate_table_is_refused_or_shows_in_an_entry(shown: Any, tmp_path: Any):
    """The table is the host's word; what it holds is checked like any other certificate (the test above)."""
    table = cert_table.serialise(
        {cert_table.VCEK: b"endorsement", cert_table.ASK: b"intermediate", cert_table.CRL: b"l"}
    )
    good = cert_table.parse(table)
    assert all(found != good for _, found in taken(cert_table.parse, table))
