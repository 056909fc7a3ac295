"""What this process has itself read of one agreement's log: it stands there, and need not be proved again.

Runs in: an owner's broker.   Believes: entries that `following` found to make up an accepted checkpoint's tree.
Spec: §13.4.

A later checkpoint is accepted only if it continues the one before, so an entry that was read once is in all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from sealroom.client.logged_entry import LoggedEntry

MOST: Final = 1 << 16
"""Entries that are kept; of those that were read before, the log is asked for a proof."""


class ReadEntries:
    """Numbers of entries by kind and digest."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._size = 0

    def continue_from(self, size: int) -> None:
        """Forget everything if what the home says was read is less than what this process has read: it is another's."""
        if size < self._size:
            self._numbers.clear()
        self._size = size

    def note(self, entries: Sequence[LoggedEntry]) -> None:
        """Keep where these stand, after the tree with them was found to be the log's."""
        for entry in entries:
            self._numbers[entry.kind, entry.digest] = entry.number
            self._size = max(self._size, entry.number + 1)
        while len(self._numbers) > MOST:
            self._numbers.popitem(last=False)

    def holds(self, kind: str, digest: str, *, size: int) -> bool:
        """Whether this statement was read among the first `size` entries."""
        number = self._numbers.get((kind, digest))
        return number is not None and number < size
