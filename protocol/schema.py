"""Strict decoding of JSON values into frozen dataclasses.

Runs in: every zone.   Believes: nothing.   Spec: §2.3.

A document type is a frozen, slotted dataclass whose annotations say exactly what is allowed. Everything else is
refused: unknown or missing fields, a bool where an int is due, floats anywhere, strings outside their pattern. Only
the standard library is used, so that the engine's interpreter can share these types with the gate's.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from sealroom.protocol.errors import Malformed

MAX_DEPTH = 16
MAX_INT = 2**53 - 1  # RFC 8785 §3.2.2.3: larger integers are not interoperable

D = TypeVar("D")


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A string of 1..`most` characters that matches `pattern` from end to end."""

    pattern: str
    most: int = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Int:
    """An integer in least..most."""

    least: int = 0
    most: int = MAX_INT


@dataclasses.dataclass(frozen=True, slots=True)
class Many:
    """A list of least..most items."""

    least: int = 0
    most: int = 64


Name = Annotated[str, Text(r"[a-z][a-z0-9_-]{0,62}", 63)]
"""Name of a party, dataset, bundle, rule: lower case, starts with a letter."""
ColumnName = Annotated[str, Text(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", 63)]
Label = Annotated[str, Text(r"[ -~]{1,64}", 64)]
"""A declared value: printable ASCII, so that it has one spelling."""
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f"
Prose = Annotated[str, Text(rf"[^{_HIDDEN}]{{1,500}}", 500)]
"""Text for people: one line, without control, invisible or direction-changing characters."""
Hex32 = Annotated[str, Text(r"[0-9a-f]{64}", 64)]
Hex48 = Annotated[str, Text(r"[0-9a-f]{96}", 96)]
Base64 = Annotated[str, Text(r"[A-Za-z0-9_-]+", 1 << 20)]
"""base64url without padding (RFC 4648 §5)."""
Time = Annotated[int, Int(0, 2**40)]
"""Seconds since 1970-01-01T00:00:00Z."""
Count = Annotated[int, Int(0, 10**12)]
Epsilon = Annotated[int, Int(1, 20_000_000)]
"""Privacy loss in millionths: 500000 is epsilon 0.5."""


def decode(kind: type[D], value: object, where: str = "$") -> D:
    """Build a `kind` from decoded JSON, or refuse.

    Raises:
        Malformed: the value is not exactly of that type; the message names the place in it.
    """
    return typing.cast("D", _decode(kind, value, where, 0))


def encode(document: object) -> Any:
    """The JSON value of a document: the inverse of `decode`."""
    if dataclasses.is_dataclass(document):
        return {f.name: encode(getattr(document, f.name)) for f in dataclasses.fields(document)}
    if isinstance(document, (tuple, list)):
        return [encode(item) for item in document]
    if isinstance(document, Mapping):
        return {key: encode(item) for key, item in document.items()}
    return document


def _decode(kind: Any, value: object, where: str, depth: int) -> object:  # noqa: PLR0911 (one return per kind)
    if depth > MAX_DEPTH:
        raise Malformed("too-deep", f"{where}: nested deeper than {MAX_DEPTH}")
    origin = typing.get_origin(kind)
    if origin is Annotated:
        base, *rules = typing.get_args(kind)
        return _constrain(_decode(base, value, where, depth), rules, where)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(kind), value, where, depth)
    if origin is typing.Literal:
        return _decode_literal(typing.get_args(kind), value, where)
    if origin is tuple:
        return _decode_list(typing.get_args(kind)[0], value, where, depth)
    if origin is dict:
        return _decode_map(typing.get_args(kind), value, where, depth)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _decode_object(kind, value, where, depth)
    if kind is type(None) and value is None:
        return None
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise Malformed("wrong-type", f"{where}: expected {_words(kind)}")


def _constrain(value: object, rules: list[object], where: str) -> object:
    for rule in rules:
        match rule, value:
            case Text(), str():
                if not 0 < len(value) <= rule.most or re.fullmatch(rule.pattern, value) is None:
                    raise Malformed("bad-text", f"{where}: text is empty, too long or has characters not allowed here")
            case Int(), int():
                if not rule.least <= value <= rule.most:
                    raise Malformed("out-of-range", f"{where}: must be {rule.least}..{rule.most}")
            case Many(), tuple() | dict():
                if not rule.least <= len(value) <= rule.most:
                    raise Malformed("bad-length", f"{where}: must have {rule.least}..{rule.most} items")
            case _:
                raise Malformed("wrong-type", f"{where}: a value of another type")
    return value


def _decode_literal(allowed: tuple[object, ...], value: object, where: str) -> object:
    for option in allowed:
        if type(value) is type(option) and value == option:
            return value
    raise Malformed("not-allowed", f"{where}: must be one of {', '.join(map(repr, allowed))}")


def _decode_union(options: tuple[Any, ...], value: object, where: str, depth: int) -> object:
    """Objects are told apart by their `type` field alone, so that one broken member gives one clear message."""
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    tagged = {_tag(typing.cast("Any", o)): o for o in rest if dataclasses.is_dataclass(o)}
    if isinstance(value, dict) and tagged and None not in tagged:
        tag = value.get("type")
        if not isinstance(tag, str) or tag not in tagged:
            raise Malformed("unknown-type", f"{where}.type: must be one of {', '.join(sorted(map(str, tagged)))}")
        return _decode(tagged[tag], value, where, depth)
    for option in rest:
        if _may_be(option, value):
            return _decode(option, value, where, depth)
    raise Malformed("wrong-type", f"{where}: expected {' or '.join(_words(o) for o in options)}")


@functools.cache
def _tag(kind: Any) -> str | None:
    hint = _hints(kind).get("type")
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Literal else None


def _may_be(kind: Any, value: object) -> bool:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _may_be(typing.get_args(kind)[0], value)
    if origin is typing.Literal:
        return any(type(value) is type(o) and value == o for o in typing.get_args(kind))
    if origin is tuple:
        return isinstance(value, list)
    if origin is dict or dataclasses.is_dataclass(kind):
        return isinstance(value, dict)
    return type(value) is kind


def _decode_list(item: Any, value: object, where: str, depth: int) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Malformed("wrong-type", f"{where}: expected a list")
    return tuple(_decode(item, v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value))


def _decode_map(kinds: tuple[Any, ...], value: object, where: str, depth: int) -> dict[object, object]:
    if not isinstance(value, dict):
        raise Malformed("wrong-type", f"{where}: expected an object")
    key_kind, item_kind = kinds
    return {
        _decode(key_kind, k, f"{where}.{k}", depth + 1): _decode(item_kind, v, f"{where}.{k}", depth + 1)
        for k, v in value.items()
    }


def _decode_object(kind: Any, value: object, where: str, depth: int) -> object:
    if not isinstance(value, dict):
        raise Malformed("wrong-type", f"{where}: expected an object")
    hints = _hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    if unknown := sorted(set(value) - set(names)):
        raise Malformed("unknown-field", f"{where}: unknown field {unknown[0]!r}")
    if missing := [n for n in names if n not in value]:
        raise Malformed("missing-field", f"{where}: field {missing[0]!r} is missing")
    return kind(**{n: _decode(hints[n], value[n], f"{where}.{n}", depth + 1) for n in names})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """The resolved annotations of a class; resolving them is most of the work of decoding."""
    return typing.get_type_hints(kind, include_extras=True)


def _words(kind: Any) -> str:
    names = {str: "text", int: "an integer", bool: "true or false", type(None): "null"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))
