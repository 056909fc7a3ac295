"""The simulated processor as a service: launches guests when the host asks, and answers their requests for reports.

Runs in: the operator's machine, outside the enclave.   Believes: whoever can open its socket.   Spec: §6.6.

One thread: a guest dies with the thread that started it (prctl PR_SET_PDEATHSIG), so that it must outlive the guest.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any

from sealroom.attestation.measurement.measure import Measurement
from sealroom.attestation.measurement.tree import DigestCache
from sealroom.attestation.simulated import channel
from sealroom.attestation.simulated.engine import Engine
from sealroom.attestation.simulated.guests import Guest, attach_container, launch_process
from sealroom.attestation.simulated.processor import Processor
from sealroom.attestation.simulated.words import WARNING
from sealroom.protocol.errors import Refused, SealroomError, UsageError

MOST_CONNECTIONS, MOST_GUESTS = 32, 256
_TICK, _IDLE = 0.002, 0.2


class Service:
    """All that can be asked of the processor; `handle` answers one request, `tick` serves the guests."""

    def __init__(self, processor: Processor, *, errors: IO[bytes] | None = None) -> None:
        """Serve `processor`; `errors` takes guests' standard error, which on a real platform nobody could see."""
        self._processor, self._errors = processor, errors
        self._guests: dict[str, Guest] = {}
        self._files: DigestCache = {}
        self._images: dict[str, Measurement] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "describe": self._describe,
            "launch-process": self._launch_process,
            "attach-container": self._attach_container,
            "status": self._status,
            "end": self._end,
        }

    @property
    def busy(self) -> bool:
        """Whether there are guests to serve."""
        return bool(self._guests)

    def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; a refusal is an answer too."""
        try:
            operation = self._operations.get(_text(message, "op"))
            if operation is None:
                raise UsageError(f"unknown operation {message['op']!a}")
            return operation(message)
        except SealroomError as error:
            code = error.code if isinstance(error, Refused) else "usage"
            return {"error": {"code": code, "message": error.message, "hint": error.hint}}
        except OSError as error:
            return {"error": {"code": "system", "message": str(error), "hint": ""}}

    def tick(self) -> None:
        """Serve every guest once."""
        for guest in self._guests.values():
            guest.tick()

    def close(self) -> None:
        """End every guest."""
        for guest in self._guests.values():
            guest.end()
        self._guests.clear()

    def _describe(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "platform_class": "simulated",
            "warning": WARNING,
            "root": self._processor.root,
            "chip_id": self._processor.chip_id,
        }

    def _launch_process(self, message: dict[str, Any]) -> dict[str, Any]:
        run = self._new_run(message)
        guest, pid = launch_process(
            self._processor,
            image=Path(_text(message, "image")).resolve(),
            run=Path(run),
            requested=_configuration(message),
            cache=self._files,
            errors=self._errors,
        )
        self._guests[run] = guest
        return {"pid": pid, "measurement": guest.measurement}

    def _attach_container(self, message: dict[str, Any]) -> dict[str, Any]:
        run = self._new_run(message)
        guest = attach_container(
            self._processor,
            container=_text(message, "container"),
            engine=Engine(_text(message, "engine")),
            run=Path(run),
            requested=_configuration(message),
            known=self._images,
        )
        self._guests[run] = guest
        return {"measurement": guest.measurement}

    def _status(self, message: dict[str, Any]) -> dict[str, Any]:
        guest = self._known(message)
        process = guest.process
        code = process.poll() if process is not None else None
        return {"measurement": guest.measurement, "running": process is not None and code is None, "exit": code}

    def _end(self, message: dict[str, Any]) -> dict[str, Any]:
        guest = self._known(message)
        guest.tick()
        code = guest.process.poll() if guest.process is not None else None
        guest.end()
        del self._guests[_text(message, "run")]
        return {"exit": code}

    def _known(self, message: dict[str, Any]) -> Guest:
        guest = self._guests.get(_text(message, "run"))
        if guest is None:
            raise UsageError(f"no guest in {message['run']!a}")
        return guest

    def _new_run(self, message: dict[str, Any]) -> str:
        run = _text(message, "run")
        if run in self._guests or len(self._guests) == MOST_GUESTS:
            raise UsageError(f"{run!a} has a guest already, or there are {MOST_GUESTS} guests")
        return run


def serve(service: Service, path: Path, *, ready: Callable[[], None] = lambda: None) -> None:
    """Serve requests on a socket that only this user can open, until SIGTERM or SIGINT.

    Raises:
        UsageError: somebody serves there already.
    """
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.closing(service), _listen(path) as listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            ready()
            while not stopping:
                _round(service, selector, listener)
            for key in list(selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
    finally:
        path.unlink(missing_ok=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _round(service: Service, selector: selectors.BaseSelector, listener: socket.socket) -> None:
    for key, _ in selector.select(_TICK if service.busy else _IDLE):
        sock = key.fileobj
        if sock is listener:
            _accept(selector, listener)
        elif isinstance(sock, socket.socket) and not _answer(service, sock):
            selector.unregister(sock)
            sock.close()
    service.tick()


def _accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    sock, _ = listener.accept()
    if len(selector.get_map()) > MOST_CONNECTIONS:
        sock.close()
        return
    sock.settimeout(channel.SECONDS)
    selector.register(sock, selectors.EVENT_READ)


def _answer(service: Service, sock: socket.socket) -> bool:
    """Whether the connection goes on."""
    try:
        channel.send(sock, service.handle(channel.receive(sock)))
    except (EOFError, OSError, Refused):
        return False
    return True


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _take_over(path)
        beside = path.with_name(path.name + "~")
        beside.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(beside))
        finally:
            os.umask(mask)
        listener.listen(MOST_CONNECTIONS)
        # Whoever sees the socket can connect to it.
        beside.rename(path)
    except BaseException:
        listener.close()
        raise
    return listener


def _take_over(path: Path) -> None:
    """Remove a socket that a killed processor left behind; one that answers is in use."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(channel.SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        else:
            raise UsageError(f"a processor serves on {path} already")


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 4096:
        raise UsageError(f"the request needs a text {name!r}")
    return value


def _configuration(message: dict[str, Any]) -> dict[str, Any]:
    value = message.get("configuration", {})
    if not isinstance(value, dict):
        raise UsageError("the request's configuration must be an object")
    return value
