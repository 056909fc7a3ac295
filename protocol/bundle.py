"""Code bundles: one deterministic archive per set of files, and a reader that accepts no other spelling of it.

Runs in: parties, gate, jail.   Believes: nothing.   Spec: §4.5.

A bundle is a USTAR archive of regular files only, sorted by name, with every field but name, size and checksum fixed,
and two zero blocks at the end. The reader writes the header it expects and compares: links, devices, long names,
extended headers, odd modes and dirty padding all differ from it. Files never reach a disk on the way.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed

FORMAT = "sealroom/bundle/v1"
MANIFEST = "bundle.json"
QUERY = "query.json"
ENDINGS = ("py", "json", "sql", "txt", "md")
MOST_FILES = 512
MOST_BYTES = 16 << 20
MOST_DEPTH = 8
MOST_NAME = 100
MOST_MANIFEST = 1 << 16
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_NAME = re.compile(rf"(?:[a-z0-9_]+/){{0,{MOST_DEPTH - 1}}}[a-z0-9_]+\.(?:{'|'.join(ENDINGS)})", re.ASCII)

Entry = Annotated[str, schema.Text(r"[a-z0-9_]+(\.[a-z0-9_]+){0,7}:[a-z_][a-z0-9_]*|query\.json", 160)]


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """`bundle.json`: how much the code sees at once, and where it begins."""

    format: Literal["sealroom/bundle/v1"]
    lane: Literal["whole", "blocks", "query"]
    entry: Entry

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the entry function."""
        return self.entry.partition(":")[0]

    @property
    def function(self) -> str:
        """Name of the entry function."""
        return self.entry.partition(":")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read: its manifest, and every file by name."""

    manifest: Manifest
    files: Mapping[str, bytes]


def pack(folder: str | os.PathLike[str]) -> bytes:
    """The archive of a folder; equal files give equal bytes. `__pycache__` folders are left out.

    Raises:
        Malformed: a name, link, special file, size or the manifest is not allowed; the message names it.
        OSError: a file cannot be read.
    """
    files: dict[str, bytes] = {}
    total = 0
    for name, path in _walk(os.fspath(folder), ""):
        _check_name(name)
        files[name] = _read_regular(path, name, MOST_BYTES - total)
        total += len(files[name])
        if len(files) > MOST_FILES:
            raise Malformed("too-many-files", f"a bundle holds at most {MOST_FILES} files")
    return build(files)


def build(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files.

    Raises:
        Malformed: as `read` would.
    """
    parts: list[bytes] = []
    for name in sorted(files):
        _check_name(name)
        parts += [_header(name, len(files[name])), files[name], bytes(-len(files[name]) % _BLOCK)]
    archive = b"".join([*parts, _END])
    read(archive)
    return archive


def read(unverified_archive: bytes | memoryview) -> Bundle:
    """Read an archive in one pass.

    Raises:
        Malformed: a byte of it is not what `build` would have written for these files, or the manifest is not valid.
    """
    view = memoryview(unverified_archive).cast("B")
    if len(view) > MOST_BYTES + 2 * _BLOCK * MOST_FILES + len(_END):
        raise Malformed("too-large", "the archive is larger than any bundle")
    files: dict[str, bytes] = {}
    at, total, last = 0, 0, ""
    while view[at : at + len(_END)] != _END:
        name, size = _parse_header(bytes(view[at : at + _BLOCK]))
        if name <= last:
            raise Malformed("out-of-order", "the archive's files are not sorted, or one is there twice")
        total += size
        if len(files) == MOST_FILES or total > MOST_BYTES:
            raise Malformed("too-large", f"a bundle holds at most {MOST_FILES} files and {MOST_BYTES} bytes")
        files[name], at, last = _content(view, at + _BLOCK, size), at + _BLOCK + _padded(size), name
    if at + len(_END) != len(view):
        raise Malformed("trailing-bytes", "bytes follow the archive's end")
    return Bundle(_manifest(files), MappingProxyType(files))


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _header(name: str, size: int) -> bytes:
    """The one header a file of this name and size can have (POSIX.1-1988 ustar)."""
    fields = (
        name.encode().ljust(100, b"\x00"),
        b"0000644\x00",  # mode
        b"0000000\x00" * 2,  # uid, gid
        b"%011o\x00" % size,
        b"00000000000\x00",  # mtime
        b" " * 8,  # checksum, counted as blanks
        b"0".ljust(101, b"\x00"),  # regular file, no link name
        b"ustar\x0000".ljust(72, b"\x00"),  # magic, version, no user and group name
        b"0000000\x00" * 2,  # device
        bytes(167),  # prefix, padding
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _parse_header(block: bytes) -> tuple[str, int]:
    if len(block) < _BLOCK:
        raise Malformed("cut-short", "the archive ends without its end mark")
    raw_name, raw_size = block[:100].rstrip(b"\0"), block[124:135]
    if not raw_name.isascii() or re.fullmatch(rb"[0-7]{11}", raw_size) is None:
        raise Malformed("bad-header", "an archive header is not the one form that is allowed")
    name, size = raw_name.decode("ascii"), int(raw_size, 8)
    _check_name(name)
    if block != _header(name, size):
        raise Malformed("bad-header", "an archive header is not the one form that is allowed")
    return name, size


def _content(view: memoryview, start: int, size: int) -> bytes:
    padding = view[start + size : start + _padded(size)]
    if start + _padded(size) > len(view):
        raise Malformed("cut-short", "the archive ends inside a file")
    if any(padding):
        raise Malformed("bad-padding", "the padding behind a file is not zero")
    return bytes(view[start : start + size])


def _check_name(name: str) -> None:
    if len(name) > MOST_NAME or _NAME.fullmatch(name) is None:
        raise Malformed(
            "bad-name",
            f"file name {name[:MOST_NAME]!r} is not allowed",
            hint=f"use a-z, 0-9 and _, at most {MOST_DEPTH} levels, and one of the endings {', '.join(ENDINGS)}",
        )


def _manifest(files: Mapping[str, bytes]) -> Manifest:
    data = files.get(MANIFEST)
    if data is None or len(data) > MOST_MANIFEST:
        raise Malformed("no-manifest", f"a bundle needs a {MANIFEST} of at most {MOST_MANIFEST} bytes")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{MANIFEST} is not JSON") from error
    manifest = schema.decode(Manifest, value, MANIFEST)
    if manifest.lane == "query":
        wanted = {QUERY} if manifest.entry == QUERY else set()
    else:
        stem = manifest.module.replace(".", "/")
        wanted = {f"{stem}.py", f"{stem}/__init__.py"} if manifest.function else set()
    if len(wanted & set(files)) != 1:
        raise Malformed("no-entry", f"the entry {manifest.entry!r} does not suit the lane, or is not in the bundle")
    return manifest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Every file below a folder by its archive name, without following links."""
    if prefix.count("/") > MOST_DEPTH:
        raise Malformed("too-deep", f"{prefix}: nested deeper than {MOST_DEPTH} levels")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir(follow_symlinks=False):
                yield prefix + entry.name, entry.path
            elif entry.name != "__pycache__":
                yield from _walk(entry.path, f"{prefix}{entry.name}/")


def _read_regular(path: str, name: str, most: int) -> bytes:
    """Refuse a link or special file before opening could block on it or have effects."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Malformed("not-regular", f"{name} is a link or special file; a bundle holds regular files only")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Malformed("too-large", f"{name}: the bundle is larger than {MOST_BYTES} bytes")
    return data
