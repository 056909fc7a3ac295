"""What makes the engine refuse a table."""

from __future__ import annotations

import numpy as np
import pytest

from sealroom.enclave import flat
from sealroom.enclave.engine import digests, reasons, tables
from sealroom.protocol.errors import NotAcceptable
from tests.engine import direct

SCHEMA = direct.dataset(
    "t",
    "bank",
    "id",
    [direct.column("n", "int"), direct.column("c", "category", values=["x", "y"]), direct.column("b", "bool")],
    most_rows=3,
)
ROWS = [{"id": "1", "n": "5", "c": "x", "b": "true"}, {"id": "2"}]


def refusal(data: bytes) -> str:
    with pytest.raises(NotAcceptable) as refused:
        tables.load(SCHEMA, data)
    assert reasons.code_of(refused.value) in reasons.REFUSED
    return reasons.code_of(refused.value)


def test_a_table_as_declared_is_loaded() -> None:
    table = tables.load(SCHEMA, direct.flat_of(SCHEMA, ROWS))
    assert table.rows == 2
    assert table.has("n")
    assert not table.has("m")
    assert sorted(table.rank.tolist()) == [0, 1]


def test_an_empty_table_is_loaded() -> None:
    assert tables.load(SCHEMA, direct.flat_of(SCHEMA, [])).rows == 0


@pytest.mark.parametrize("ids", [("1", "1"), ("1", None), ("", "2")])
def test_an_entity_that_is_missing_or_there_twice_refuses(ids: tuple[str | None, str | None]) -> None:
    assert refusal(direct.flat_of(SCHEMA, [{"id": one} for one in ids])) == "duplicate-entity"  # type: ignore[dict-item]


def test_an_empty_text_that_is_not_null_is_no_entity() -> None:
    columns = [flat.text_column("id", ["", "2"]), *flat.validate(direct.flat_of(SCHEMA, ROWS)).columns[1:]]
    assert refusal(flat.to_bytes(columns)) == "duplicate-entity"


def test_more_rows_than_agreed_refuse() -> None:
    assert refusal(direct.flat_of(SCHEMA, [{"id": str(i)} for i in range(4)])) == "too-many-rows"


def test_what_is_no_flat_table_refuses() -> None:
    assert refusal(b"id,n,c,b\n1,5,x,true\n") == "bad-table"


@pytest.mark.parametrize(
    "columns",
    [
        [direct.column("n", "int")],
        [direct.column("n", "float"), *SCHEMA.columns[2:]],
        [SCHEMA.columns[1], direct.column("c", "category", values=["x", "z"]), SCHEMA.columns[3]],
        [*SCHEMA.columns[1:], direct.column("extra", "int")],
    ],
    ids=["missing", "other-type", "other-values", "undeclared"],
)
def test_columns_other_than_declared_refuse(columns: list[object]) -> None:
    other = direct.dataset("t", "bank", "id", columns)
    assert refusal(direct.flat_of(other, [{"id": "1"}])) == "bad-table"


def test_a_missing_value_equals_nothing() -> None:
    table = tables.load(SCHEMA, direct.flat_of(SCHEMA, ROWS))
    for name, value in (("n", 5), ("c", "x"), ("b", True), ("id", "1")):
        assert tables.equals(table.column(name), value).tolist() == [True, False]
    assert tables.equals(table.column("c"), "nowhere").tolist() == [False, False]


def test_the_rank_of_two_entities_does_not_depend_on_others() -> None:
    few = direct.dataset("t", "bank", "id", [])
    ids = [f"e{i}" for i in range(50)]
    table = tables.load(few, direct.flat_of(few, [{"id": i} for i in ids]))
    part = tables.load(few, direct.flat_of(few, [{"id": i} for i in reversed(ids[10:40])]))
    rank = dict(zip(ids, table.rank.tolist(), strict=True))
    assert sorted(ids[10:40], key=rank.__getitem__) == [
        i for _, i in sorted(zip(part.rank.tolist(), reversed(ids[10:40]), strict=True))
    ]


def test_equal_first_words_are_ranked_by_the_second() -> None:
    words = np.array([[7, 3], [7, 1], [2, 9]], dtype=np.uint64)
    assert digests.ranks(words).tolist() == [2, 1, 0]


def test_take_keeps_cells_with_their_rows() -> None:
    table = tables.load(SCHEMA, direct.flat_of(SCHEMA, ROWS))
    for name in table.flat.names:
        column = tables.take(table.column(name), np.array([1, 0, 1]))
        assert column.validity.tolist() == [int(name == "id"), 1, int(name == "id")]
    assert tables.take(table.column("id"), np.array([1, 0])).text() == ["2", "1"]
