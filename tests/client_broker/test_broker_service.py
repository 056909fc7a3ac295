"""A broker as a service: it logs declared events only, shows that it lives, and ends its step before it leaves."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealroom.client import journal, liveness, service
from sealroom.client.desk import Event
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.journal import EVENTS, FIELDS, Journal
from sealroom.client.service import Service
from sealroom.client.transport import GatewayRefused
from sealroom.protocol.errors import NotAcceptable
from tests.client_broker.world import World

SECRET = "customer 17 is rich"
RUN = "ab" * 32
GOOD = {"run": "ab" * 8, "did": "granted", "code": "E3.budget-spent", "kind": "OSError", "place": "client/broker.py:7"}


def written(event: str, **fields: Any) -> dict[str, Any]:
    lines: list[str] = []
    Journal(lines.append).say(event, **fields)
    (line,) = lines
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    return dict(found)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_of_a_broker_is_written_with_exactly_its_fields(event: str):
    level, names = EVENTS[event]
    fields = {name: GOOD[name] for name in names}
    assert written(event, **fields) == {"level": level, "event": event, **fields}
    assert written(event, **fields, more=SECRET) == {"level": "error", "event": "undeclared"}


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("value", [SECRET, "x\ny", "é", "", 1, None, True, b"x", "ab" * 33], ids=repr)
def test_a_value_of_another_form_is_not_written_by_a_broker(field: str, value: Any):
    event = next(name for name, (_, names) in EVENTS.items() if field in names)
    fields = {name: GOOD[name] for name in EVENTS[event][1]} | {field: value}
    assert written(event, **fields) == {"level": "error", "event": "undeclared"}


def test_what_a_gateway_calls_its_refusals_does_not_reach_the_log():
    lines: list[str] = []
    error = GatewayRefused(409, "customer-17-is-rich", SECRET, SECRET)
    Journal(lines.append).happened(Event("no", RUN, SECRET, error))
    assert (json.loads(lines[0])["event"], json.loads(lines[0])["code"]) == ("would-not", "gateway-refused")
    assert "rich" not in lines[0]


def test_the_service_says_nothing_past_its_journal(root: Path):
    """No print, no logging, no words of an event: what is written goes through a declared event."""
    for name in ("service.py", "liveness.py"):
        tree = ast.parse((root / "client" / name).read_text("utf-8"))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & {"print", "logging", "click", "ui"}
        assert not attributes & {"text", "message", "hint", "echo"}
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "say":
                assert isinstance(call.args[0], ast.Constant)
                assert sorted(str(w.arg) for w in call.keywords) == sorted(EVENTS[call.args[0].value][1])


@pytest.fixture
def looped(tmp_path: Path) -> Iterator[Any]:
    """Runs a service over a list of steps, then leaves; gives its events."""

    def run(*steps: Any) -> list[dict[str, Any]]:
        lines: list[str] = []
        leaving, left = threading.Event(), list(steps)
        seen: list[str] = []

        def step() -> list[Event]:
            now = left.pop(0)
            if not left:
                leaving.set()
            if isinstance(now, BaseException):
                raise now
            return list(now)

        def note(line: str) -> None:
            lines.append(line)
            if (tmp_path / liveness.FILE).exists():
                seen.append(liveness.check(tmp_path, now=time.time()).state)

        try:
            Service(step, tmp_path, Journal(note)).run(leaving, every=0.01)
        except Exception as error:  # noqa: BLE001
            run.error = error  # type: ignore[attr-defined]
        assert not (tmp_path / liveness.FILE).exists()
        return [json.loads(line) for line in lines]

    return run


def test_every_event_is_said_once_while_it_stays_the_same(looped: Any):
    no = Event("no", RUN, SECRET, NotAcceptable("budget-spent", SECRET))
    granted = Event("granted", RUN, SECRET)
    events = looped([granted, no], [no], [], [no])
    assert [e["event"] for e in events] == [
        "broker-started", "did", "would-not", "would-not", "broker-stopping", "broker-stopped",
    ]  # fmt: skip
    assert events[1]["did"] == "granted"
    assert (events[2]["run"], events[2]["code"]) == ("ab" * 8, "E3.budget-spent")
    assert SECRET not in json.dumps(events)


def test_a_silent_gateway_is_said_once_and_that_it_answers_again(looped: Any):
    events = looped(Unreachable(SECRET), Unreachable(SECRET), [], [])
    assert [e["event"] for e in events] == [
        "broker-started", "gateway-silent", "gateway-answers", "broker-stopping", "broker-stopped",
    ]  # fmt: skip
    assert SECRET not in json.dumps(events)


def test_a_gateway_that_knows_no_agreement_of_this_party_yet_is_asked_again(looped: Any):
    events = looped(NotAuthorized(SECRET), NotAuthorized(SECRET), [], Unreachable(SECRET), [])
    assert [e["event"] for e in events] == [
        "broker-started", "not-let-in", "gateway-answers", "gateway-silent", "gateway-answers", "broker-stopping",
        "broker-stopped",
    ]  # fmt: skip
    assert SECRET not in json.dumps(events)


@pytest.mark.parametrize("error", [NotAcceptable("ledger-frozen", SECRET), KeyError(SECRET)], ids=["refused", "crash"])
def test_what_ends_a_broker_is_a_code_or_a_place_in_the_log(looped: Any, error: Exception):
    events = looped([], error)
    assert events[-2]["event"] == ("refused-to-go-on" if isinstance(error, NotAcceptable) else "crashed")
    assert events[-1]["event"] == "broker-stopped"
    assert looped.error is error
    assert SECRET not in json.dumps(events)


def test_health_tells_a_living_broker_from_a_dead_and_a_stuck_one(tmp_path: Path):
    with pytest.raises(Unreachable, match="no broker runs"):
        liveness.check(tmp_path, now=1000)
    liveness.show(tmp_path, "gateway-silent", now=1000)
    assert (tmp_path / liveness.FILE).stat().st_mode & 0o777 == 0o600
    sign = liveness.check(tmp_path, now=1000 + liveness.STALE)
    assert (sign.state, sign.process, sign.looked) == ("gateway-silent", os.getpid(), 1000)
    with pytest.raises(Unreachable, match="is stuck"):
        liveness.check(tmp_path, now=1001 + liveness.STALE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    text = (tmp_path / liveness.FILE).read_text("utf-8")
    (tmp_path / liveness.FILE).write_text(text.replace(f'"process":{os.getpid()}', f'"process":{gone.pid}'), "utf-8")
    with pytest.raises(Unreachable, match="has died"):
        liveness.check(tmp_path, now=1000)
    (tmp_path / liveness.FILE).write_text("{", "utf-8")
    with pytest.raises(Unreachable, match="no broker runs"):
        liveness.check(tmp_path, now=1000)


STEPPING = """
import sys, time
from pathlib import Path
from sealroom.client import service
from sealroom.client.journal import to_stderr
def step():
    Path("stepping").touch()
    time.sleep({seconds})
    Path("stepped").touch()
    return []
with service.leaving(grace={grace}) as event:
    service.Service(step, Path("."), to_stderr()).run(event, every=60)
"""


@pytest.mark.parametrize(("seconds", "grace", "ended"), [(1.5, 60, True), (600, 0.2, False)], ids=["ends", "too-long"])
def test_a_step_ends_before_a_broker_leaves_unless_it_takes_too_long(
    tmp_path: Path, seconds: float, grace: float, ended: bool
):
    code = STEPPING.format(seconds=seconds, grace=grace)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (tmp_path / "stepping").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "stepped").exists() is ended
    assert json.loads(said.splitlines()[-1])["event"] == "broker-stopped"
    assert not (tmp_path / liveness.FILE).exists()


def test_a_real_broker_logs_what_it_did_in_a_whole_run_and_nothing_of_what_it_knows(tmp_path: Path):
    world = World(tmp_path)
    run = world.ask("overlap")
    lines: list[str] = []
    leaving = threading.Event()
    broker = world.broker("partner")
    steps = [0]

    def step() -> list[Event]:
        world.step("bank")
        steps[0] += 1
        if steps[0] == 5:
            leaving.set()
        return broker.step()

    Service(step, world.homes["partner"].root, Journal(lines.append)).run(leaving, every=0)
    events = [json.loads(line) for line in lines]
    did = [e["did"] for e in events if e["event"] == "did"]
    assert list(dict.fromkeys(did)) == ["challenged", "granted", "released", "cosigned"]
    assert {e["run"] for e in events if "run" in e} == {run[:16]}
    agreement = world.homes["partner"].agreement().agreement
    names = {p.name for p in agreement.parties} | {d.name for d in agreement.datasets}
    said = {str(value) for e in events for name, value in e.items() if name not in ("time", "run")}
    assert not names & said


def test_the_service_has_no_more_signs_than_it_documents():
    assert set(journal.EVENTS) >= {"did", "would-not"}
    assert service.GRACE < liveness.STALE
