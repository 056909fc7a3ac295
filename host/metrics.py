"""Counters for the operator's own monitoring, in OpenMetrics text; off unless a port is set.

Runs in: host.   Believes: nothing.   Spec: §12.3.

They tell no more than every member may see: runs count in the state that is shown (before its slot boundary a run that
has ended still counts as running), sizes are those that owners announced, in whole gibibytes, and no label names a
party, an agreement, a run or a size.
"""

from __future__ import annotations

import dataclasses
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from sealroom.host import disk, runs
from sealroom.host.readiness import Readiness
from sealroom.host.settings import Settings
from sealroom.host.store import Store
from sealroom.host.store.errors import StoreError
from sealroom.protocol import wire

MEDIA: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
FAMILIES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "sealroom_ready": ("gauge", "1 while runs could be launched."),
    "sealroom_calls": ("counter", "Answers by class of HTTP status, since the start."),
    "sealroom_launches": ("counter", "Enclaves asked for, since the start, by whether one was launched."),
    "sealroom_runs": ("gauge", "Runs by the state that their members are shown."),
    "sealroom_announced_gibibytes": ("gauge", "Sealed objects as announced by their owners, rounded up."),
    "sealroom_disk_low": ("gauge", "1 while less than the reserve is free: no uploads, no new runs."),
})  # fmt: skip
"""Name -> type and help of every metric family that there is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Meters:
    """Counts of this process; safe from any thread."""

    calls: Counter[str] = dataclasses.field(default_factory=Counter)
    launches: Counter[str] = dataclasses.field(default_factory=Counter)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def answered(self, status: int) -> None:
        """Count one answer."""
        with self.lock:
            self.calls[f"{status // 100}xx"] += 1

    def launched(self, result: str) -> None:
        """Count one launch, `ok` or `failed`."""
        with self.lock:
            self.launches[result] += 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What `text` is made from."""

    store: Store
    settings: Settings
    readiness: Readiness
    meters: Meters
    clock: Callable[[], float]

    def text(self) -> str:
        """Every family with every label value, zeros too, so that the form never depends on what happened."""
        return "".join(f"{line}\n" for line in self._lines()) + "# EOF\n"

    def _lines(self) -> Iterator[str]:
        samples = dict(zip(FAMILIES, self._samples(), strict=True))
        for family, (kind, text) in FAMILIES.items():
            yield f"# TYPE {family} {kind}"
            yield f"# HELP {family} {text}"
            suffix = "_total" if kind == "counter" else ""
            for label, value in samples[family].items():
                yield f"{family}{suffix}{label} {value}"

    def _samples(self) -> Iterator[dict[str, int]]:
        with self.meters.lock:
            calls, launches = Counter(self.meters.calls), Counter(self.meters.launches)
        now = self.clock()
        states = Counter(runs.shown(run, now) for run in self.store.runs.all())
        announced = self.store.database.number("SELECT sum(size + ? * chunks) FROM objects", wire.CHUNK_TAG)
        yield {"": int(self.readiness.is_ready)}
        yield {f'{{class="{name}"}}': calls[name] for name in CLASSES}
        yield {f'{{result="{name}"}}': launches[name] for name in ("ok", "failed")}
        yield {f'{{state="{state}"}}': states[state] for state in wire.RUN_STATES}
        yield {"": -(-announced // (1 << 30))}
        yield {"": int(disk.is_low(self.settings.home, self.settings.disk_reserve))}


class Listener:
    """Serves `GET /metrics` on 127.0.0.1, and nothing else to nobody else."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        """Bind; a port of 0 takes a free one."""
        handler = type("Handler", (_Handler,), {"metrics": metrics})
        self._server = http.server.HTTPServer(("127.0.0.1", port), handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    metrics: Metrics
    timeout = 5
    server_version, sys_version = "sealroom", ""

    def do_GET(self) -> None:
        found = self.path == "/metrics"
        status, body = (200, b"") if found else (404, b"")
        try:
            body = self.metrics.text().encode() if found else b""
        except StoreError:
            status = 503
        self.send_response(status)
        self.send_header("Content-Type", MEDIA)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing down."""
