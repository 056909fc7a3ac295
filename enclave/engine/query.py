"""Reads a query bundle and gives each linked entity a segment: format `sealroom/query/v1`.

Runs in: engine.   Believes: nothing in the query.   Spec: §6.5.

    {"format": "sealroom/query/v1",
     "segments": [{"label": "wealthy", "when": [["customers.balance", ">=", 1500], ["customers.housing", "=", "yes"]]},
                  {"label": "other", "when": []}]}

An entity gets the label of the first segment whose conditions all hold; without one it counts nowhere. A condition is
`dataset.column`, an operator and a constant, and reads one entity at a time: the query's bytes were fixed before any
protected row was read, so that noise protects whatever they say.

    column      operators                 constant
    int, float  = != < <= > >=  in        a whole number up to 2^53-1, or a list of them
    bool        = !=                      true or false
    category    = !=            in        a declared value, or a list of them
    text        = !=            in        text of up to 256 characters, or a list

No condition holds for a missing value, `!=` included. Identifiers and entity ids are not columns here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import reasons
from sealroom.enclave.engine.tables import equals, numbers
from sealroom.enclave.flat_columns import Column
from sealroom.protocol.agreement import Column as Declared
from sealroom.protocol.schema import MAX_INT

FORMAT = "sealroom/query/v1"
MOST_BYTES = 1 << 18
MOST_SEGMENTS = 100
MOST_CONDITIONS = 32
MOST_LISTED = 1000
MOST_TEXT = 256

_ORDER: Mapping[str, Callable[[Any, int], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_OPERATORS = {
    "int": {"=", "!=", "in", *_ORDER},
    "float": {"=", "!=", "in", *_ORDER},
    "bool": {"=", "!="},
    "category": {"=", "!=", "in"},
    "text": {"=", "!=", "in"},
}

Mask = NDArray[np.bool_]
Columns = Mapping[str, Declared]
"""Declared columns that a query may read, by `dataset.column`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """`column` is `dataset.column`; `constants` has one item unless the operator is `in`."""

    column: str
    operator: str
    constants: tuple[int | bool | str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A label and the conditions that must all hold for it."""

    label: str
    when: tuple[Condition, ...]


def decode(text: str, columns: Columns, labels: tuple[str, ...]) -> tuple[Segment, ...]:
    """The segments of a query that reads nothing but `columns` and gives nothing but `labels`.

    Raises:
        NotReleased: reasons `bad-query`, `undeclared-label`.
    """
    value = _parse(text)
    if not isinstance(value, dict) or set(value) != {"format", "segments"} or value["format"] != FORMAT:
        raise reasons.withheld("bad-query")
    segments = tuple(_segment(item, columns) for item in _items(value["segments"], MOST_SEGMENTS))
    if not segments:
        raise reasons.withheld("bad-query")
    if any(segment.label not in labels for segment in segments):
        raise reasons.withheld("undeclared-label")
    return segments


def assign(segments: tuple[Segment, ...], labels: tuple[str, ...], column: Callable[[str], Column], rows: int) -> Any:
    """Position in `labels` of each entity's segment, -1 for none: int64[rows].

    `column` gives a column by `dataset.column`, its cells in the order of the entities.
    """
    out = np.full(rows, -1, dtype=np.int64)
    for segment in reversed(segments):  # the first match wins, so it is written last
        holds = np.ones(rows, dtype=bool)
        for condition in segment.when:
            holds &= _holds(condition, column(condition.column))
        out[holds] = labels.index(segment.label)
    return out


def _parse(text: str) -> Any:
    if len(text) > MOST_BYTES:
        raise reasons.withheld("bad-query")
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise reasons.withheld("bad-query") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_float(text: str) -> Any:
    raise ValueError(text)


def _items(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise reasons.withheld("bad-query")
    return value


def _segment(value: Any, columns: Columns) -> Segment:
    if not isinstance(value, dict) or set(value) != {"label", "when"}:
        raise reasons.withheld("bad-query")
    if not isinstance(value["label"], str):
        raise reasons.withheld("bad-query")
    return Segment(value["label"], tuple(_condition(item, columns) for item in _items(value["when"], MOST_CONDITIONS)))


def _condition(value: Any, columns: Columns) -> Condition:
    parts = _items(value, 3)
    if len(parts) != 3 or not isinstance(parts[0], str) or not isinstance(parts[1], str) or parts[0] not in columns:
        raise reasons.withheld("bad-query")
    name, operator, constant = parts
    declared = columns[name]
    if operator not in _OPERATORS[declared.type]:
        raise reasons.withheld("bad-query")
    constants = _items(constant, MOST_LISTED) if operator == "in" else [constant]
    if not constants or not all(_fits(declared, item) for item in constants):
        raise reasons.withheld("bad-query")
    return Condition(name, operator, tuple(constants))


def _fits(declared: Declared, constant: Any) -> bool:
    if declared.type in ("int", "float"):
        return type(constant) is int and abs(constant) <= MAX_INT
    if declared.type == "bool":
        return type(constant) is bool
    if declared.type == "category":
        return isinstance(constant, str) and constant in (declared.values or ())
    return isinstance(constant, str) and len(constant) <= MOST_TEXT and constant.isprintable()


def _holds(condition: Condition, column: Column) -> Mask:
    data, valid = numbers(column) if column.kind != "text" else (None, column.validity.astype(bool))
    if condition.operator in _ORDER:
        return np.asarray(valid & _ORDER[condition.operator](data, int(condition.constants[0])))
    equal = np.zeros(column.rows, dtype=bool)
    for constant in condition.constants:
        equal |= equals(column, constant)
    return np.asarray(valid & ~equal) if condition.operator == "!=" else equal
