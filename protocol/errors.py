"""The whole error tree, with stable codes.

SealroomError
├── UsageError            the caller broke the contract: a bug or a wrong command, not an attack
└── Refused               the data did not earn trust; carries .code
    ├── Malformed         E1  could not be read as the format it claims
    ├── NotGenuine        E2  a signature, chain or digest does not hold
    ├── NotAcceptable     E3  genuine, but not what was agreed
    ├── CannotOpen        E4  one answer for every decryption failure
    └── NotReleased       E5  the rule does not allow this output

A code is `E<family>.<kebab-case>`; messages are for the party on whose machine they arise. Nothing of an error's text
ever crosses from the enclave to the host or to the jail (SPEC §9).
"""

from __future__ import annotations


class SealroomError(Exception):
    """Root of every error that this project raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep `message` (what and why) and `hint` (what to do about it) apart, so that they print apart."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SealroomError):
    """The caller broke the contract of a function or command."""


class Refused(SealroomError):
    """The data did not earn trust.

    Attributes:
        code: stable identifier such as `E2.signature`, for scripts, receipts and tests.
    """

    family = "E0"

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        """Build the refusal; `code` is the kebab-case part after the family, such as `signature`."""
        super().__init__(message, hint=hint)
        self.code = f"{self.family}.{code}"

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class Malformed(Refused):
    """The bytes could not be read as the format they claim."""

    family = "E1"


class NotGenuine(Refused):
    """A signature, chain or digest does not hold."""

    family = "E2"


class NotAcceptable(Refused):
    """Genuine, but not what was agreed."""

    family = "E3"


class CannotOpen(Refused):
    """Decryption failed; there is one message for every reason on purpose."""

    family = "E4"

    def __init__(self) -> None:
        """Say nothing about why."""
        super().__init__("cannot-open", "the sealed object cannot be opened with this key and context")


class NotReleased(Refused):
    """The release rule does not allow this output."""

    family = "E5"
