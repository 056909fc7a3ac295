"""Reads what was added to an agreement's log since this party read it last: all of it, in order, as it was signed.

Runs in: an owner's broker.   Believes: entries that make up the tree of a checkpoint which `logbook` accepted.
Spec: §13.4.

    log/<agreement>/read    how many entries were read under which version, and the peaks of the tree over them
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files, logged_entry
from sealroom.client.gateway import Gateway
from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import canonical, merkle, schema
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine
from sealroom.protocol.merkle import Frontier
from sealroom.protocol.notes import Checkpoint
from sealroom.protocol.schema import Hex32, Int, Many

FILE: Final = "read"
MOST_PAGES: Final = 64
_MOST_BYTES: Final = 1 << 14
Take = Callable[[Sequence[LoggedEntry]], bool]
"""Keeps what matters of entries, durably, and says whether any did; it may be given the same ones again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    format: Literal["sealroom/log-read/v1"]
    version: Hex32
    size: Annotated[int, Int(0, merkle.MOST_SIZE)]
    peaks: Annotated[tuple[Hex32, ...], Many(0, 49)]


def follow(folder: Path, gateway: Gateway, pinned: PinnedAgreement, head: Checkpoint, take: Take) -> bool:
    """Give `take` every entry up to `head` that it was not given before; whether any mattered.

    Page by page: (1) the entries stand in order, each is what its digest names; (2) they make the tree of what was
    read before grow towards that of `head`; (3) they are taken; (4) it is noted that they were read. Another version
    of the agreement reads from the first entry on: it may know the signer of what the last one did not.

    Raises:
        NotGenuine: the gateway shows fewer entries than it signed (`log-withheld`), or others (`log-other-entry`).
        NotAcceptable: there are more than are read at once (`log-unread`); the next call goes on from there.
    """
    path = folder / FILE
    tree, mattered = _read(path, pinned.version), False
    for _ in range(MOST_PAGES):
        if tree.size >= head.size:
            break
        entries = _page(gateway, pinned.id, tree.size, head.size)  # (1)
        for entry in entries:
            tree = tree.add(entry.leaf)
        _require_part(gateway, pinned.id, tree, head)  # (2)
        mattered = take(entries) or mattered  # (3)
        _note(path, pinned.version, tree)  # (4)
    if tree.size < head.size:
        raise NotAcceptable("log-unread", f"{head.size - tree.size} entries of the log are still to be read",
                            hint="nothing is given before all are read; look again")  # fmt: skip
    return mattered


def _page(gateway: Gateway, agreement: str, start: int, end: int) -> list[LoggedEntry]:
    """The next entries, at least one; what was added behind the checkpoint is left for the next one."""
    shown = gateway.log_entries(agreement, start)[: end - start]
    if not shown:
        raise NotGenuine("log-withheld", f"the gateway signed {end} entries of the log and shows {start}")
    if [entry.number for entry in shown] != list(range(start, start + len(shown))):
        raise _other(start)
    try:
        return [logged_entry.check(entry) for entry in shown]
    except (Malformed, NotGenuine) as error:
        raise _other(start) from error


def _require_part(gateway: Gateway, agreement: str, tree: Frontier, head: Checkpoint) -> None:
    proof = gateway.log_consistency(agreement, tree.size, head.size) if tree.size < head.size else ()
    try:
        merkle.verify_consistency(proof, old=(tree.size, tree.root), new=head.tree)
    except NotGenuine as error:
        raise _other(tree.size - 1) from error


def _other(number: int) -> NotGenuine:
    return NotGenuine("log-other-entry", f"about entry {number} the gateway shows another log than it signed")


def _read(path: Path, version: str) -> Frontier:
    if not path.exists():
        return Frontier()
    found = schema.decode(_Read, canonical.decode(files.read(path, most=_MOST_BYTES), most=_MOST_BYTES), "read")
    if found.version != version or found.size.bit_count() != len(found.peaks):
        return Frontier()
    return Frontier(found.size, tuple(bytes.fromhex(peak) for peak in found.peaks))


def _note(path: Path, version: str, tree: Frontier) -> None:
    peaks = tuple(peak.hex() for peak in tree.peaks)
    said = _Read(format="sealroom/log-read/v1", version=version, size=tree.size, peaks=peaks)
    files.write(path, canonical.encode(schema.encode(said)), overwrite=True)
