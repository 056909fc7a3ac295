"""Puts an image together: sources, two sets of packages, an interpreter, and what exactly is to be started.

Runs in: operator's and owners' machines, before any run.   Believes: the checkout it is in.   Spec: §6.4.

Two builds from the same sources, lock files and interpreter are equal byte for byte, wherever they are made. Parts that
have not changed since the last build stay; `launch.json` is written last, so a build cut short cannot be launched.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from sealroom.host.image import interpreter
from sealroom.host.image.distributions import Locked
from sealroom.host.image.errors import BuildError
from sealroom.protocol import wire

Kind = Literal["process", "container"]
Platform = Literal["simulated", "hardware"]
WORKERS = 2
COMPILE_SECONDS = 600
CONTAINER_USER = "65532:65532"
CONTAINER_FOLDER = "/run/sealroom"
CONTAINER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Container engines set it if an image does not, so it is set."""
HARDWARE_REPORTS = "/sys/kernel/config/tsm/report"
_CONFINED = (
    "session", "descriptors", "environment", "limits", "no-new-privs", "capabilities", "dumpable", "landlock-files",
    "seccomp",
)  # fmt: skip
LAYERS = tuple(f"{process}:{layer}" for process in ("engine", "jail") for layer in _CONFINED)
"""What must be in force around engine and jails; `sealroom.enclave.jail.layers` says what each of them is."""
_FOLDER_MODE = 0o755
_SOURCES = Path(__file__).resolve().parents[2]
_NEVER = ("simulated", "measurement", "vectors", "__pycache__")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to build: `python` is the interpreter's path inside a container; process images carry their own."""

    kind: Kind
    platform: Platform
    python: str = "/usr/local/bin/python3"
    sources: Path = _SOURCES


def build(out: Path, recipe: Recipe) -> list[str]:
    """Bring the image folder `out` up to date and name the parts that were built anew.

    Raises:
        BuildError: packages or interpreter are not what the lock files name, or cannot be copied faithfully.
    """
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        raise BuildError("images are built on Linux on x86-64 only")
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out.with_name(out.name + ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build_locked(out, recipe)


def launch_document(recipe: Recipe) -> bytes:
    """`launch.json`: program, arguments and complete environment; `{image}` stands for the image's folder."""
    process = recipe.kind == "process"
    python = "{image}/python/bin/python3" if process else recipe.python
    reports = wire.TSM_REPORTS if recipe.platform == "simulated" else HARDWARE_REPORTS
    document = {
        "format": "sealroom/launch/v1",
        "kind": recipe.kind,
        "argv": [python, "-I", "-S", "-B", "{image}/app/boot.py", "gate"],
        "env": {"LC_ALL": "C.UTF-8", "SEALROOM_TSM": reports, "TZ": "UTC"}
        | ({} if process else {"PATH": CONTAINER_PATH}),
        "layers": list(LAYERS),
        "user": None if process else CONTAINER_USER,
        "working_dir": None if process else CONTAINER_FOLDER,
    }
    # ASCII without floats, keys sorted: this is the RFC 8785 form already.
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _build_locked(out: Path, recipe: Recipe) -> list[str]:
    out.mkdir(exist_ok=True)
    out.chmod(_FOLDER_MODE)
    stamps_file = out.with_name(out.name + ".stamps.json")
    stamps = _read_stamps(stamps_file)
    parts = dict(_parts(recipe))
    stale = [name for name, (stamp, _) in parts.items() if stamps.get(name) != stamp or not (out / name).is_dir()]
    document = launch_document(recipe)
    if stale:
        (out / "launch.json").unlink(missing_ok=True)
    _remove_all(entry for entry in out.iterdir() if entry.name not in {*parts, "launch.json"})
    for name in stale:
        _build_part(out, name, parts[name][1])
    _write(stamps_file, json.dumps({name: stamp for name, (stamp, _) in parts.items()}, indent=1).encode())
    if not (out / "launch.json").is_file() or (out / "launch.json").read_bytes() != document:
        _write(out / "launch.json", document)
        stale.append("launch.json")
    return stale


def _parts(recipe: Recipe) -> Iterator[tuple[str, tuple[str, Callable[[Path], None]]]]:
    """Folder -> (stamp, how to make it)."""
    tool = _digest_files(Path(__file__).parent)
    if recipe.kind == "process":
        yield "python", (tool + interpreter.stamp(), interpreter.copy_to)
    for name in ("gate", "job"):
        locked = Locked(recipe.sources / "requirements" / f"{name}.txt")
        yield name, (tool + interpreter.stamp() + locked.stamp(), locked.copy_to)
    app = tool + interpreter.stamp() + "".join(_digest_files(folder) for _, folder in _app_folders(recipe.sources))
    yield "app", (app, lambda target: _copy_app(recipe.sources, target))


def _build_part(out: Path, name: str, make: Callable[[Path], None]) -> None:
    """Build beside the image, then swap; what is in the image is whole at any time."""
    beside = out.with_name(f"{out.name}.new")
    _remove_all([beside])
    try:
        make(beside / name)
        _compile(beside, name)
        _normalise(beside / name)
        _remove_all([out / name])
        (beside / name).rename(out / name)
    finally:
        _remove_all([beside])


def _app_folders(sources: Path) -> list[tuple[str, Path]]:
    return [(name, sources / name) for name in ("protocol", "attestation", "enclave")]


def _copy_app(sources: Path, target: Path) -> None:
    package = target / "sealroom"
    package.mkdir(parents=True)
    shutil.copyfile(sources / "sealroom" / "__init__.py", package / "__init__.py")
    for name, folder in _app_folders(sources):
        shutil.copytree(folder, package / name, ignore=shutil.ignore_patterns(*_NEVER, "*.md", "*.pyc"))
    (package / "enclave" / "boot.py").rename(target / "boot.py")


def _compile(root: Path, part: str) -> None:
    """Compile in a fixed split over fixed processes, since byte code may depend on what was compiled before it."""
    names = sorted(str(path.relative_to(root)) for path in (root / part).rglob("*.py"))
    command = [sys.executable, "-s", "-S", "-B", str(Path(__file__).parent / "precompile.py"), str(root)]
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    running = []
    for number in range(WORKERS):
        with tempfile.TemporaryFile("w+", encoding="utf-8") as listing:
            listing.writelines(f"{name}\n" for name in names[number::WORKERS])
            listing.seek(0)
            running.append(subprocess.Popen(command, stdin=listing, env=environment))
    try:
        failed = [process for process in running if process.wait(COMPILE_SECONDS)]
    finally:
        for process in running:
            process.kill()
            process.wait()
    if failed:
        raise BuildError(f"the sources of {part} could not be compiled")


def _normalise(folder: Path) -> None:
    """Modes are part of the measurement: 0755 for folders and programs, 0644 for the rest."""
    for where, _, files in os.walk(folder):
        os.chmod(where, _FOLDER_MODE)
        for name in files:
            path = os.path.join(where, name)
            os.chmod(path, _FOLDER_MODE if os.path.basename(where) == "bin" and name == "python3" else 0o644)


def _digest_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            data = path.read_bytes()
            digest.update(f"{path.relative_to(folder)}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _read_stamps(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.chmod(0o644)
    temporary.replace(path)


def _remove_all(paths: Iterator[Path] | list[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
