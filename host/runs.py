"""The states of a run as one table, what of them is shown to whom, and how long each may last.

Runs in: host.   Believes: nothing.   Spec: §8.4.   No I/O: time is an argument.
"""

from __future__ import annotations

import dataclasses
import math
from types import MappingProxyType

from sealroom.host.problems import conflict
from sealroom.protocol import wire

WAITING_CHALLENGES, QUEUED, LAUNCHING, WAITING_GRANTS, RUNNING, WAITING_CONSENT = wire.RUN_STATES[:6]
DONE, REFUSED, FAILED, EXPIRED, STOPPED = wire.RUN_STATES[6:]
LIVE = (LAUNCHING, WAITING_GRANTS, RUNNING)
"""States in which there may be an enclave."""

_ENDS = {"stop": STOPPED, "expire": EXPIRED}
_GIVEN_UP = {"fail": FAILED, "receipt-refused": REFUSED, "receipt-failed": FAILED, **_ENDS}
TABLE = MappingProxyType({
    WAITING_CHALLENGES: {"challenged": QUEUED, "refuse": REFUSED, **_ENDS},
    QUEUED: {"take": LAUNCHING, "fail": FAILED, "refuse": REFUSED, **_ENDS},
    LAUNCHING: {"evidence": WAITING_GRANTS, "requeue": QUEUED, "fail": FAILED, "refuse": REFUSED, **_ENDS},
    WAITING_GRANTS: {"granted": RUNNING, "refuse": REFUSED, **_GIVEN_UP},
    RUNNING: {"receipt-completed": WAITING_CONSENT, **_GIVEN_UP},
    WAITING_CONSENT: {"settled": DONE, **_ENDS},
    **{state: {} for state in wire.RUN_FINAL_STATES},
})  # fmt: skip
"""State -> event -> next state. What is not in it does not happen."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as stored. Times are unix seconds; `shown_at` is when its end becomes visible to parties."""

    run: str
    agreement: str
    version: str
    requester: str
    request: bytes
    state: str
    since: float
    created: float
    deadline: int
    slot: int
    attempts: int
    launched: float | None
    shown_at: float | None
    consent_wait: float
    run_dir: str | None
    guest: str | None
    evidence: bytes | None
    evidence_digest: str | None
    receipt: bytes | None
    receipt_digest: str | None

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in wire.RUN_FINAL_STATES


def after(state: str, event: str) -> str:
    """The state that follows.

    Raises:
        Problem: 409 `wrong-state`: the table has no such step.
    """
    try:
        return str(TABLE[state][event])
    except KeyError:
        raise conflict("wrong-state", f"the run is {state}; this cannot be done now") from None


def shown(run: Run, now: float) -> str:
    """The state that parties see: until the slot boundary, a run that has ended still looks `running`."""
    hidden = run.shown_at is not None and now < run.shown_at and run.state != STOPPED
    return RUNNING if hidden else run.state


def is_visible(run: Run, now: float) -> bool:
    """Whether offers and receipt may be seen."""
    return run.receipt is not None and run.shown_at is not None and now >= run.shown_at


def boundary(run: Run, now: float) -> float:
    """The next slot boundary after the launch, counted from the launch; `now` when the agreement sets no slots."""
    if run.launched is None or run.slot == 0:
        return now
    return run.launched + max(1, math.ceil((now - run.launched) / run.slot)) * run.slot


def shown_after(run: Run, event: str, now: float) -> float:
    """When the end of a run is shown: what a job could time waits for the boundary, all else shows at once."""
    return boundary(run, now) if run.state == RUNNING and event != "stop" else now


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long a state may last, in seconds."""

    challenge: float
    grant: float
    run: float


def deadline(run: Run, waits: Waits) -> float:
    """When the run expires if it stays in its state; infinity for final ones and for those that the relay bounds."""
    if run.state == WAITING_CHALLENGES:
        return min(run.created + waits.challenge, run.deadline)
    if run.state == QUEUED:
        return float(run.deadline)
    if run.state == WAITING_GRANTS:
        return min(run.since + waits.grant, run.deadline)
    if run.state == RUNNING:
        return run.since + waits.run
    if run.state == WAITING_CONSENT:
        return (run.shown_at or run.since) + run.consent_wait
    return math.inf
