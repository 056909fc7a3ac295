"""A folder as a Merkle tree over its entries: one digest covers every path, type, mode and byte (RFC 6962 §2.1).

Runs in: parties, and the simulated processor.   Believes: the file system.   Spec: §6.4.

Times and, in a folder, owners are left out: nothing in an image may depend on them, and the byte code that the image
builder makes does not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from sealroom.protocol import digest
from sealroom.protocol.errors import Malformed

MOST_ENTRIES = 200_000
MOST_LINK = 4096
_THREADS = 2
_CAPABILITY = "security.capability"
_READS = 3
"""A further hard link to a file changes its ctime as writing does: what looks changed is read again, so often."""

DigestCache = MutableMapping[tuple[int, int, int, int, int], str]
"""(device, inode, size, mtime, ctime) -> SHA-256. Only for one who would notice or does not mind a forged clock."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `content` is a file's SHA-256 in hex or a link's target.

    `owner` is `uid:gid` in a container image, and empty in a folder.
    """

    path: str
    kind: Literal["file", "directory", "link"]
    mode: int
    owner: str
    size: int
    content: str

    def leaf(self) -> bytes:
        """The entry's leaf in the tree (32 bytes)."""
        numbers = self.mode.to_bytes(4, "big"), self.size.to_bytes(8, "big")
        words = (word.encode() for word in (self.path, self.kind, self.owner, self.content))
        return hashlib.sha256(b"\0" + digest.preimage("tree-entry/v1", *numbers, *words)).digest()


def root(entries: Iterable[Entry]) -> str:
    """The Merkle tree hash of the entries in the order of their paths' bytes, as 64 hex digits.

    Raises:
        Malformed: no entry, too many, or two of one path.
    """
    ordered = sorted(entries, key=lambda entry: entry.path.encode())
    if not 0 < len(ordered) <= MOST_ENTRIES:
        raise Malformed("tree-size", f"an image has 1..{MOST_ENTRIES} entries, not {len(ordered)}")
    if len({entry.path for entry in ordered}) != len(ordered):
        raise Malformed("tree-repeats", "an image names a path twice")
    level = [entry.leaf() for entry in ordered]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        # A node without a partner moves up as it is: that is the RFC's split at the largest power of two.
        level = pairs + level[2 * len(pairs) :]
    return level[0].hex()


def folder(path: Path, *, cache: DigestCache | None = None) -> list[Entry]:
    """Every entry below a folder, by path relative to it.

    Raises:
        Malformed: a device, socket or pipe, a link that leads out of the folder, a name that is not UTF-8, a file with
            capabilities, one that changes meanwhile, or too many entries.
        OSError: something cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found: list[Entry | Future[Entry]] = []
        top = os.path.realpath(path)
        for name, entry in _walk(top):
            if len(found) == MOST_ENTRIES:
                raise Malformed("tree-size", f"an image has at most {MOST_ENTRIES} entries")
            # Hashing a large block releases the interpreter, so that two files are read at once.
            if not entry.is_file(follow_symlinks=False):
                found.append(_other(name, entry, top))
            elif cache is not None and (known := cache.get(_key(status := entry.stat(follow_symlinks=False)))):
                found.append(_file(name, status, known))
            else:
                found.append(pool.submit(_hash, name, entry.path, cache))
        return [entry.result() if isinstance(entry, Future) else entry for entry in found]


def _walk(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    waiting = [(top, "")]
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as listing:
            for entry in listing:
                name = prefix + entry.name
                if not _is_text(name):
                    raise Malformed("tree-name", f"a name in the image is not UTF-8: {name!a}")
                yield name, entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, name + "/"))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _other(name: str, entry: os.DirEntry[str], top: str) -> Entry:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        return Entry(name, "directory", stat.S_IMODE(mode), "", 0, "")
    if not stat.S_ISLNK(mode):
        raise Malformed("tree-special", f"the image holds a device, socket or pipe: {name}")
    target = os.readlink(entry.path)
    inside = f"{os.path.realpath(entry.path)}/".startswith(f"{top}/")
    if target.startswith("/") or not inside:
        raise Malformed("tree-link", f"a link leads out of the image: {name} -> {target}")
    # Linux ignores the mode of a link; other systems do not agree on what to report.
    return Entry(name, "link", 0o777, "", 0, target)


def _key(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _file(name: str, status: os.stat_result, content: str) -> Entry:
    return Entry(name, "file", stat.S_IMODE(status.st_mode), "", status.st_size, content)


def _hash(name: str, path: str, cache: DigestCache | None) -> Entry:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as source:
        for _ in range(_READS):
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode) or _CAPABILITY in os.listxattr(fd):
                raise Malformed("tree-special", f"not a plain file, or one with capabilities: {name}")
            source.seek(0)
            content = hashlib.file_digest(source, "sha256").hexdigest()
            if _key(before) == _key(os.fstat(fd)):
                if cache is not None:
                    cache[_key(before)] = content
                return _file(name, before, content)
    raise Malformed("tree-changing", f"a file changed while it was measured: {name}")
