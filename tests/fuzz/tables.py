"""Targets: flat tables, a job's output, queries, and the files that owners seal."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from sealroom.enclave import flat
from sealroom.enclave.engine import query
from sealroom.enclave.flat_columns import bool_column, category_column, float_column, int_column, text_column
from sealroom.enclave.jail import output, reader
from sealroom.enclave.jail.requests import ReaderSpec
from sealroom.protocol import schema
from sealroom.protocol.agreement import Dataset
from sealroom.protocol.errors import NotReleased, Refused
from tests.fuzz.target import Check, Target

ROWS = 5
COLUMNS = ("int", "float", "bool", "text", "category")
DATASET = {
    "name": "people", "owner": "bank", "population": "people", "entity": "id", "most_rows": 1000,
    "columns": [
        {"name": "id", "type": "text", "identifier": None, "values": None},
        *({"name": f"c_{kind}", "type": kind, "identifier": None,
           "values": ["no", "yes"] if kind == "category" else None} for kind in COLUMNS),
    ],
}  # fmt: skip


def _columns() -> tuple[Any, ...]:
    some = np.array([1, 0, 1, 1, 0])
    return (
        int_column("i", np.arange(ROWS), some),
        float_column("f", np.array([0.5, np.nan, -1.0, 2e300, 0.0])),
        bool_column("b", np.array([True, False, True, True, False]), some),
        text_column("t", ["a", None, "", "é€", "long enough"]),
        category_column("c", np.array([0, 1, -1, 1, 0]), ["no", "yes"]),
    )


def _flat() -> Check:
    def check(data: bytes) -> bool:
        try:
            table = flat.validate(data)
        except Refused:
            return False
        again = flat.validate(flat.to_bytes(table.columns, table.rows))
        assert again.rows == table.rows
        assert again.names == table.names
        for one, other in zip(table.columns, again.columns, strict=True):
            assert (one.kind, one.values) == (other.kind, other.values)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(one.buffers, other.buffers, strict=True))
            assert one.kind != "text" or len(one.text()) == table.rows
        return True

    return check


def _rows() -> Check:
    def check(data: bytes) -> bool:
        try:
            rows = output.read_rows(data, 3, ROWS)
        except NotReleased:
            return False
        assert len(rows) == len(set(rows.tolist())) == 3
        assert set(rows.tolist()) <= set(range(ROWS))
        assert _written(output.ROWS, rows) == data
        return True

    return check


def _scores() -> Check:
    def check(data: bytes) -> bool:
        try:
            scores = output.read_scores(data, ROWS)
        except NotReleased:
            return False
        assert len(scores) == ROWS
        assert np.isfinite(scores).all()
        assert not np.signbit(scores[scores == 0]).any()
        return True

    return check


def _written(kind: int, items: Any) -> bytes:
    target = bytearray(output.size_of(len(items)))
    output.write(memoryview(target), kind, np.asarray(items))
    return bytes(target)


def _query() -> Check:
    declared = {f"people.{c.name}": c for c in schema.decode(Dataset, DATASET).columns}
    cells = {
        "people.c_int": _columns()[0], "people.c_float": _columns()[1], "people.c_bool": _columns()[2],
        "people.c_text": _columns()[3], "people.c_category": _columns()[4], "people.id": _columns()[3],
    }  # fmt: skip
    labels = ("rich", "other")

    def check(data: bytes) -> bool:
        try:
            segments = query.decode(data.decode("utf-8", "surrogatepass"), declared, labels)
        except (NotReleased, UnicodeDecodeError):
            return False
        found = query.assign(segments, labels, cells.__getitem__, ROWS)
        assert found.shape == (ROWS,)
        assert set(found.tolist()) <= {-1, 0, 1}
        return True

    return check


def _reader(form: str) -> Check:
    """As the jail does it, without the jail: whatever a parser raises is caught there, and says nothing to anybody."""
    spec = schema.decode(ReaderSpec, {"dataset": DATASET, "format": form})

    def check(data: bytes) -> bool:
        try:
            columns, rows = reader.columns_of(spec, memoryview(data))
        except Exception:  # noqa: BLE001 (what reader.run catches)
            return False
        table = flat.validate(flat.to_bytes(columns, rows))
        assert rows <= 1000
        assert [column.kind for column in table.columns] == ["text", *COLUMNS]
        return True

    return check


def _table() -> Any:
    return pa.table(
        {
            "id": ["a", "b", "c"], "c_int": [1, None, 3], "c_float": [0.5, None, -1.0], "c_bool": [True, None, False],
            "c_text": ["x", "", None], "c_category": ["no", "yes", None],
        }
    )  # fmt: skip


def _arrow() -> list[bytes]:
    made = []
    for table in (_table(), _table().set_column(5, "c_category", _table()["c_category"].dictionary_encode())):
        out = io.BytesIO()
        with pyarrow.ipc.new_file(out, table.schema) as file:
            file.write_table(table)
        made.append(out.getvalue())
    return made


def _parquet() -> list[bytes]:
    made = []
    for compression in ("none", "snappy", "gzip"):
        out = io.BytesIO()
        pyarrow.parquet.write_table(_table(), out, compression=compression)
        made.append(out.getvalue())
    return made


_CSV = b'id,c_int,c_float,c_bool,c_text,c_category\na,1,0.5,true,x,no\nb,,,,"",yes\nc,x,nan,0,"a ""q""\nb",maybe\n'
_QUERIES = (
    [{"label": "rich", "when": [["people.c_int", ">=", 2], ["people.c_category", "in", ["no", "yes"]]]}],
    [
        {"label": "rich", "when": [["people.c_text", "!=", "a"], ["people.c_bool", "=", True]]},
        {"label": "other", "when": []},
    ],
    [{"label": "other", "when": [["people.c_float", "<", 0]]}],
)


def _queries() -> list[bytes]:
    return [json.dumps({"format": query.FORMAT, "segments": segments}).encode() for segments in _QUERIES]


TARGETS = (
    Target(
        name="flat-table", decoder="enclave/flat_read.py validate", law="written again, has the same cells",
        prepare=_flat, seeds=lambda: [flat.to_bytes(_columns()), flat.to_bytes(_columns()[3:4]), flat.to_bytes((), 0)],
    ),
    Target(
        name="job-rows", decoder="enclave/jail/output.py read_rows", law="different rows of the table; one spelling",
        prepare=_rows, seeds=lambda: [_written(output.ROWS, [4, 0, 2])],
    ),
    Target(
        name="job-scores", decoder="enclave/jail/output.py read_scores", law="finite, and no negative zero",
        prepare=_scores, seeds=lambda: [_written(output.SCORES, [0.5, -1.0, 3.0, 0.0, -0.0])],
    ),
    Target(
        name="query", decoder="enclave/engine/query.py decode", law="gives declared labels to rows", prepare=_query,
        shape="json", seeds=_queries,
    ),
    Target(
        name="csv", decoder="enclave/jail/reader.py (csv)", law="gives a valid flat table", shape="text",
        prepare=lambda: _reader("csv"), seeds=lambda: [_CSV, _CSV[:42]],
    ),
    Target(
        name="arrow", decoder="enclave/jail/reader.py (arrow)", law="gives a valid flat table", most=8192,
        prepare=lambda: _reader("arrow"), seeds=_arrow,
    ),
    Target(
        name="parquet", decoder="enclave/jail/reader.py (parquet)", law="gives a valid flat table", most=8192,
        prepare=lambda: _reader("parquet"), seeds=_parquet,
    ),
)  # fmt: skip
