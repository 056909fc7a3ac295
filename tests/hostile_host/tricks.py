"""How a host changes what passes it: one `Trick` per message, and the ways in which bytes can be changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from sealroom.client.transport import GatewayRefused

FOREVER = 10**9


@dataclasses.dataclass(frozen=True)
class Passing:
    """One answer on its way to a party, before it leaves the host; `scene` is everything else that the host has."""

    scene: Any
    party: str
    message: str
    path: str
    query: dict[str, str]
    data: bytes | None

    @property
    def run(self) -> str:
        parts = self.path.strip("/").split("/")
        return parts[2] if parts[1] == "runs" and len(parts) > 2 else ""


Change = Callable[[Passing], bytes]


@dataclasses.dataclass
class Trick:
    """Changes one message towards one party (None: all), from its `first` to its `last` passing; counts what it did."""

    message: str
    change: Change
    party: str | None = None
    first: int = 1
    last: int = FOREVER
    run: str | None = None
    seen: int = 0
    hits: int = 0

    def takes(self, passing: Passing) -> bool:
        """Whether this is its message, and its turn."""
        if passing.message != self.message or self.party not in (None, passing.party):
            return False
        if self.run is not None and passing.run not in ("", self.run):
            return False
        self.seen += 1
        return self.first <= self.seen <= self.last

    def apply(self, passing: Passing) -> bytes:
        """The changed answer.

        Raises:
            GatewayRefused: the host says that there is none.
        """
        try:
            changed = self.change(passing)
        except GatewayRefused:
            self.hits += passing.data is not None
            raise
        self.hits += changed != passing.data
        return changed


def unchanged(passing: Passing) -> bytes:
    """What the honest host said.

    Raises:
        GatewayRefused: it had nothing to say.
    """
    if passing.data is None:
        raise GatewayRefused(404, "not-found", "there is no such thing that you may see", "")
    return passing.data


def dropped(_: Passing) -> bytes:
    raise GatewayRefused(404, "not-found", "there is no such thing that you may see", "")


def truncated(passing: Passing) -> bytes:
    data = unchanged(passing)
    return data[: len(data) * 2 // 3]


def extended(passing: Passing) -> bytes:
    return unchanged(passing) + b"}"


def flipped(part: int, of: int = 8) -> Change:
    """One bit of the answer, at `part` eighths of its length."""

    def change(passing: Passing) -> bytes:
        data = bytearray(unchanged(passing))
        data[len(data) * part // of] ^= 1 << part % 7
        return bytes(data)

    return change


def replaced(answer: Callable[[Passing], bytes]) -> Change:
    """Another answer where the honest host has one."""

    def change(passing: Passing) -> bytes:
        unchanged(passing)
        return answer(passing)

    return change


def as_json(change: Callable[[Any, Passing], Any]) -> Change:
    """The same, on the value that the bytes are."""

    def over(passing: Passing) -> bytes:
        value = change(json.loads(unchanged(passing)), passing)
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()

    return over


class Stale:
    """The first answer, for ever."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], bytes | None] = {}

    def __call__(self, passing: Passing) -> bytes:
        key = (passing.party, passing.path + str(passing.query))
        return unchanged(dataclasses.replace(passing, data=self.first.setdefault(key, passing.data)))
