"""Query bundles: what they may say, and which segment an entity gets."""

from __future__ import annotations

import json

import pytest

from sealroom.enclave.engine import query, reasons, tables
from sealroom.protocol.errors import NotReleased
from tests.engine import direct

SCHEMA = direct.dataset(
    "t",
    "bank",
    "id",
    [
        direct.column("n", "int"),
        direct.column("f", "float"),
        direct.column("b", "bool"),
        direct.column("c", "category", values=["x", "y"]),
        direct.column("w", "text"),
    ],
)
COLUMNS = {f"t.{c.name}": c for c in SCHEMA.columns[1:]}
LABELS = ("one", "two")
ROWS = [
    {"id": "1", "n": "5", "f": "0.5", "b": "true", "c": "x", "w": "red"},
    {"id": "2", "n": "-5", "f": "2.0", "b": "false", "c": "y", "w": "blue"},
    {"id": "3"},
]


def text(*segments: object, **more: object) -> str:
    return json.dumps({"format": "sealroom/query/v1", "segments": list(segments), **more})


def segment(*when: object, label: object = "one") -> dict[str, object]:
    return {"label": label, "when": list(when)}


def assigned(*segments: object) -> list[int]:
    table = tables.load(SCHEMA, direct.flat_of(SCHEMA, ROWS))
    found = query.decode(text(*segments), COLUMNS, LABELS)
    column = lambda name: table.column(name.partition(".")[2])  # noqa: E731
    return query.assign(found, LABELS, column, table.rows).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (["t.n", "=", 5], [0]),
        (["t.n", "!=", 5], [1]),
        (["t.n", "<", 5], [1]),
        (["t.n", "<=", 5], [0, 1]),
        (["t.n", ">", -5], [0]),
        (["t.n", ">=", -5], [0, 1]),
        (["t.n", "in", [5, 7]], [0]),
        (["t.f", ">=", 1], [1]),
        (["t.f", "=", 2], [1]),
        (["t.b", "=", True], [0]),
        (["t.b", "!=", True], [1]),
        (["t.c", "=", "x"], [0]),
        (["t.c", "!=", "x"], [1]),
        (["t.c", "in", ["x", "y"]], [0, 1]),
        (["t.w", "=", "red"], [0]),
        (["t.w", "!=", "red"], [1]),
        (["t.w", "in", ["blue"]], [1]),
    ],
)
def test_a_condition_holds_where_it_says_and_never_for_a_missing_value(
    condition: list[object], holds: list[int]
) -> None:
    assert assigned(segment(condition)) == [0 if row in holds else -1 for row in range(3)]


def test_the_first_matching_segment_wins() -> None:
    assert assigned(segment(["t.n", ">", 0], label="two"), segment(label="one")) == [1, 0, 0]
    assert assigned(segment(label="one"), segment(["t.n", ">", 0], label="two")) == [0, 0, 0]


def test_all_conditions_of_a_segment_must_hold() -> None:
    assert assigned(segment(["t.n", "<=", 5], ["t.c", "=", "y"])) == [-1, 0, -1]


BAD = {
    "not-json": "{",
    "repeated-key": '{"format":"sealroom/query/v1","format":"sealroom/query/v1","segments":[]}',
    "not-an-object": "[]",
    "too-deep": "[" * 100_000,
    "too-long": text(segment(label="one" * query.MOST_BYTES)),
    "other-format": text(segment()).replace("v1", "v2"),
    "unknown-field": text(segment(), more=1),
    "no-segments": text(),
    "segments-not-a-list": json.dumps({"format": "sealroom/query/v1", "segments": {}}),
    "too-many-segments": text(*[segment()] * 101),
    "segment-not-an-object": text([]),
    "segment-with-more": text({**segment(), "note": ""}),
    "label-not-text": text(segment(label=1)),
    "when-not-a-list": text({"label": "one", "when": "t.n"}),
    "too-many-conditions": text(segment(*[["t.n", "=", 1]] * 33)),
    "condition-too-short": text(segment(["t.n", "="])),
    "condition-too-long": text(segment(["t.n", "=", 1, 2])),
    "condition-not-a-list": text(segment("t.n=1")),
    "column-not-text": text(segment([1, "=", 1])),
    "operator-not-text": text(segment(["t.n", 1, 1])),
    "unknown-column": text(segment(["t.m", "=", 1])),
    "entity-column": text(segment(["t.id", "=", "1"])),
    "unknown-operator": text(segment(["t.n", "like", 1])),
    "order-of-a-category": text(segment(["t.c", "<", "y"])),
    "order-of-text": text(segment(["t.w", ">=", "r"])),
    "list-for-equality": text(segment(["t.n", "=", [1]])),
    "empty-list": text(segment(["t.n", "in", []])),
    "long-list": text(segment(["t.n", "in", [1] * 1001])),
    "float": text(segment(["t.n", "=", 1.5])),
    "infinity": text(segment(["t.n", "=", float("inf")])),
    "truth-for-a-number": text(segment(["t.n", "=", True])),
    "number-for-a-truth": text(segment(["t.b", "=", 1])),
    "huge-number": text(segment(["t.n", "=", 2**60])),
    "undeclared-value": text(segment(["t.c", "=", "z"])),
    "control-character": text(segment(["t.w", "=", "\n"])),
    "null": text(segment(["t.w", "=", None])),
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_a_bad_query(name: str) -> None:
    with pytest.raises(NotReleased) as refused:
        query.decode(BAD[name], COLUMNS, LABELS)
    assert reasons.code_of(refused.value) == "bad-query"


def test_a_label_outside_the_agreement_is_refused() -> None:
    with pytest.raises(NotReleased) as refused:
        query.decode(text(segment(label="P000123 has 40,000")), COLUMNS, LABELS)
    assert reasons.code_of(refused.value) == "undeclared-label"
