"""Kills a process at a named point, as told by a plan; imported by the programs that play a victim, never by tests."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Fuse:
    """A plan is JSON: `at`, a pattern that a whole point must match; `not`, points where somebody died; `victim`.

    With `nth` it strikes at the nth point that matches, whichever that is, and `after` so many seconds later. The
    victim is this very process, unless the plan names another and there is a hand to kill it with. A point is written
    down before it kills. A point that is passed again in one life, or one run, gets a number. A plan that is replaced
    counts from its next point.
    """

    def __init__(self, prefix: Path, *, strike: Callable[[str], list[int]] | None = None) -> None:
        """Read the plan beside `prefix`; `strike` kills a victim by name and returns processes that must end now."""
        self._path, self._strike = prefix.with_suffix(".plan"), strike
        self._notes = os.open(prefix.with_suffix(".struck"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stamp, self._matched = 0, 0
        self.load()

    def load(self) -> None:
        """Read the plan, perhaps a new one, and count points from the start; what has struck strikes no more."""
        stamp = self._path.stat().st_mtime_ns
        self._burnt = stamp == self._stamp and self._burnt
        self._stamp = stamp
        self.plan = json.loads(self._path.read_text("utf-8"))
        self._at, self._not = re.compile(self.plan["at"]), frozenset(self.plan.get("not", ()))
        self._passed: collections.Counter[str] = collections.Counter()

    def point(self, name: str) -> None:
        """Pass a point, or die here."""
        if self._path.stat().st_mtime_ns != self._stamp:
            self._matched = 0
            self.load()
        self._passed[name] += 1
        number = self._passed[name]
        point = name if number == 1 else f"{name} #{number}"
        if self._burnt or point in self._not or not self._at.fullmatch(point):
            return
        self._matched += 1
        if self._matched < self.plan.get("nth", 1):
            return
        self._burnt = True
        if after := self.plan.get("after"):
            threading.Thread(target=self._later, args=(point, after), daemon=True).start()
        else:
            self._kill(point)

    def _later(self, point: str, seconds: float) -> None:
        time.sleep(seconds)
        self._kill(f"{point} + {seconds:.3f} s")

    def _kill(self, point: str) -> None:
        victim = self.plan.get("victim", "self")
        if victim == "self" or self._strike is None:
            self._note(point, [])
            os.kill(os.getpid(), signal.SIGKILL)
        elif pids := self._strike(victim):
            self._note(point, pids)

    def _note(self, point: str, pids: list[int]) -> None:
        os.write(self._notes, json.dumps({"point": point, "pids": pids}).encode() + b"\n")


def struck(prefix: Path) -> list[dict[str, Any]]:
    """The points at which somebody was killed so far, and the processes that died or lost their gate."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in prefix.with_suffix(".struck").read_text("utf-8").splitlines()]
    return []
