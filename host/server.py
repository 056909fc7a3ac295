"""Runs the gateway and its worker in one process, and stops both in order.

Runs in: host.   Believes: the operator's settings.   Spec: §8.2.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import uvicorn

from sealroom.host import app, tls
from sealroom.host.bell import Bell
from sealroom.host.launcher.base import Launcher
from sealroom.host.launcher.docker import DockerLauncher
from sealroom.host.launcher.hardening import Share
from sealroom.host.launcher.process import ProcessLauncher
from sealroom.host.processor import Processor
from sealroom.host.queue import Worker
from sealroom.host.settings import BadSettings, Settings
from sealroom.host.store import open_store


def serve(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called when calls are taken.

    Raises:
        BadSettings: the settings lack what serving needs, or another gateway runs on this home.
    """
    with only_one(settings.home):
        bell = Bell()
        store = open_store(settings.home, most=settings.store_most, changed=bell.ring)
        worker = Worker(store=store, settings=settings, launcher=launcher(settings), bell=bell, clock=time.time)
        worker.settle()
        thread = threading.Thread(target=worker.serve, name="worker", daemon=True)
        thread.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)  # the server takes them while it runs, and raises them again when it is done
        try:
            _Server(_config(settings, app.create(settings, store)), ready).run()
        finally:
            worker.stop()
            thread.join(settings.stop_wait)
            if not thread.is_alive():
                store.close()


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


class _Server(uvicorn.Server):
    """Uvicorn, saying when it is ready: by a call, and to systemd if that started us."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _tell_systemd()
            self._ready()


def _config(settings: Settings, application: object) -> uvicorn.Config:
    context = tls.context(certificate=settings.certificate, key=settings.private_key)
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application
        host=settings.listen_host, port=settings.listen_port, ssl_context_factory=lambda *_: context,
        log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off", ws="none",
        loop="asyncio", http="h11", h11_max_incomplete_event_size=32 << 10, limit_concurrency=256, backlog=256,
        timeout_keep_alive=15, timeout_graceful_shutdown=int(settings.stop_wait) or 1,
    )  # fmt: skip


def _tell_systemd() -> None:
    """READY=1, as sd_notify(3) says it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
