"""Some whole runs at once over either database, as `make load` plays many: four, or SEALROOM_LOAD."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.programs import IMAGE
from tests.load import __main__ as target
from tests.load.play import Played, by_tenths
from tests.postgres import BOTH

RUNS = int(os.environ.get("SEALROOM_LOAD", "4"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", BOTH)
def test_no_run_of_many_at_once_is_lost_or_doubled(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not (IMAGE / "launch.json").is_file():
        pytest.fail("there is no image: run `make image` first")
    server = request.getfixturevalue("postgresql") if store == "postgresql" else None
    found = target.run(tmp_path, RUNS, store, server)
    assert found["wrong"] == []
    assert found["failed"] == 0


def test_the_last_tenth_is_compared_with_the_first() -> None:
    played = [Played("", float(n), 1.0 if n < 10 else 2.0, "") for n in range(20)]
    assert by_tenths(played) == {"median": 2.0, "p95": 2.0, "between": 1.0}
    assert by_tenths(played[:1]) == {"median": 1.0, "p95": 1.0, "between": 1.0}
