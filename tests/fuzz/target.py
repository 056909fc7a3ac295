"""What a fuzz target is: one decoder, what it may answer, what must hold when it accepts, and where to begin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal

from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import Refused

Check = Callable[[bytes], bool]
"""Feeds one input to a decoder: True if it was taken, False if refused as documented; anything else is a find."""
Shape = Literal["bytes", "json", "text", "der"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One decoder under test.

    `prepare` makes the check when the target is first used, since some need keys; `seeds` gives inputs, of which at
    least one is taken. `shape` says how inputs are mutated besides bytes, `most` how long they get. `law` is what the
    check asserts of an input that is taken, in words for the page.
    """

    name: str
    decoder: str
    law: str
    prepare: Callable[[], Check]
    seeds: Callable[[], Iterable[bytes]]
    shape: Shape = "bytes"
    most: int = 4096


def taken(decode: Callable[[bytes], Any], data: bytes, *refusals: type[Exception]) -> tuple[bool, Any]:
    """(whether `decode` took the input, what it gave); an error other than `refusals`, or Refused, goes through."""
    declared = refusals or (Refused,)
    try:
        return True, decode(data)
    except declared:
        return False, None


def round_trip(
    decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], *refusals: type[Exception]
) -> Callable[[], Check]:
    """A check that what is taken encodes to the very bytes that it came from: one value, one spelling."""

    def check(data: bytes) -> bool:
        held, value = taken(decode, data, *refusals)
        if held:
            assert encode(value) == data, "a second spelling was taken"
        return held

    return lambda: check


def canonical_document(
    name: str, kind: Any, seeds: Callable[[], Iterable[Any]], *, more: Callable[[Any], object] = lambda _: None
) -> Target:
    """A target for a document type that travels as canonical JSON; `more` is what its reader checks beyond the form."""

    def decode(data: bytes) -> Any:
        value = schema.decode(kind, canonical.decode(data, most=1 << 20))
        more(value)
        return value

    return Target(
        name=name,
        decoder=f"canonical JSON as {getattr(kind, '__name__', name)}",
        law="encodes to the same bytes",
        prepare=round_trip(decode, lambda value: canonical.encode(schema.encode(value))),
        seeds=lambda: [canonical.encode(schema.encode(document)) for document in seeds()],
        shape="json",
        most=8192,
    )
