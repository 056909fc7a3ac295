"""Every refusal says what to do about it."""

from __future__ import annotations

import pytest

from sealroom.client import advice
from sealroom.client.commands import broker
from sealroom.client.desk import Event
from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine, NotReleased, UsageError


def test_an_errors_own_hint_comes_first():
    assert advice.of(NotAcceptable("stopped", "it was stopped", hint="ask the partner")) == "ask the partner"


def test_a_code_has_advice_of_its_own():
    assert advice.of(NotAcceptable("stopped", "it was stopped")) != advice.of(NotAcceptable("whatever", "it was not"))


@pytest.mark.parametrize(
    "error",
    [
        Malformed("x", "x"),
        NotGenuine("x", "x"),
        NotAcceptable("x", "x"),
        CannotOpen(),
        NotReleased("x", "x"),
        UsageError("x"),
    ],
)
def test_any_other_refusal_has_the_advice_of_its_family(error):
    assert advice.of(error).strip()
    assert not advice.of(error).endswith(".")


def test_programs_get_the_advice_with_the_event():
    event = Event("no", "ab" * 32, "it was stopped", NotAcceptable("stopped", "it was stopped"))
    assert broker._document(event)["hint"] == advice.of(NotAcceptable("stopped", ""))
    assert broker._document(Event("granted", "ab" * 32, "an object"))["hint"] is None
