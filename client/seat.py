"""Where a ledger is at home and how far it was: tells the ledger itself from a copy, a backup and a lost disk.

Runs in: an owner's broker.   Believes: inode numbers of its own machine.   Spec: §10.5.

A file's content can be copied, its inode cannot. The seat is written when keys are made, so that a ledger that is
missing was lost and is not one that never was.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import entries, files, keyfile
from sealroom.client.errors import Unreachable
from sealroom.protocol import canonical, digest, schema
from sealroom.protocol.errors import Malformed, NotAcceptable
from sealroom.protocol.schema import Hex32, Int, Name, Text

LOCK: Final = "ledger.lock"
FILE: Final = "ledger.seat"
MARK: Final = "restored"
_MACHINE: Final = Path("/etc/machine-id")
_GENERATION: Final = 0x80087601
"""FS_IOC_GETVERSION of linux/fs.h: a number that a file system draws for each inode that it hands out."""
_MOST: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The place that a ledger was made or confirmed at, the party's key then, and the newest entry that it had."""

    format: Literal["sealroom/ledger-seat/v1"]
    party: Name
    place: Hex32
    key: Annotated[str, Text(r"[A-Za-z0-9_-]{43}|none", 43)]
    sequence: Annotated[int, Int(0)]
    head: Hex32


def first(folder: Path, party: str) -> None:
    """The seat of a ledger that has no entry yet: only for keys that were made this moment."""
    save(folder, party, (0, entries.start(party)))


def save(folder: Path, party: str, head: tuple[int, str]) -> None:
    """Note that the ledger in `folder` is at home here, and how far it is."""
    sequence, digest_ = head
    seat = Seat(
        format="sealroom/ledger-seat/v1", party=party, place=here(folder), key=key_of(folder), sequence=sequence,
        head=digest_,
    )  # fmt: skip
    _write(folder, seat)


def rekey(folder: Path) -> None:
    """Note that the party's keys were drawn anew; where the ledger is and how far stays as it was noted."""
    if (seat := load(folder)) is not None:
        _write(folder, dataclasses.replace(seat, key=key_of(folder)))


def load(folder: Path) -> Seat | None:
    """The seat as it was last noted; None if there is none that can be read."""
    try:
        return schema.decode(Seat, canonical.decode(files.read(folder / FILE, most=_MOST), most=_MOST))
    except (Unreachable, Malformed):
        return None


def here(folder: Path) -> str:
    """Names this machine and the inode of the folder's lock file, which is made if it is not there."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        inode, generation = os.fstat(descriptor).st_ino, _generation(descriptor)
    finally:
        os.close(descriptor)
    machine = _MACHINE.read_bytes() if _MACHINE.is_file() else b""
    return digest.sha256("ledger-seat/v1", machine.strip(), str(inode).encode(), generation)


def key_of(folder: Path) -> str:
    """The signing key of the home; old keys that were put into a new home have a ledger somewhere else."""
    path = folder / "keys" / "signing.key"
    return keyfile.load(path, "signing").public if path.exists() else "none"


def take_lock(folder: Path) -> int:
    """One writer per home: the lock goes with the process, also when it is killed.

    Raises:
        NotAcceptable: another process holds it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise NotAcceptable("ledger-in-use", "another broker of this party is running",
                            hint="one broker per home: stop the other one first") from error  # fmt: skip
    return descriptor


def mark(folder: Path) -> str | None:
    """What the file `restored` says, made printable; None if there is none."""
    try:
        said = files.read(folder / MARK, most=_MOST)
    except Unreachable:
        return "a file that cannot be read" if os.path.lexists(folder / MARK) else None
    text = "".join(c if c.isascii() and c.isprintable() else " " for c in said.decode("utf-8", "replace"))
    return " ".join(text.split())[:300] or "it does not say from when"


def unmark(folder: Path) -> None:
    """Take the file `restored` away."""
    (folder / MARK).unlink(missing_ok=True)


def _write(folder: Path, seat: Seat) -> None:
    files.write(folder / FILE, canonical.encode(schema.encode(seat)), overwrite=True)


def _generation(descriptor: int) -> bytes:
    try:
        return fcntl.ioctl(descriptor, _GENERATION, bytes(8))
    except OSError:  # a file system without such numbers
        return b""
