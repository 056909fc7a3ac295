"""The gateway's home in one file, and a home out of such a file: everything under its SHA-256, nothing overwritten.

Runs in: host.   Believes: no byte of a backup before its digest is the one that the list names.   Spec: §12.5.

A tar file. First `list.json`: `{"format", "created", "files": {name: [size, sha256]}}`; then exactly these files. It
holds the gateway's own TLS key, and so is as private as the home; everything else in it the operator can see anyway.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sealroom.host import settings
from sealroom.host.store import snapshot
from sealroom.host.store.database import FILE
from sealroom.host.store.snapshot import BadSnapshotError

FORMAT = "sealroom/host-backup/v1"
LIST = "list.json"
_NAME = re.compile(r"host\.toml|host\.db|tls/(certificate|key)\.pem|blobs/done/([0-9a-f]{64})")
_SMALL = (settings.FILE, "tls/certificate.pem", "tls/key.pem")
_MOST_LIST, _MOST_FILES, _STEP = 256 << 20, 1 << 21, 1 << 20


class BackupError(RuntimeError):
    """It was not made or not restored; what was begun is gone again."""


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Only one backup or pruning at a time; waits for another one's end."""
    descriptor = os.open(home / "upkeep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make(home: Path, target: Path, *, database: str = "", now: float) -> dict[str, int]:
    """Write a backup of `home`, whose gateway may run, to the new file `target`; how many files and bytes.

    `database` is the URL of its PostgreSQL database, if it has one; the backup holds a SQLite file either way.

    Raises:
        BackupError: a file is missing or not what its name says.
        FileExistsError: `target` is there already.
    """
    copy = home / f".snapshot-{secrets.token_hex(4)}.db"
    with alone(home), _new(target) as file:
        try:
            snapshot.take(home, database, copy)
            found = _listed(home, copy)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                text = json.dumps(
                    {"format": FORMAT, "created": int(now), "files": {n: v for n, (_, v) in found.items()}}
                )
                _add(archive, LIST, io.BytesIO(text.encode()), len(text.encode()))
                for name, (path, (size, digest)) in found.items():
                    with path.open("rb") as source:
                        reader = _Hashing(source)
                        _add(archive, name, reader, size)
                    if reader.digest != digest:
                        raise BackupError(f"{name} does not have the bytes that its name says")
        finally:
            copy.unlink(missing_ok=True)
    return {"files": len(found), "bytes": sum(size for _, (size, _) in found.values())}


def restore(source: Path, home: Path, *, database: str = "") -> dict[str, int]:
    """Make `home`, which must not be there or be empty, out of a backup; how many files and bytes.

    With `database` its rows go into that empty PostgreSQL database, else they stay in the home's own file, wherever
    they came from: a restored gateway never goes on in the database that the backup was made of.

    Raises:
        BackupError: the backup is damaged or incomplete, or `home` is in use.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BackupError(f"{home} is not empty; nothing is ever overwritten")
    building = home.with_name(f".{home.name}.{secrets.token_hex(4)}.part")
    building.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in ("", "tls", "blobs", "blobs/done"):
        (building / folder).mkdir(mode=0o700)
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            found = _unpack(archive, building)
        _complete(building, set(found))
        _settle(building, database)
        building.rename(home)
        _sync(home.parent)
    except (tarfile.TarError, EOFError, BadSnapshotError) as error:
        words = str(error) if isinstance(error, BadSnapshotError) else "it is no backup, or was cut short"
        raise BackupError(words) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return {"files": len(found), "bytes": sum(size for size, _ in found.values())}


def _settle(folder: Path, database: str) -> None:
    """Put the rows where the restored gateway is to have them, and say so in its settings."""
    before = settings.load(folder)
    settings.choose_database(folder, database)
    after = settings.load(folder)
    if dataclasses.replace(after, database=before.database) != before or after.database != database:
        raise BackupError("its settings could not be set to the database")
    if database:
        snapshot.put(folder / FILE, database)
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            (folder / name).unlink(missing_ok=True)


def _listed(home: Path, copy: Path) -> dict[str, tuple[Path, tuple[int, str]]]:
    """Name -> (where it lies, (size, SHA-256)); ciphertext is named by its digest, which is checked when it is read."""
    found = {name: (home / name, _measured(home / name)) for name in _SMALL}
    found["host.db"] = (copy, _measured(copy))
    for digest in sorted(snapshot.needed(copy)):
        path = home / "blobs" / "done" / digest
        if not path.is_file():
            raise BackupError(f"the ciphertext {digest[:16]} is missing")
        found[f"blobs/done/{digest}"] = (path, (path.stat().st_size, digest))
    return found


def _unpack(archive: tarfile.TarFile, folder: Path) -> dict[str, tuple[int, str]]:
    first = archive.next()
    if first is None or first.name != LIST or not first.isreg() or first.size > _MOST_LIST:
        raise BackupError("it is no backup of a gateway")
    listed = _read_list(_opened(archive, first).read(first.size))
    seen: set[str] = set()
    while (member := archive.next()) is not None:
        if not member.isreg() or member.name not in listed or member.name in seen:
            raise BackupError("it holds a file that its list does not name")
        seen.add(member.name)
        _write(_opened(archive, member), folder / member.name, member.name, listed[member.name])
    if missing := set(listed) - seen:
        raise BackupError(f"{len(missing)} of {len(listed)} files are missing; it was cut short")
    return listed


def _read_list(data: bytes) -> dict[str, tuple[int, str]]:
    try:
        value: Any = json.loads(data)
        listed = {str(name): (int(size), str(digest)) for name, (size, digest) in value["files"].items()}
        known = value["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError("its list cannot be read") from error
    if not known or len(listed) > _MOST_FILES or not all(map(_is_plain, listed, listed.values())):
        raise BackupError("its list names what no backup holds")
    return listed


def _is_plain(name: str, about: tuple[int, str]) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and about[0] >= 0 and match.group(2) in (None, about[1])


def _write(source: IO[bytes], path: Path, name: str, about: tuple[int, str]) -> None:
    mode = 0o400 if name.startswith("blobs/") else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        reader = _Hashing(source)
        while part := reader.read(_STEP):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    if (reader.size, reader.digest) != about:
        raise BackupError(f"{name} is not what the list says")


def _complete(folder: Path, names: set[str]) -> None:
    """Refuse a backup that lacks what its own database names."""
    if not {*_SMALL, "host.db"} <= names:
        raise BackupError("it lacks settings, key or database")
    wanted = {f"blobs/done/{digest}" for digest in snapshot.needed(folder / "host.db")}
    if missing := wanted - names:
        raise BackupError(f"it lacks {len(missing)} ciphertexts that its database names")


def _add(archive: tarfile.TarFile, name: str, source: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    try:
        archive.addfile(member, source)
    except OSError as error:
        if error.errno is None:  # the library's word for a source that ends too soon
            raise BackupError(f"{name} became shorter while it was read") from error
        raise


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise BackupError("it holds what is no file")
    return file


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as source:
        reader = _Hashing(source)
        while reader.read(_STEP):
            pass
    return reader.size, reader.digest


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._hasher, self.size = source, hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        part = self._source.read(size)
        self._hasher.update(part)
        self.size += len(part)
        return part

    @property
    def digest(self) -> str:
        return self._hasher.hexdigest()


@contextlib.contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """A new file of mode 600 that is whole and on disk when the block ends, or gone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _sync(path.absolute().parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
