"""What a database can fail with, in words that are the same for both.

Runs in: host.   Believes: nothing.   Spec: §8.5.

StoreError             the database did not do it, and nothing of the unit was kept
├── FullError          it has no room
├── InUseError         another gateway has it
└── UnavailableError   it does not answer; with `in_doubt`, nobody could find out yet whether the unit was kept
"""

from __future__ import annotations


class StoreError(RuntimeError):
    """The database did not do it, and nothing of the unit was kept."""


class FullError(StoreError):
    """There is no room in the database."""


class InUseError(StoreError):
    """Another gateway has this database."""


class UnavailableError(StoreError):
    """The database does not answer; with `in_doubt`, whether the last unit was kept shows only when it does again."""

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        """Say in words that hold no secret what is wrong."""
        super().__init__(message)
        self.in_doubt = in_doubt
