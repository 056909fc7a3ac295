"""Every single-bit flip of a document, and the one question about each: who takes it?

Long documents whose flips take long to judge are flipped at every STRIDE-th bit in the ordinary tests, which meets
every byte, and at every bit by `make flips`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from sealroom.protocol.errors import Refused

STRIDE = 1 if os.environ.get("SEALROOM_FLIPS") == "all" else 7
"""Odd, so that over the bytes of a document every bit of a byte has its turn."""


def flips(data: bytes, *, stride: int = 1) -> Iterator[bytes]:
    """`data` with one bit changed, for each of its bits in order, or for every `stride`-th."""
    for number in range(0, 8 * len(data), stride):
        place, bit = divmod(number, 8)
        yield data[:place] + bytes((data[place] ^ 1 << bit,)) + data[place + 1 :]


def taken(
    read: Callable[[bytes], Any], data: bytes, *refusals: type[Exception], stride: int = 1
) -> list[tuple[bytes, Any]]:
    """Flips of `data` that `read` took, with what it made of them; an undeclared error goes through.

    The document itself must be taken, or its flips would show nothing.
    """
    declared = refusals or (Refused,)
    read(data)
    found = []
    for flipped in flips(data, stride=stride):
        try:
            found.append((flipped, read(flipped)))
        except declared:
            continue
    return found
