"""What people are told: the two pages, the summary, and what a new version changes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealroom.client import diff, lawyers, plain
from sealroom.protocol import schema
from sealroom.protocol.agreement import Agreement, Consent
from sealroom.protocol.platform import SnpPolicy
from sealroom.protocol.rules import Cost
from tests.client_party.playing import Players, draft_for


def page(agreement: Agreement, **options: Any) -> str:
    return lawyers.page(agreement, agreement_id="c" * 64, version="d" * 64, **options)


def test_the_page_names_every_rule_recipient_column_and_purse(players: Players) -> None:
    draft = draft_for(players)
    text = page(draft)
    for rule in draft.rules:
        assert f"**{rule.name}**" in text
    for dataset in draft.datasets:
        assert all(column.name in text for column in dataset.columns)
    for party in draft.parties:
        assert plain.party_fingerprint(party.signing_key, party.sealing_key) in text
    assert len(re.findall(r"at most epsilon", text)) == len(draft.purses)
    assert "Nothing else leaves" in text


def test_the_page_fits_two_pages(players: Players) -> None:
    lines = page(draft_for(players)).splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= lawyers.WIDTH


def test_a_simulated_machine_is_called_so_first_and_hardware_is_not(players: Players) -> None:
    draft = draft_for(players)
    assert "SIMULATED" in page(draft)
    assert "SIMULATED" in lawyers.summary(draft)
    assert isinstance(draft.platforms[0], SnpPolicy)
    hardware = dataclasses.replace(draft.platforms[0], platform_class="confidential-hardware")
    real = page(dataclasses.replace(draft, platforms=(hardware,)))
    assert "SIMULATED" not in real
    assert "taps its" in real


def test_the_page_says_that_every_party_learns_how_a_run_ended_and_owners_why(players: Players) -> None:
    section = " ".join(page(draft_for(players)).partition("## 5.")[2].partition("## 6.")[0].split())
    assert "- Every party: who asked for a run, whether it was completed, refused or failed," in section
    assert "- bank and partner, who own what goes in: besides, a reason from a closed list" in section


def test_the_page_says_who_signed(players: Players) -> None:
    draft = draft_for(players)
    assert "nobody's signature was checked" in page(draft)
    assert "still to sign: operator" in page(draft, signed_by=("bank", "partner")).replace("\n", " ")
    assert "everybody" in page(draft, signed_by=("bank", "partner", "operator"))


def test_guarantees_and_costs_stand_beside_each_rule(players: Players) -> None:
    text = page(draft_for(players, aggregates=[{"name": "jobs", "by": ["people.job"]}]))
    assert text.count("Guarantee: F") == 2
    assert text.count("Guarantee: C") == 2
    assert "epsilon 0.5" in text
    assert re.search(r"[\d,]+\.\d bits, charged to bank", text)


def test_manual_consent_is_told_with_its_deadline(players: Players) -> None:
    consent = Consent(mode="manual", threshold=2, officers=("a", "b", "c"), deadline=7200)
    assert plain.consent("partner", consent) == (
        "At partner, 2 of 3 named officers must say yes within 2 hours; silence releases nothing."
    )
    assert "its signing key" in plain.consent("partner", dataclasses.replace(consent, officers=(), threshold=1))


def test_numbers_are_said_as_people_say_them() -> None:
    assert plain.epsilon(500_000) == "0.5"
    assert plain.epsilon(20_000_000) == "20"
    assert plain.cost(Cost(epsilon=0, bits=0)) == "nothing"
    assert plain.cost(Cost(epsilon=250_000, bits=1500)) == "epsilon 0.25 and 1.5 bits"
    assert [plain.duration(n) for n in (0, 1, 60, 3600, 86_400, 90)] == [
        "0 seconds", "1 second", "1 minute", "1 hour", "1 day", "90 seconds",
    ]  # fmt: skip
    assert [plain.names(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "nobody",
        "a",
        "a and b",
        "a, b and c",
    ]


def replaced(agreement: Agreement, path: str, value: Any) -> Agreement:
    """The agreement with the JSON value at `path` replaced; list members go by index."""
    document = schema.encode(agreement)
    *parents, last = path.split("/")
    place = document
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return schema.decode(Agreement, document)


WIDER: list[tuple[str, Any]] = [
    ("rules/0/epsilon", 600_000), ("rules/0/floor", 10), ("rules/0/round_to", 1),
    ("rules/0/recipients", ["bank", "partner"]),
    ("rules/2/percent", 20), ("rules/2/least_seed", 1), ("rules/1/values/0/step", 1),
    ("rules/1/holdout_percent", 50),
    ("purses/0/bits", 10**9), ("purses/0/runs", 99), ("not_after", 2_000_000_000), ("slots/opaque", 1),
    ("limits/memory", 8 << 30), ("requesters", ["bank", "partner"]), ("operator", "bank"), ("approvals/threshold", 1),
    ("approvals/mandatory", ["bank"]), ("accepts_covert_channel", ["partner"]), ("datasets/1/most_rows", 2000),
    ("datasets/0/population", "fresh"), ("bundles/0/lane", "query"), ("platforms/0/debug", "any"),
    ("platforms/0/roots", ["ab" * 32, "cd" * 32]), ("platforms/0/chip_ids", "any"), ("parties/1/signing_key", "A" * 43),
    ("purpose", "Something else"),
    ("links/0/keys", [["phone"]]),
]  # fmt: skip
NARROWER: list[tuple[str, Any]] = [
    ("rules/0/epsilon", 100_000), ("rules/0/floor", 1000), ("rules/2/percent", 5), ("purses/0/runs", 1),
    ("not_after", 1_790_000_100), ("slots/opaque", 600), ("limits/wall_time", 10), ("approvals/threshold", 3),
    ("datasets/1/most_rows", 10), ("title", "Another title"), ("launchers", ["docker"]), ("platforms/0/smt", "refuse"),
    ("platforms/0/vlek_clouds", ["one"]), ("requesters", ["bank"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WIDER)
def test_what_lets_more_out_is_marked(players: Players, path: str, value: Any) -> None:
    old = draft_for(players)
    new = replaced(old, path, value)
    changes = diff.changes(old, new)
    if old != new:
        assert any(change.widens for change in changes)
        assert changes[0].line.startswith("WIDER")


@pytest.mark.parametrize(("path", "value"), NARROWER)
def test_what_lets_less_out_is_told_and_not_marked(players: Players, path: str, value: Any) -> None:
    old = draft_for(players)
    changes = diff.changes(old, replaced(old, path, value))
    assert not any(change.widens for change in changes)
    assert all(change.words for change in changes)


def test_a_new_rule_or_column_widens_and_a_dropped_one_does_not(players: Players) -> None:
    old = draft_for(players)
    fewer = dataclasses.replace(old, rules=old.rules[:2])
    assert [c.widens for c in diff.changes(old, fewer)] == [False]
    assert [c.widens for c in diff.changes(fewer, old)] == [True]
    people = dataclasses.replace(old.datasets[1], columns=old.datasets[1].columns[:-1])
    less = dataclasses.replace(old, datasets=(old.datasets[0], people))
    assert [c.widens for c in diff.changes(old, less)] == [False]
    assert [c.widens for c in diff.changes(less, old)] == [True]


def test_two_policies_of_one_kind_do_not_hide_each_other(players: Players) -> None:
    old = draft_for(players)
    assert isinstance(old.platforms[0], SnpPolicy)
    lax = dataclasses.replace(old.platforms[0], roots=("cd" * 32,), debug="any")
    for platforms in ((*old.platforms, lax), (lax, *old.platforms)):
        assert any(c.widens for c in diff.changes(old, dataclasses.replace(old, platforms=platforms)))


def test_the_order_of_members_changes_nothing(players: Players) -> None:
    old = draft_for(players)
    assert diff.changes(old, dataclasses.replace(old, rules=old.rules[::-1], parties=old.parties[::-1])) == []
    assert diff.changes(old, old) == []


@given(st.integers(1, 20_000_000), st.integers(1, 20_000_000))
def test_epsilon_widens_exactly_when_it_grows(one: int, other: int) -> None:
    change = diff.Change("rules/x/epsilon", one, other, diff._widens("rules/x/epsilon", one, other))
    assert change.widens == (other > one)
