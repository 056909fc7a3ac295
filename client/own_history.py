"""An agreement's history out of a party's own home, without its gateway: as far as that home has read the log.

Runs in: a party.   Believes: its own home, as far as the log's key signed it.   Spec: §13.5.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from pathlib import Path
from typing import Final

from sealroom.client import audit_folder, files, kept_log, logbook, plain
from sealroom.client.errors import Unreachable
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import notes
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.notes import Note

_LOCK_WAIT: Final = 60.0
_HEAD: Final = ""
"""Where parties' notes stand under their names, the pinned head stands under none."""
_CONTRADICTS: Final = ".contradicts"


@dataclasses.dataclass(frozen=True, slots=True)
class OwnHistory:
    """What was written, and what it lacks.

    `entries` were written; `uncovered` more were read, but no checkpoint in this home covers them. `looked` is when
    this party last cosigned (seconds since 1970, by its clock; 0: never). `contradicted` names parties that cosigned
    another history, which is not written.
    """

    entries: int
    uncovered: int
    looked: int
    contradicted: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The same for programs."""
        return dataclasses.asdict(self) | {"from": "home"}

    def lacks(self) -> list[str]:
        """What such a history cannot show, in lines for a person."""
        when = f" on {plain.date(self.looked)}" if self.looked else ""
        said = [
            f"what the log got after this home last looked at it{when}, nor whether it got anything",
            "that others were shown the same history, further than they cosigned it",
            "payloads and results, and what was never posted, such as an approval that was sent as a file",
        ]
        if self.uncovered:
            said.append(f"{self.uncovered} more entries that this home read, as no checkpoint in it covers them yet")
        where = f"log/.../seen/{{}}{_CONTRADICTS} in this home proves it"
        return said + [f"another history, which {p} HAS COSIGNED: {where.format(p)}" for p in self.contradicted]


def export(home: Home, pinned: PinnedAgreement, folder: Path) -> OwnHistory:
    """Write what this home has read of the agreement's log to a new folder, as far as a checkpoint covers it.

    Raises:
        Unreachable: it has read nothing, or another program of this party is looking at the log.
        UsageError: the folder exists and is not empty.
        Malformed: what this home kept was damaged.
    """
    own = home.root / "log" / pinned.id
    if not (own / kept_log.END).exists():
        raise _nothing()
    with files.locked(own / "lock", seconds=_LOCK_WAIT):
        end = kept_log.end(own)
        signed = _signed(own, pinned, end.tree.size)
        if not signed:
            raise _nothing()
        size = max(note.unverified.size for note in signed.values())
        kept = ((line, entry.leaf) for entry, line, _ in kept_log.entries(own, end))
        audit_folder.write(folder, itertools.islice(kept, size))
    data = {by: note.to_bytes() for by, note in signed.items()}
    audit_folder.write_notes(folder, data.pop(_HEAD, None), data)
    others = sorted(party.name for party in pinned.agreement.parties)
    contradicted = tuple(name for name in others if (own / "seen" / f"{name}{_CONTRADICTS}").exists())
    return OwnHistory(size, end.tree.size - size, _looked(home, pinned, signed), contradicted)


def _signed(own: Path, pinned: PinnedAgreement, most: int) -> dict[str, Note]:
    """What each party cosigned of at most so many entries, and the pinned head, if the log's key signed them."""
    key = _key(own, pinned)
    paths = {_HEAD: own / "head", **{party.name: own / "seen" / party.name for party in pinned.agreement.parties}}
    found: dict[str, Note] = {}
    for by, path in paths.items():
        with contextlib.suppress(Refused, Unreachable):  # one that is not there, or does not hold, proves nothing
            note = notes.parse(files.read(path, most=notes.MOST_BYTES))
            if 0 < notes.verify_log(note, name=notes.origin(pinned.id), key=key).size <= most:
                found[by] = note
    return found


def _key(own: Path, pinned: PinnedAgreement) -> VerifyingKey:
    said = envelopes.parse(files.read(own / "key.json", most=envelopes.MOST_BYTES))
    return logbook.key_of(said, pinned.agreement, pinned.id)


def _looked(home: Home, pinned: PinnedAgreement, signed: dict[str, Note]) -> int:
    party = home.config.party
    if party not in signed:
        return 0
    name = notes.cosigner(pinned.id, party)
    return notes.cosigners(signed[party], {name: home.public_keys().signing}).get(name, 0)


def _nothing() -> Unreachable:
    return Unreachable("this home has read nothing of that agreement's log",
                       hint="its broker reads it, and so does `sealroom results`; or ask the gateway")  # fmt: skip
