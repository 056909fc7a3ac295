"""Runs the gateway and its worker in one process, and stops both in order.

Runs in: host.   Believes: the operator's settings.   Spec: §8.2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Never

import uvicorn

from sealroom.host import app, tls
from sealroom.host.bell import Bell
from sealroom.host.journal import LOGS, Journal, take_over, to_folder, to_stderr
from sealroom.host.launcher.base import Launcher
from sealroom.host.launcher.docker import DockerLauncher
from sealroom.host.launcher.hardening import Share
from sealroom.host.launcher.process import ProcessLauncher
from sealroom.host.metrics import Listener, Meters, Metrics
from sealroom.host.processor import Processor
from sealroom.host.queue import Worker
from sealroom.host.readiness import Readiness, probe
from sealroom.host.settings import BadSettings, Settings
from sealroom.host.speaking import Protocol
from sealroom.host.store import Store, open_store
from sealroom.host.store.errors import InUseError


def serve(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, which lets an enclave that computes end first; a second one does not.

    `ready` is called when calls are taken.

    Raises:
        BadSettings: the settings lack what serving needs, or another gateway runs on this home.
    """
    journal = to_folder(settings.home / LOGS) if settings.logs == "files" else to_stderr()
    take_over(journal)
    with only_one(settings.home), contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)  # until the server takes them
        bell, meters = Bell(), Meters()
        store = _store(settings, bell)
        worker = Worker(
            store=store, settings=settings, launcher=launcher(settings), bell=bell, clock=time.time, journal=journal,
            launched=meters.launched,
        )  # fmt: skip
        readiness = Readiness(probe(store, worker, worker.launcher), journal=journal)
        worker.settle()
        stack.callback(lambda: journal.say("gateway-stopped"))
        _beside(stack, settings, worker, readiness)
        if settings.metrics_port:
            found = Metrics(store=store, settings=settings, readiness=readiness, meters=meters, clock=time.time)
            stack.callback(Listener(found, settings.metrics_port).close)
        application = app.create(settings, store, journal=journal, readiness=readiness, counted=meters.answered)
        journal.say("gateway-started", launcher=settings.launcher)
        _Server(_config(settings, application), ready, _Leaving(worker, readiness, journal, settings.drain_wait)).run()


def _store(settings: Settings, bell: Bell) -> Store:
    try:
        return open_store(settings.home, most=settings.store_most, database=settings.database, changed=bell.ring)
    except InUseError as error:
        raise BadSettings(str(error)) from error


def _beside(stack: contextlib.ExitStack, settings: Settings, worker: Worker, readiness: Readiness) -> None:
    """Run worker and watch in threads of their own until the stack unwinds; the store is closed when both are done."""
    working = threading.Thread(target=worker.serve, name="worker", daemon=True)
    watching = threading.Thread(target=readiness.watch, name="readiness", daemon=True)

    def end() -> None:
        readiness.leave()
        worker.stop()
        for thread in (working, watching):
            thread.join(settings.stop_wait)
        if not working.is_alive() and not watching.is_alive():
            worker.store.close()

    stack.callback(end)
    working.start()
    watching.start()


def launcher(settings: Settings) -> Launcher:
    """The launcher that the settings name.

    Raises:
        BadSettings: image or processor is missing.
    """
    if not settings.image or not settings.processor_socket:
        raise BadSettings("image and processor_socket must be set before runs can be served")
    processor = Processor(Path(settings.processor_socket))
    if settings.launcher == "process":
        return ProcessLauncher(processor, Path(settings.image).resolve())
    share = Share(memory=settings.memory, processes=settings.processes, processors=settings.processors)
    return DockerLauncher(
        engine=settings.docker_engine, image=settings.image, share=share, processor=processor, home=settings.home
    )


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home's lock; it goes with the process, however that ends.

    Raises:
        BadSettings: another gateway holds it.
    """
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadSettings(f"another gateway runs on {home}") from error
        yield
    finally:
        os.close(descriptor)


def _leave(*_: object) -> Never:
    raise SystemExit(0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Leaving:
    """What happens between the signal and the end of the server."""

    worker: Worker
    readiness: Readiness
    journal: Journal
    seconds: float

    def __call__(self) -> None:
        self.readiness.leave()
        self.journal.say("gateway-draining", seconds=int(self.seconds))
        self.worker.drain(self.seconds)


class _Server(uvicorn.Server):
    """Uvicorn, saying when it is ready: by a call, and to systemd if that started us. It serves while it drains."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._leaving = ready, leaving
        self._thread: threading.Thread | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains and then ends the server, the second ends it at once."""
        if self._thread is not None:
            super().handle_exit(sig, frame)
            return
        _tell_systemd(b"STOPPING=1")
        self._thread = threading.Thread(target=self._leave, name="leaving", daemon=True)
        self._thread.start()

    def _leave(self) -> None:
        try:
            self._leaving()
        finally:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _tell_systemd(b"READY=1")
            self._ready()


def _config(settings: Settings, application: object) -> uvicorn.Config:
    context = tls.context(certificate=settings.certificate, key=settings.private_key)
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application
        host=settings.listen_host, port=settings.listen_port, ssl_context_factory=lambda *_: context,
        log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off", ws="none",
        loop="asyncio", http=Protocol, h11_max_incomplete_event_size=32 << 10, limit_concurrency=256, backlog=256,
        timeout_keep_alive=15, timeout_graceful_shutdown=int(settings.stop_wait) or 1,
    )  # fmt: skip


def _tell_systemd(state: bytes) -> None:
    """What sd_notify(3) says."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
