"""Flat tables: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pyarrow as pa
import pytest

from sealroom.enclave import flat, flat_arrow, memory
from sealroom.protocol.errors import Malformed, UsageError


def sample() -> list[flat.Column]:
    return [
        flat.int_column("a", np.array([1, 2, 3, -4]), np.array([1, 0, 1, 1])),
        flat.float_column("b", np.array([1.5, np.nan, np.inf, 2])),
        flat.bool_column("c", np.array([1, 0, 1, 0]), np.array([1, 1, 0, 1])),
        flat.text_column("d", ["x", "é", None, ""]),
        flat.category_column("e", np.array([0, 1, -7, 1]), ["p", "q"]),
    ]


def test_a_table_reads_back_as_it_was_written() -> None:
    table = flat.validate(flat.to_bytes(sample()))
    assert (table.rows, table.names) == (4, ("a", "b", "c", "d", "e"))
    assert table.column("a").data.tolist() == [1, 0, 3, -4]
    assert table.column("b").validity.tolist() == [1, 0, 0, 1]
    assert table.column("c").data.tolist() == [1, 0, 0, 0]
    assert table.column("d").text() == ["x", "é", None, ""]
    assert table.column("e").data.tolist() == [0, 1, -1, 1]
    assert table.column("e").values == ("p", "q")


def test_bytes_a_memory_file_and_a_larger_buffer_hold_the_same_table() -> None:
    data = flat.to_bytes(sample())
    fd = flat.to_memfd("t", sample())
    assert memory.require_seals(fd) == len(data) == flat.size_of(sample())
    assert bytes(memory.map_readonly(fd)) == data
    os.close(fd)
    larger = bytearray(b"\xff" * (len(data) + 100))
    assert flat.write_into(memoryview(larger), sample()) == len(data)
    assert bytes(larger[: len(data)]) == data
    assert flat.validate(bytes(larger)).rows == 4


def test_tables_without_rows_or_without_columns_are_tables() -> None:
    empty = [flat.text_column("d", []), flat.category_column("e", np.array([], dtype="i4"), [])]
    assert flat.validate(flat.to_bytes(empty)).rows == 0
    assert flat.validate(flat.to_bytes([], rows=3)).rows == 3


def test_what_is_read_cannot_be_written_to() -> None:
    table = flat.validate(flat.to_bytes(sample()))
    with pytest.raises(ValueError, match="read-only"):
        table.column("a").data[0] = 1


def test_a_table_survives_arrow_in_both_directions() -> None:
    table = flat.validate(flat.to_bytes(sample()))
    arrow = flat_arrow.to_arrow(table)
    assert arrow.to_pylist()[1] == {"a": None, "b": None, "c": False, "d": "é", "e": "q"}
    arrow.validate(full=True)
    assert flat.to_bytes(flat_arrow.columns_of(arrow)) == flat.to_bytes(sample())
    sliced = flat.validate(flat.to_bytes(flat_arrow.columns_of(arrow.slice(1, 2))))
    assert sliced.column("d").text() == ["é", None]
    assert sliced.column("a").data.tolist() == [0, 3]


def test_empty_and_chunked_arrow_tables_convert() -> None:
    arrow = flat_arrow.to_arrow(flat.validate(flat.to_bytes(sample())))
    double = pa.concat_tables([arrow, arrow])
    assert flat.validate(flat.to_bytes(flat_arrow.columns_of(double))).rows == 8
    assert flat.validate(flat.to_bytes(flat_arrow.columns_of(arrow.slice(0, 0)))).rows == 0


def test_bytes_under_a_null_text_do_not_travel() -> None:
    hidden = pa.Array.from_buffers(
        pa.large_utf8(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([0, 1, 7])), pa.py_buffer(b"asecret")]
    )
    column = flat_arrow.column_of("t", hidden)
    assert column.text() == ["a", None]
    assert b"secret" not in flat.to_bytes([column])


def test_a_type_without_a_flat_form_is_refused() -> None:
    with pytest.raises(UsageError, match="no flat type"):
        flat_arrow.column_of("t", pa.array([b"x"]))


def test_texts_outside_the_declared_values_become_null() -> None:
    column = flat_arrow.category_of("c", pa.chunked_array([["p", "zz", None]]), ["p", "q"])
    assert column.data.tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    "columns",
    [
        [flat.int_column("a", np.arange(2)), flat.int_column("b", np.arange(3))],
        [flat.int_column("a", np.arange(2)), flat.int_column("a", np.arange(2))],
        [flat.Column("a", "int", (np.ones(2, "u1"), np.ones(2, "<f8")))],
        [flat.int_column(f"c{i}", np.arange(1)) for i in range(513)],
        [],
    ],
)
def test_columns_that_make_no_table_are_not_written(columns: list[flat.Column]) -> None:
    with pytest.raises(UsageError):
        flat.to_bytes(columns)


def test_a_buffer_that_is_too_small_is_not_written() -> None:
    with pytest.raises(UsageError, match="room"):
        flat.write_into(memoryview(bytearray(100)), sample())


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError):
        flat.validate(flat.to_bytes(sample())).column("z")


def raw(header: object, *, magic: bytes = b"SRFLAT1\0", tail: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (magic + struct.pack("<I", len(text)) + text).ljust(512, b"\0") + tail


def one(kind: str, places: object, **more: object) -> dict[str, object]:
    return {"rows": 2, "columns": [{"name": "a", "type": kind, "buffers": places, **more}]}


MASK = b"\1\1".ljust(64, b"\0")
NULL = b"\1\0".ljust(64, b"\0")
I8 = struct.Struct("<2q").pack
F8 = struct.Struct("<2d").pack
I4 = struct.Struct("<2i").pack


def bool_(tail: bytes) -> bytes:
    return raw(one("bool", [[512, 2], [576, 2]]), tail=tail)


def floats(tail: bytes) -> bytes:
    return raw(one("float", [[512, 2], [576, 16]]), tail=tail)


def codes(tail: bytes) -> bytes:
    return raw(one("category", [[512, 2], [576, 8]], values=["a"]), tail=tail)


def text(mask: bytes, ends: tuple[int, int, int], blob: bytes) -> bytes:
    tail = mask + struct.pack("<3q", *ends).ljust(64) + blob
    return raw(one("text", [[512, 2], [576, 24], [640, 2]]), tail=tail)


REFUSED = [
    ("too short for a head", b"SRFLAT1\0", "E1.cut-short"),
    ("another magic", raw({}, magic=b"SRFLAT2\0"), "E1.bad-header"),
    ("a header that does not fit", b"SRFLAT1\0" + struct.pack("<I", 9) + b"{}", "E1.bad-header"),
    ("a header that is not JSON", raw(b"{"), "E1.bad-header"),
    ("a header of deep nesting", raw(b"[" * 400), "E1.bad-header"),
    ("a header with other fields", raw({"rows": 1, "columns": [], "x": 1}), "E1.bad-header"),
    ("too many rows", raw({"rows": 50_000_001, "columns": []}), "E1.too-large"),
    ("rows that are true", raw({"rows": True, "columns": []}), "E1.too-large"),
    ("too many columns", raw({"rows": 1, "columns": [0] * 513}), "E1.too-large"),
    ("a column that is no object", raw({"rows": 1, "columns": [0]}), "E1.bad-column"),
    ("an unknown type", raw(one("blob", [])), "E1.bad-column"),
    ("values for a number", raw(one("int", [[512, 2], [576, 16]], values=[])), "E1.bad-column"),
    ("too few buffers", raw(one("int", [[512, 2]])), "E1.bad-column"),
    ("values that are no list", raw(one("category", [[512, 2], [576, 8]], values="ab")), "E1.bad-values"),
    ("values twice", raw(one("category", [[512, 2], [576, 8]], values=["a", "a"])), "E1.bad-values"),
    ("a place with three numbers", raw(one("int", [[512, 2, 1], [576, 16]])), "E1.bad-place"),
    ("a place before the header's end", raw(one("int", [[0, 2], [576, 16]])), "E1.bad-place"),
    ("a place off the grid", raw(one("int", [[513, 2], [576, 16]]), tail=MASK * 4), "E1.bad-place"),
    ("a negative length", raw(one("int", [[512, -2], [576, 16]]), tail=MASK * 4), "E1.bad-place"),
    ("a place past the end", raw(one("int", [[512, 2], [576, 16]]), tail=MASK), "E1.bad-place"),
    ("buffers that overlap", raw(one("int", [[512, 2], [512, 16]]), tail=MASK * 4), "E1.bad-place"),
    ("half an item", raw(one("int", [[512, 2], [576, 15]]), tail=MASK * 4), "E1.bad-place"),
    ("a buffer of another length", raw(one("int", [[512, 2], [576, 24]]), tail=MASK * 4), "E1.bad-length"),
    ("a mask of twos", raw(one("int", [[512, 2], [576, 16]]), tail=b"\1\2".ljust(64) + I8(1, 1)), "E1.bad-mask"),
    ("a number under a null", raw(one("int", [[512, 2], [576, 16]]), tail=NULL + I8(1, 1)), "E1.bad-null"),
    ("NaN where valid", floats(MASK + F8(1, np.nan)), "E1.bad-number"),
    ("infinity under a null", floats(NULL + F8(1, np.inf)), "E1.bad-null"),
    ("a truth of two", bool_(MASK + b"\1\2"), "E1.bad-bool"),
    ("a code past the values", codes(MASK + I4(0, 1)), "E1.bad-code"),
    ("a code under a null", codes(NULL + I4(0, 0)), "E1.bad-code"),
    ("a code of -2", codes(NULL + I4(0, -2)), "E1.bad-code"),
    ("offsets that fall", text(MASK, (0, 3, 2), b"ab"), "E1.bad-offsets"),
    ("text under a null", text(NULL, (0, 1, 2), b"ab"), "E1.bad-null"),
    ("text that is not UTF-8", text(MASK, (0, 1, 2), b"a\xff"), "E1.bad-text"),
    ("a cut inside a character", text(MASK, (0, 1, 2), "é".encode()), "E1.bad-offsets"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_broken_table_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        flat.validate(data)
    assert caught.value.code == code


def test_two_columns_of_one_name_are_refused() -> None:
    data = flat.to_bytes([flat.int_column("aa", np.arange(2)), flat.int_column("ab", np.arange(2))])
    with pytest.raises(Malformed) as caught:
        flat.validate(data.replace(b'"ab"', b'"aa"'))
    assert caught.value.code == "E1.duplicate-column"
