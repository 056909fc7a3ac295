"""The rule audience_to_owner."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from sealroom.enclave.engine import audience
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from tests.engine import small


def oldest(tables: Any, ask: Any) -> Any:
    return np.argsort(-tables[ask.table]["age"].to_numpy(), kind="stable")[: ask.size]


def answer(job: Any = oldest, /, *, rule: Any = None, **more: Any) -> Release | Withheld:
    [found] = small.engine(rule or small.audience(), job=job, **more).answers()
    return found


def ids(found: Release | Withheld) -> list[str]:
    assert isinstance(found, Release), found
    header, *lines = found.canonical.splitlines()
    assert header == "pid"
    return lines


def test_the_release_is_a_sorted_list_of_the_owners_unlinked_ids() -> None:
    assert ids(answer()) == ["P54", "P55", "P56", "P57", "P58", "P59"]


def test_the_order_in_which_a_job_points_says_nothing() -> None:
    assert answer(lambda t, a: oldest(t, a)[::-1]) == answer()


def test_the_same_ids_leave_under_other_keys_and_file_orders() -> None:
    rows = small.partner_rows()
    assert answer(run_key=bytes(32), partner=list(reversed(rows)), bank=list(reversed(small.bank_rows()))) == answer()


def test_choosing_among_indistinguishable_rows_has_no_effect() -> None:
    rows = [{**row, "age": "30", "town": "A"} for row in small.partner_rows()]
    first = answer(lambda t, a: np.arange(a.size), partner=rows)
    assert answer(lambda t, a: len(t[a.table]) - 1 - np.arange(a.size), partner=rows) == first
    assert len(ids(first)) == 6


def test_the_job_sees_every_linked_and_every_unlinked_entity_without_ids() -> None:
    engine = small.engine(small.audience(), job=oldest)
    engine.answers()
    labelled, candidates = engine.calls[0].views
    assert (len(labelled.rows), len(candidates.rows)) == (40, 20)
    assert [c.name for c in candidates.columns] == ["age", "town"]
    assert engine.calls[0].ask["size"] == 6


def test_the_request_narrows_what_the_job_sees() -> None:
    engine = small.engine(small.audience(), job=oldest, requested={"prospects": ("age",), "customers": ()})
    engine.answers()
    assert [c.name for c in engine.calls[0].views[0].columns] == ["age", "outcome"]


def test_a_dataset_that_the_request_does_not_name_shows_nothing() -> None:
    assert answer(requested={"customers": ("kind",)}) == Withheld("audience", "no-columns")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"least_seed": 21}, "seed-too-small"), ({"floor": 7}, "below-floor"), ({"percent": 4}, "below-floor")],
)
def test_small_seeds_and_small_audiences_are_withheld(changed: dict[str, int], reason: str) -> None:
    assert answer(rule=small.audience(**changed)) == Withheld("audience", reason)


def test_nobody_unlinked_is_below_every_floor() -> None:
    assert answer(rule=small.audience(floor=0), partner=small.partner_rows(40)) == Withheld("audience", "below-floor")


@pytest.mark.parametrize(
    "rows",
    [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 20], [-1, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 2**62], range(7)],
    ids=["too-few", "twice", "out-of-range", "negative", "far-out-of-range", "too-many"],
)
def test_anything_but_exactly_that_many_rows_is_withheld(rows: Any) -> None:
    assert answer(lambda t, a: np.array(list(rows))) == Withheld("audience", "job-bad-output")


def test_a_release_that_outgrows_its_padded_size_is_withheld() -> None:
    rows = [{**row, "pid": "P" * 5000 + str(i)} for i, row in enumerate(small.partner_rows())]
    engine = small.engine(small.audience(), job=oldest, partner=rows)
    tight = [d if d.name != "prospects" else dataclasses.replace(d, most_rows=60) for d in engine.agreement.datasets]
    engine.agreement = dataclasses.replace(engine.agreement, datasets=tuple(tight))
    assert engine.answers() == [Withheld("audience", "bad-rule")]


def test_a_defect_of_ours_is_a_closed_reason_without_text() -> None:
    def broken(tables: Any, ask: Any) -> Any:
        raise RuntimeError("customer B17 has 40,000")

    assert answer(broken) == Withheld("audience", "engine-error")


def test_one_failing_rule_leaves_the_others_alone() -> None:
    found = small.engine(small.audience(floor=99), small.overlap(), job=oldest).answers()
    assert [type(item) for item in found] == [Withheld, Release]


@pytest.mark.parametrize(
    ("cell", "line"),
    [("P1", "P1"), ("a,b", '"a,b"'), ('a"b', '"a""b"'), ("a\nb", '"a\nb"'), (" a", '" a"'), ("\u00e9", "\u00e9")],
)
def test_ids_are_written_as_csv(cell: str, line: str) -> None:
    assert audience.csv_of("id", [cell]) == f"id\n{line}\n"


def test_ids_are_sorted_by_their_bytes() -> None:
    assert audience.csv_of("id", ["\u00e9", "b", "B", "a10", "a9"]) == "id\nB\na10\na9\nb\n\u00e9\n"
