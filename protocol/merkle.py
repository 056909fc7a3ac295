"""The tree of a transparency log: its root, and proofs that an entry is in it and that it only grew.

Runs in: parties.   Believes: nothing.   Spec: §13.1.   Hashing and proofs of RFC 9162 §2.1 (RFC 6962 §2.1).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from sealroom.protocol import digest
from sealroom.protocol.errors import NotGenuine

EMPTY: Final = hashlib.sha256(b"").digest()
MOST_SIZE: Final = 1 << 48
"""Entries that a log has at most; a proof has at most 2 * 48 hashes."""


def entry_hash(salt: bytes, kind: str, named: str) -> bytes:
    """The leaf of one entry: a commitment to kind and digest (hex) that says nothing without its salt (32 bytes)."""
    data = hashlib.sha256(digest.preimage("log-entry/v1", salt, kind.encode(), bytes.fromhex(named))).digest()
    return leaf_hash(data)


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00 | data)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 | left | right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclasses.dataclass(frozen=True, slots=True)
class Frontier:
    """A tree as it grows: its size, and the roots of its largest complete subtrees, from left to right."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def add(self, leaf: bytes) -> Frontier:
        """The tree with one more leaf."""
        peaks, top, rest = list(self.peaks), leaf, self.size
        while rest & 1:
            top, rest = node_hash(peaks.pop(), top), rest >> 1
        return Frontier(self.size + 1, (*peaks, top))

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        top = self.peaks[-1] if self.peaks else EMPTY
        for peak in reversed(self.peaks[:-1]):
            top = node_hash(peak, top)
        return top


def roots(leaves: Iterable[bytes]) -> list[bytes]:
    """The root over the first 0, 1, 2, ... leaves; one pass, so that a whole history costs n log n."""
    found, tree = [EMPTY], Frontier()
    for leaf in leaves:
        tree = tree.add(leaf)
        found.append(tree.root)
    return found


def verify_inclusion(leaf: bytes, proof: Sequence[bytes], *, index: int, size: int, root: bytes) -> None:
    """Return if `leaf` stands at `index` (from 0) in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).

    Raises:
        NotGenuine: it does not.
    """
    if not 0 <= index < size <= MOST_SIZE:
        raise NotGenuine("log-not-included", "there is no such place in the log")
    place, last, found = index, size - 1, leaf
    for step in proof:
        if not last:
            raise NotGenuine("log-not-included", "the proof of inclusion is too long")
        if place & 1 or place == last:
            found = node_hash(step, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    if last or found != root:
        raise NotGenuine("log-not-included", f"entry {index} is not in the log that the checkpoint signs")


def verify_consistency(proof: Sequence[bytes], *, old: tuple[int, bytes], new: tuple[int, bytes]) -> None:
    """Return if the tree `new` (size, root) has the tree `old` as its beginning (RFC 9162 §2.1.4.2).

    Raises:
        NotGenuine: it does not, or has fewer entries.
    """
    (before, old_root), (after, new_root) = old, new
    if not 0 <= before <= after <= MOST_SIZE:
        raise NotGenuine("log-shrank", f"the log had {before} entries and now shows {after}")
    if before in (0, after):
        if proof or (before and old_root != new_root) or (not before and old_root != EMPTY):
            raise NotGenuine("log-forked", f"two different trees of {after} entries are shown")
        return
    path = list(proof) if before & (before - 1) else [old_root, *proof]
    if not path or not _extends(path, before, after, old_root, new_root):
        raise NotGenuine("log-forked", f"the log of {after} entries does not begin with the one of {before}")


def _extends(path: Sequence[bytes], before: int, after: int, old_root: bytes, new_root: bytes) -> bool:
    place, last = before - 1, after - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_top = new_top = path[0]
    for step in path[1:]:
        if not last:
            return False
        if place & 1 or place == last:
            old_top, new_top = node_hash(step, old_top), node_hash(step, new_top)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_top = node_hash(new_top, step)
        place, last = place >> 1, last >> 1
    return not last and (old_top, new_top) == (old_root, new_root)
