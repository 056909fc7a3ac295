"""The shipped pair through the engine, scored against the truth that no party has."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from sealroom.enclave.engine.context import Release
from tests.engine import direct

RUNS = [(bytes(range(32)), None), (b"k" * 32, 1), (b"q" * 32, 2)]
"""Run keys, and seeds for the job: what may differ from one demo to the next, and more."""


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "jobs" / "data" / "lookalike"


@pytest.fixture(scope="module")
def pair(root: Path, folder: Path) -> direct.Direct:
    schemas, flats = direct.lookalike_pair(folder)
    terms = direct.agreement(schemas, direct.KEYS, direct.lookalike_rules(), bundles=[direct.MODEL])
    return direct.Direct(terms, flats, direct.load_job(root / "jobs" / "lookalike" / "job.py"))


def test_linkage_finds_6900_of_7000_and_at_most_5_wrong_ones(pair: direct.Direct, folder: Path) -> None:
    run = pair.run()
    links = run.links("both")
    ids = [run.table(name).ids.to_pylist() for name in ("customers", "prospects")]
    found = {ids[0][i]: ids[1][j] for i, j in zip(links.left.tolist(), links.right.tolist(), strict=True)}
    truth, _, _ = direct.truth_of(folder)
    right = sum(truth.get(one) == other for one, other in found.items())
    assert right >= 6900
    assert len(found) - right <= 5
    assert len(set(found.values())) == len(found) == len(links.left)


@pytest.mark.parametrize(("key", "seed"), RUNS)
def test_the_audience_has_4_2_times_as_many_buyers(
    pair: direct.Direct, folder: Path, key: bytes, seed: int | None
) -> None:
    pair.run_key, pair.seed = key, seed
    [found] = pair.answers("audience")
    assert isinstance(found, Release)
    ids = found.canonical.splitlines()[1:]
    assert len(ids) == (12_000 - 6906) // 10
    assert direct.lift_of(folder, ids) >= 4.2


def test_other_keys_and_file_orders_release_the_same_ids(root: Path, folder: Path) -> None:
    schemas, flats = direct.lookalike_pair(folder)
    terms = direct.agreement(schemas, direct.KEYS, direct.lookalike_rules(), bundles=[direct.MODEL])
    job = direct.load_job(root / "jobs" / "lookalike" / "job.py")
    [one] = direct.Direct(terms, flats, job).answers("audience")
    rows = [direct.rows_of(folder / file)[::-1] for file in ("bank.csv", "partner.csv")]
    flats = {schema.name: direct.flat_of(schema, side) for schema, side in zip(schemas, rows, strict=True)}
    [other] = direct.Direct(terms, flats, job, run_key=b"z" * 32).answers("audience")
    assert one == other


def test_metrics_are_coarse_and_plausible(pair: direct.Direct) -> None:
    pair.run_key, pair.seed = RUNS[0]
    [found] = pair.answers("quality")
    assert isinstance(found, Release)
    value = json.loads(found.canonical)
    assert 680 <= value["auc_thousandths"] <= 830
    assert value["auc_thousandths"] % 5 == 0
    assert 3000 <= value["lift_thousandths"] <= 5000
    assert value["lift_thousandths"] % 100 == 0


def test_nothing_depends_on_what_columns_are_called(root: Path, folder: Path, pair: direct.Direct) -> None:
    rename = lambda name: f"col_{zlib.crc32(name.encode()):08x}"  # noqa: E731
    schemas, flats = direct.lookalike_pair(folder, rename)
    rules = direct.lookalike_rules(rename("y"))
    terms = direct.agreement(schemas, direct.KEYS, rules, bundles=[direct.MODEL])
    job = direct.load_job(root / "jobs" / "lookalike" / "job.py")
    [found] = direct.Direct(terms, flats, job).answers("audience")
    pair.run_key, pair.seed = RUNS[0]
    [plain] = pair.answers("audience")
    assert isinstance(found, Release)
    assert isinstance(plain, Release)
    assert found.canonical.splitlines()[1:] == plain.canonical.splitlines()[1:]
