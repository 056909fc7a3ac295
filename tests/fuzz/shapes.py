"""Mutations that know the shape of an input, so that they reach what lies behind the parser."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from sealroom.protocol import canonical
from sealroom.protocol.errors import Refused

EDGES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**64, 10**400, 0.5, 1e308, "", "a", "A", "..", "\x00", "é",
    "\u202e", "a" * 64, "a" * 300, "0" * 64, "AA", "AA==", "any", "query", "whole", [], {}, [[]], [None], {"": 0},
    {"type": "overlap_count"}, ["a", "a"],
)  # fmt: skip
_MOST_DEPTH = 100
_TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"=",
    b"\xef\xbb\xbf",
    b"#",
    b"'",
)


def mutate(shape: str, data: bytes, rng: random.Random) -> bytes:
    """Another input near `data`."""
    return _BY_SHAPE.get(shape, of_bytes)(data, rng)


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, set, insert, remove, repeat or swap a few bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, width = rng.randrange(len(out) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del out[at : at + width]
            case 3:
                out[at:at] = rng.randbytes(width)
            case 4:
                out[at:at] = out[at : at + width] * rng.choice((1, 2, 16))
            case _:
                out[at:at] = rng.choice(_TOKENS)
    return bytes(out)


def of_json(data: bytes, rng: random.Random) -> bytes:
    """Change one place of a JSON document and spell it canonically; bytes, if it is none."""
    try:
        value = json.loads(data)
        if _depth(value) > _MOST_DEPTH:
            return of_bytes(data, rng)
    except (ValueError, RecursionError):
        return of_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _changed(value, rng)
    try:
        return canonical.encode(value)
    except Refused:
        return json.dumps(value).encode()


def of_text(data: bytes, rng: random.Random) -> bytes:
    """Drop, repeat, swap or cut lines; or change bytes."""
    lines = data.split(b"\n")
    if rng.random() < 0.5 or len(lines) < 2:
        return of_bytes(data, rng)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case _:
            lines[one] = lines[one][: rng.randrange(len(lines[one]) + 1)]
    return b"\n".join(lines)


def of_der(data: bytes, rng: random.Random) -> bytes:
    """Replace or remove the content of one element, and make the lengths around it fit again."""
    places = _elements(data, 0, len(data), [])
    if not places or rng.random() < 0.3:
        return of_bytes(data, rng)
    path = rng.choice(places)
    start, head, end = path[-1]
    content = data[start + head : end]
    match rng.randrange(5):
        case 0:
            made = b""
        case 1:
            made = _element(data[start], of_bytes(content, rng))
        case 2:
            made = data[start:end] * 2
        case 3:
            made = _element(rng.choice((1, 2, 3, 4, 6, 0x0C, 0x17, 0x18, 0x30, 0x31, 0xA0, 0xA3)), content)
        case _:
            other = rng.choice(places)[-1]
            made = data[other[0] : other[2]]
    for outer_start, outer_head, outer_end in reversed(path[:-1]):
        made = data[outer_start + outer_head : start] + made + data[end:outer_end]
        made = _element(data[outer_start], made)
        start, end = outer_start, outer_end
    return data[:start] + made + data[end:]


def _changed(value: Any, rng: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []
    _collect(value, places)
    if not places:
        return copy.deepcopy(rng.choice(EDGES))
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 | 2:
            holder[key] = copy.deepcopy(rng.choice(EDGES))
        case 3:
            other, name = rng.choice(places)
            holder[key] = copy.deepcopy(other[name])
        case 4 if isinstance(holder, dict):
            holder[rng.choice((f"{key}x", "format", "type", "name", ""))] = holder.pop(key)
        case 4:
            holder.append(copy.deepcopy(holder[key]))
        case _:
            holder[key] = _leaf(holder[key], rng)
    return value


def _leaf(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str):
        raw = of_bytes(value.encode("utf-8", "replace"), rng)
        return raw.decode("utf-8", "replace") if rng.random() < 0.7 else raw.decode("latin-1")
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, value * 2, value ^ 1 << rng.randrange(40)))
    return copy.deepcopy(rng.choice(EDGES))


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        places.append((value, key))
        _collect(item, places)


Place = tuple[int, int, int]


def _elements(data: bytes, at: int, end: int, path: list[Place]) -> list[list[Place]]:
    """Every element as the path of (start, bytes of head, end) that leads to it."""
    found: list[list[Place]] = []
    while at + 2 <= end and len(found) < 400:
        first = data[at + 1]
        size = first & 0x7F if first & 0x80 else 0
        length = int.from_bytes(data[at + 2 : at + 2 + size], "big") if size else first
        head = 2 + size
        if size > 3 or at + head + length > end:
            break
        here = [*path, (at, head, at + head + length)]
        found.append(here)
        if data[at] & 0x20:
            found += _elements(data, at + head, at + head + length, here)
        at += head + length
    return found


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


_BY_SHAPE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bytes": of_bytes,
    "json": of_json,
    "text": of_text,
    "der": of_der,
}
