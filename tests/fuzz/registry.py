"""Every fuzz target by its name. Each family is a module, imported when one of its targets is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from tests.fuzz.target import Target

FAMILIES = ("formats", "frames", "tables", "attested", "party", "gateway", "logs")


def targets(*families: str) -> Iterator[tuple[str, Target]]:
    """(family, target) of all targets, or of these families."""
    for family in families or FAMILIES:
        for target in importlib.import_module(f"tests.fuzz.{family}").TARGETS:
            yield family, target


def find(family: str, name: str) -> Target:
    """One target, importing its family only."""
    return next(target for _, target in targets(family) if target.name == name)
