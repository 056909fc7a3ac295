"""An estimate over blocks in a party's tools: from the spec to the page that lawyers read."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from sealroom.client import diff, lawyers, plain
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.rules import ColumnOf, VectorEstimate
from tests.client_party.playing import Players, draft_for

CODE = {"fit": {"owner": "bank", "lane": "blocks"}}
ESTIMATE: dict[str, Any] = {
    "name": "drivers", "columns": ["customers.y", "people.age"], "epsilon": 2,
    "coordinates": [{"name": "age", "least": -200, "most": 400}, {"name": "level", "least": 0, "most": 1000}],
}  # fmt: skip


def drafted(players: Players, **changes: Any) -> Agreement:
    return draft_for(players, "overlap", bundles=CODE, estimates=[{**ESTIMATE, **changes}])


def rule_of(agreement: Agreement) -> VectorEstimate:
    found = agreement.rule("drivers")
    assert isinstance(found, VectorEstimate)
    return found


def test_a_spec_with_an_estimate_becomes_a_rule_with_careful_defaults(players: Players) -> None:
    agreement = drafted(players)
    rule = rule_of(agreement)
    assert (rule.bundle, rule.link, rule.recipients) == ("fit", "people", ("bank",))
    assert rule.columns == (ColumnOf("customers", "y"), ColumnOf("people", "age"))
    assert (rule.blocks, rule.block_milliseconds, rule.at_once, rule.epsilon) == (200, 1000, 1, 2_000_000)
    purse = next(p for p in agreement.purses if p.owner == "partner")
    assert purse.epsilon >= 4 * 2_000_000


@pytest.mark.parametrize(
    ("bundles", "changes", "words"),
    [
        ({}, {}, "0 bundles of the lane `blocks`"),
        ({**CODE, "other": CODE["fit"]}, {}, "2 bundles of the lane `blocks`"),
        (CODE, {"columns": ["age"]}, "not `dataset.column`"),
    ],
)
def test_a_spec_that_leaves_an_estimate_open_says_what_it_misses(
    players: Players, bundles: Any, changes: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        draft_for(players, "overlap", bundles=bundles, estimates=[{**ESTIMATE, **changes}])


def test_a_spec_can_name_one_of_several_bundles(players: Players) -> None:
    agreement = draft_for(
        players, "overlap", bundles={**CODE, "other": CODE["fit"]}, estimates=[{**ESTIMATE, "bundle": "other"}]
    )
    assert rule_of(agreement).bundle == "other"


def test_an_estimate_that_shows_code_an_identifier_is_refused(players: Players) -> None:
    with pytest.raises(Malformed, match="says who somebody is"):
        drafted(players, columns=["people.email"])


def test_the_page_for_lawyers_says_what_leaves_and_what_the_code_sees(players: Players) -> None:
    agreement = drafted(players)
    page = re.sub(r"\s+", " ", lawyers.page(agreement, agreement_id="ab" * 32, version="cd" * 32))
    for words in (
        "2 numbers about the people in both customers and people: age (-0.2 to 0.4) and level (0 to 1)",
        "cut into 200 blocks by chance",
        "sees customers.y and people.age of its people for 1000 ms, alone",
        "the mean over all blocks, with random noise",
        "Guarantee: F, formal",
        "epsilon 2, charged to partner",
        "fit, code of bank, hidden from everybody else; it is started afresh for each of many small groups",
    ):
        assert words in page
    beside = dataclasses.replace(rule_of(agreement), at_once=3)
    assert "with up to 2 others running beside it" in plain.rule(agreement, beside)
    assert "drivers [F] to bank" in re.sub(r"\s+", " ", lawyers.summary(agreement))


@pytest.mark.parametrize(
    ("field", "narrow", "wide"), [("epsilon", 1_000_000, 2_000_000), ("at_once", 1, 2)], ids=["epsilon", "at-once"]
)
def test_what_widens_an_estimate_is_marked(players: Players, field: str, narrow: int, wide: int) -> None:
    agreement = drafted(players)
    one, other = (
        dataclasses.replace(
            agreement, rules=(*agreement.rules[:-1], dataclasses.replace(rule_of(agreement), **{field: value}))
        )
        for value in (narrow, wide)
    )
    assert [change.widens for change in diff.changes(one, other)] == [True]
    assert [change.widens for change in diff.changes(other, one)] == [False]


@pytest.mark.parametrize("field", ["columns", "coordinates", "bundle", "block_milliseconds", "blocks"])
def test_any_other_change_of_an_estimate_counts_as_wider(players: Players, field: str) -> None:
    agreement = drafted(players)
    rule = rule_of(agreement)
    changed = {
        "columns": rule.columns[:1], "coordinates": rule.coordinates[:1], "bundle": "other",
        "block_milliseconds": 900, "blocks": 201,
    }  # fmt: skip
    other = dataclasses.replace(rule, **{field: changed[field]})  # type: ignore[arg-type]
    changes = diff.changes(agreement, dataclasses.replace(agreement, rules=(*agreement.rules[:-1], other)))
    assert changes
    if field not in ("columns", "coordinates"):
        assert all(change.widens for change in changes)
