"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
