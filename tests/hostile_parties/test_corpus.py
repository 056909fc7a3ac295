"""Hostile tables against the reader's jail: a closed outcome within limits. Many would hurt a naive reader."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sealroom.enclave import flat
from sealroom.enclave.gate.compute import flat_bound
from sealroom.protocol import schema
from sealroom.protocol.agreement import Dataset
from tests.hostile_parties import make_corpus, naive
from tests.jail.zygotes import LIMITS, Zygote

FOLDER = Path(__file__).resolve().parent / "corpus"
MEMORY, SECONDS, WALL = 192 << 20, 5, 15
ROWS = 1000


@dataclasses.dataclass(frozen=True)
class Expected:
    """How the jail may end, and what a reader without one suffers.

    `memory`: it takes 500 times the file's size and 100 MB at least, or fails for want of 6 GiB. `crash`: it dies.
    `accepts`: it hands on a table that is none. Empty: it refuses too, or nothing bad comes of it.
    """

    ends: tuple[str, ...]
    hurts: str = ""


REFUSED = Expected(("error",))
READ = Expected(("ok",))
BOMB = Expected(("out-of-memory", "out-of-time", "error", "bad-output"), "memory")
EXPECTED = {
    "batch_read_again.arrow": BOMB,
    "chunk_negative.parquet": REFUSED,
    "chunk_outside.parquet": REFUSED,
    "code_outside.arrow": REFUSED,
    "compressed_buffer.arrow": BOMB,
    "compressed_text.parquet": BOMB,
    "cut_in_half.parquet": REFUSED,
    "cut_short.arrow": REFUSED,
    "deep_schema.parquet": REFUSED,
    "deep_types.arrow": READ,
    "dictionary_blow_up.parquet": BOMB,
    "dictionary_reuse.arrow": BOMB,
    "embedded_schema_lies.parquet": READ,
    "encrypted_footer.parquet": REFUSED,
    "footer_claims.parquet": REFUSED,
    "footer_only.arrow": REFUSED,
    "groups_claim.parquet": REFUSED,
    "lines_without_end.csv": REFUSED,
    "long_header.csv": REFUSED,
    "more_rows.csv": REFUSED,
    "nested_cells.parquet": READ,
    "not_utf8.csv": REFUSED,
    "nul_bytes.csv": READ,
    "offsets_backwards.arrow": Expected(("error",), "accepts"),
    "offsets_outside.arrow": Expected(("error",), "accepts"),
    "page_claims.parquet": REFUSED,
    "page_claims_less.parquet": REFUSED,
    "page_read_again.parquet": BOMB,
    "pickled_extension.arrow": READ,
    "prefix_bomb.parquet": BOMB,
    "quote_never_closed.csv": REFUSED,
    "quotes_only.csv": REFUSED,
    "repeated_column.arrow": REFUSED,
    "rows_negative.parquet": REFUSED,
    "rows_of_nothing.arrow": Expected(("error",), "memory"),
    "rows_of_one_code.parquet": BOMB,
    "run_end_encoded.arrow": BOMB,
    "schema_claims.parquet": REFUSED,
    "schema_without_end.parquet": REFUSED,
    "text_not_utf8.arrow": Expected(("error",), "accepts"),
    "values_lie.parquet": Expected(("error", "out-of-memory"), "memory"),
    "views.arrow": Expected(("error",), "crash"),
    "wide_csv.csv": Expected(("ok",), "memory"),
    "wide_schema.parquet": REFUSED,
}
HURTING = sorted(name for name, expected in EXPECTED.items() if expected.hurts)


def column(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "identifier": None, "values": ["p", "q"] if kind == "category" else None}


DATASET = {
    "name": "d", "owner": "o", "population": "p", "entity": "t", "most_rows": ROWS,
    "columns": [column("i", "int"), column("t", "text"), column("c", "category")],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _limits() -> Any:
    """Less than the jail's tests allow, so that bombs go off early."""
    before = dict(LIMITS)
    LIMITS.update(memory_bytes=MEMORY, cpu_seconds=SECONDS, wall_seconds=WALL)
    yield
    LIMITS.update(before)


def test_every_file_is_expected_made_and_small() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(EXPECTED) == set(make_corpus.MAKERS)
    assert all(path.stat().st_size <= make_corpus.MOST_FILE for path in FOLDER.iterdir())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2 << 20


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_hostile_table_ends_in_a_closed_outcome_within_limits(jailer: Zygote, name: str) -> None:
    path = FOLDER / name
    room = flat_bound(schema.decode(Dataset, DATASET), path.stat().st_size)
    began = time.monotonic()
    outcome, data = jailer.read(DATASET, path.read_bytes(), path.suffix[1:], room=room)
    assert time.monotonic() - began < 2 * WALL
    assert outcome in EXPECTED[name].ends
    if outcome == "ok":
        table = flat.validate(data)
        assert table.names == ("i", "t", "c")
        assert table.rows <= ROWS
        assert np.isin(table.column("c").data, [-1, 0, 1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", HURTING)
def test_it_would_hurt_a_reader_without_a_jail(name: str) -> None:
    path = FOLDER / name
    found = naive.measure(path)
    if EXPECTED[name].hurts == "crash":
        assert str(found["how"]).startswith("SIG")
    elif EXPECTED[name].hurts == "accepts":
        assert found["how"] == "read"
    else:
        taken = float(found["memory"])
        assert found["how"] == "memory" or taken > max(500 * path.stat().st_size, 100_000_000)


def test_an_honest_table_passes_both(jailer: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "honest.parquet"
    path.write_bytes(make_corpus.parquet(make_corpus.honest(500)))
    outcome, data = jailer.read(DATASET, path.read_bytes(), "parquet")
    assert (outcome, flat.validate(data).rows) == ("ok", 500)
    found = naive.measure(path)
    assert found["how"] == "read"
    assert float(found["memory"]) < 100_000_000
