"""Copies locked packages out of the running environment, file by file as their own records vouch for them.

Runs in: operator's and owners' machines, before any run.   Believes: requirements/*.txt.   Spec: §6.4.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from pathlib import Path

from sealroom.host.image.errors import BuildError

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(;?)")
_LEFT_OUT_PARTS = frozenset({"__pycache__", "tests", "include"})
"""Tests and C headers: a third of all files, and nothing in a run reads them."""
_LEFT_OUT_NAMES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_BLOCK = 1 << 20


class Locked:
    """The packages that a lock file names, as installed in the running environment."""

    def __init__(self, lock: Path) -> None:
        """Find them.

        Raises:
            BuildError: one is missing, or installed in a version that the lock does not name.
        """
        installed = {_normal(found.metadata["Name"]): found for found in importlib.metadata.distributions()}
        self._found: list[importlib.metadata.Distribution] = []
        for name, (versions, optional) in sorted(_pins(lock).items()):
            found = installed.get(name)
            if found is None and optional:
                continue
            if found is None or found.version not in versions:
                have = "is not installed" if found is None else f"is installed as {found.version}"
                raise BuildError(f"{name} {have}; {lock.name} names {' or '.join(sorted(versions))}")
            self._found.append(found)

    def stamp(self) -> str:
        """A digest that changes when a package is installed anew, upgraded, or taken from elsewhere."""
        digest = hashlib.sha256()
        for found in self._found:
            record = found.read_text("RECORD") or ""
            where = str(found.locate_file(""))
            digest.update(f"{found.name}\0{found.version}\0{where}\0{len(record)}\0{record}".encode())
        return digest.hexdigest()

    def copy_to(self, target: Path) -> None:
        """Copy the packages' files below `target`.

        Raises:
            BuildError: a file differs from its package's record, has none, or is claimed by two packages.
        """
        for found in self._found:
            for entry in _wanted(found):
                _copy_checked(found, entry, target / entry)


def _pins(lock: Path) -> dict[str, tuple[set[str], bool]]:
    """Name -> (the versions it is locked to, whether some environments do without it)."""
    pins: dict[str, tuple[set[str], bool]] = {}
    for line in lock.read_text().splitlines():
        if match := _PINNED.match(line):
            versions, optional = pins.get(_normal(match[1]), (set(), True))
            pins[_normal(match[1])] = (versions | {match[2]}, optional and bool(match[3]))
    if not pins:
        raise BuildError(f"{lock} locks no package")
    return pins


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _wanted(found: importlib.metadata.Distribution) -> Iterator[importlib.metadata.PackagePath]:
    for entry in found.files or ():
        if ".." in entry.parts or entry.is_absolute() or _LEFT_OUT_PARTS & set(entry.parts):
            continue
        if entry.name not in _LEFT_OUT_NAMES and entry.suffix not in (".pyc", ".pth"):
            yield entry


def _copy_checked(found: importlib.metadata.Distribution, entry: importlib.metadata.PackagePath, target: Path) -> None:
    if entry.hash is None or entry.hash.mode != "sha256":
        raise BuildError(f"{found.name}: its record has no SHA-256 of {entry}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with open(str(found.locate_file(entry)), "rb") as source, open(target, "xb") as copy:
            while block := source.read(_BLOCK):
                digest.update(block)
                copy.write(block)
            os.fchmod(copy.fileno(), 0o644)
    except FileExistsError as error:
        raise BuildError(f"{found.name}: {entry} belongs to another package too") from error
    if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != entry.hash.value:
        raise BuildError(f"{found.name}: {entry} was changed after it was installed; install the package anew")
