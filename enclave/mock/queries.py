"""Says where a query bundle is wrong, by asking the engine's own decoder about smaller and smaller parts of it.

Runs in: an author's machine.   Believes: nothing; what counts is what the engine refuses.
"""

from __future__ import annotations

import json
from typing import Any

from sealroom.enclave.engine import query
from sealroom.protocol.errors import NotReleased

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")


def explain(text: str, columns: query.Columns, labels: tuple[str, ...]) -> str | None:
    """Why the engine would not take the query, in a sentence; None if it would."""
    if _decodes(text, columns, labels):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"query.json is not JSON: {error}"
    if not isinstance(value, dict) or set(value) != {"format", "segments"} or value["format"] != query.FORMAT:
        return f'query.json must be {{"format": "{query.FORMAT}", "segments": [...]}} and have no other members'
    segments = value["segments"]
    if not isinstance(segments, list) or not 0 < len(segments) <= query.MOST_SEGMENTS:
        return f"`segments` must be a list of 1 to {query.MOST_SEGMENTS} segments"
    for number, segment in enumerate(segments, 1):
        if not _decodes(_one(segment), columns, labels):
            return f"segment {number}: {_segment(segment, columns, labels)}"
    return f"a key stands there twice, or the text is longer than {query.MOST_BYTES} characters"


def _segment(segment: Any, columns: query.Columns, labels: tuple[str, ...]) -> str:
    if not isinstance(segment, dict) or set(segment) != {"label", "when"}:
        return 'a segment is {"label": ..., "when": [...]} and has no other members'
    if segment["label"] not in labels:
        return f"the label {segment['label']!r} is not declared; the agreement declares {', '.join(labels)}"
    when = segment["when"]
    if not isinstance(when, list) or len(when) > query.MOST_CONDITIONS:
        return f"`when` must be a list of at most {query.MOST_CONDITIONS} conditions"
    for number, condition in enumerate(when, 1):
        if not _decodes(_one({"label": labels[0], "when": [condition]}), columns, labels):
            return f"condition {number}: {_condition(condition, columns, labels)}"
    return "it cannot be read"


def _condition(condition: Any, columns: query.Columns, labels: tuple[str, ...]) -> str:
    if not isinstance(condition, list) or len(condition) != 3 or not isinstance(condition[0], str):
        return "a condition is [column, operator, constant]"
    name, operator, constant = condition
    if name not in columns:
        return f"there is no column {name!r} that a query may read; there are {', '.join(sorted(columns))}"
    declared = columns[name]

    def fits(other: str) -> bool:
        return _decodes(_one({"label": labels[0], "when": [[name, other, constant]]}), columns, labels)

    if good := [other for other in _OPERATORS if other != operator and fits(other)]:
        return (
            f"{operator!r} does not fit the {declared.type} column {name} and {constant!r}; these do: {', '.join(good)}"
        )
    values = f"; declared are {', '.join(declared.values)}" if declared.values else ""
    whole = "; only whole numbers can be compared with" if declared.type in ("int", "float") else ""
    return f"{constant!r} does not fit the {declared.type} column {name}{values}{whole}"


def _one(segment: Any) -> str:
    return json.dumps({"format": query.FORMAT, "segments": [segment]})


def _decodes(text: str, columns: query.Columns, labels: tuple[str, ...]) -> bool:
    try:
        query.decode(text, columns, labels)
    except NotReleased:
        return False
    return True
