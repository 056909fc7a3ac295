"""Reads what was added to an agreement's log since this home read it last: all of it, in order, as it was signed.

Runs in: a party.   Believes: entries that make up the tree of a checkpoint which `logbook` accepted.   Spec: §13.4.

    log/<agreement>/history     what was read; see `kept_log`
    log/<agreement>/read        up to which of it the broker of this home took, under which version of the agreement
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files, kept_log, logged_entry
from sealroom.client.gateway import Gateway
from sealroom.client.gateway_log import ShownEntry
from sealroom.client.kept_log import End, Place
from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.read_entries import ReadEntries
from sealroom.protocol import canonical, merkle, schema
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine
from sealroom.protocol.merkle import Frontier
from sealroom.protocol.notes import Checkpoint
from sealroom.protocol.schema import Hex32, Int

FILE: Final = "read"
MOST_PAGES: Final = 64
_MOST_BYTES: Final = 1 << 14
Take = Callable[[Sequence[LoggedEntry]], bool]
"""Keeps what matters of entries, durably, and says whether any did; it may be given the same ones again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    format: Literal["sealroom/log-read/v2"]
    version: Hex32
    number: Annotated[int, Int(0, merkle.MOST_SIZE)]
    offset: Annotated[int, Int(0)]


def follow(
    folder: Path, gateway: Gateway, pinned: PinnedAgreement, head: Checkpoint, take: Take | None, read: ReadEntries
) -> bool:
    """Keep every entry up to `head`, and give `take` each that it was not given before; whether any mattered.

    `read` notes what `take` was given.

    Page by page: (1) the entries stand in order, each is what its digest names; (2) they make the tree of what was
    read before grow towards that of `head`; (3) they are kept; (4) they are taken, and it is noted that they were.
    Under another version of the agreement all that is kept is taken again: it may know the signer of what the last one
    did not.

    Raises:
        NotGenuine: the gateway shows fewer entries than it signed (`log-withheld`), or others (`log-other-entry`), or
            signed a log that does not continue what this home has read (`log-shrank`, `log-forked`).
        NotAcceptable: there are more than are read at once (`log-unread`); the next call goes on from there.
        Malformed: what this home kept was damaged.
    """
    end = kept_log.end(folder)
    _require_continued(end, head)
    read.continue_from(end.tree.size)
    take = _noting(take, read)
    mattered = _given(folder, pinned.version, end, take)
    for _ in range(MOST_PAGES):
        if end.tree.size >= head.size:
            return mattered
        end = _next_page(folder, gateway, pinned.id, end, head)
        mattered = _given(folder, pinned.version, end, take) or mattered  # (4)
    if end.tree.size < head.size:
        raise NotAcceptable("log-unread", f"{head.size - end.tree.size} entries of the log are still to be read",
                            hint="nothing is given before all are read; look again")  # fmt: skip
    return mattered


def _next_page(folder: Path, gateway: Gateway, agreement: str, end: End, head: Checkpoint) -> End:
    shown = _page(gateway, agreement, end.tree.size, head.size)
    tree = end.tree
    for leaf in _leaves(shown):  # (1)
        tree = tree.add(leaf)
    _require_part(gateway, agreement, tree, head)  # (2)
    return kept_log.extend(folder, end, shown, tree)  # (3)


def _page(gateway: Gateway, agreement: str, start: int, end: int) -> list[ShownEntry]:
    """The next entries, at least one; what was added behind the checkpoint is left for the next one."""
    shown = gateway.log_entries(agreement, start)[: end - start]
    if not shown:
        raise NotGenuine("log-withheld", f"the gateway signed {end} entries of the log and shows {start}")
    if [entry.number for entry in shown] != list(range(start, start + len(shown))):
        raise _other(start)
    return shown


def _leaves(shown: Sequence[ShownEntry]) -> list[bytes]:
    start = shown[0].number
    try:
        return [logged_entry.check(entry).leaf for entry in shown]
    except (Malformed, NotGenuine) as error:
        raise _other(start) from error


def _require_continued(end: End, head: Checkpoint) -> None:
    if end.tree.size >= head.size:
        merkle.verify_consistency((), old=(end.tree.size, end.tree.root), new=head.tree)


def _require_part(gateway: Gateway, agreement: str, tree: Frontier, head: Checkpoint) -> None:
    proof = gateway.log_consistency(agreement, tree.size, head.size) if tree.size < head.size else ()
    try:
        merkle.verify_consistency(proof, old=(tree.size, tree.root), new=head.tree)
    except NotGenuine as error:
        raise _other(tree.size - 1) from error


def _other(number: int) -> NotGenuine:
    return NotGenuine("log-other-entry", f"about entry {number} the gateway shows another log than it signed")


def _noting(take: Take | None, read: ReadEntries) -> Take | None:
    if take is None:
        return None

    def both(entries: Sequence[LoggedEntry]) -> bool:
        mattered = take(entries)
        read.note(entries)
        return mattered

    return both


def _given(folder: Path, version: str, end: End, take: Take | None) -> bool:
    mattered = False
    if take is not None:
        for page, place in kept_log.pages(folder, end, _place(folder / FILE, version, end)):
            mattered = take(page) or mattered
            _note(folder / FILE, version, place)
    return mattered


def _place(path: Path, version: str, end: End) -> Place:
    if not path.exists():
        return Place()
    with contextlib.suppress(Malformed):  # of an earlier format, which kept no history: all of it is taken again
        found = schema.decode(_Read, canonical.decode(files.read(path, most=_MOST_BYTES), most=_MOST_BYTES), FILE)
        if found.version == version and found.number <= end.tree.size and found.offset <= end.length:
            return Place(found.number, found.offset)
    return Place()


def _note(path: Path, version: str, place: Place) -> None:
    said = _Read(format="sealroom/log-read/v2", version=version, number=place.number, offset=place.offset)
    files.write(path, canonical.encode(schema.encode(said)), overwrite=True)
