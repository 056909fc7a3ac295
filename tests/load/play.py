"""Whole runs by several requesters at once: real gateway, brokers, enclaves, and what each requester saw."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sealroom.client import collect, runs
from sealroom.client.errors import Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import wire
from tests.crash.setting import Scene
from tests.crash.template import RULES, Template
from tests.postgres import Server

T = TypeVar("T")
REQUESTERS = 8
OPEN_RUNS = 6
"""Fewer than requesters, so that some are always told to come again."""
TIGHT = f"open_runs = {OPEN_RUNS}\nrequests_per_second = 25\nrequests_burst = 50\n"
_POLL = 1.0
SAID_NO = (409, 429, 500, 503, 507)


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """One run as its requester saw it: when it asked first, how long until its results lay open, or what went wrong."""

    run: str
    asked: float
    seconds: float
    wrong: str


class Load:
    """One agreement, a gateway, two brokers, and the requesters of one party."""

    def __init__(self, scene: Scene, count: int, *, patience: float) -> None:
        """`patience` is the longest that one run may take, in seconds."""
        self.scene, self.patience = scene, patience
        self.turned_away: Counter[str] = Counter()
        self.played: list[Played] = []
        self._left = iter(range(count))
        self._lock = threading.Lock()

    def play(self) -> float:
        """Play every run; how many seconds that took."""
        self.scene.start_gateway()
        self.scene.start_brokers()
        threads = [
            threading.Thread(target=self._requester, name=f"requester-{n}", daemon=True) for n in range(REQUESTERS)
        ]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - start

    def _requester(self) -> None:
        """Ask for runs one after another until there are enough, each as `sealroom run` and `sealroom collect` do."""
        home = self.scene.home("bank")
        gateway = Gateway(home)
        try:
            while self._next():
                start, run, wrong = time.monotonic(), "", ""
                try:
                    run = self._ask(lambda: runs.prepare(home, gateway, rules=RULES), gateway)
                    self._wait(gateway, run)
                    got = self._again(lambda run=run: collect.collect(home, gateway, run))
                    if {item.rule for item in got.opened} != set(RULES):
                        wrong = f"opened {[item.rule for item in got.opened]}"
                except Exception as error:  # noqa: BLE001 (counted and told)
                    wrong = f"{type(error).__name__}: {error}"
                with self._lock:
                    self.played.append(Played(run, start, time.monotonic() - start, wrong))
        finally:
            gateway._transport.close()

    def _next(self) -> bool:
        with self._lock:
            return next(self._left, None) is not None

    def _ask(self, prepare: Callable[[], runs.Prepared], gateway: Gateway) -> str:
        """Ask until the gateway takes the run; it says so clearly when it has too many, or too many calls."""

        def ask() -> str:
            made = prepare()
            runs.send(gateway, made)
            return made.run

        return self._again(ask)

    def _again(self, call: Callable[[], T]) -> T:
        end = time.monotonic() + self.patience
        while True:
            try:
                return call()
            except GatewayRefused as error:
                if error.code != "E3.gateway-too-many-runs" or time.monotonic() > end:
                    raise
                self._count("too-many-runs")
            except Unreachable:
                if time.monotonic() > end:
                    raise
                self._count("unreachable")
            time.sleep(1)

    def _wait(self, gateway: Gateway, run: str) -> None:
        end = time.monotonic() + self.patience
        state = ""
        while state not in wire.RUN_FINAL_STATES:
            if time.monotonic() > end:
                raise TimeoutError(f"the run is still {state}")
            time.sleep(_POLL)
            with contextlib.suppress(Unreachable):
                state = gateway.run(run).state
        if state != "done":
            raise RuntimeError(f"the run ended as {state}")

    def _count(self, why: str) -> None:
        with self._lock:
            self.turned_away[why] += 1


@contextlib.contextmanager
def prepared(folder: Path, count: int, store: str, server: Server | None = None) -> Iterator[Scene]:
    """A scene whose purses pay for `count` runs, over SQLite or over a database of `server`."""
    database = server.new_database() if store == "postgresql" and server else ""
    template = Template(folder / "template", runs=count, database=database)
    with template.processor():
        scene = Scene(template, folder / "scene")
        with (scene.folder / "host" / "host.toml").open("a", encoding="utf-8") as file:
            file.write(TIGHT)
        try:
            yield scene
        finally:
            scene.close()


def turned_away(scene: Scene) -> Counter[str]:
    """How often the gateway said by status that a call was too much, or failed; 404 is how brokers hear "not yet"."""
    log = (scene.folder / "gateway.log").read_text("utf-8").splitlines()
    lines = [json.loads(line) for line in log if line.startswith("{")]
    return Counter(str(line["status"]) for line in lines if line.get("event") == "call" and line["status"] in SAID_NO)


def by_tenths(played: list[Played]) -> dict[str, float]:
    """The last tenth of runs over the first one, by when they were asked for: median and 95th percentile of how long.

    `between` is the same for the median time from one run's end to the next one's. The first runs find an empty queue,
    so how long they take is less than what later ones take; between ends there is no such start.
    """
    times = [one.seconds for one in sorted(played, key=lambda one: one.asked)]
    ends = sorted(one.asked + one.seconds for one in played)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ends)] or [1.0]
    size = max(1, len(times) // 10)
    ratios = {
        name: round(_share(times[-size:], share) / _share(times[:size], share), 2)
        for name, share in (("median", 0.5), ("p95", 0.95))
    }
    return ratios | {"between": round(_share(gaps[-size:], 0.5) / max(_share(gaps[:size], 0.5), 0.001), 2)}


def _share(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return next(itertools.islice(ordered, min(len(ordered) - 1, int(share * len(ordered))), None))
