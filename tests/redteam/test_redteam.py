"""Every hostile bundle, both ways, and the page that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redteam import page
from tests.redteam.cases import CASES, CONTRACTS

NAMES = [case.name for case in (*CASES, *CONTRACTS)]


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One run of the runner, in an interpreter of its own: the zygote's libraries and environment stay out of here."""
    file = tmp_path_factory.mktemp("redteam") / "results.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.redteam.runner", "--json", str(file)],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert file.exists(), ended.stdout[-2000:] + ended.stderr[-2000:]
    assert ended.stdout.splitlines()[-1] == f"{len(NAMES)} passed, 0 failed", ended.stdout
    found: dict[str, str] = json.loads(file.read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_bundle_is_stopped_and_would_succeed_without_what_stops_it(
    results: dict[str, str], name: str
) -> None:
    assert results[name].startswith(("succeeds", "stopped by the machine itself"))


def test_every_bundle_is_a_case_and_there_are_enough_of_them(root: Path) -> None:
    folders = {folder.name for folder in (root / "tests" / "redteam" / "bundles").iterdir() if folder.is_dir()}
    assert folders - {"__pycache__"} == set(NAMES)
    assert len(NAMES) == len(set(NAMES)) >= 25


def test_the_page_is_in_step_with_the_cases(root: Path) -> None:
    assert (root / "docs" / "REDTEAM.md").read_text() == page.render()
