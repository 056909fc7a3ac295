"""Calls of the gateway about an agreement's log, and the refusals of a run.

Runs in: a party.   Believes: nothing that the gateway answers; `logbook` and `audit` verify it.   Spec: §8.6, §13.
"""

from __future__ import annotations

import abc
import dataclasses
import re
from typing import Any, Final

from sealroom.client.transport import GatewayRefused
from sealroom.protocol import canonical
from sealroom.protocol.errors import Malformed, NotGenuine

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MOST_STEPS: Final = 128
_MOST_NOTE: Final = 8 << 10
_MOST_ENTRIES: Final = 256


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedAt:
    """Where an entry is said to stand, its salt, and the path to the root."""

    number: int
    salt: bytes
    proof: tuple[bytes, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ShownEntry:
    """One entry as the gateway shows it; `body` is canonical."""

    number: int
    kind: str
    digest: str
    salt: bytes
    body: bytes


class LogCalls(abc.ABC):
    """The part of `Gateway` that speaks about logs; what is not in the form it must have is Malformed."""

    @abc.abstractmethod
    def _json(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]: ...
    @abc.abstractmethod
    def _put_bytes(self, path: str, body: bytes) -> None: ...

    def log_checkpoint(self, agreement: str) -> bytes:
        """The newest signed note."""
        return _note(self._json(f"/agreements/{agreement}/log").get("checkpoint"))

    def log_key(self, agreement: str) -> str:
        """The key that signs it, as the gateway says: for the operator, who vouches for it, and nobody else."""
        return str(self._json(f"/agreements/{agreement}/log").get("key"))

    def log_consistency(self, agreement: str, old: int, new: int) -> tuple[bytes, ...]:
        """That the first `old` entries are unchanged among the first `new`.

        Raises:
            NotGenuine: the log is not that long any more.
        """
        query = {"old": str(old), "new": str(new)}
        return _hashes(self._ask(f"/agreements/{agreement}/log/consistency", query, "shrank").get("proof"))

    def log_inclusion(self, agreement: str, digest: str, size: int) -> LoggedAt:
        """Where a statement stands among the first `size` entries.

        Raises:
            NotGenuine: it is not there.
        """
        query = {"digest": digest, "size": str(size)}
        said = self._ask(f"/agreements/{agreement}/log/inclusion", query, "lacks")
        return LoggedAt(_number(said.get("number")), _salt(said.get("salt")), _hashes(said.get("proof")))

    def log_entries(self, agreement: str, start: int) -> list[ShownEntry]:
        """A page of entries from number `start` on; none when there are no more."""
        values = self._json(f"/agreements/{agreement}/log/entries", {"start": str(start)}).get("entries")
        if not isinstance(values, list) or len(values) > _MOST_ENTRIES:
            raise _malformed()
        return [_shown(value) for value in values]

    def put_log_cosignature(self, agreement: str, party: str, note: bytes) -> None:
        """Leave this party's cosigned checkpoint for the others."""
        self._put_bytes(f"/agreements/{agreement}/log/cosignatures/{party}", note)

    def log_cosignatures(self, agreement: str) -> dict[str, bytes]:
        """Each party's newest cosigned checkpoint, unverified."""
        said = self._json(f"/agreements/{agreement}/log/cosignatures").get("cosignatures")
        if not isinstance(said, dict) or len(said) > 16:
            raise _malformed()
        return {str(party): _note(note) for party, note in said.items()}

    def assigned_size(self, run: str) -> int:
        """How many entries the log had when the run's gate was assigned, as the gateway says."""
        return _number(self._json(f"/runs/{run}/checkpoint").get("size"))

    def _ask(self, path: str, query: dict[str, str], otherwise: str) -> dict[str, Any]:
        try:
            return self._json(path, query)
        except GatewayRefused as error:
            if error.status != 404:
                raise
            words = {"lacks": "the log lacks a statement that was accepted", "shrank": "the log lost entries"}
            raise NotGenuine(f"log-{otherwise}", words[otherwise]) from error


def _note(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > _MOST_NOTE:
        raise _malformed()
    return value.encode()


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise _malformed()
    return value


def _salt(value: object) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise _malformed()
    return bytes.fromhex(value)


def _hashes(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > _MOST_STEPS:
        raise _malformed()
    return tuple(_salt(item) for item in value)


def _shown(value: object) -> ShownEntry:
    if not isinstance(value, dict):
        raise _malformed()
    kind, digest = value.get("kind"), value.get("digest")
    if not isinstance(kind, str) or not isinstance(digest, str):
        raise _malformed()
    body = canonical.encode(value.get("body"))
    return ShownEntry(_number(value.get("number")), kind, _salt(digest).hex(), _salt(value.get("salt")), body)


def _malformed() -> Malformed:
    return Malformed("gateway-answer", "what the gateway says of the log is not in the form that it must have")
