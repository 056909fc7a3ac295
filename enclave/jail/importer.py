"""Imports a bundle's modules from memory, so that code never lies in a file.

Runs in: jail.   Believes: archives that `bundle.read` accepted.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType

ROOT = "<bundle>"


class BundleImporter(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finder and loader over the files of one bundle."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Serve these files; names are as in the archive."""
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's place in the bundle, or None."""
        del path, target
        name = self._name(fullname)
        if name is None:
            return None
        spec = importlib.machinery.ModuleSpec(
            fullname, self, origin=f"{ROOT}/{name}", is_package=name.endswith("/__init__.py")
        )
        spec.has_location = True  # gives the module a __file__, which pkgutil.get_data asks for
        return spec

    def get_source(self, fullname: str) -> str:
        """The module's text, as tracebacks of a mock run show it."""
        name = self._name(fullname)
        if name is None:
            raise ImportError(fullname)
        return importlib.util.decode_source(self._files[name])

    def get_code(self, fullname: str) -> CodeType:
        """The compiled module."""
        return self.source_to_code(self.get_source(fullname), f"{ROOT}/{self._name(fullname)}")

    def get_data(self, path: str) -> bytes:
        """A file of the bundle by the path that a module's `__file__` leads to; see pkgutil.get_data."""
        try:
            return self._files[path.removeprefix(f"{ROOT}/")]
        except KeyError:
            raise FileNotFoundError(path) from None

    def _name(self, fullname: str) -> str | None:
        stem = fullname.replace(".", "/")
        return next((n for n in (f"{stem}.py", f"{stem}/__init__.py") if n in self._files), None)


def install(files: Mapping[str, bytes]) -> None:
    """Let `import` look in the bundle before it looks elsewhere, as a script's own folder comes first."""
    sys.meta_path.insert(0, BundleImporter(files))
