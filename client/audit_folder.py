"""A whole agreement's history as files: one per entry, the hashes of the tree, and signed checkpoints.

Runs in: a party, and whoever holds the folder.   Believes: nothing.   Spec: §13.6.

    entries/000000.json ...   one entry each: number, kind, digest, salt, and the statement or evidence itself
    tree                      the hash of every entry, one line each
    checkpoints/*.note        the newest checkpoint, and the newest one that each party cosigned
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files, logged_entry
from sealroom.client.errors import Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.gateway_log import ShownEntry
from sealroom.client.logged_entry import LoggedEntry
from sealroom.protocol import canonical, merkle, notes, schema
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.notes import Note
from sealroom.protocol.schema import Hex32, Int, Text

MOST_ENTRY: Final = 4 << 20
MOST_ENTRIES: Final = 1 << 20
_NAME: Final = re.compile(r"[0-9]{6,7}\.json")
_PARTY_NOTE: Final = re.compile(r"[a-z0-9_-]{1,80}\.note")
Kind = Annotated[str, Text(r"[a-z]{1,20}", 20)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """An entry without its body."""

    format: Literal["sealroom/log-entry/v1"]
    number: Annotated[int, Int(0, MOST_ENTRIES)]
    kind: Kind
    digest: Hex32
    salt: Hex32


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """The files as read: entries by the number in their names (content unread), leaf hashes, notes by name."""

    entries: dict[int, bytes]
    tree: tuple[bytes, ...]
    notes: dict[str, Note]


def export(gateway: Gateway, agreement: str, folder: Path) -> int:
    """Write the gateway's log to a new folder, unverified; how many entries.

    Raises:
        UsageError: the folder exists and is not empty.
        NotGenuine: the gateway shows fewer entries than it signed.
    """
    newest = gateway.log_checkpoint(agreement)
    size = notes.parse(newest).unverified.size
    for part in (folder, folder / "entries", folder / "checkpoints"):
        files.private_folder(part)
    files.write(folder / "checkpoints" / "newest.note", newest)
    leaves = []
    for entry in _all(gateway, agreement, size):
        leaves.append(merkle.entry_hash(entry.salt, entry.kind, entry.digest).hex())
        files.write(folder / "entries" / f"{entry.number:06}.json", _document(entry))
    if len(leaves) != size:
        raise NotGenuine("log-shrank", f"the gateway signed {size} entries and shows {len(leaves)}")
    files.write(folder / "tree", "".join(f"{leaf}\n" for leaf in leaves).encode())
    for party, note in gateway.log_cosignatures(agreement).items():
        if notes.parse(note).unverified.size <= size and _PARTY_NOTE.fullmatch(f"by-{party}.note"):
            files.write(folder / "checkpoints" / f"by-{party}.note", note)
    return size


def load(folder: Path) -> Folder:
    """Read the folder's files; believes nothing in them.

    Raises:
        Unreachable: a file cannot be read.
        Malformed: `tree` or a note is not in its form.
    """
    if not (folder / "entries").is_dir():
        raise Unreachable(f"{folder} holds no history", hint="make one: `sealroom audit export FOLDER`")
    found: dict[int, bytes] = {}
    for path in sorted((folder / "entries").iterdir()):
        if not _NAME.fullmatch(path.name) or len(found) > MOST_ENTRIES:
            raise Malformed("audit-stray-file", f"{path.name} is not the name of an entry")
        found[int(path.stem)] = files.read(path, most=MOST_ENTRY)
    lines = files.read(folder / "tree", most=65 * MOST_ENTRIES).decode("ascii", "replace").split("\n")
    if lines[-1] or not all(re.fullmatch(r"[0-9a-f]{64}", line) for line in lines[:-1]):
        raise Malformed("audit-bad-tree", "the file `tree` is not a list of hashes")
    signed = {
        path.stem: notes.parse(files.read(path, most=notes.MOST_BYTES))
        for path in sorted((folder / "checkpoints").iterdir())
        if _PARTY_NOTE.fullmatch(path.name)
    }
    return Folder(found, tuple(bytes.fromhex(line) for line in lines[:-1]), signed)


def read_entry(number: int, data: bytes) -> LoggedEntry:
    """One entry whose digest is its body's.

    Raises:
        Malformed: not in its form, or of another number than its file's name says.
        NotGenuine: its body is not what its digest names (`audit-altered`).
    """
    value = canonical.decode(data, most=MOST_ENTRY)
    if not isinstance(value, dict) or "body" not in value:
        raise Malformed("audit-bad-entry", "it is not an entry of a log")
    body = canonical.encode(value.pop("body"))
    head = schema.decode(_Head, value, "entry")
    if head.number != number:
        raise NotGenuine("audit-renumbered", f"it says that it is entry {head.number}")
    return logged_entry.check(ShownEntry(number, head.kind, head.digest, bytes.fromhex(head.salt), body))


def _all(gateway: Gateway, agreement: str, size: int) -> Iterator[ShownEntry]:
    start = 0
    while start < size:
        page = gateway.log_entries(agreement, start)
        if not page:
            return
        for entry in page:
            if entry.number != start or start >= size:
                return
            yield entry
            start += 1


def _document(entry: ShownEntry) -> bytes:
    return canonical.encode({
        "format": "sealroom/log-entry/v1", "number": entry.number, "kind": entry.kind, "digest": entry.digest,
        "salt": entry.salt.hex(), "body": canonical.decode(entry.body, most=MOST_ENTRY),
    })  # fmt: skip
