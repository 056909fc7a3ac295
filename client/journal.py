"""What a broker writes down as a service: one JSON object per line, of events and fields from a closed list.

Runs in: an owner's broker.   Believes: nothing; a value that is not of its field's form is not written.   Spec: §12.2.

No field takes free text: no name of a party, a rule, a column or a file, and no words of a gateway.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Literal

from sealroom.client.desk import Event, EventKind
from sealroom.protocol.errors import SealroomError

FIELDS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType({
    "run": re.compile(r"-|[0-9a-f]{16}"),
    "did": re.compile("|".join(typing.get_args(EventKind))),
    "code": re.compile(r"-|(E[1-9]\.)?[a-z][a-z0-9]{0,19}(-[a-z0-9]{1,20}){0,5}"),
    "kind": re.compile(r"[A-Za-z]{1,40}"),
    "place": re.compile(r"-|[a-z_]{1,20}(/[a-z_]{1,20}){0,3}\.py:[0-9]{1,5}"),
})  # fmt: skip
"""Every field; the whole value has this form."""
Level = Literal["info", "warning", "error"]
EVENTS: Final[Mapping[str, tuple[Level, tuple[str, ...]]]] = MappingProxyType({
    "broker-started": ("info", ()),
    "broker-stopping": ("info", ()),
    "broker-stopped": ("info", ()),
    "did": ("info", ("run", "did")),
    "would-not": ("warning", ("run", "code")),
    "gateway-silent": ("warning", ()),
    "not-let-in": ("warning", ()),
    "gateway-answers": ("info", ()),
    "refused-to-go-on": ("error", ("code",)),
    "crashed": ("error", ("kind", "place")),
    "undeclared": ("error", ()),
})  # fmt: skip
"""Event -> its level and exactly the fields that it has besides `time`, `level` and `event`."""
_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """Writes events as lines to `sink`; a sink that fails stops nothing."""

    sink: Callable[[str], None]

    def say(self, event: str, **fields: str) -> None:
        """Write one line; what is not declared becomes the event `undeclared`, without any of its values."""
        if not declared(event, fields):
            event, fields = "undeclared", {}
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": now, "level": EVENTS[event][0], "event": event, **fields})
        try:
            self.sink(line)
        except (OSError, ValueError):
            return  # a full disk or a closed pipe must not end a broker that still answers

    def happened(self, event: Event) -> None:
        """One event of a broker's step: what was done in which run, or why not, as a code."""
        run = event.run[:16] or "-"
        if event.kind == "no":
            self.say("would-not", run=run, code=code(event.error))
        else:
            self.say("did", run=run, did=event.kind)

    def failure(self, event: str, error: BaseException) -> None:
        """An error of ours: its class, and the line of our own code that it came from; never its message."""
        kind = re.sub(r"[^A-Za-z]", "", type(error).__name__)[:40] or "Error"
        self.say(event, kind=kind, place=_place(error.__traceback__))


def declared(event: str, fields: Mapping[str, str]) -> bool:
    """Whether the event exists, has exactly these fields, and every value has its field's form."""
    return (
        event in EVENTS
        and set(fields) == set(EVENTS[event][1])
        and all(isinstance(value, str) and FIELDS[name].fullmatch(value) for name, value in fields.items())
    )


def to_stderr() -> Journal:
    """Lines on standard error, each written at once."""
    return Journal(lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 (this is where the log goes)


def code(error: SealroomError | None) -> str:
    """Our own code of a refusal; what a gateway calls its own is its text, and becomes one word."""
    found = str(getattr(error, "code", "-"))
    return "gateway-refused" if re.match(r"(E[1-9]\.)?gateway-", found) else found


def _place(trace: TracebackType | None) -> str:
    found = "-"
    for frame, line in traceback.walk_tb(trace):
        path = Path(frame.f_code.co_filename).resolve()
        if path.is_relative_to(_HERE):
            found = f"client/{path.relative_to(_HERE)}:{line}"
    return found
