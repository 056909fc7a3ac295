"""Views: what a job sees, and that positions in them can say nothing about persons."""

from __future__ import annotations

import numpy as np
import pytest

from sealroom.enclave import flat
from sealroom.enclave.engine import tables, views
from sealroom.protocol.errors import NotReleased
from tests.engine import direct

SCHEMA = direct.dataset(
    "t",
    "partner",
    "id",
    [
        direct.column("mail", identifier="email"),
        direct.column("n", "int"),
        direct.column("f", "float"),
        direct.column("w", "text"),
        direct.column("c", "category", values=["x", "y"]),
    ],
)
ROWS = [
    {"id": f"e{i}", "mail": f"{i}@x", "n": str(i % 3), "w": "ab"[i % 2], "c": "x", "f": "" if i % 5 else "1"}
    for i in range(40)
]


def load(rows: list[dict[str, str]]) -> tables.Table:
    return tables.load(SCHEMA, direct.flat_of(SCHEMA, rows))


def build(rows: list[dict[str, str]]) -> tuple[tables.Table, views.View]:
    table = load(rows)
    return table, views.build("v", table, ("n", "f", "w", "c"), np.arange(len(rows)))


def content(view: views.View) -> bytes:
    return flat.to_bytes(view.columns, len(view.rows))


def test_identifiers_and_entity_ids_are_never_features() -> None:
    assert views.features(SCHEMA, [c.name for c in SCHEMA.columns]) == ("n", "f", "w", "c")
    assert views.features(SCHEMA, ("c", "id", "mail", "nowhere")) == ("c",)
    with pytest.raises(NotReleased) as refused:
        views.features(SCHEMA, ("id", "mail"))
    assert refused.value.code == "E5.no-columns"


def test_equal_content_gives_equal_bytes_whatever_the_file_order_and_the_ids() -> None:
    _, view = build(ROWS)
    shuffled = [{**row, "id": f"other{i}"} for i, row in enumerate(reversed(ROWS))]
    assert content(build(shuffled)[1]) == content(view)


def test_rows_of_one_group_are_equal_and_groups_differ() -> None:
    _, view = build(ROWS)
    cells = list(
        zip(
            *[c.text() if c.kind == "text" else np.where(c.validity, c.data, -9).tolist() for c in view.columns],
            strict=True,
        )
    )
    seen: dict[int, object] = {}
    for group, cell in zip(view.group.tolist(), cells, strict=True):
        assert seen.setdefault(group, cell) == cell
    assert len(set(seen.values())) == len(seen) == int(view.group[-1]) + 1


def test_a_missing_cell_is_not_a_zero() -> None:
    _, view = build([{"id": "a", "n": "0"}, {"id": "b"}])
    assert view.group.tolist() == [0, 1]


def test_negative_zero_is_zero() -> None:
    _, view = build([{"id": "a", "f": "-0.0"}, {"id": "b", "f": "0.0"}])
    assert view.group.tolist() == [0, 0]


def test_what_is_chosen_within_a_group_makes_no_difference() -> None:
    _, view = build(ROWS)
    group = np.flatnonzero(view.group == np.bincount(view.group).argmax())
    chosen = [set(views.canonical_rows(view, np.array([i])).tolist()) for i in group]
    assert len(group) > 1
    assert all(rows == chosen[0] for rows in chosen)


def test_the_same_persons_are_chosen_under_any_file_order() -> None:
    def ids(rows: list[dict[str, str]]) -> list[str]:
        table, view = build(rows)
        found = views.canonical_rows(view, np.array([3, 0, 11]))
        return sorted(table.ids[int(i)].as_py() for i in found)

    assert ids(ROWS) == ids(list(reversed(ROWS)))
    assert len(ids(ROWS)) == 3


def test_choosing_everything_or_nothing_is_just_that() -> None:
    _, view = build(ROWS)
    assert sorted(views.canonical_rows(view, np.arange(40))) == list(range(40))
    assert not len(views.canonical_rows(view, np.array([], dtype=np.int64)))


def test_a_group_shares_its_lowest_score() -> None:
    _, view = build(ROWS)
    scores = np.arange(40, dtype=np.float64)
    found = views.canonical_scores(view, scores)
    assert all(len(set(found[view.group == g])) == 1 for g in set(view.group))
    assert found[0] == 0
    assert (found <= scores).all()
    assert not len(views.canonical_scores(view, scores[:0]))


def test_the_outcome_comes_last_and_gives_way_to_a_feature_of_its_name() -> None:
    table = load(ROWS)
    outcome = np.arange(40) % 2 == 0
    view = views.build("v", table, ("n",), np.arange(40), outcome=outcome)
    assert [c.name for c in view.columns] == ["n", "outcome"]
    assert view.columns[1].data.astype(bool).tolist() == outcome[view.rows].tolist()
    assert views.label_name(("outcome", "outcome_")) == "outcome__"


def test_an_empty_view_is_possible() -> None:
    table = load(ROWS)
    view = views.build("v", table, ("n", "w"), np.array([], dtype=np.int64))
    assert len(view.rows) == len(view.group) == 0
