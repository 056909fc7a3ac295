"""The Merkle tree of a log, over complete subtrees that were stored once: roots and proofs in few lookups.

Runs in: host.   Believes: nothing.   Spec: §13.1.   Hashing of RFC 9162 §2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

Node = Callable[[int, int], bytes]
"""The stored hash of a complete subtree: level 0 is a leaf, (level, i) covers leaves i * 2**level and up."""
EMPTY: Final = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """SHA-256(00 | data)."""
    return hashlib.sha256(b"\0" + data).digest()


def inner(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 | left | right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def completed(number: int, hashed: bytes, node: Node) -> list[tuple[int, int, bytes]]:
    """(level, index, hash) of every subtree that leaf `number` completes, its own leaf first."""
    made, level, index = [(0, number, hashed)], 0, number
    while index & 1:
        hashed = inner(node(level, index - 1), hashed)
        level, index = level + 1, index >> 1
        made.append((level, index, hashed))
    return made


def root(size: int, node: Node) -> bytes:
    """The root over the first `size` leaves."""
    return _range(0, size, node) if size else EMPTY


def inclusion(number: int, size: int, node: Node) -> list[bytes]:
    """The path from leaf `number` to the root over `size` leaves (RFC 9162 §2.1.3.1)."""
    return _path(number, 0, size, node)


def consistency(old: int, new: int, node: Node) -> list[bytes]:
    """That the first `old` of `new` leaves are unchanged (RFC 9162 §2.1.4.1)."""
    return _grown(old, 0, new, node, known=True) if 0 < old < new else []


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _range(start: int, size: int, node: Node) -> bytes:
    if not size & (size - 1):
        level = size.bit_length() - 1
        return node(level, start >> level)
    half = _split(size)
    return inner(_range(start, half, node), _range(start + half, size - half, node))


def _path(number: int, start: int, size: int, node: Node) -> list[bytes]:
    if size == 1:
        return []
    half = _split(size)
    if number < start + half:
        return [*_path(number, start, half, node), _range(start + half, size - half, node)]
    return [*_path(number, start + half, size - half, node), _range(start, half, node)]


def _grown(old: int, start: int, size: int, node: Node, *, known: bool) -> list[bytes]:
    if old == size:
        return [] if known else [_range(start, size, node)]
    half = _split(size)
    if old <= half:
        return [*_grown(old, start, half, node, known=known), _range(start + half, size - half, node)]
    return [*_grown(old - half, start + half, size - half, node, known=False), _range(start, half, node)]
