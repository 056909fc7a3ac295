"""Copies of homes that count as homes of their own: a plain copy would be frozen, as it should be."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from sealroom.client import seat


def copy(source: Path, target: Path) -> None:
    """Copy a home whose broker does not run, and seat its ledger where the copy is."""
    shutil.copytree(source, target)
    move_in(target)


def move_in(home: Path) -> None:
    """Say that the ledger of this home is at home where it is now."""
    was = seat.load(home)
    assert was is not None
    seat._write(home, dataclasses.replace(was, place=seat.here(home)))
