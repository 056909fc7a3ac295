"""Which code a rule may be computed by, and what a rule over blocks must say of itself."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from sealroom.protocol import consistency, rules, schema, terms
from sealroom.protocol.agreement import Agreement, affected_owners, objects_of
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import Cost, VectorEstimate
from tests import parties

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    return parties.with_estimate(parties.agreement_json(members))


def read(document: dict[str, Any]) -> Agreement:
    return consistency.check(schema.decode(Agreement, document))


def rule(**changes: Any) -> Edit:
    return lambda d: d["rules"][-1].update(changes)


def lane(bundle: str, lane: str) -> Edit:
    return lambda d: next(b for b in d["bundles"] if b["name"] == bundle).update(lane=lane)


AGE = {"dataset": "prospects", "column": "age"}
LEVEL = {"name": "level", "least": 0, "most": 1000}
BROKEN: list[tuple[str, Edit, str]] = [
    ("blocks for a rule of whole tables", lane("model", "blocks"), "rule quality: not sound for the lane 'blocks'"),
    ("a query for a rule of whole tables", lane("model", "query"), "rule quality: not sound for the lane 'query'"),
    ("a whole table for blocks", lane("fit", "whole"), "rule drivers: not sound for the lane 'whole'"),
    ("a query for blocks", lane("fit", "query"), "rule drivers: not sound for the lane 'query'"),
    ("blocks for segments", lane("segments", "blocks"), "rule by-segment: not sound for the lane 'blocks'"),
    ("a whole table for segments", lane("segments", "whole"), "rule by-segment: not sound for the lane 'whole'"),
    ("another rule's bundle", rule(bundle="model"), "rule drivers: not sound for the lane 'whole'"),
    ("no such bundle", rule(bundle="nothing"), "'nothing' is not declared"),
    ("no such link", rule(link="nothing"), "'nothing' is not declared"),
    ("a column twice", rule(columns=[AGE, AGE]), "columns of drivers are not unique"),
    ("a column of no table", rule(columns=[AGE | {"dataset": "fit"}]), "not a side of the link"),
    ("a column that is not there", rule(columns=[AGE | {"column": "x"}]), "declares no column 'x'"),
    ("an identifier", rule(columns=[AGE | {"column": "email"}]), "email says who somebody is"),
    ("the entity", rule(columns=[AGE | {"column": "partner_id"}]), "partner_id says who somebody is"),
    ("a coordinate twice", rule(coordinates=[LEVEL, LEVEL]), "coordinates of drivers are not unique"),
    ("no room between bounds", rule(coordinates=[LEVEL | {"most": 0}]), "the bounds of level leave nothing"),
    ("bounds the wrong way round", rule(coordinates=[LEVEL | {"most": -5}]), "the bounds of level leave nothing"),
    ("more time than a run has", rule(block_milliseconds=201), "its blocks take 61 s one after another"),
    ("a recipient twice", rule(recipients=["bank", "bank"]), "recipients of drivers are not unique"),
    ("a stranger receives", rule(recipients=["nobody"]), "rule drivers names 'nobody'"),
]


@pytest.mark.parametrize(("edit", "words"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_an_agreement_that_a_rule_is_not_sound_for_is_refused(base: dict[str, Any], edit: Edit, words: str) -> None:
    document = copy.deepcopy(base)
    edit(document)
    with pytest.raises(Malformed, match=words) as caught:
        read(document)
    assert caught.value.code == "E1.inconsistent"


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": 199}, {"blocks": 2001}, {"block_milliseconds": 99}, {"block_milliseconds": 60_001}, {"at_once": 0},
        {"at_once": 8}, {"epsilon": 0}, {"columns": []}, {"columns": [AGE] * 65}, {"coordinates": []},
        {"coordinates": [LEVEL] * 33}, {"coordinates": [LEVEL | {"least": -(10**9) - 1}]},
        {"coordinates": [LEVEL | {"most": 0.5}]}, {"coordinates": [LEVEL | {"name": "Level"}]}, {"recipients": []},
        {"seed": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_parameter_out_of_its_bounds_is_refused(base: dict[str, Any], changes: dict[str, Any]) -> None:
    document = copy.deepcopy(base)
    rule(**changes)(document)
    with pytest.raises(Malformed):
        read(document)


def test_a_formal_guarantee_is_kept_for_no_code_that_sees_everything() -> None:
    every: tuple[Any, ...] = rules.Rule.__args__
    assert len(every) == 5
    for kind in every:
        assert set(kind.lanes) <= terms.SOUND[kind.guarantee]
    assert "whole" not in terms.SOUND["F"]
    assert "H" not in terms.SOUND


def test_a_rule_that_claims_more_than_its_lanes_allow_is_refused(
    base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules.Metrics, "guarantee", "F")
    with pytest.raises(Malformed, match="F holds for none of"):
        read(base)
    monkeypatch.setattr(rules.Metrics, "guarantee", "H")
    with pytest.raises(Malformed, match="H holds for none of"):
        read(base)


def estimate(agreement: Agreement) -> VectorEstimate:
    found = agreement.rule("drivers")
    assert isinstance(found, VectorEstimate)
    return found


def test_it_costs_its_epsilon_and_no_bits_and_concerns_every_owner_of_what_it_reads(base: dict[str, Any]) -> None:
    agreement = read(base)
    assert terms.cost_of(agreement, estimate(agreement)) == Cost(epsilon=1_000_000, bits=0)
    assert objects_of(agreement, estimate(agreement)) == ("customers", "prospects", "fit")
    assert affected_owners(agreement, estimate(agreement), "bank") == ("partner",)
    assert affected_owners(agreement, estimate(agreement), "partner") == ("bank",)
    assert affected_owners(agreement, estimate(agreement), "operator") == ("bank", "partner")


def test_the_slot_in_which_blocks_end_is_paid_for_like_that_of_any_opaque_code(base: dict[str, Any]) -> None:
    agreement = read(base)
    assert terms.is_opaque(estimate(agreement))
    assert not terms.is_opaque(agreement.rule("overlap"))
    assert not terms.is_opaque(agreement.rule("by-segment"))
    assert terms.status_cost(agreement, ("drivers",)).bits == math.ceil(1000 * (math.log2(3) + 4 + math.log2(14)))


@pytest.mark.parametrize(("count", "length"), [(1, 1), (2, 10), (32, 63)])
def test_the_longest_text_fits_the_padded_size(base: dict[str, Any], count: int, length: int) -> None:
    agreement = read(base)
    names = [f"a{i:02}".ljust(length, "x")[:length] if length > 3 else "a" for i in range(count)]
    coordinates = tuple(rules.Coordinate(name=name, least=-(10**9), most=10**9) for name in names)
    wide = dataclasses.replace(estimate(agreement), coordinates=coordinates, blocks=2000, epsilon=20_000_000)
    longest = '{"interval_95":[-1000000000000,-1000000000000],"millionths":-1000000000000,"name":""},'
    text = '{"blocks":2000,"epsilon_millionths":20000000,"estimate":[]}'
    size = len(text) + count * (len(longest) + length) + 8
    assert size <= terms.padded_size(agreement, wide)
    assert terms.padded_size(agreement, wide) % 4096 == 0
