"""One encoding per value: RFC 8785 canonical JSON, and nothing else is read.

Runs in: parties and gate.   Believes: nothing.   Spec: §2.1.
"""

from __future__ import annotations

import json
from typing import Any, Never

import rfc8785

from sealroom.protocol.errors import Malformed

MOST_DEPTH = 64
"""Lists and objects inside one another: far more than any document needs, far less than any parser's stack."""


def encode(value: Any) -> bytes:
    """Canonical bytes of a JSON value that holds no floats.

    Raises:
        Malformed: the value has no canonical form (a float, an integer beyond 2^53-1, a lone surrogate, 64 levels).
    """
    _check(value, 0)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise Malformed("not-canonical", "the value has no canonical JSON form") from error


def decode(data: bytes, *, most: int) -> Any:
    """The JSON value of canonical bytes, at most `most` bytes long.

    Raises:
        Malformed: too long, not JSON, duplicate keys, floats, trailing bytes, or any other spelling than the canonical.
    """
    if len(data) > most:
        raise Malformed("too-large", f"the document has {len(data)} bytes, {most} are allowed")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_float=_no_float, parse_constant=_no_float
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise Malformed("not-json", "the document is not JSON") from error
    if encode(value) != data:
        raise Malformed("not-canonical", "the document is JSON, but not in its canonical form")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("duplicate-key", "the document repeats a key")
    return found


def _no_float(_: str) -> Never:
    raise Malformed("float", "the document holds a number that is not an integer")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, float):
        raise Malformed("float", "the document holds a number that is not an integer")
    if depth > MOST_DEPTH:
        raise Malformed("too-deep", f"the document is nested deeper than {MOST_DEPTH} levels")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        _check(item, depth + 1)
