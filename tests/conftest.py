"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, in whatever order the others are: no worker is left alone with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data and attestation vectors that lie beside a developer's checkout, and nowhere else."""
    folder = ROOT.parent / "shared"
    if not (folder / "vectors" / "MANIFEST.json").is_file():
        pytest.skip("the shared reference data is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, started for the first test that asks; a skip, saying so, where there is none."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.close()
