"""The table of the malicious host: large enough, in step with its page, and every code in it explained."""

from __future__ import annotations

from sealroom.client import advice
from sealroom.client.errors import Waiting
from sealroom.protocol import errors
from tests.hostile_host import page, table
from tests.hostile_host.stops import STOPS

FAMILIES = {kind.family: kind for kind in (errors.Malformed, errors.NotGenuine, errors.NotAcceptable)}
NAMED = {"E4": errors.CannotOpen(), "Waiting": Waiting("x")}
CODES = sorted({code for _, sees in table.expected().values() for code in sees})


def test_there_are_at_least_300_cases_and_each_has_a_name_of_its_own():
    names = [case.name for case in table.CASES]
    assert len(names) == len(set(names)) >= 300


def test_each_case_has_an_expectation_and_no_other_has():
    assert set(table.expected()) == {case.name for case in table.CASES}
    assert {ends for ends, _ in table.expected().values()} == {"released", "part", "nothing"}


def test_every_code_that_parties_see_names_a_check_and_comes_with_advice():
    assert set(CODES) <= set(STOPS)
    for code in CODES:
        family, _, word = code.partition(".")
        error = NAMED[family] if family in NAMED else FAMILIES[family](word or "x", "x")
        assert len(advice.of(error)) > 10


def test_every_phase_is_in_the_table():
    phases = {case.phase for case in table.CASES}
    assert {"request", "challenge", "launch", "grant", "handover", "results", "consent", "collect"} <= phases


def test_the_page_is_in_step_with_the_cases():
    assert page.PAGE.read_text("utf-8") == page.render()
