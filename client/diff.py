"""What changes from one version of an agreement to the next, in plain words, every widening marked.

Runs in: a party.   Believes: agreements that were checked.   Spec: §4.4.

The table says in which direction a field lets more out. What the table does not know counts as a widening.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from sealroom.protocol import schema
from sealroom.protocol.agreement import Agreement

Direction = Literal["up", "down", "more", "fewer", "none", "any"]
"""Which change widens: a larger or smaller number, more or fewer members of a list, none, or any change at all."""
_TABLE: Final[Sequence[tuple[str, Direction]]] = (
    (r"title", "none"),
    (r"sequence|first|previous|format", "none"),
    (r"not_before", "down"),
    (r"not_after", "up"),
    (r"parties/[^/]+/consent/threshold", "down"),
    (r"parties/[^/]+/consent/deadline", "up"),
    (r"approvals/threshold", "down"),
    (r"approvals/mandatory", "fewer"),
    (r"accepts_covert_channel|requesters|launchers", "more"),
    (r"platforms/[^/]+/(roots|families|key_kinds|vlek_clouds|chip_ids|id_keys|author_keys)", "more"),
    (r"platforms/[^/]+/minimum_[a-z_]+(/[a-z]+)*", "down"),
    (r"platforms/[^/]+/(vmpl_most|most_collateral_age)", "up"),
    (r"datasets/[^/]+/most_rows", "up"),
    (r"datasets/[^/]+/columns/[^/]+/values", "more"),
    (r"rules/[^/]+/(epsilon|percent)", "up"),
    (r"rules/[^/]+/(floor|round_to|least_seed)", "down"),
    (r"rules/[^/]+/recipients", "more"),
    (r"rules/[^/]+/values/[^/]+/step", "down"),
    (r"rules/[^/]+/at_once", "up"),
    (r"purses/[^/]+/(epsilon|bits|runs)", "up"),
    (r"slots/(query|opaque)", "down"),
    (r"limits/(memory|processor_time|wall_time)", "up"),
)
_STRICTNESS: Final = {"refuse": 1, "require": 1, "labelled": 2, "plain": 1, "any": 0, "manual": 1, "auto": 0}
"""Spelled-out words of policies and consent: a smaller number is wider."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One difference: where (a path of names), before, after; `None` means that it was not there."""

    where: str
    before: Any
    after: Any
    widens: bool

    @property
    def words(self) -> str:
        """The change as a sentence without its end."""
        if self.before is None:
            return f"{self.where}: new, {_short(self.after)}"
        if self.after is None:
            return f"{self.where}: removed (was {_short(self.before)})"
        if isinstance(self.before, list) and isinstance(self.after, list):
            return f"{self.where}: {_members(self.before, self.after)}"
        return f"{self.where}: {_short(self.before)} becomes {_short(self.after)}"

    @property
    def line(self) -> str:
        """The sentence behind its mark."""
        return f"{'WIDER  ' if self.widens else '       '}{self.words}"


def changes(old: Agreement, new: Agreement) -> list[Change]:
    """Every difference, widenings first."""
    found = list(_walk("", _keyed(schema.encode(old)), _keyed(schema.encode(new))))
    return sorted(found, key=lambda change: (not change.widens, change.where))


def _walk(where: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _walk(f"{where}/{key}" if where else key, old.get(key), new.get(key))
        return
    yield Change(where, old, new, _widens(where, old, new))


def _widens(where: str, old: Any, new: Any) -> bool:
    """Unknown places and unknown kinds of change widen; a member that goes away takes its releases with it."""
    direction: Direction = next((d for pattern, d in _TABLE if re.fullmatch(pattern, where)), "any")
    if direction == "none" or (old == "any" and isinstance(new, list)):
        return False
    if new is None and _is_member(where):
        return where.split("/", 1)[0] == "parties"
    if isinstance(old, list) and isinstance(new, list):
        return _list_widens(direction, set(map(repr, old)), set(map(repr, new)))
    if isinstance(old, str) and isinstance(new, str) and old in _STRICTNESS and new in _STRICTNESS:
        return _STRICTNESS[new] < _STRICTNESS[old]
    if type(old) is int and type(new) is int and direction in ("up", "down"):
        return new > old if direction == "up" else new < old
    return True


def _list_widens(direction: Direction, old: set[str], new: set[str]) -> bool:
    if direction == "more":
        return bool(new - old)
    return bool(old - new) if direction == "fewer" else True


def _is_member(where: str) -> bool:
    """A place that names one member of a list, such as `rules/audience` or `datasets/people/columns/age`."""
    return (
        re.fullmatch(r"(parties|datasets|bundles|links|rules|purses|platforms)/[^/]+(/columns/[^/]+)?", where)
        is not None
    )


def _keyed(value: Any) -> Any:
    """Lists of objects as dictionaries by what their members are told apart by, so that order does not matter."""
    if isinstance(value, Mapping):
        return {key: _keyed(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        listed = [_name(item) for item in value]
        if len(set(listed)) != len(listed):  # two of one name must not hide each other
            listed = [f"{name}#{index}" for index, name in enumerate(listed)]
        return {name: _keyed(item) for name, item in zip(listed, value, strict=True)}
    return value


def _name(item: Mapping[str, Any]) -> str:
    for fields in (("name",), ("owner", "population"), ("dataset", "column"), ("metric", "at_percent"), ("type",)):
        if set(fields) <= set(item):
            return ":".join(str(item[field]) for field in fields)
    return ""


def _members(old: list[Any], new: list[Any]) -> str:
    gained = [_short(item) for item in new if item not in old]
    lost = [_short(item) for item in old if item not in new]
    parts = [f"adds {', '.join(gained)}"] if gained else []
    parts += [f"drops {', '.join(lost)}"] if lost else []
    return "; ".join(parts) or "is in another order"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"with {', '.join(sorted(value))}" if value else "empty"
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value)}]"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
