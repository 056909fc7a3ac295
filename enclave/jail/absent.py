"""Packages that are installed for other processes, and that this one goes without.

Runs in: engine, reader.   Believes: nothing.   Spec: §9.

Libraries look for each other: pyarrow imports pandas to see whether a list is a Series, OpenDP offers what scikit-learn
has. That took the engine longer than all that it uses itself, and brought in code that nothing there calls.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

OF_JOBS: Final = frozenset({"pandas", "scipy", "sklearn"})
"""What only jobs use."""


class _Absent(importlib.abc.MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Nothing of its own; it only ends the search."""
        del path, target
        if fullname.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"no {fullname} in this process", name=fullname)
        return None


def leave_out(names: frozenset[str]) -> None:
    """From now on, importing one of these fails as if it were not installed; what is imported already stays."""
    sys.meta_path.insert(0, _Absent(names))
