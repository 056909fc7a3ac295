"""A whole agreement's history as files: one per entry, the hashes of the tree, and signed checkpoints.

Runs in: a party, and whoever holds the folder.   Believes: nothing.   Spec: §13.6.

    entries/000000.json ...   one entry each: number, kind, digest, salt, and the statement or evidence itself
    tree                      the hash of every entry, one line each
    checkpoints/*.note        the newest checkpoint, and the newest one that each party cosigned
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sealroom.client import files, logged_entry
from sealroom.client.errors import Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.gateway_log import ShownEntry
from sealroom.protocol import merkle, notes
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.notes import Note

_NAME: Final = re.compile(r"[0-9]{6,7}\.json")
_PARTY_NOTE: Final = re.compile(r"[a-z0-9_-]{1,80}\.note")


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
    count = write(folder, ((logged_entry.to_bytes(e), _leaf(e)) for e in _all(gateway, agreement, size)))
    if count != size:
        raise NotGenuine("log-shrank", f"the gateway signed {size} entries and shows {count}")
    signed = gateway.log_cosignatures(agreement).items()
    write_notes(folder, newest, {by: note for by, note in signed if notes.parse(note).unverified.size <= size})
    return size


def write(folder: Path, entries: Iterable[tuple[bytes, bytes]]) -> int:
    """Write entries, each as its bytes and its leaf, from number 0 on; how many.

    Raises:
        UsageError: one of the files is there already.
    """
    for part in (folder, folder / "entries", folder / "checkpoints"):
        files.private_folder(part)
    leaves = []
    for number, (data, leaf) in enumerate(entries):
        files.write(folder / "entries" / f"{number:06}.json", data)
        leaves.append(f"{leaf.hex()}\n")
    files.write(folder / "tree", "".join(leaves).encode())
    return len(leaves)


def write_notes(folder: Path, newest: bytes | None, cosigned: Mapping[str, bytes]) -> None:
    """Write the newest checkpoint, if there is one, and by party what each cosigned."""
    if newest is not None:
        files.write(folder / "checkpoints" / "newest.note", newest)
    for party, note in cosigned.items():
        if _PARTY_NOTE.fullmatch(f"by-{party}.note"):
            files.write(folder / "checkpoints" / f"by-{party}.note", note)


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
        if not _NAME.fullmatch(path.name) or len(found) > logged_entry.MOST_ENTRIES:
            raise Malformed("audit-stray-file", f"{path.name} is not the name of an entry")
        found[int(path.stem)] = files.read(path, most=logged_entry.MOST_BYTES)
    lines = files.read(folder / "tree", most=65 * logged_entry.MOST_ENTRIES).decode("ascii", "replace").split("\n")
    if lines[-1] or not all(re.fullmatch(r"[0-9a-f]{64}", line) for line in lines[:-1]):
        raise Malformed("audit-bad-tree", "the file `tree` is not a list of hashes")
    signed = {
        path.stem: notes.parse(files.read(path, most=notes.MOST_BYTES))
        for path in sorted((folder / "checkpoints").iterdir())
        if _PARTY_NOTE.fullmatch(path.name)
    }
    return Folder(found, tuple(bytes.fromhex(line) for line in lines[:-1]), signed)


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


def _leaf(entry: ShownEntry) -> bytes:
    return merkle.entry_hash(entry.salt, entry.kind, entry.digest)
