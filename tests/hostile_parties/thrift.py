"""Writes Parquet files whose metadata say anything: Thrift's compact protocol, and the few structures needed."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any

MAGIC = b"PAR1"
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
INT64, BYTE_ARRAY = 2, 6
PLAIN, UNCOMPRESSED, ZSTD = 0, 0, 6
REQUIRED, OPTIONAL = 0, 1


@dataclasses.dataclass(frozen=True)
class Raw:
    """Bytes that stand where a list of structures is due, whatever they are."""

    data: bytes


Value = Any


@dataclasses.dataclass(frozen=True)
class Struct:
    """Fields by number: (type, value)."""

    fields: dict[int, tuple[int, Value]]

    def encode(self) -> bytes:
        """The structure's bytes, ending with its stop field."""
        out, last = bytearray(), 0
        for number, (kind, value) in sorted(self.fields.items()):
            delta = number - last
            out += bytes([delta << 4 | kind]) if 0 < delta < 16 else bytes([kind]) + varint(_zigzag(number))
            out += _value(kind, value)
            last = number
        return bytes(out) + b"\0"


def varint(number: int) -> bytes:
    """Seven bits to a byte, low ones first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def claimed_list(count: int) -> bytes:
    """The head of a list of so many structures, and none of them."""
    return bytes([0xF0 | STRUCT]) + varint(count)


def element(name: str, kind: int | None = None, *, children: int | None = None, repetition: int = OPTIONAL) -> Struct:
    """One node of the schema."""
    fields: dict[int, tuple[int, Value]] = {3: (I32, repetition), 4: (BINARY, name.encode())}
    if kind is not None:
        fields[1] = (I32, kind)
        if kind == BYTE_ARRAY:
            fields[6] = (I32, 0)  # UTF8
    if children is not None:
        fields[5] = (I32, children)
    return Struct(fields)


def root(children: int) -> Struct:
    """The schema's root."""
    return Struct({4: (BINARY, b"schema"), 5: (I32, children)})


def page(values: int, body: bytes, *, size: int | None = None, stored: int | None = None) -> bytes:
    """A data page of version 1 in plain encoding; `size` and `stored` are what its head claims."""
    head = Struct({1: (I32, values), 2: (I32, PLAIN), 3: (I32, 3), 4: (I32, 3)})
    return (
        Struct(
            {
                1: (I32, 0),
                2: (I32, len(body) if size is None else size),
                3: (I32, len(body) if stored is None else stored),
                5: (STRUCT, head),
            }
        ).encode()
        + body
    )


def chunk(name: str, kind: int, *, values: int, at: int, size: int, raw: int | None = None, codec: int = 0) -> Struct:
    """A column chunk at an offset of the file; sizes are what it claims."""
    meta = Struct(
        {
            1: (I32, kind),
            2: (LIST, Raw(bytes([1 << 4 | I32, 0]))),
            3: (LIST, Raw(bytes([1 << 4 | BINARY]) + varint(len(name)) + name.encode())),
            4: (I32, codec),
            5: (I64, values),
            6: (I64, size if raw is None else raw),
            7: (I64, size),
            9: (I64, at),
        }
    )
    return Struct({2: (I64, at), 3: (STRUCT, meta)})


def group(chunks: Sequence[Struct], rows: int, size: int = 100) -> Struct:
    """A row group."""
    return Struct({1: (LIST, chunks), 2: (I64, size), 3: (I64, rows)})


def file(body: bytes, schema: Sequence[Struct] | Raw, rows: int, groups: Sequence[Struct] | Raw) -> bytes:
    """A whole file; `body` begins at offset 4."""
    footer = Struct({1: (I32, 1), 2: (LIST, schema), 3: (I64, rows), 4: (LIST, groups)}).encode()
    return MAGIC + body + footer + struct.pack("<I", len(footer)) + MAGIC


def _zigzag(number: int) -> int:
    return (number << 1) ^ (number >> 63) if number >= 0 else (-number << 1) - 1


def _value(kind: int, value: Value) -> bytes:
    if isinstance(value, Raw):
        return value.data
    if isinstance(value, int):
        return varint(_zigzag(value))
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, Struct):
        return value.encode()
    head = bytes([len(value) << 4 | STRUCT]) if len(value) < 15 else claimed_list(len(value))
    return head + b"".join(item.encode() for item in value)
