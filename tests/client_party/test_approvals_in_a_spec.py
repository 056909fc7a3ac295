"""How many must approve an image, as a spec says it and as the agreement and its pages then say it."""

from __future__ import annotations

from typing import Any

import pytest

from sealroom.client import lawyers, spec
from sealroom.protocol.agreement import Approvals
from sealroom.protocol.errors import Malformed, UsageError
from tests.client_party.playing import Players, draft_for, spec_value


@pytest.mark.parametrize(
    ("said", "threshold", "mandatory"),
    [
        ({}, 2, ("bank", "partner")),
        ({"threshold": 3}, 3, ("bank", "partner")),
        ({"mandatory": ["partner"]}, 1, ("partner",)),
        ({"threshold": 2, "mandatory": ["partner"]}, 2, ("partner",)),
        ({"threshold": 2, "mandatory": []}, 2, ()),
        ({"mandatory": []}, 1, ()),
        ({"threshold": 3, "mandatory": ["bank", "partner", "operator"]}, 3, ("bank", "partner", "operator")),
    ],
)
def test_a_spec_says_how_many_must_approve_and_who_of_them(
    players: Players, said: dict[str, Any], threshold: int, mandatory: tuple[str, ...]
) -> None:
    assert draft_for(players, approvals=said).approvals == Approvals(threshold=threshold, mandatory=mandatory)


def test_fewer_approvals_than_mandatory_parties_would_say_less_than_holds(players: Players) -> None:
    with pytest.raises(UsageError, match="1 approvals cannot be enough: all of bank and partner must approve"):
        draft_for(players, approvals={"threshold": 1})


@pytest.mark.parametrize("said", [{"threshold": 4, "mandatory": []}, {"mandatory": ["nobody"]}])
def test_what_nobody_could_meet_is_not_drafted(players: Players, said: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        draft_for(players, approvals=said)
    assert caught.value.code == "E1.inconsistent"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"threshold": 0}, "E1.out-of-range"),
        ({"threshold": True}, "E1.wrong-type"),
        ({"treshold": 2}, "E1.unknown-field"),
        ([2], "E1.wrong-type"),
    ],
)
def test_what_a_spec_may_not_say_about_approvals(said: object, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        spec.parse(spec_value(approvals=said))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"threshold": 2, "mandatory": ["partner"]}, "if 2 of the 3 parties, partner among them, have approved its"),
        ({"threshold": 2, "mandatory": []}, "if 2 of the 3 parties have approved its"),
    ],
)
def test_the_page_for_lawyers_says_it_too(players: Players, said: dict[str, Any], words: str) -> None:
    page = lawyers.page(draft_for(players, approvals=said), agreement_id="a" * 64, version="a" * 64)
    text = " ".join(page.split())
    assert words in text
    assert "keys go only to a program that it approved itself" in text
