"""docs/JOBS.md says what the code says."""

from __future__ import annotations

from tests.jail import pages


def test_the_generated_blocks_of_the_job_contract_are_in_step() -> None:
    text = pages.JOBS.read_text("utf-8")
    assert pages.fill(text) == text
    assert pages.outcomes() in text
    assert pages.packages() in text
