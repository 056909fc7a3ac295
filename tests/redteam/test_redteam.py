"""Every hostile bundle, in every place and both ways, and the page that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redteam import page, places
from tests.redteam.cases import CASES
from tests.redteam.contracts import CONTRACTS, OPEN

NAMES = [case.name for case in (*CASES, *CONTRACTS, *OPEN)]


@pytest.fixture(scope="module")
def as_process(root: Path) -> places.Results:
    """One run of all cases in the process launcher's image."""
    return places.in_process(root / "build" / "image")


@pytest.fixture(scope="module")
def in_container() -> places.Results:
    """One run of all cases in a container, where there is an engine that has the image of the present sources."""
    try:
        engine, image = places.built_image()
        return places.in_container(engine, image)
    except places.NoPlaceError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_bundle_is_stopped_and_would_succeed_without_what_stops_it(
    as_process: places.Results, name: str
) -> None:
    assert as_process[name].startswith(("succeeds", "stopped by the machine itself"))


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_bundle_is_stopped_in_a_container_too(in_container: places.Results, name: str) -> None:
    assert in_container[name] in ("succeeds", "stopped by the container")


def test_every_bundle_is_a_case_and_there_are_enough_of_them(root: Path) -> None:
    folders = {folder.name for folder in (root / "tests" / "redteam" / "bundles").iterdir() if folder.is_dir()}
    assert folders - {"__pycache__"} == set(NAMES)
    assert len(NAMES) == len(set(NAMES)) >= 46 + 20


def test_the_page_is_in_step_with_the_cases(root: Path) -> None:
    assert (root / "docs" / "REDTEAM.md").read_text() == page.render()
