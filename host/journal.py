"""What the gateway writes down: one JSON object per line, of events and fields from a closed list.

Runs in: host.   Believes: nothing; a value that is not of its field's form is not written.   Spec: §12.2.

No field takes free text. What `docs/OPERATING.md` says of each event is checked against this table.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Literal

from sealroom.protocol import wire

FIELDS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType({
    "run": re.compile(r"[0-9a-f]{16}"),
    "measurement": re.compile(r"[0-9a-f]{96}"),
    "launcher": re.compile(r"process|docker"),
    "method": re.compile(r"-|GET|PUT|POST"),
    "route": re.compile(r"-|(/(v1|[a-z_-]{1,30}|\{[a-z_]{1,30}\}|openapi\.json)){1,8}"),
    "state": re.compile("|".join(wire.RUN_STATES)),
    "why": re.compile(r"[a-z]{1,20}(-[a-z]{1,20}){0,5}"),
    "kind": re.compile(r"[A-Za-z]{1,40}"),
    "place": re.compile(r"-|[a-z_]{1,20}(/[a-z_]{1,20}){0,3}\.py:[0-9]{1,5}"),
    "part": re.compile(r"store|worker|processor|launcher|image"),
    "library": re.compile(r"[a-z0-9_]{1,30}"),
})  # fmt: skip
"""Text fields: the whole value has this form. Every other field is a whole number of 0..2^63."""
NUMBERS: Final = frozenset({"status", "attempt", "seconds"})

Level = Literal["info", "warning", "error"]
EVENTS: Final[Mapping[str, tuple[Level, tuple[str, ...]]]] = MappingProxyType({
    "gateway-started": ("info", ("launcher",)),
    "gateway-draining": ("info", ("seconds",)),
    "gateway-stopped": ("info", ()),
    "ready": ("info", ()),
    "not-ready": ("warning", ("part",)),
    "call": ("info", ("method", "route", "status")),
    "call-failed": ("error", ("kind", "place")),
    "run-launched": ("info", ("run", "measurement", "attempt")),
    "run-left": ("info", ("run", "state")),
    "launch-failed": ("warning", ("run", "why")),
    "enclave-failed": ("warning", ("run", "why")),
    "disk-low": ("warning", ()),
    "disk-full": ("error", ()),
    "store-lost": ("error", ()),
    "worker-failed": ("error", ("kind", "place")),
    "crashed": ("error", ("kind", "place")),
    "library": ("warning", ("library", "kind")),
    "undeclared": ("error", ()),
})  # fmt: skip
"""Event -> its level and exactly the fields that it has besides `time`, `level` and `event`."""
LOGS: Final = "logs"
"""The folder of the home for logs as files."""
_MOST_NUMBER = 1 << 63
_HOST = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """Writes events as lines to `sink`; a sink that fails stops nothing."""

    sink: Callable[[str], None]

    def say(self, event: str, **fields: str | int) -> None:
        """Write one line; what is not declared becomes the event `undeclared`, without any of its values."""
        if not declared(event, fields):
            event, fields = "undeclared", {}
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": now, "level": EVENTS[event][0], "event": event, **fields})
        try:
            self.sink(line)
        except (OSError, ValueError):
            return  # a full disk or a closed pipe must not end a gateway that still serves

    def failure(self, event: str, error: BaseException) -> None:
        """An error of ours: its class, and the line of our own code that it came from; never its message."""
        self.say(event, kind=kind(error), place=place(error.__traceback__))


def declared(event: str, fields: Mapping[str, str | int]) -> bool:
    """Whether the event exists, has exactly these fields, and every value has its field's form."""
    return event in EVENTS and set(fields) == set(EVENTS[event][1]) and all(map(_fits, fields, fields.values()))


def _fits(name: str, value: str | int) -> bool:
    if name in NUMBERS:
        return type(value) is int and 0 <= value < _MOST_NUMBER
    return isinstance(value, str) and FIELDS[name].fullmatch(value) is not None


def silent() -> Journal:
    """A journal that nobody reads."""
    return Journal(lambda _: None)


def to_stderr() -> Journal:
    """Lines on standard error, each written at once."""
    lock = threading.Lock()

    def write(line: str) -> None:
        with lock:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 (this is where the log goes)

    return Journal(write)


def to_folder(folder: Path) -> Journal:
    """Lines in one file per day (UTC), `YYYY-MM-DD.jsonl`, of mode 600."""
    folder.mkdir(mode=0o700, exist_ok=True)

    def write(line: str) -> None:
        path = folder / f"{line[10:20]}.jsonl"  # the date in `{"time": "YYYY-...`
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)

    return Journal(write)


def kind(error: BaseException) -> str:
    """An exception's class, in letters."""
    return re.sub(r"[^A-Za-z]", "", type(error).__name__)[:40] or "Error"


def place(trace: TracebackType | None) -> str:
    """The innermost line of our own code in a traceback, as `host/file.py:line`, or `-`."""
    found = "-"
    for frame, line in traceback.walk_tb(trace):
        path = Path(frame.f_code.co_filename).resolve()
        if path.is_relative_to(_HOST):
            found = f"host/{path.relative_to(_HOST)}:{line}"
    return found


class _Libraries(logging.Handler):
    """What libraries log is known to nobody beforehand, and may quote callers: only who spoke is written."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        name = re.sub(r"[^a-z0-9_]", "", record.name.partition(".")[0].lower())[:30] or "unknown"
        self._journal.say("library", library=name, kind=record.levelname.capitalize())


def take_over(journal: Journal) -> None:
    """Have everything in this process that would be printed or logged elsewhere go through the journal."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries(journal)], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda _, error, __: journal.failure("crashed", error)
    threading.excepthook = lambda args: journal.failure("crashed", args.exc_value or RuntimeError())
