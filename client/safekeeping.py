"""A party's whole home in one sealed file, and a home out of such a file, whose ledger is frozen until confirmed.

Runs in: a party.   Believes: nothing in the file before its tag holds.   Spec: §12.5.

One line of canonical JSON (how the key is stretched), then a secretstream header of 24 bytes and chunks of at most
65536 + 17 bytes, the last one tagged as final. The line is bound to the first chunk. Inside is a tar file. The ledger
is copied at one moment; a broker may run meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Final, Literal

from nacl import bindings, pwhash
from nacl.encoding import RawEncoder

from sealroom.client import asked, files, keyfile, ledger_file, liveness, passphrase, seat
from sealroom.client.errors import NotAuthorized
from sealroom.client.home import Home
from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import Malformed, NotGenuine, UsageError
from sealroom.protocol.keys import from_text, to_text
from sealroom.protocol.schema import Base64, Int

_CHUNK: Final = 65536
_TAG: Final = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MOST_LINE: Final = 4096
_LEFT_OUT: Final = (
    asked.LOCK, seat.LOCK, seat.FILE, seat.MARK, liveness.FILE,
    *(ledger_file.NAME + end for end in ("", "-wal", "-shm")),
)  # fmt: skip
"""Top-level files that belong to the place and not to the party; the ledger is copied in its own way."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The first line: how the passphrase becomes the key. Bounds as for key files."""

    format: Literal["sealroom/backup/v1"]
    kdf: Literal["argon2id13"]
    passes: Annotated[int, Int(2, 16)]
    memory: Annotated[int, Int(64 << 20, 1 << 30)]
    salt: Base64
    cipher: Literal["xchacha20poly1305-secretstream"]


def backup(home: Home, target: Path) -> int:
    """Write the whole home to the new file `target`, under the passphrase that its keys have; how many files.

    Raises:
        NotAuthorized: that is not the passphrase of the keys.
        UsageError: `target` is there already.
    """
    phrase = passphrase.ask(f"the keys of {home.config.party}")
    keyfile.unlock_signing(home.root / "keys" / "signing.key", phrase)
    salt = os.urandom(pwhash.argon2id.SALTBYTES)
    line = Line(
        format="sealroom/backup/v1", kdf="argon2id13", passes=keyfile.PASSES, memory=keyfile.MEMORY,
        salt=to_text(salt), cipher="xchacha20poly1305-secretstream",
    )  # fmt: skip
    with _ledger_copy(home.root) as ledger, files.replacing(target) as sink:
        sealed = _Sealing(sink, canonical.encode(schema.encode(line)) + b"\n", _key(phrase, line))
        found = [*_files(home.root), *([(ledger_file.NAME, ledger)] if ledger is not None else [])]
        with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for name, path in found:
                _add(archive, name, path)
        sealed.finish()
    return len(found)


def restore(source: Path, folder: Path, *, now: float) -> int:
    """Make a home in `folder`, which must not be there or be empty, out of a backup; how many files.

    The first file in it says that it was restored, so that its ledger takes no entry before `sealroom ledger confirm`.

    Raises:
        NotAuthorized: the passphrase does not open it, or its beginning was altered.
        NotGenuine: it was altered or cut short.
        UsageError: there is something in `folder`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty", hint="restore into a folder that is not there; nothing is overwritten"
        )
    files.private_folder(folder.parent) if not folder.parent.exists() else None
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    building.mkdir(mode=0o700)
    try:
        with source.open("rb") as file:
            opened = _open(file, source)
            written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(os.fstat(file.fileno()).st_mtime))
            today = time.strftime("%Y-%m-%d", time.gmtime(now))
            files.write(building / seat.MARK, f"on {today}, from a file written at {written}".encode())
            count = _unpack(opened, building)
            opened.drain()
        if not (building / "config.json").is_file():
            raise NotGenuine("backup-incomplete", f"{source} holds no home")
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return count


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """(name inside, path) of every file but those that belong to the place, and what was being written."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not path.is_symlink() and name not in _LEFT_OUT and not path.name.endswith(".part"):
            yield name, path


@contextlib.contextmanager
def _ledger_copy(root: Path) -> Iterator[Path | None]:
    """The ledger as it is at one moment, in a file that is gone afterwards; None if there is none yet."""
    if not (root / ledger_file.NAME).is_file():
        yield None
        return
    copy = root / f".ledger.{secrets.token_hex(4)}.part"
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            ledger_file.speaking(),
            contextlib.closing(sqlite3.connect(root / ledger_file.NAME)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """One file as it is now; the home's files are replaced as wholes or appended to, so that much of it stays."""
    with path.open("rb") as source:
        member = tarfile.TarInfo(name)
        member.size, member.mode = os.fstat(source.fileno()).st_size, 0o600
        archive.addfile(member, source)


def _unpack(opened: _Opened, folder: Path) -> int:
    count = 0
    try:
        with tarfile.open(fileobj=opened, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                path = _inside(folder, member)
                content = archive.extractfile(member)
                files.private_folder(path.parent)
                with files.replacing(path) as sink:
                    shutil.copyfileobj(content or io.BytesIO(), sink, _CHUNK)
                count += 1
    except (tarfile.TarError, EOFError) as error:
        raise NotGenuine("backup-broken", "what is sealed in the backup cannot be read") from error
    return count


def _inside(folder: Path, member: tarfile.TarInfo) -> Path:
    """Where a file goes.

    Raises:
        NotGenuine: it is no plain file, or leads out of the home, or belongs to a place.
    """
    parts = member.name.split("/")
    plain = member.isreg() and not {"", ".", ".."} & set(parts) and "\0" not in member.name
    if not plain or member.name in set(_LEFT_OUT) - {ledger_file.NAME}:
        raise NotGenuine("backup-broken", "the backup holds what no home holds")
    return folder.joinpath(*parts)


def _key(phrase: str, line: Line) -> bytes:
    salt = from_text(line.salt, size=pwhash.argon2id.SALTBYTES)
    return pwhash.argon2id.kdf(
        bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES, phrase.encode(), salt, opslimit=line.passes,
        memlimit=line.memory, encoder=RawEncoder,
    )  # fmt: skip


class _Sealing:
    """A file that seals what is written to it; `finish` writes the final chunk."""

    def __init__(self, sink: IO[bytes], line: bytes, key: bytes) -> None:
        self._sink, self._line, self._pending = sink, line, bytearray()
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        sink.write(line + bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key))

    def write(self, data: bytes) -> int:
        self._pending += data
        while len(self._pending) > _CHUNK:
            self._push(bytes(self._pending[:_CHUNK]), bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)
            del self._pending[:_CHUNK]
        return len(data)

    def finish(self) -> None:
        self._push(bytes(self._pending), bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL)

    def _push(self, data: bytes, tag: int) -> None:
        self._sink.write(bindings.crypto_secretstream_xchacha20poly1305_push(self._state, data, self._line, tag))
        self._line = b""


def _open(file: IO[bytes], path: Path) -> _Opened:
    line = file.readline(_MOST_LINE)
    try:
        about = schema.decode(Line, canonical.decode(line.removesuffix(b"\n"), most=_MOST_LINE))
    except Malformed as error:
        raise Malformed("not-a-backup", f"{path} is not the backup of a home") from error
    key = _key(passphrase.ask("the backup"), about)
    opened = _Opened(file, line, key)
    try:
        opened.fill()
    except NotGenuine as error:
        raise NotAuthorized(f"the passphrase does not open {path}, or the file was altered") from error
    return opened


class _Opened:
    """A file that gives what was sealed, chunk by chunk, each after its tag was checked.

    Raises:
        NotGenuine: a chunk was altered, moved or is missing, or there is more behind the last.
    """

    def __init__(self, file: IO[bytes], line: bytes, key: bytes) -> None:
        self._file, self._line, self._ready, self._final = file, line, bytearray(), False
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = file.read(bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES)
        if len(header) != bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES:
            raise NotGenuine("backup-cut", "the backup was cut short")
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def fill(self) -> None:
        """Open one more chunk."""
        sealed = self._file.read(_CHUNK + _TAG)
        if self._final or len(sealed) < _TAG:
            raise NotGenuine("backup-cut", "the backup was cut short")
        try:
            data, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, self._line)
        except RuntimeError as error:
            raise NotGenuine("backup-altered", "the backup was altered or cut short") from error
        self._line = b""
        self._ready += data
        self._final = tag == bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        if self._final and self._file.read(1):
            raise NotGenuine("backup-altered", "there is more behind the end of the backup")

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._final:
            self.fill()
        part = bytes(self._ready[:size])
        del self._ready[:size]
        return part

    def drain(self) -> None:
        """Read on to the final chunk, so that nothing is taken for whole that was cut."""
        while self.read(_CHUNK):
            pass
