"""The strict decoder: exactly the declared type, or a refusal that names the place."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import pytest

from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import ColumnName, Hex32, Int, Label, Many, Name, Prose, Text, Time


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    type: Literal["inner"]
    flag: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Other:
    type: Literal["other"]
    names: Annotated[tuple[Name, ...], Many(1, 2)]


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    format: Literal["x/v1"]
    count: Annotated[int, Int(1, 9)]
    text: Annotated[str, Text(r"[a-z]+", 4)]
    maybe: Hex32 | None
    part: Inner | Other
    table: Annotated[dict[Name, Annotated[tuple[ColumnName, ...], Many(0, 2)]], Many(1, 2)]
    who: Annotated[tuple[Label, ...], Many(1, 2)] | Literal["any"]


VALID: dict[str, Any] = {
    "format": "x/v1",
    "count": 3,
    "text": "abc",
    "maybe": None,
    "part": {"type": "inner", "flag": True},
    "table": {"a": ["B.c", "_d"], "b": []} | {},
    "who": "any",
}


def refused(value: object, kind: Any = Document) -> Malformed:
    with pytest.raises(Malformed) as caught:
        schema.decode(kind, value)
    return caught.value


def test_a_valid_document_comes_back_from_its_encoding():
    for changes in ({}, {"maybe": "ab" * 32}, {"part": {"type": "other", "names": ["a"]}}, {"who": ["x", "y"]}):
        document = schema.decode(Document, {**VALID, **changes})
        assert schema.encode(document) == {**VALID, **changes}
        assert schema.decode(Document, schema.encode(document)) == document


@pytest.mark.parametrize("field", VALID)
def test_every_field_is_needed(field: str):
    error = refused({name: value for name, value in VALID.items() if name != field})
    assert (error.code, field in error.message) == ("E1.missing-field", True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"more": 1}, "E1.unknown-field"),
        ({"format": "x/v2"}, "E1.not-allowed"),
        ({"format": None}, "E1.not-allowed"),
        ({"count": True}, "E1.wrong-type"),
        ({"count": "3"}, "E1.wrong-type"),
        ({"count": 3.0}, "E1.wrong-type"),
        ({"count": None}, "E1.wrong-type"),
        ({"count": 0}, "E1.out-of-range"),
        ({"count": 10}, "E1.out-of-range"),
        ({"text": ""}, "E1.bad-text"),
        ({"text": "abcde"}, "E1.bad-text"),
        ({"text": "abC"}, "E1.bad-text"),
        ({"text": "abc\n"}, "E1.bad-text"),
        ({"text": b"abc"}, "E1.wrong-type"),
        ({"maybe": ""}, "E1.bad-text"),
        ({"maybe": 7}, "E1.wrong-type"),
        ({"maybe": "AB" * 32}, "E1.bad-text"),
        ({"part": {"type": "inner", "flag": 1}}, "E1.wrong-type"),
        ({"part": {"type": "inner", "names": ["a"]}}, "E1.unknown-field"),
        ({"part": {"type": "third"}}, "E1.unknown-type"),
        ({"part": {"type": ["inner"], "flag": True}}, "E1.unknown-type"),
        ({"part": {"flag": True}}, "E1.unknown-type"),
        ({"part": None}, "E1.wrong-type"),
        ({"part": {"type": "other", "names": []}}, "E1.bad-length"),
        ({"part": {"type": "other", "names": ["a", "b", "c"]}}, "E1.bad-length"),
        ({"part": {"type": "other", "names": "a"}}, "E1.wrong-type"),
        ({"table": {}}, "E1.bad-length"),
        ({"table": []}, "E1.wrong-type"),
        ({"table": {"A": []}}, "E1.bad-text"),
        ({"table": {"a": ["b", "c", "d"]}}, "E1.bad-length"),
        ({"table": {"a": [None]}}, "E1.wrong-type"),
        ({"who": "all"}, "E1.wrong-type"),
        ({"who": []}, "E1.bad-length"),
        ({"who": ["\u00e9"]}, "E1.bad-text"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any], code: str):
    assert refused({**VALID, **changes}).code == code


@pytest.mark.parametrize("value", [None, [], "x", 7, True])
def test_a_document_is_an_object(value: object):
    assert refused(value).code == "E1.wrong-type"


def test_the_message_names_the_place():
    assert "$.part.names[1]" in refused({**VALID, "part": {"type": "other", "names": ["a", 1]}}).message


def test_nesting_is_bounded():
    kind: Any = int
    value: Any = 1
    for _ in range(schema.MAX_DEPTH + 1):
        kind, value = tuple[kind, ...], [value]
    assert refused(value, kind).code == "E1.too-deep"


@pytest.mark.parametrize(
    "hidden", ["\n", "\x7f", "\x9f", "\u200b", "\u2028", "\u202e", "\u2067", "\ufeff", "\u061c", "\U000e0041"]
)
def test_prose_has_no_invisible_or_direction_changing_characters(hidden: str):
    assert schema.decode(Prose, "Käufe für 3 €") == "Käufe für 3 €"
    assert refused(f"pay{hidden}me", Prose).code == "E1.bad-text"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Name, ["a", "a-b_c9", "a" * 63], ["", "A", "9a", "-a", "a b", "a" * 64, "é"]),
        (ColumnName, ["A", "_x", "a.b-c"], ["", ".a", "a b", "x" * 64]),
        (Label, ["0", "a b", "~"], ["", "é", "a\tb", "x" * 65]),
        (Hex32, ["0" * 64], ["0" * 63, "0" * 65, "G" * 64]),
        (schema.Base64, ["A", "_-"], ["", "A=", "A+", "A/"]),
    ],
)
def test_words_have_one_alphabet(kind: Any, good: list[str], bad: list[str]):
    for text in good:
        assert schema.decode(kind, text) == text
    for text in bad:
        assert refused(text, kind).code == "E1.bad-text"


def test_times_are_whole_seconds_within_reason():
    assert schema.decode(Time, 0) == 0
    assert refused(-1, Time).code == "E1.out-of-range"
    assert refused(2**40 + 1, Time).code == "E1.out-of-range"
