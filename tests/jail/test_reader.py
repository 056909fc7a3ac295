"""Owners' files become flat tables, cell by cell."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from sealroom.enclave import flat
from sealroom.enclave.jail import cells, reader, requests
from sealroom.protocol import schema
from sealroom.protocol.agreement import Column, Dataset
from sealroom.protocol.errors import Malformed
from tests.jail.zygotes import Zygote

TYPES = {"i": "int", "f": "float", "b": "bool", "t": "text", "c": "category"}


def dataset(names: str = "ifbtc", most: int = 1000) -> dict[str, Any]:
    columns = [
        {"name": n, "type": TYPES[n], "identifier": None, "values": ["p", "q"] if n == "c" else None} for n in names
    ]
    return {
        "name": "d", "owner": "o", "population": "p", "entity": names[0], "most_rows": most, "columns": columns,
    }  # fmt: skip


def columns(payload: bytes, form: str, **more: Any) -> dict[str, flat.Column]:
    spec = schema.decode(requests.ReaderSpec, {"dataset": dataset(**more), "format": form})
    found, rows = reader.columns_of(spec, memoryview(payload))
    table = flat.validate(flat.to_bytes(found, rows))
    return {column.name: column for column in table.columns}


def values(column: flat.Column) -> list[Any]:
    if column.kind == "text":
        return list(column.text())
    cells_ = column.data.tolist()
    if column.kind == "category":
        names = column.values
        assert names is not None
        return [names[code] if code >= 0 else None for code in cells_]
    return [cell if valid else None for cell, valid in zip(cells_, column.validity.tolist(), strict=True)]


CSV = (
    b"\xef\xbb\xbfi,x,f,b,t,c\r\n"
    b"1,zz,1.5,true,hello,p\r\n"
    b' 2 ,zz, -2e1 ,0,"with, comma\nand line",q\r\n'
    b'+3.0,zz,.5,TRUE,"",r\r\n'
    b"x,zz,nan,maybe,,P\r\n"
    b"9999999999999999999,zz,1e999,,\xc3\xa9,\r\n"
)


def test_csv_cells_are_judged_one_by_one() -> None:
    found = columns(CSV, "csv")
    assert values(found["i"]) == [1, 2, 3, None, None]
    assert values(found["f"]) == [1.5, -20.0, 0.5, None, None]
    assert values(found["b"]) == [1, 0, 1, None, None]
    assert values(found["t"]) == ["hello", "with, comma\nand line", "", None, "é"]
    assert values(found["c"]) == ["p", "q", None, None, None]


def test_undeclared_columns_are_dropped_and_the_agreement_sets_the_order() -> None:
    assert list(columns(CSV, "csv", names="ci")) == ["c", "i"]


def arrow_table() -> pa.Table:
    return pa.table(
        {
            "c": pa.array(["p", "z", None]).dictionary_encode(),
            "f": pa.array([1, 2, None], pa.int32()),
            "i": pa.array([1.0, 2.5, None]),
            "b": pa.array([1, 0, 2]),
            "t": pa.array([1, 2, None]),
            "x": pa.array([b"1", b"2", b"3"]),
        }
    )


def as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer)
    return buffer.getvalue()


def as_arrow(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return buffer.getvalue()


@pytest.mark.parametrize(("form", "write"), [("parquet", as_parquet), ("arrow", as_arrow)])
def test_typed_files_are_brought_to_the_declared_types(form: str, write: Any) -> None:
    found = columns(write(arrow_table()), form)
    assert values(found["c"]) == ["p", None, None]
    assert values(found["f"]) == [1.0, 2.0, None]
    assert values(found["i"]) == [1, None, None]
    assert values(found["b"]) == [1, 0, None]
    assert values(found["t"]) == ["1", "2", None]


@pytest.mark.parametrize(
    ("kind", "array", "expected"),
    [
        ("int", pa.array([2**63, 1], pa.uint64()), [None, 1]),
        ("int", pa.array([True, False]), [1, 0]),
        ("int", pa.array([2.0**60, 3.0]), [None, 3]),
        ("int", pa.array([[1], [2]]), [None, None]),
        ("float", pa.array([True]), [None]),
        ("float", pa.array(["1", "x"]), [1.0, None]),
        ("bool", pa.array([True, None]), [1, None]),
        ("bool", pa.array([1.0]), [None]),
        ("bool", pa.array([" True", "2"]), [1, None]),
        ("text", pa.array([[1]]), [None]),
        ("category", pa.array([[1]]), [None]),
    ],
)
def test_a_cell_that_is_not_of_its_type_is_null(kind: Any, array: pa.Array, expected: list[object]) -> None:
    declared = Column(name="a", type=kind, identifier=None, values=("p",) if kind == "category" else None)
    assert values(cells.column_of(declared, pa.chunked_array([array]))) == expected


def test_decimals_are_floats() -> None:
    declared = Column(name="a", type="float", identifier=None, values=None)
    data = pa.chunked_array([pa.array(["1.25"]).cast(pa.decimal128(5, 2))])
    assert values(cells.column_of(declared, data)) == [1.25]


@pytest.mark.parametrize("payload", [b"i,x\n1,2\n", b"i,f,b,t,c,c\n", b"", b"\n"])
def test_a_missing_or_repeated_column_ends_the_run(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        columns(payload, "csv")
    assert caught.value.code == "E1.column-missing"


def test_more_rows_than_agreed_end_the_run() -> None:
    with pytest.raises(Malformed) as caught:
        columns(CSV, "csv", most=4)
    assert caught.value.code == "E1.too-many-rows"


def test_readers_work_in_a_jail(jailer: Zygote) -> None:
    for form, payload in {"csv": CSV, "parquet": as_parquet(arrow_table()), "arrow": as_arrow(arrow_table())}.items():
        outcome, data = jailer.read(dataset(), payload, form)
        assert outcome == "ok"
        assert flat.validate(data).names == ("i", "f", "b", "t", "c")


def test_readers_end_in_closed_outcomes(jailer: Zygote) -> None:
    assert jailer.read(dataset(), b"PAR1 broken", "parquet")[0] == "error"
    assert jailer.read(dataset(), b"ARROW1 broken", "arrow")[0] == "error"
    assert jailer.read(dataset(), b"i\n1\n", "csv")[0] == "error"
    assert jailer.read(dataset(), CSV, "csv", room=100)[0] == "bad-output"
    wide = b"i,f,b,t,c\n" + b"1,1,1,x,p\n" * 200
    assert jailer.read(dataset(), wide, "csv")[0] == "ok"


def test_a_large_csv_of_many_blocks_is_read(jailer: Zygote) -> None:
    rows = 60_000
    text = b"i,f,b,t,c\n" + b"".join(b"%d,0.5,true,some text %d,p\n" % (i, i) for i in range(rows))
    outcome, data = jailer.read(dataset(most=rows), text, "csv", room=16 << 20)
    assert outcome == "ok"
    table = flat.validate(data)
    assert np.array_equal(table.column("i").data, np.arange(rows))


def test_the_dataset_is_the_agreement_s_type() -> None:
    assert isinstance(schema.decode(Dataset, dataset()), Dataset)
