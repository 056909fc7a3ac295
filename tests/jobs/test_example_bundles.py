"""The shipped examples are bundles that can be packed, and their data is what its README says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from sealroom.enclave.engine import query
from sealroom.protocol import bundle
from tests.engine import direct


@pytest.mark.parametrize(
    ("name", "lane", "entry"),
    [("overlap", "query", "query.json"), ("lookalike", "whole", "job:run"), ("drivers", "blocks", "job:run")],
)
def test_an_example_packs_into_a_bundle_of_its_lane(root: Path, name: str, lane: str, entry: str) -> None:
    read = bundle.read(bundle.pack(root / "jobs" / name))
    assert (read.manifest.lane, read.manifest.entry) == (lane, entry)


def test_the_example_query_suits_the_shipped_pair(root: Path) -> None:
    schemas, _ = direct.lookalike_pair(root / "jobs" / "data" / "lookalike")
    columns = {f"customers.{c.name}": c for c in schemas[0].columns if c.identifier is None}
    labels = ("settled", "saver", "mortgage", "indebted", "other")
    text = (root / "jobs" / "overlap" / "query.json").read_text("utf-8")
    assert [segment.label for segment in query.decode(text, columns, labels)] == list(labels)


def test_jobs_import_nothing_of_ours(root: Path) -> None:
    for path in (root / "jobs").rglob("*.py"):
        assert "sealroom" not in re.findall(r"^(?:from|import) (\w+)", path.read_text("utf-8"), re.MULTILINE)


def test_the_shipped_data_is_what_its_readme_says(root: Path) -> None:
    folder = root / "jobs" / "data" / "lookalike"
    readme = (folder / "README.md").read_text("utf-8")
    for name in ("bank.csv", "partner.csv", "truth.csv"):
        assert f"| `{name}` | `{hashlib.sha256((folder / name).read_bytes()).hexdigest()}` |" in readme
    for licence in ("LICENSE-AdventureWorks.txt", "LICENSE-AdventureWorks-Packt.txt"):
        assert licence in readme
        assert (folder / licence).read_text("utf-8").count("MIT License") == 1
