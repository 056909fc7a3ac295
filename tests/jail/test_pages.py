"""docs/JOBS.md says what the code says."""

from __future__ import annotations

from sealroom.protocol import reasons
from tests.jail import pages


def test_the_generated_blocks_of_the_job_contract_are_in_step() -> None:
    text = pages.JOBS.read_text("utf-8")
    assert pages.fill(text) == text
    for group in reasons.GROUPS:
        assert pages.table(group) in text
    assert pages.packages() in text
