"""The table of run states: what follows what, what parties see of it, and how long it lasts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest

from sealroom.host import runs
from sealroom.host.problems import Problem
from sealroom.host.runs import Run, Waits
from sealroom.protocol import wire
from tests.postgres import BOTH

STORES = BOTH

WAITS = Waits(challenge=100, grant=10, run=1000)
RUN = Run(
    run="r", agreement="a", version="v", requester="bank", request=b"", state=runs.RUNNING, since=50, created=0,
    deadline=500, slot=300, attempts=1, launched=40.0, shown_at=None, consent_wait=7, run_dir=None, guest=None,
    evidence=None, evidence_digest=None, receipt=None, receipt_digest=None,
)  # fmt: skip
EVENTS = {event for row in runs.TABLE.values() for event in row}
EXPECTED = {
    ("waiting-for-challenges", "challenged"): "queued", ("queued", "take"): "launching", ("queued", "fail"): "failed",
    ("launching", "evidence"): "waiting-for-grants", ("launching", "requeue"): "queued",
    ("launching", "fail"): "failed",
    ("waiting-for-grants", "granted"): "running", ("waiting-for-grants", "receipt-refused"): "refused",
    ("waiting-for-grants", "receipt-failed"): "failed", ("waiting-for-grants", "fail"): "failed",
    ("running", "receipt-completed"): "waiting-for-consent", ("running", "receipt-refused"): "refused",
    ("running", "receipt-failed"): "failed", ("running", "fail"): "failed", ("waiting-for-consent", "settled"): "done",
}  # fmt: skip
OPEN = [state for state in wire.RUN_STATES if state not in wire.RUN_FINAL_STATES]
EXPECTED |= {(state, "refuse"): "refused" for state in wire.RUN_STATES[:4]}
EXPECTED |= {(state, "stop"): "stopped" for state in OPEN} | {(state, "expire"): "expired" for state in OPEN}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(wire.RUN_STATES, sorted(EVENTS))))
def test_every_event_in_every_state_does_what_the_table_says_or_nothing(state: str, event: str) -> None:
    if (state, event) in EXPECTED:
        assert runs.after(state, event) == EXPECTED[state, event]
        return
    with pytest.raises(Problem) as refused:
        runs.after(state, event)
    assert (refused.value.status, refused.value.code) == (409, "wrong-state")


def test_every_state_is_reached_and_final_ones_stay() -> None:
    reached = {next_state for row in runs.TABLE.values() for next_state in row.values()}
    assert reached | {runs.WAITING_CHALLENGES} == set(wire.RUN_STATES) == set(runs.TABLE)
    assert all(not runs.TABLE[state] for state in wire.RUN_FINAL_STATES)


@pytest.mark.parametrize(
    ("now", "expected"), [(40, 340), (41, 340), (339.9, 340), (340, 340), (340.1, 640), (10_000, 10_240)]
)
def test_ends_show_at_multiples_of_the_slot_after_the_launch(now: float, expected: float) -> None:
    assert runs.boundary(RUN, now) == expected


def test_without_slots_or_launch_an_end_shows_at_once() -> None:
    assert runs.boundary(dataclasses.replace(RUN, slot=0), 123) == 123
    assert runs.boundary(dataclasses.replace(RUN, launched=None), 123) == 123


@pytest.mark.parametrize("event", ["receipt-completed", "receipt-failed", "fail", "expire"])
def test_whatever_a_job_could_time_waits_for_the_boundary(event: str) -> None:
    assert runs.shown_after(RUN, event, 100) == 340
    assert runs.shown_after(RUN, "stop", 100) == 100
    assert runs.shown_after(dataclasses.replace(RUN, state=runs.WAITING_GRANTS), event, 100) == 100


@pytest.mark.parametrize("state", ["failed", "refused", "waiting-for-consent", "done", "expired"])
def test_an_end_looks_running_until_the_boundary(state: str) -> None:
    run = dataclasses.replace(RUN, state=state, shown_at=340.0, receipt=b"{}")
    assert (runs.shown(run, 339.9), runs.is_visible(run, 339.9)) == ("running", False)
    assert (runs.shown(run, 340), runs.is_visible(run, 340)) == (state, True)


def test_a_stop_shows_at_once() -> None:
    assert runs.shown(dataclasses.replace(RUN, state="stopped", shown_at=340.0), 100) == "stopped"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": "waiting-for-challenges"}, 100), ({"state": "waiting-for-challenges", "deadline": 5}, 5),
        ({"state": "queued"}, 500), ({"state": "launching"}, math.inf), ({"state": "waiting-for-grants"}, 60),
        ({"state": "waiting-for-grants", "deadline": 55}, 55), ({"state": "running"}, 1050),
        ({"state": "waiting-for-consent", "shown_at": 340.0}, 347), ({"state": "done"}, math.inf),
    ],
)  # fmt: skip
def test_every_state_has_its_deadline(changes: Any, expected: float) -> None:
    assert runs.deadline(dataclasses.replace(RUN, **changes), WAITS) == expected


def test_lists_of_runs_carry_no_documents_and_nothing_else_is_missing(gateway: Any) -> None:
    run = gateway.start()
    (listed,) = gateway.store.runs.of(gateway.agreement)
    whole = gateway.store.runs.get(run)
    assert whole.request
    assert listed == dataclasses.replace(whole, request=b"", evidence=None, receipt=None)
    assert gateway.store.runs.all() == gateway.store.runs.open() == [listed]


def test_runs_expire_by_the_clock_of_the_gateway(gateway: Any) -> None:
    run, clock, store = gateway.start(), gateway.clock, gateway.store
    clock.now += 100
    store.runs.expire(WAITS, clock())
    assert gateway.state(run) == "waiting-for-challenges"
    clock.now += 1
    store.runs.expire(WAITS, clock())
    assert gateway.state(run) == "expired"


def test_a_clock_that_was_ahead_and_is_back_wakes_no_run_and_shows_no_end_too_early(gateway: Any) -> None:
    expired, ended, clock, store = gateway.start(), gateway.start(), gateway.clock, gateway.store
    right = clock.now
    clock.now += 3600
    store.database.write(
        "UPDATE runs SET state = 'failed', launched = ?, shown_at = ? WHERE run = ?", clock(), clock() + 300, ended
    )
    store.runs.expire(WAITS, clock())
    assert gateway.state(expired) == "expired"
    clock.now = right + 1
    store.runs.expire(WAITS, clock())
    assert [store.runs.get(run).state for run in (expired, ended)] == ["expired", "failed"]
    assert [gateway.state(run) for run in (expired, ended)] == ["running", "running"]
    gateway.challenge(later := gateway.start())
    assert store.runs.next_queued(clock()) is None, "its launch would tell that the one before has ended"
    clock.now = right + 3901
    assert [gateway.state(run) for run in (expired, ended)] == ["expired", "failed"]
    assert store.runs.next_queued(clock()).run == later


def test_an_agreements_consent_deadline_bounds_the_wait_for_consent(gateway: Any) -> None:
    run, clock, store = gateway.start(), gateway.clock, gateway.store
    assert store.runs.get(run).consent_wait == 3600
    store.database.write("UPDATE runs SET state = 'waiting-for-consent', shown_at = ? WHERE run = ?", clock(), run)
    clock.now += 3601
    store.runs.expire(WAITS, clock())
    assert gateway.state(run) == "expired"


def test_the_longest_waiting_run_is_taken_first_and_only_after_the_last_end_is_shown(gateway: Any) -> None:
    first, second, store, clock = gateway.start(), gateway.start(), gateway.store, gateway.clock
    gateway.challenge(second)
    clock.now += 1
    gateway.challenge(first)
    assert store.runs.next_queued(clock()).run == second
    store.database.write(
        "UPDATE runs SET launched = 1.0, shown_at = ?, state = 'failed' WHERE run = ?", clock() + 5, second
    )
    assert store.runs.next_queued(clock()) is None
    assert store.runs.next_queued(clock() + 5).run == first


def test_two_who_move_a_run_at_once_do_not_both_succeed(gateway: Any) -> None:
    run = gateway.store.runs.get(gateway.start())
    gateway.store.runs.step(run, "stop", 1.0)
    with pytest.raises(Problem) as refused:
        gateway.store.runs.step(run, "expire", 1.0)
    assert refused.value.code == "wrong-state"
