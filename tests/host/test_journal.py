"""Nothing but declared events and fields can be written down, and nothing is written down past the journal."""

from __future__ import annotations

import ast
import errno
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealroom.host import journal
from sealroom.host.journal import EVENTS, FIELDS, NUMBERS, Journal

SECRET = "customer 17 is rich"
GOOD = {
    "run": "ab" * 8, "measurement": "ab" * 48, "launcher": "docker", "method": "GET", "route": "/v1/runs/{run}",
    "state": "queued", "why": "no-connection", "kind": "OSError", "place": "host/queue.py:7", "part": "processor",
    "library": "uvicorn",
} | dict.fromkeys(NUMBERS, 7)  # fmt: skip


def written(event: str, **fields: Any) -> dict[str, Any]:
    lines: list[str] = []
    Journal(lines.append).say(event, **fields)
    (line,) = lines
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    return dict(found)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_is_written_with_exactly_its_fields(event: str):
    level, names = EVENTS[event]
    fields = {name: GOOD[name] for name in names}
    assert written(event, **fields) == {"level": level, "event": event, **fields}
    for name in names:
        assert written(event, **{n: v for n, v in fields.items() if n != name})["event"] == "undeclared"
    assert written(event, **fields, more=SECRET) == {"level": "error", "event": "undeclared"}


@pytest.mark.parametrize("field", sorted({*FIELDS, *NUMBERS}))
@pytest.mark.parametrize("value", [SECRET, "x\ny", "é", "", -1, 1 << 63, True, None, 1.5, b"x", ["run"]], ids=repr)
def test_a_value_that_is_not_of_its_fields_form_is_not_written(field: str, value: Any):
    event = next(name for name, (_, names) in EVENTS.items() if field in names)
    fields = {name: GOOD[name] for name in EVENTS[event][1]} | {field: value}
    assert written(event, **fields) == {"level": "error", "event": "undeclared"}


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_no_text_of_a_caller_becomes_an_event(event: str, fields: dict[str, str]):
    fields.pop("self", None), fields.pop("event", None)
    assert written(f"{event}!", **fields) == {"level": "error", "event": "undeclared"}


def calls(root: Path) -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((root / "host").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.name}:{node.lineno}", node


def test_every_call_of_the_journal_in_the_code_names_a_declared_event_and_exactly_its_fields(root: Path):
    seen = set()
    for place, call in calls(root):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name not in ("say", "failure") or place.startswith("journal.py"):
            continue
        event = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        assert event in EVENTS, place
        fields = ("kind", "place") if name == "failure" else tuple(word.arg for word in call.keywords)
        assert sorted(map(str, fields)) == sorted(EVENTS[event][1]), place
        seen.add(event)
    # The rest is written by the journal itself.
    assert set(EVENTS) - seen == {"undeclared", "crashed", "library"}


def test_nothing_in_the_gateway_logs_or_prints_past_the_journal(root: Path):
    """The command line prints what its caller asked for; everything that serves has the journal alone."""
    stray = []
    for path in sorted((root / "host").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        prints = any(isinstance(n, ast.Name) and n.id == "print" for n in ast.walk(tree))
        if path.name != "journal.py" and ("logging" in imports or (prints and path.parent.name != "image")):
            stray.append(path.name)
    assert stray == []


def test_every_route_of_the_gateway_has_the_form_of_its_field(gateway: Any):
    routes = [str(getattr(route, "path", "-")) for route in gateway.call.client.app.routes]
    described = gateway.call.client.get("/v1/openapi.json").json()["paths"]
    assert len({*routes, *described}) > 20
    assert [path for path in {*routes, *described} if not FIELDS["route"].fullmatch(path)] == []
    for line in map(json.loads, gateway.log):
        assert line["event"] != "undeclared"


def test_what_libraries_log_and_what_escapes_is_written_without_its_words(capsys: pytest.CaptureFixture[str]):
    lines: list[str] = []
    handlers, hooks = logging.root.handlers[:], (sys.excepthook, threading.excepthook)
    level = logging.root.level
    try:
        journal.take_over(Journal(lines.append))
        logging.getLogger("uvicorn.error").error("%s", SECRET)
        logging.getLogger("uvicorn.access").info("%s", SECRET)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = logging._showwarning
            warnings.warn(SECRET, RuntimeWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: (_ for _ in ()).throw(KeyError(SECRET)))
        thread.start()
        thread.join()
        sys.excepthook(ValueError, ValueError(SECRET), None)
    finally:
        logging.captureWarnings(capture=False)
        sys.excepthook, threading.excepthook = hooks
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    events = [json.loads(line) for line in lines]
    assert [e["event"] for e in events] == ["library", "library", "crashed", "crashed"]
    assert [e.get("library") for e in events[:2]] == ["uvicorn", "py"]
    assert [e["kind"] for e in events[2:]] == ["KeyError", "ValueError"]
    assert SECRET not in "".join(lines) + "".join(capsys.readouterr())


def test_a_failure_names_our_own_line_and_no_message():
    lines: list[str] = []
    try:
        journal.to_folder(Path("/proc/none/such"))
    except OSError as error:
        Journal(lines.append).failure("worker-failed", error)
    found = json.loads(lines[0])
    assert found["event"] == "worker-failed"
    assert found["place"].startswith("host/journal.py:")
    assert "such" not in lines[0]


def test_a_log_that_cannot_be_written_stops_nothing():
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, SECRET)

    Journal(full).say("ready")


def test_files_are_private_one_per_day_and_hold_whole_lines(tmp_path: Path):
    made = journal.to_folder(tmp_path / "logs")
    threads = [threading.Thread(target=lambda: [made.say("ready") for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = sorted((tmp_path / "logs").iterdir())
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert len(lines) == 200
    assert {file.stem for file in files} == {line["time"][:10] for line in lines}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
