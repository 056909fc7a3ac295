"""Checks that are taken out, one at a time: what they stop in the malicious host's table goes through then."""

from __future__ import annotations

import contextlib

import pytest

from tests.hostile_host import table
from tests.hostile_host.case import observed, outcome
from tests.hostile_host.knocked import KNOCKED, Knocked

BY_NAME = {case.name: case for case in table.CASES}


@pytest.mark.slow
@pytest.mark.parametrize("knocked", [pytest.param(knocked, id=knocked.check) for knocked in KNOCKED])
def test_without_its_check_a_manipulation_goes_through(knocked: Knocked):
    case = BY_NAME[knocked.case]
    assert table.expected()[case.name][0] != knocked.ends
    with contextlib.ExitStack() as stack:
        if knocked.wrong:
            stack.enter_context(pytest.raises(AssertionError, match=knocked.wrong))
        for patch in knocked.without:
            stack.enter_context(patch())
        seen, _ = outcome(case)
        assert seen.ends == knocked.ends


@pytest.mark.parametrize("name", sorted({knocked.case for knocked in KNOCKED})[:2])
def test_with_its_check_it_does_not(name: str):
    assert observed(BY_NAME[name]).ends == table.expected()[name][0]
