"""Writes the corpus of hostile tables: `python -m tests.hostile_parties.make_corpus`.

Every file says it is a dataset of `i` (int), `t` (text, the entity) and `c` (category of p, q), at most 1000 rows.
The names of the functions are the names of the files; their docstrings say what is the matter.
"""

from __future__ import annotations

import base64
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from tests.hostile_parties import thrift
from tests.hostile_parties.thrift import BYTE_ARRAY, INT64, Raw

FOLDER = Path(__file__).resolve().parent / "corpus"
MOST_FILE = 150_000
Make = Callable[[], bytes]
MAKERS: dict[str, Make] = {}


def make(ending: str) -> Callable[[Make], Make]:
    """Register a maker under its own name."""

    def register(maker: Make) -> Make:
        MAKERS[f"{maker.__name__}.{ending}"] = maker
        return maker

    return register


def honest(rows: int = 3) -> pa.Table:
    """What the agreement declares."""
    return pa.table({"i": range(rows), "t": [f"r{n}" for n in range(rows)], "c": (["p", "q"] * rows)[:rows]})


def with_text(text: Any) -> pa.Table:
    """An honest table with another column `t`."""
    table = honest(len(text))
    return table.set_column(1, "t", text)


def parquet(table: pa.Table, **options: Any) -> bytes:
    """The table in Parquet."""
    out = io.BytesIO()
    pa.parquet.write_table(table, out, **options)
    return out.getvalue()


def arrow(*batches: Any, compression: str | None = None, schema: Any = None) -> bytes:
    """Record batches in Arrow's file format."""
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=True)
    with pa.ipc.new_file(out, schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write(batch)
    return out.getvalue()


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """The bytes with one place changed, and none if there is another number of such places."""
    if data.count(old) != 1 or len(old) != len(new):
        raise ValueError(f"{data.count(old)} places")
    return data.replace(old, new)


# Parquet


@make("parquet")
def compressed_text() -> bytes:
    """One cell of 256 MiB that compresses to almost nothing."""
    return parquet(with_text(pa.array(["a" * (256 << 20), "b", "c"])), compression="brotli", use_dictionary=False)


@make("parquet")
def dictionary_blow_up() -> bytes:
    """Two hundred thousand references to one text of 2 KiB: 400 MB when written out."""
    text = pa.DictionaryArray.from_arrays(pa.nulls(200_000, pa.int32()).fill_null(0), ["x" * 2048])
    table = pa.table({"i": pa.nulls(len(text), pa.int64()), "t": text, "c": pa.nulls(len(text), pa.string())})
    return parquet(table, compression="zstd", write_statistics=False)


@make("parquet")
def rows_of_one_code() -> bytes:
    """Twenty million rows of nothing, where a thousand are agreed."""
    rows = 20_000_000
    text = pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int8()).fill_null(0), ["x"])
    table = pa.table({"i": pa.nulls(rows, pa.int8()), "t": text, "c": pa.nulls(rows, pa.int8())})
    return parquet(table, compression="zstd", write_statistics=False, row_group_size=rows, data_page_size=1 << 26)


@make("parquet")
def prefix_bomb() -> bytes:
    """Each of 16,000 texts is the one before it and a letter more: 128 MB from one letter a row."""
    text = pa.array(["y" * n for n in range(16_000)], pa.string())
    options = {"use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY"}, "write_statistics": False}
    table = pa.table({"i": pa.nulls(len(text), pa.int8()), "t": text, "c": pa.nulls(len(text), pa.int8())})
    return parquet(table, compression="zstd", **options)


@make("parquet")
def page_read_again() -> bytes:
    """Fifteen hundred row groups that all lie at one place: 64 KiB that are read fifteen hundred times."""
    body = struct.pack("<I", 2) + b"\x02\x01" + struct.pack("<I", 65536) + b"z" * 65536
    found = thrift.page(1, pa.compress(body, "zstd", asbytes=True), size=len(body))
    groups = [
        thrift.group([thrift.chunk("t", BYTE_ARRAY, values=1, at=4, size=len(found), raw=70000, codec=thrift.ZSTD)], 1)
    ] * 1500
    return thrift.file(found, [thrift.root(1), thrift.element("t", BYTE_ARRAY)], len(groups), groups)


def _one_column(*, values: int = 1, rows: int = 1, found: bytes | None = None, **claims: Any) -> bytes:
    body = thrift.page(values, struct.pack("<I", 2) + b"\x02\x01" + struct.pack("<q", 7)) if found is None else found
    column = thrift.chunk("i", INT64, **({"values": values, "at": 4, "size": len(body)} | claims))
    return thrift.file(body, [thrift.root(1), thrift.element("i", INT64)], rows, [thrift.group([column], rows)])


@make("parquet")
def page_claims() -> bytes:
    """A page whose head says that it unpacks to two gigabytes."""
    body = pa.compress(b"\0" * 100, "zstd", asbytes=True)
    return _one_column(found=thrift.page(1, body, size=2**31 - 1), codec=thrift.ZSTD, raw=2**31 - 1)


@make("parquet")
def page_claims_less() -> bytes:
    """A page whose head has a negative size."""
    return _one_column(found=thrift.page(1, b"\0" * 16, size=-5, stored=-7))


@make("parquet")
def chunk_outside() -> bytes:
    """A column that begins behind the end of the file."""
    return _one_column(at=1 << 40, size=1 << 40)


@make("parquet")
def chunk_negative() -> bytes:
    """A column of negative size at a negative place."""
    return _one_column(at=-4, size=-100)


@make("parquet")
def values_lie() -> bytes:
    """One value is there; the metadata say 2^40 of them."""
    return _one_column(values=1, rows=1 << 40, found=thrift.page(2**31 - 1, b"\0" * 16))


@make("parquet")
def rows_negative() -> bytes:
    """A table of minus three rows."""
    return _one_column(rows=-3)


@make("parquet")
def deep_schema() -> bytes:
    """Eight thousand groups, one inside the other."""
    nodes = [thrift.root(1), *(thrift.element(f"g{n}", children=1) for n in range(8000)), thrift.element("i", INT64)]
    return thrift.file(b"", nodes, 0, [])


@make("parquet")
def wide_schema() -> bytes:
    """Six thousand columns that nobody asked for, each declared and none there."""
    return thrift.file(b"", [thrift.root(6000), *(thrift.element(f"c{n}", INT64) for n in range(6000))], 0, [])


@make("parquet")
def schema_claims() -> bytes:
    """A schema that says it has two thousand million nodes."""
    return thrift.file(b"", Raw(thrift.claimed_list(2**31 - 1)), 0, [])


@make("parquet")
def schema_without_end() -> bytes:
    """A group that says it has two thousand million children."""
    return thrift.file(b"", [thrift.root(2**31 - 1), thrift.element("i", INT64)], 0, [])


@make("parquet")
def groups_claim() -> bytes:
    """Metadata that say there are two thousand million row groups."""
    return thrift.file(b"", [thrift.root(1), thrift.element("i", INT64)], 5, Raw(thrift.claimed_list(2**31 - 1)))


@make("parquet")
def footer_claims() -> bytes:
    """A footer that says it is larger than the file."""
    return parquet(honest())[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1"


@make("parquet")
def encrypted_footer() -> bytes:
    """A file that says its footer is encrypted."""
    return b"PARE" + parquet(honest())[4:-4] + b"PARE"


@make("parquet")
def cut_in_half() -> bytes:
    """The first half of a file, with a footer's end behind it."""
    data = parquet(honest(500))
    return data[: len(data) // 2] + data[-8:]


@make("parquet")
def embedded_schema_lies() -> bytes:
    """An Arrow schema in the metadata that says the column of whole numbers is a list of lists."""
    lie = pa.schema([("i", pa.list_(pa.list_(pa.string()))), ("t", pa.int8()), ("c", pa.float64())])
    schema = honest().schema.with_metadata({"ARROW:schema": base64.b64encode(lie.serialize().to_pybytes())})
    return parquet(honest().cast(schema), store_schema=False)


@make("parquet")
def nested_cells() -> bytes:
    """Lists of lists of lists where whole numbers are declared."""
    nested = pa.array([[[[1, 2]]], None, [[[3]], []]])
    return parquet(pa.table({"i": nested, "t": ["a", "b", "c"], "c": ["p", "q", "p"]}))


# Arrow


@make("arrow")
def dictionary_reuse() -> bytes:
    """A hundred references to one text of 4 MiB: 400 MB when written out."""
    index = pa.nulls(100, pa.int8()).fill_null(0)
    text = pa.DictionaryArray.from_arrays(index, ["x" * (4 << 20)])
    batch = pa.RecordBatch.from_arrays([pa.nulls(100, pa.int64()), text, pa.nulls(100, pa.string())], ["i", "t", "c"])
    return arrow(batch, compression="zstd")


@make("arrow")
def compressed_buffer() -> bytes:
    """A buffer of 192 MiB of zeros that compresses to almost nothing."""
    values = pa.Array.from_buffers(pa.int64(), 24 << 20, [None, pa.py_buffer(bytes(192 << 20))])
    nulls = pa.nulls(len(values), pa.null())
    return arrow(pa.RecordBatch.from_arrays([values, nulls, nulls], ["i", "t", "c"]), compression="zstd")


@make("arrow")
def run_end_encoded() -> bytes:
    """One run of three hundred thousand times the same text of a kilobyte."""
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([300_000], pa.int32()), pa.array(["x" * 1024]))
    nulls = pa.nulls(len(runs), pa.null())
    return arrow(pa.RecordBatch.from_arrays([nulls, runs, nulls], ["i", "t", "c"]))


@make("arrow")
def rows_of_nothing() -> bytes:
    """Two thousand million rows that need no bytes at all."""
    nulls = pa.nulls(2**31 - 1, pa.null())
    return arrow(pa.RecordBatch.from_arrays([nulls, nulls, nulls], ["i", "t", "c"]))


@make("arrow")
def batch_read_again() -> bytes:
    """A hundred empty batches, of which the footer says that all lie where the one large one is."""
    large = pa.RecordBatch.from_arrays(
        [pa.nulls(1, pa.null()), pa.array(["w" * (4 << 20)]), pa.nulls(1, pa.null())], ["i", "t", "c"]
    )
    data = bytearray(arrow(large, *[large.slice(0, 0)] * 100, compression="zstd"))
    tail = len(data) - 10 - struct.unpack_from("<i", data, len(data) - 10)[0]
    # The footer's blocks: place, size of the head, padding, size of the body; the first one is that of the large batch.
    with pa.ipc.open_file(pa.BufferReader(bytes(data))) as file:
        count = file.num_record_batches
    for start in range(tail, len(data) - 24 * count, 4):
        blocks = [struct.unpack_from("<qi4xq", data, start + 24 * n) for n in range(count)]
        places = [block[0] for block in blocks]
        if places == sorted(places) and 0 < places[0] < places[-1] < len(data) and all(b[1] > 0 for b in blocks):
            first = max(blocks, key=lambda block: block[2])
            for n in range(count):
                struct.pack_into("<qi4xq", data, start + 24 * n, *first)
            return bytes(data)
    raise ValueError("no blocks")


def _raw(kind: Any, buffers: list[bytes | None], rows: int) -> bytes:
    parts = [None if data is None else pa.py_buffer(data) for data in buffers]
    return arrow(
        pa.RecordBatch.from_arrays(
            [pa.array(range(rows)), pa.Array.from_buffers(kind, rows, parts), pa.array(["p"] * rows)], ["i", "t", "c"]
        )
    )


@make("arrow")
def offsets_outside() -> bytes:
    """A text whose offsets lead 2 GB behind its bytes: what lies there in memory would be its content."""
    data = _raw(pa.string(), [None, struct.pack("<4i", 0, 2, 4, 6), b"abcdef"], 3)
    return patched(data, struct.pack("<4i", 0, 2, 4, 6), struct.pack("<4i", 0, 2, 4, 2**31 - 1))


@make("arrow")
def offsets_backwards() -> bytes:
    """A text whose offsets go down, so that a length is negative."""
    return _raw(pa.string(), [None, struct.pack("<4i", 0, 5, 2, 6), b"abcdef"], 3)


@make("arrow")
def text_not_utf8() -> bytes:
    """A text that is none: overlong forms and lone surrogates."""
    return _raw(pa.string(), [None, struct.pack("<4i", 0, 2, 5, 6), b"\xc0\xaf\xed\xa0\x80\xff"], 3)


@make("arrow")
def code_outside() -> bytes:
    """Codes of a dictionary that lead outside it."""
    text = pa.DictionaryArray.from_arrays(pa.array([0, 2**31 - 1, -7], pa.int32()), ["a"], safe=False)
    return arrow(pa.RecordBatch.from_arrays([pa.array(range(3)), text, pa.array(["p"] * 3)], ["i", "t", "c"]))


@make("arrow")
def pickled_extension() -> bytes:
    """An extension type whose description is a pickle that would run a program, as pyarrow did until 14.0.0."""

    class Program:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, ("raise SystemExit(42)",)

    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Program())}
    field = pa.field("t", pa.binary(), metadata=metadata)
    schema = pa.schema([("i", pa.int64()), field, ("c", pa.string())])
    batch = pa.RecordBatch.from_arrays(
        [pa.array(range(3)), pa.array([b"a", b"b", b"c"]), pa.array(["p"] * 3)], schema=schema
    )
    return arrow(batch)


@make("arrow")
def deep_types() -> bytes:
    """A type of sixty lists, one inside the other, where a text is declared."""
    kind = pa.string()
    for _ in range(60):
        kind = pa.list_(kind)
    return arrow(
        pa.RecordBatch.from_arrays(
            [pa.nulls(3, pa.int64()), pa.nulls(3, kind), pa.nulls(3, pa.string())], ["i", "t", "c"]
        )
    )


@make("arrow")
def views() -> bytes:
    """Texts as views into buffers that are not there."""
    view = pa.array(["a" * 40, "b" * 40, "c"], pa.string_view())
    data = arrow(pa.RecordBatch.from_arrays([pa.array(range(3)), view, pa.array(["p"] * 3)], ["i", "t", "c"]))
    return patched(data, struct.pack("<i4sii", 40, b"bbbb", 0, 40), struct.pack("<i4sii", 40, b"bbbb", 1 << 20, 40))


@make("arrow")
def footer_only() -> bytes:
    """A footer whose size leads before the beginning of the file."""
    return b"ARROW1\0\0" + b"\xff" * 64 + struct.pack("<i", 2**31 - 1) + b"ARROW1"


@make("arrow")
def cut_short() -> bytes:
    """A file that ends in the middle of a batch, with a footer's end behind it."""
    data = arrow(*honest(500).to_batches())
    return data[: len(data) // 3] + data[-600:]


@make("arrow")
def repeated_column() -> bytes:
    """A declared column twice."""
    table = honest()
    columns = [table[name].chunk(0) for name in "ittc"]
    return arrow(pa.RecordBatch.from_arrays(columns, list("ittc")))


# CSV


@make("csv")
def wide_csv() -> bytes:
    """Forty thousand columns that nobody asked for."""
    return b"i,t,c" + b",x" * 40_000 + b"\n" + b"1,a,p" + b"," * 40_000 + b"\n"


@make("csv")
def quote_never_closed() -> bytes:
    """A quote that is opened and never closed, before a hundred thousand bytes."""
    return b'i,t,c\n1,"' + b"a,\n" * 30_000


@make("csv")
def quotes_only() -> bytes:
    """Nothing but quotes."""
    return b"i,t,c\n" + b'"' * 100_001


@make("csv")
def lines_without_end() -> bytes:
    """Sixty thousand rows with two cells too few."""
    return b"i,t,c\n" + b"1\n" * 60_000


@make("csv")
def more_rows() -> bytes:
    """One row more than agreed."""
    return b"i,t,c\n" + b"".join(b"%d,r%d,p\n" % (n, n) for n in range(1001))


@make("csv")
def nul_bytes() -> bytes:
    """NUL bytes, a byte-order mark in the middle, lone carriage returns."""
    return b"i,t,c\r\n1,a\0b,p\r2,\xef\xbb\xbfx,q\r\n3,\0,\0\r\n"


@make("csv")
def not_utf8() -> bytes:
    """Bytes that are no text."""
    return b"i,t,c\n1,\xff\xfe\xc0\xaf,p\n"


@make("csv")
def long_header() -> bytes:
    """A header that never ends."""
    return b"i,t,c," + b"y" * 140_000


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, maker in MAKERS.items():
        data = maker()
        if len(data) > MOST_FILE:
            raise SystemExit(f"{name} has {len(data)} bytes")
        (FOLDER / name).write_bytes(data)
        print(f"{name:28} {len(data):8}")


if __name__ == "__main__":
    main()
