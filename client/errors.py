"""What can go wrong on a party's own machine, and the exit code of every error.

Runs in: a party.   Believes: nothing.   Spec: §10.

SealroomError
├── Unreachable      1  nobody answered, or a file could not be read: nothing is known, try again
├── NotAuthorized    4  no passphrase, a wrong one, or a gateway that does not know this party
├── Waiting          5  somebody else must act first
├── BudgetSpent      7  the purse does not hold what the release costs
├── Interrupted    130  a person stopped the command
└── Defect           1  what nobody expected
"""

from __future__ import annotations

from typing import Final

from sealroom.protocol.errors import NotAcceptable, SealroomError, UsageError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
AUTHORIZATION: Final = 4
WAITING: Final = 5
ATTESTATION: Final = 6
BUDGET: Final = 7
INTERRUPTED: Final = 130


class Unreachable(SealroomError):
    """Something could not be found out; it is neither a yes nor a no."""


class NotAuthorized(SealroomError):
    """The caller could not show who it is."""


class Waiting(SealroomError):
    """Nothing is wrong; another party has not acted yet."""


class BudgetSpent(NotAcceptable):
    """The agreed purse does not hold what this would cost."""


class Interrupted(SealroomError):
    """A person stopped the command."""


class Defect(SealroomError):
    """Something that no part of this program expects."""


def exit_code(error: SealroomError) -> int:
    """The process exit code that an error ends a command with."""
    from sealroom.attestation.verdict import WithChecks  # noqa: PLC0415 (only a failure pays for this import)

    families: tuple[tuple[type[SealroomError], int], ...] = (
        (UsageError, USAGE), (NotAuthorized, AUTHORIZATION), (Waiting, WAITING), (Unreachable, FAILED),
        (BudgetSpent, BUDGET), (WithChecks, ATTESTATION), (Interrupted, INTERRUPTED),
    )  # fmt: skip
    for family, code in families:
        if isinstance(error, family):
            return code
    return REFUSED if hasattr(error, "code") else FAILED
