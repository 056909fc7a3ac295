"""Parses one owner's file into a flat table, in a jail that holds no other party's bytes.

Runs in: jail, after it was confined.   Believes: nothing.   Spec: §9.

Declared columns only; a cell that does not parse as its declared type, and a category's value that is not declared,
becomes null. A missing column, a broken file or too many rows end the run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from sealroom.enclave import flat, memory
from sealroom.enclave.jail import cells
from sealroom.enclave.jail.outcomes import Outcome
from sealroom.enclave.jail.requests import ReaderSpec
from sealroom.protocol.errors import Malformed, UsageError

_MOST_HEADER = 1 << 20


def run(spec: ReaderSpec, fds: Sequence[int]) -> Outcome:
    """Parse the payload `fds[0]` into the fixed output `fds[1]`; an output that is too small is `bad-output`."""
    payload, target = fds
    try:
        columns, rows = columns_of(spec, memory.map_readonly(payload))
    except MemoryError:
        return "out-of-memory"
    except Exception:  # noqa: BLE001 -- parsers of hostile files; their words say something about the file
        return "error"
    try:
        flat.write_into(memory.map_writable(target), columns, rows)
    except UsageError:
        return "bad-output"
    return "ok"


def columns_of(spec: ReaderSpec, payload: memoryview) -> tuple[tuple[flat.Column, ...], int]:
    """The declared columns of a file, in the agreement's order, and its number of rows.

    Raises:
        Malformed: a column is missing or there twice, or there are more rows than agreed.
        pyarrow.ArrowException: the file cannot be read.
    """
    names = [column.name for column in spec.dataset.columns]
    table = _READERS[spec.format](payload, names)
    if table.num_rows > min(spec.dataset.most_rows, flat.MOST_ROWS):
        raise Malformed("too-many-rows", "the file has more rows than agreed")
    columns = (cells.column_of(declared, table.column(declared.name)) for declared in spec.dataset.columns)
    return tuple(columns), table.num_rows


def _read_csv(payload: memoryview, names: list[str]) -> Any:
    """Cells as text, so that each is judged alone; an empty cell without quotes is null."""
    _require(names, _csv_header(payload))
    return pyarrow.csv.read_csv(
        pa.BufferReader(payload),
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.large_utf8()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _csv_header(payload: memoryview) -> list[str]:
    text = bytes(payload[:_MOST_HEADER]).decode("utf-8-sig", errors="replace")
    return next(csv.reader(io.StringIO(text, newline="")), [])


def _read_parquet(payload: memoryview, names: list[str]) -> Any:
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(payload), pre_buffer=False)
    _require(names, file.schema_arrow.names)
    table = file.read(columns=names, use_threads=False)
    table.validate(full=True)  # texts come as the owner wrote them, UTF-8 or not
    return table


def _read_arrow(payload: memoryview, names: list[str]) -> Any:
    with pyarrow.ipc.open_file(pa.BufferReader(payload), options=pyarrow.ipc.IpcReadOptions(use_threads=False)) as file:
        _require(names, file.schema.names)
        table = file.read_all().select(names)
    table.validate(full=True)  # buffers come as the owner wrote them
    return table


def _require(names: list[str], found: list[str]) -> None:
    for name in names:
        if found.count(name) != 1:
            raise Malformed("column-missing", f"the column {name} is missing, or there twice")


_READERS = {"csv": _read_csv, "parquet": _read_parquet, "arrow": _read_arrow}
