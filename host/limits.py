"""Caps that hold while a body is being read, and a rate for each caller.

Runs in: host.   Believes: nothing.   Spec: §8.1.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from sealroom.host.problems import Problem

_MOST_KEYS = 4096


def too_large(most: int) -> Problem:
    """The answer to a body beyond the cap."""
    return Problem(413, "too-large", f"this call takes at most {most} bytes")


def declared(length: str | None, *, most: int) -> None:
    """Refuse by the declared length alone, before a byte is read.

    Raises:
        Problem: 413 `too-large`, or 400 `bad-length`.
    """
    if length is None:
        return
    if not (length.isascii() and length.isdigit() and len(length) <= 20):
        raise Problem(400, "bad-length", "the declared length is not a number")
    if int(length) > most:
        raise too_large(most)


async def read(stream: AsyncIterator[bytes], *, most: int, seconds: float) -> bytes:
    """The whole body, which ends at `most` bytes or `seconds` whatever the sender does.

    Raises:
        Problem: 413 `too-large`, 408 `too-slow`.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in stream:
                data += part
                if len(data) > most:
                    raise too_large(most)
    except TimeoutError:
        raise Problem(408, "too-slow", f"the body was not there within {seconds:g} seconds") from None
    return bytes(data)


class Rate:
    """A token bucket for each key; the key that was used longest ago is forgotten first."""

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """Start every key with a full bucket of `burst`."""
        self._per_second, self._burst, self._clock = per_second, float(burst), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, key: str) -> None:
        """Take one token.

        Raises:
            Problem: 429 `too-many-requests`, when the bucket is empty.
        """
        with self._lock:
            tokens = self._tokens(key)
            if tokens < 1:
                raise Problem(429, "too-many-requests", "too many calls at once", hint="wait a moment and try again")
            self._keep(key, tokens - 1)

    def _tokens(self, key: str) -> float:
        tokens, at = self._buckets.get(key, (self._burst, self._clock()))
        return min(self._burst, tokens + max(0.0, self._clock() - at) * self._per_second)

    def _keep(self, key: str, tokens: float) -> None:
        self._buckets[key] = (tokens, self._clock())
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MOST_KEYS:
            self._buckets.popitem(last=False)
