"""Every entry of a log that this home has read, as it was shown, and the tree over them.

Runs in: a party.   Believes: its own home.   Spec: §13.4.

    log/<agreement>/history         one entry per line, in order, as in a history file; only ever appended to
    log/<agreement>/history.end     how many entries in how many bytes, and the peaks of the tree over them
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files, logged_entry
from sealroom.client.gateway_log import ShownEntry
from sealroom.client.logged_entry import LoggedEntry
from sealroom.protocol import canonical, merkle, schema
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, Refused
from sealroom.protocol.merkle import Frontier
from sealroom.protocol.schema import Hex32, Int, Many

FILE: Final = "history"
END: Final = "history.end"
PAGE: Final = 256
_PAGE_BYTES: Final = 8 << 20
_MOST_NOTE: Final = 1 << 14


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How far the file is complete: the tree over its entries, and its length in bytes."""

    tree: Frontier = dataclasses.field(default_factory=Frontier)
    length: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A place between two entries: the number of the next one, and where its line begins."""

    number: int = 0
    offset: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    format: Literal["sealroom/log-history/v1"]
    size: Annotated[int, Int(0, merkle.MOST_SIZE)]
    length: Annotated[int, Int(0)]
    peaks: Annotated[tuple[Hex32, ...], Many(0, 49)]


def end(folder: Path) -> End:
    """How far this home has read; a beginning that lost some of what was noted counts as nothing, and is read again."""
    path = folder / END
    if not path.exists():
        return End()
    noted = schema.decode(_Noted, canonical.decode(files.read(path, most=_MOST_NOTE), most=_MOST_NOTE), END)
    lines = folder / FILE
    if not lines.exists() or lines.stat().st_size < noted.length or noted.size.bit_count() != len(noted.peaks):
        return End()
    return End(Frontier(noted.size, tuple(bytes.fromhex(peak) for peak in noted.peaks)), noted.length)


def extend(folder: Path, before: End, shown: Sequence[ShownEntry], tree: Frontier) -> End:
    """Write entries behind `before`, durably, then note that they are there; what a crash left there goes."""
    lines = b"".join(logged_entry.to_bytes(entry) + b"\n" for entry in shown)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(folder / FILE, flags, 0o600), "r+b") as sink:
        sink.truncate(before.length)
        sink.seek(before.length)
        sink.write(lines)
        sink.flush()
        os.fsync(sink.fileno())
    after = End(tree, before.length + len(lines))
    peaks = tuple(peak.hex() for peak in tree.peaks)
    noted = _Noted(format="sealroom/log-history/v1", size=tree.size, length=after.length, peaks=peaks)
    files.write(folder / END, canonical.encode(schema.encode(noted)), overwrite=True)
    return after


def entries(folder: Path, until: End, place: Place | None = None) -> Iterator[tuple[LoggedEntry, bytes, Place]]:
    """Each entry from `place` (or the first) up to `until`, its bytes, and the place behind it.

    Raises:
        Malformed: the file was damaged.
    """
    for line, after in _lines(folder, until, place or Place()):
        yield _entry(folder, after.number - 1, line), line, after


def statements(folder: Path, until: End, *kinds: str) -> list[Envelope]:
    """Every statement of these kinds, in the order of the log; other entries are not decoded.

    Raises:
        Malformed: the file was damaged.
    """
    found, marks = [], [f'"kind":"{kind}"'.encode() for kind in kinds]
    for line, after in _lines(folder, until, Place()):
        if any(mark in line for mark in marks):
            entry = _entry(folder, after.number - 1, line)
            if entry.kind in kinds and entry.statement is not None:
                found.append(entry.statement)
    return found


def _lines(folder: Path, until: End, place: Place) -> Iterator[tuple[bytes, Place]]:
    at = place
    if at.number >= until.tree.size:
        return
    with (folder / FILE).open("rb") as source:
        source.seek(at.offset)
        while at.number < until.tree.size:
            line = source.readline(logged_entry.MOST_BYTES + 1)
            at = Place(at.number + 1, at.offset + len(line))
            yield line.removesuffix(b"\n"), at


def _entry(folder: Path, number: int, line: bytes) -> LoggedEntry:
    try:
        return logged_entry.parse(number, line)
    except Refused as error:
        raise Malformed("log-history", f"entry {number} in {folder / FILE} is damaged",
                        hint="move that file away: the gateway is asked for all of it again") from error  # fmt: skip


def pages(folder: Path, until: End, place: Place) -> Iterator[tuple[list[LoggedEntry], Place]]:
    """The same by the page, and the place behind each."""
    page: list[LoggedEntry] = []
    start = at = place
    for entry, _, at in entries(folder, until, place):
        page.append(entry)
        if len(page) == PAGE or at.offset - start.offset >= _PAGE_BYTES:
            yield page, at
            page, start = [], at
    if page:
        yield page, at
