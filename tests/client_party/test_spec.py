"""The small spec, the proposals for it, and the agreements that templates make of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealroom.client import columns, fragment, spec, templates
from sealroom.protocol import consistency, schema, terms
from sealroom.protocol.agreement import Agreement, affected_owners
from sealroom.protocol.errors import Malformed, SealroomError, UsageError
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.rules import AudienceToOwner, GroupedAggregates, Metrics, OverlapCount
from tests.client_party.playing import BANK_CSV, NOW, PARTNER_CSV, Players, draft_for, spec_value


def test_epsilon_is_written_as_people_write_it_and_kept_in_millionths() -> None:
    assert spec.parse(spec_value(overlap={"epsilon": 1})).overlap.epsilon == 1_000_000
    with pytest.raises(Malformed) as caught:
        spec.parse(spec_value(overlap={"epsilon": 0.5}))  # a binary fraction; the loaders give decimals
    assert caught.value.code == "E1.wrong-type"


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, other = tmp_path / "s.toml", tmp_path / "s.json"
    toml.write_text('[overlap]\nepsilon = 0.25\n[datasets.a]\nowner = "x"\nid = "i"\n')
    other.write_text('{"overlap": {"epsilon": 0.25}, "datasets": {"a": {"owner": "x", "id": "i"}}}')
    assert spec.load(toml) == spec.load(other)
    assert spec.load(toml).overlap.epsilon == 250_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"surprise": 1}, "E1.unknown-field"),
        ({"datasets": []}, "E1.wrong-type"),
        ({"datasets": {"X": {}}}, "E1.bad-text"),
        ({"days": 0}, "E1.out-of-range"),
        ({"overlap": {"recipents": ["bank"]}}, "E1.unknown-field"),
        ({"slots": 5}, "E1.wrong-type"),
        ({"aggregates": [5]}, "E1.wrong-type"),
        ({"datasets": {"a": {"owner": "bank"}}}, "E1.missing-field"),
    ],
)
def test_what_a_spec_may_not_say_is_named(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        spec.parse(spec_value(**change))
    assert caught.value.code == code


def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    for name, text in (("s.toml", "a = ["), ("s.json", "{"), ("s.toml", "[overlap]\nepsilon = 0.0000001\n[datasets]")):
        (tmp_path / name).write_text(text)
        with pytest.raises(Malformed):
            spec.load(tmp_path / name)
    with pytest.raises(Malformed):
        spec.parse([])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_lowercase, max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(spec_value()) + sorted(spec.DEFAULTS)), JUNK)
def test_junk_in_any_field_is_refused_in_our_words_or_read(field: str, junk: Any) -> None:
    with contextlib.suppress(SealroomError):
        spec.parse(spec_value(**{field: junk}))


def test_the_template_overlap_releases_one_number_to_the_requester(players: Players) -> None:
    draft = draft_for(players, "overlap")
    assert [type(rule) for rule in draft.rules] == [OverlapCount]
    assert draft.rules[0].recipients == ("bank",)
    assert draft.approvals.mandatory == ("bank", "partner")
    assert draft.sequence == 1


def test_the_template_lookalike_sends_rows_to_their_owner_and_numbers_to_the_bank(players: Players) -> None:
    draft = draft_for(players)
    overlap, quality, audience = draft.rules
    assert isinstance(overlap, OverlapCount)
    assert isinstance(quality, Metrics)
    assert isinstance(audience, AudienceToOwner)
    assert (quality.recipients, audience.recipients) == (("bank",), ("partner",))
    assert audience.candidates == quality.candidates == "people"
    assert (audience.floor, audience.least_seed) == (2000, 500)
    assert draft.links[0].keys == (("email",),)


def test_a_draft_survives_writing_and_reading(players: Players) -> None:
    draft = draft_for(players)
    assert schema.decode(Agreement, json.loads(json.dumps(schema.encode(draft)))) == draft


def test_purses_hold_exactly_the_runs_that_the_spec_asks_for(players: Players) -> None:
    draft = draft_for(players, runs=3)
    for purse in draft.purses:
        status = terms.status_cost(draft, tuple(rule.name for rule in draft.rules))
        epsilon, bits = status.epsilon, status.bits
        for rule in draft.rules:
            if purse.owner in affected_owners(draft, rule, rule.recipients[0]):
                epsilon, bits = epsilon + terms.cost_of(draft, rule).epsilon, bits + terms.cost_of(draft, rule).bits
        assert (purse.epsilon, purse.bits, purse.runs) == (3 * epsilon, 3 * bits, 3)


def test_a_purse_that_the_spec_states_is_taken_and_a_stray_one_refused(players: Players) -> None:
    said = {"people": {"epsilon": 2, "bits": 50, "runs": 9}}
    purse = next(p for p in draft_for(players, purses=said).purses if p.population == "people")
    assert (purse.epsilon, purse.bits, purse.runs) == (2_000_000, 50_000, 9)
    with pytest.raises(UsageError, match="no population"):
        draft_for(players, purses={"nobody": {"epsilon": 1, "bits": 1, "runs": 1}})


def test_aggregates_take_cells_sums_and_the_segments_of_a_query(players: Players) -> None:
    aggregates = [
        {"name": "jobs", "by": ["people.job"], "recipients": ["bank", "partner"]},
        {
            "name": "bands", "segments": {"bundle": "bands", "labels": ["low", "high"]}, "epsilon": 1,
            "sums": [{"dataset": "people", "column": "age", "lower": 0, "upper": 100}],
        },
    ]  # fmt: skip
    bundles = {"model": {"owner": "bank"}, "bands": {"owner": "bank", "lane": "query"}}
    rules = {rule.name: rule for rule in draft_for(players, aggregates=aggregates, bundles=bundles).rules}
    jobs, bands = rules["jobs"], rules["bands"]
    assert isinstance(jobs, GroupedAggregates)
    assert isinstance(bands, GroupedAggregates)
    assert jobs.recipients == ("bank", "partner")
    assert bands.segments is not None
    assert isinstance(rules["audience"], AudienceToOwner)
    with pytest.raises(UsageError, match=r"dataset\.column"):
        draft_for(players, aggregates=[{"name": "jobs", "by": ["job"]}])


def test_manual_consent_names_its_officers(players: Players) -> None:
    officer = players.home("bank").card().signing_key
    manual = {"partner": {"mode": "manual", "threshold": 1, "officers": [officer], "deadline": 3600}}
    consent = draft_for(players, consent=manual).party("partner").consent
    assert (consent.mode, consent.threshold, consent.officers, consent.deadline) == ("manual", 1, (officer,), 3600)
    assert draft_for(players).party("partner").consent.mode == "auto"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": None}, "one outcome"),
        ({"bundles": {}}, "one outcome"),
        ({"link": {"left": "nothing"}}, "two datasets"),
    ],
)
def test_a_template_says_what_it_misses(players: Players, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draft_for(players, **change)


def changed_dataset(name: str, **fields: Any) -> dict[str, Any]:
    value = spec_value()
    value["datasets"][name].update(fields)
    return {"datasets": value["datasets"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed_dataset("people", identifiers={"phone": "phone"}), "share no identifiers"),
        (changed_dataset("people", most_rows=None), "most_rows"),
        (changed_dataset("people", features={"job": "category"}), "leaves open"),
        (changed_dataset("people", features={"job": "infer"}), "leaves open"),
    ],
)
def test_holes_and_strangers_in_a_dataset_are_named(players: Players, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draft_for(players, **change)


def test_the_outcome_must_be_a_declared_value(players: Players) -> None:
    with pytest.raises(Malformed) as caught:
        draft_for(players, outcome={"dataset": "customers", "column": "y", "positive": "maybe"})
    assert caught.value.code == "E1.inconsistent"


def test_holes_are_filled_from_the_owners_file(tmp_path: Path) -> None:
    csv = tmp_path / "p.csv"
    csv.write_text(PARTNER_CSV)
    open_ = spec.parse(
        spec_value(**changed_dataset("people", most_rows=None, features={"age": "infer", "job": "category"}))
    )
    filled = spec.infer(open_, "people", csv).datasets["people"]
    assert filled.features == {"age": "int", "job": ("clerk", "cook")}
    assert filled.most_rows == 1000
    with pytest.raises(UsageError, match="no dataset"):
        spec.infer(open_, "nothing", csv)


def test_an_outcome_of_digits_is_inferred_as_a_category(tmp_path: Path) -> None:
    csv = tmp_path / "b.csv"
    csv.write_text("bank_id,email,y\nB1,a@b.c,0\nB2,b@b.c,1\n")
    value = spec_value(**changed_dataset("customers", features={"y": "infer"}))
    filled = spec.infer(spec.parse(value), "customers", csv).datasets["customers"]
    assert filled.features == {"y": ("0", "1")}


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    csv = tmp_path / "b.csv"
    csv.write_text("bank_id,email\nB1,a@b.c\n")
    for hole in ("infer", "category"):
        value = spec_value(**changed_dataset("customers", features={"absent": hole}), outcome=None)
        with pytest.raises(Malformed, match="absent"):
            spec.infer(spec.parse(value), "customers", csv)


def test_a_fragment_carries_an_owners_columns_to_whoever_drafts(tmp_path: Path) -> None:
    csv, target = tmp_path / "p.csv", tmp_path / "people.columns.json"
    csv.write_text(PARTNER_CSV)
    fragment.save(target, "people", fragment.from_csv(csv, "people", "partner"))
    without = spec.parse({**spec_value(), "datasets": {"customers": spec_value()["datasets"]["customers"]}})
    merged = fragment.merge(without, target)
    assert merged.datasets["people"].features == {"age": "int", "job": ("clerk", "cook")}
    assert "a@x.example" not in target.read_text().lower()
    for text in ("{", "[]", '{"format":"sealroom/columns/v1"}', '{"format":"other"}'):
        target.write_text(text)
        with pytest.raises(Malformed):
            fragment.merge(without, target)


def test_a_proposal_finds_id_identifiers_and_types(tmp_path: Path) -> None:
    csv = tmp_path / "b.csv"
    csv.write_text(BANK_CSV)
    found = columns.propose(csv)
    assert (found.id, found.rows, found.most_rows) == ("bank_id", 3, 1000)
    assert found.identifiers == {"email": "email"}
    assert found.features == {"balance": "int", "housing": ["no", "yes"], "y": ["no", "yes"]}
    again = tomllib.loads(found.as_toml("customers", "bank"))
    assert spec.parse(again).datasets["customers"].features["y"] == ("no", "yes")


def test_a_proposal_never_offers_texts_as_values(tmp_path: Path) -> None:
    csv = tmp_path / "b.csv"
    lines = [f"{i},name {i},{i / 2},naïve,," for i in range(60)]
    csv.write_text("id,who,half,accent,empty,empty2\n" + "\n".join(lines) + "\n")
    features = columns.propose(csv).features
    assert features == {"who": "text", "half": "float", "accent": "text", "empty": "text", "empty2": "text"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E1.no-header"),
        ("a b,c\n1,2\n", "E1.bad-column-name"),
        ("a,a\n1,2\n", "E1.duplicate-column"),
        ("a,b\n1\n", "E1.ragged"),
        ("a,b\n1,1\n1,1\n", "E1.no-id"),
        ('a\n"x\n', "E1.not-csv"),
    ],
)
def test_files_that_cannot_be_declared_are_refused(tmp_path: Path, text: str, code: str) -> None:
    csv = tmp_path / "x.csv"
    csv.write_text(text)
    with pytest.raises(Malformed) as caught:
        columns.propose(csv)
    assert caught.value.code == code


def test_policies_come_from_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    good = schema.encode(simulated_policy("cd" * 32))
    file.write_text(json.dumps([good]))
    assert spec.read_policy(file) == (simulated_policy("cd" * 32),)
    file.write_text(json.dumps({key: value for key, value in good.items() if key != "debug"}))
    with pytest.raises(Malformed) as caught:
        spec.read_policy(file)
    assert caught.value.code == "E1.missing-field"
    file.write_text("{")
    with pytest.raises(Malformed):
        spec.read_policy(file)


def test_an_operator_that_owns_the_code_needs_the_data_owners_word(players: Players) -> None:
    cards = [players.home(name).card() for name in ("bank", "partner")]
    policy = [simulated_policy("ab" * 32)]

    def draft(**changes: Any) -> Agreement:
        described = spec.parse(spec_value(**changes))
        return templates.draft("lookalike", described, cards=cards, operator="bank", platforms=policy, now=NOW)

    with pytest.raises(Malformed, match="covert channel"):
        draft()
    accepted = draft(accepts_covert_channel=["partner"])
    assert consistency.check(dataclasses.replace(accepted, title="Still fine")).title == "Still fine"
