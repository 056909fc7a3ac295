"""Copies the running interpreter so that it works from any folder and loads nothing of its own from anywhere else.

Runs in: operator's and owners' machines, before any run.   Believes: the interpreter that runs it.   Spec: §6.4.

Machine-wide libraries that do not belong to Python (libc, libssl) stay the machine's; a process image cannot hold them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from sealroom.host.image import elf
from sealroom.host.image.errors import BuildError

_LEFT_OUT = frozenset(
    {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3"}
    | {"ensurepip", "pydoc_data", "venv", "sitecustomize.py", "usercustomize.py", "EXTERNALLY-MANAGED"}
)


def stamp() -> str:
    """A digest that changes when the interpreter is replaced."""
    binary = _binary()
    facts = [sys.version, str(binary), str(_stdlib()), str(_libpython())]
    facts += [f"{found.st_size} {found.st_mtime_ns}" for found in (os.stat(binary), os.stat(_stdlib()))]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def copy_to(target: Path) -> None:
    """Put `bin/python3`, the standard library and libpython, if there is one, below `target`.

    Raises:
        BuildError: the interpreter is of another make than this understands.
    """
    bin_folder = target / "bin"
    bin_folder.mkdir(parents=True)
    program = bin_folder / "python3"
    shutil.copyfile(_binary(), program)
    if library := _libpython():
        shutil.copyfile(library, bin_folder / "libpython")
        elf.relocate(bin_folder / "libpython")
    elf.relocate(program)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = target / sys.platlibdir / version
    _copy_folder(_stdlib(), stdlib)
    if not (stdlib / "lib-dynload").is_dir():
        _copy_folder(Path(sysconfig.get_path("platstdlib")) / "lib-dynload", stdlib / "lib-dynload")
    for extension in (stdlib / "lib-dynload").glob("*.so"):
        elf.relocate(extension)
    program.chmod(0o755)


def _binary() -> Path:
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(os.path.realpath(base))


def _stdlib() -> Path:
    """The folder of the standard library; inside a virtual environment it is the base interpreter's."""
    return Path(os.path.dirname(os.path.realpath(os.__file__)))


def _libpython() -> Path | None:
    """The shared libpython of this very process, if its program is linked to one."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/libpython" in line}
    found = sorted(path for path in paths if os.path.basename(path).startswith("libpython"))
    if len(found) > 1:
        raise BuildError(f"this process has more than one libpython: {', '.join(found)}")
    return Path(found[0]) if found else None


def _copy_folder(source: Path, target: Path) -> None:
    """Copy files and folders; links become what they point at, since Debian's lead out of the standard library."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda found: found.name):
        if entry.name in _LEFT_OUT or entry.name.startswith("config-") or entry.name.endswith((".a", ".pth")):
            continue
        if entry.is_dir():
            _copy_folder(Path(entry.path), target / entry.name)
        elif entry.is_file():
            shutil.copyfile(entry.path, target / entry.name)
