"""Takes queued runs one at a time, each into an enclave of its own, and cleans up after a gateway that died.

Runs in: host.   Believes: nothing.   Spec: §8.4.   The database is the only truth; this thread can die at any line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sealroom.host import disk, frames, runs
from sealroom.host.bell import Bell
from sealroom.host.frames import GarbageError
from sealroom.host.journal import Journal, silent
from sealroom.host.launcher.base import Launcher, LaunchError
from sealroom.host.problems import Problem
from sealroom.host.relay import EndedError, GuestError, Relay
from sealroom.host.runs import Run, Waits
from sealroom.host.settings import Settings
from sealroom.host.store import Store
from sealroom.host.store.errors import UnavailableError
from sealroom.protocol import wire

_IDLE = 1.0
_SLICE = 0.05
_FIRST_GRANT = 5.0
LAST_FAILURE = "last-launch-failure.txt"


@dataclasses.dataclass(slots=True, kw_only=True)
class Worker:
    """The one that launches. Only its own thread calls anything but `stop`."""

    store: Store
    settings: Settings
    launcher: Launcher
    bell: Bell
    clock: Callable[[], float]
    journal: Journal = dataclasses.field(default_factory=silent)
    launched: Callable[[str], object] = lambda _: None
    """Is told `ok` or `failed` of every launch."""
    stopping: threading.Event = dataclasses.field(default_factory=threading.Event)
    draining: threading.Event = dataclasses.field(default_factory=threading.Event)
    is_sound: bool = False
    """Whether its thread works, and could clear up what was left."""
    _was_low: bool = False

    def serve(self) -> None:
        """Work until `stop`; a failure of ours ends the run at hand and nothing else."""
        try:
            with contextlib.suppress(EndedError):
                while not self.stopping.is_set():
                    self.is_sound = self.is_sound or self._tried(self.recover)
                    self.is_sound = self.is_sound and (self._tried(self.step) or self._tried(self.recover))
                    self.bell.wait(_IDLE)
        finally:
            self.is_sound = False

    def drain(self, seconds: float) -> None:
        """Launch nothing any more, and return when no enclave is worth waiting for, or when the time has passed.

        An enclave that has a grant is worth it, since an owner was charged for it; and for a few seconds one whose
        evidence has just come out, since its grants are on their way.
        """
        self.draining.set()
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._is_any_worth_waiting():
            time.sleep(_SLICE)

    def stop(self) -> None:
        """Have `serve` end soon; the run at hand is dealt with as after a restart."""
        self.stopping.set()
        self.bell.ring()

    def step(self) -> bool:
        """End what has expired, then see the next run through, if there is one; whether there was."""
        self._tick()
        run = None if self.draining.is_set() or self._is_low() else self.store.runs.next_queued(self.clock())
        if run is None:
            return False
        self._conduct(run)
        return True

    def settle(self) -> None:
        """Write down what becomes of runs whose enclave nobody holds any more; touches the database and nothing else.

        To be called before calls are taken: no owner may grant to, and be charged for, an enclave that is lost. A run
        goes back to the queue if it had given no evidence yet.
        """
        for run in self.store.runs.open():
            if run.state in runs.LIVE:
                self._give_up(run, again=run.state == runs.LAUNCHING)

    def recover(self) -> None:
        """Settle what is left from before, and end its enclaves."""
        self.settle()
        self.launcher.clear_all()
        for run in self.store.runs.with_guest():
            self.launcher.clear(Path(run.run_dir or ""), run.guest)
            self._clean(run)

    def _tried(self, work: Callable[[], object]) -> bool:
        """Whether it came to its end; a failure is logged, and the queue goes on."""
        try:
            work()
        except EndedError:
            raise
        except Exception as error:  # noqa: BLE001
            if disk.is_full(error):
                self.journal.say("disk-full")
            elif isinstance(error, UnavailableError):
                self.journal.say("store-lost")
            else:
                self.journal.failure("worker-failed", error)
            return False
        return True

    def _conduct(self, run: Run) -> None:
        run_dir = self.settings.home / "runs" / f"{run.run[:16]}-{run.attempts + 1}"
        now = self.clock()
        run = self.store.runs.step(run, "take", now, launched=now, attempts=run.attempts + 1, run_dir=str(run_dir))
        try:
            self._enclave(run, run_dir)
        except LaunchError as error:
            self.journal.say("launch-failed", run=run.run[:16], why=error.why)
            self._note_failure(error)
            self.launched("failed")
            self._give_up(run, again=True)
        except EndedError:
            self._give_up(run, again=self._state(run) == runs.LAUNCHING)
        except (GuestError, GarbageError, Problem, EOFError, OSError) as error:
            self.journal.say("enclave-failed", run=run.run[:16], why=why(error))
            spoke = isinstance(error, (GarbageError, Problem))  # what speaks nonsense once would do so again
            self._give_up(run, again=not spoke and self._state(run) == runs.LAUNCHING)
        finally:
            self._clean(run)
            self.journal.say("run-left", run=run.run[:16], state=self._state(run))

    def _enclave(self, run: Run, run_dir: Path) -> None:
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir(mode=0o700, parents=True)
        owner = self.launcher.guest if os.geteuid() == 0 else None
        with frames.listen(run_dir / wire.HOST_SOCKET, owner=owner) as listener:
            handle = self.launcher.launch(run_dir, {})
            try:
                self.store.runs.note(run, run_dir=str(run_dir), guest=handle.note)
                self.journal.say("run-launched", run=run.run[:16], measurement=handle.measurement, attempt=run.attempts)
                self.launched("ok")
                self._relay().serve(run, listener, handle, guest=self.launcher.guest)
            finally:
                handle.kill()

    def _relay(self) -> Relay:
        return Relay(store=self.store, settings=self.settings, bell=self.bell, clock=self.clock, tick=self._tick,
                     journal=self.journal)  # fmt: skip

    def _tick(self) -> None:
        if self.stopping.is_set():
            raise EndedError
        s = self.settings
        waits = Waits(challenge=s.challenge_wait, grant=s.grant_wait, run=s.run_wait)
        self.store.runs.expire(waits, self.clock())

    def _give_up(self, run: Run, *, again: bool) -> None:
        """The run fails, or waits for another enclave if nobody has seen this one; whatever else ended it, stays."""
        with contextlib.suppress(Problem):
            run = self.store.runs.get(run.run)
            if run.state not in runs.LIVE:
                return
            if again and run.attempts < self.settings.launch_attempts:
                self.store.runs.step(run, "requeue", self.clock(), launched=None)
            else:
                self.store.runs.step(run, "fail", self.clock())

    def _is_low(self) -> bool:
        """Whether there is too little room for a run; said once each time."""
        low = disk.is_low(self.settings.home, self.settings.disk_reserve)
        if low and not self._was_low:
            self.journal.say("disk-low")
        self._was_low = low
        return low

    def _is_any_worth_waiting(self) -> bool:
        try:
            return any(map(self._is_worth_waiting, self.store.runs.with_guest()))
        except UnavailableError:
            return True  # nobody knows of any enclave that it is not worth it

    def _is_worth_waiting(self, run: Run) -> bool:
        if run.state == runs.RUNNING:
            return True
        granted = any(row["grant_envelope"] is not None for row in self.store.runs.objects(run.run))
        return run.state == runs.WAITING_GRANTS and (granted or self.clock() < run.since + _FIRST_GRANT)

    def _note_failure(self, error: LaunchError) -> None:
        """The last failed launch in words, which come from our own launcher, processor and engine; one file, no log."""
        text = "".join(c if c.isascii() and c.isprintable() else " " for c in str(error))[:300]
        with contextlib.suppress(OSError):
            (self.settings.home / LAST_FAILURE).write_text(text + "\n", "utf-8")

    def _state(self, run: Run) -> str:
        return self.store.runs.get(run.run).state

    def _clean(self, run: Run) -> None:
        if run.run_dir:
            shutil.rmtree(run.run_dir, ignore_errors=True)
        self.store.runs.note(run, run_dir=None, guest=None)


def why(error: Exception) -> str:
    """The word for what ended an enclave too soon."""
    if isinstance(error, GuestError):
        return error.why
    if disk.is_full(error):
        return "disk-full"
    words: tuple[tuple[type[Exception], str], ...] = (
        (GarbageError, "not-the-protocol"), (Problem, "does-not-fit"), (EOFError, "gone"), (TimeoutError, "too-slow"),
    )  # fmt: skip
    return next((word for kind, word in words if isinstance(error, kind)), "system-error")
