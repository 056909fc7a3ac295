"""The host's end of a socket to a real gate: the session and the loop that serve a run, on two ends of one process.

The gate runs when it is told something, and stops where it would wait for more: nothing here depends on timing.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sealroom.attestation.evidence import SnpEvidence
from sealroom.enclave import frames
from sealroom.enclave.gate import main
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.compute import Payload, Result
from sealroom.enclave.gate.session import Session, World
from sealroom.protocol.agreement import objects_of

LAYERS = ("engine:seccomp", "jail:landlock")
Frame = dict[str, Any] | bytes
Compute = Callable[[AdmittedRun, Mapping[str, Payload]], tuple[list[Result], tuple[str, ...]]]


class _WouldWait(BaseException):
    """There is nothing to read; not an Exception, so that the gate's own loop does not take it for an end."""


class _Patient:
    """The gate's end: instead of waiting it hands control back, or runs out of time, as the test says."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.is_late, self.inside = sock, False, False

    def fileno(self) -> int:
        if not select.select([self._sock], [], [], 0)[0]:
            if self.is_late:
                raise TimeoutError
            raise _WouldWait
        return self._sock.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Gate:
    """One gate that the host started; `said` is all that it ever sent, each message with the bytes of its files."""

    def __init__(
        self, quoter: Callable[[bytes], SnpEvidence], compute: Compute | None = None, measurement: str = ""
    ) -> None:
        self.measurement = measurement
        self._host, theirs = socket.socketpair()
        for sock in (self._host, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._sock = _Patient(theirs)
        self.session = Session(World(send=self._send, quoter=quoter, compute=compute or stand_in))
        self.said: list[tuple[dict[str, Any], list[bytes]]] = []
        self.exit: int | None = None

    def _send(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        frames.send(self._sock, message, fds)  # type: ignore[arg-type]

    def tell(self, frame: Frame, fds: Sequence[int] = ()) -> list[tuple[dict[str, Any], list[bytes]]]:
        """Send one frame, or bytes that are none; what the gate answers."""
        with contextlib.suppress(OSError):
            if isinstance(frame, bytes):
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                self._host.sendmsg([frame], rights, socket.MSG_NOSIGNAL)
            else:
                frames.send(self._host, frame, fds)
        return self.pump()

    def silence(self) -> list[tuple[dict[str, Any], list[bytes]]]:
        """Say nothing until the gate's patience is over."""
        self._sock.is_late = True
        return self.pump()

    def kill(self) -> None:
        """End the process, as a host can at any time: nothing is signed, its keys are gone."""
        self.exit = -9
        self.close()

    def close(self) -> None:
        self._host.close()
        self._sock._sock.close()
        for fd in self.session._files.values():
            os.close(fd)
        self.session._files.clear()

    def pump(self) -> list[tuple[dict[str, Any], list[bytes]]]:
        """Let the gate run until it would wait."""
        if self.exit is None:
            with contextlib.suppress(_WouldWait):
                self.exit = main._serve(self._sock, self.session)  # type: ignore[arg-type]
        answers = []
        while self.exit != -9 and select.select([self._host], [], [], 0)[0]:
            message, fds = frames.receive(self._host, timeout=5)
            answers.append((message, [os.pread(fd, os.fstat(fd).st_size, 0) for fd in fds]))
            frames.close_all(fds)
        self.said += answers
        return answers


def stand_in(run: AdmittedRun, payloads: Mapping[str, Payload]) -> tuple[list[Result], tuple[str, ...]]:
    """In place of readers, engine and jail: a text that follows from the content of what the rule reads."""
    contents = {name: os.pread(p.fd, os.fstat(p.fd).st_size, 0) for name, p in payloads.items()}
    agreement = run.agreed.agreement
    found = []
    for name in run.request.rules:
        read = b"".join(contents[item] for item in sorted(objects_of(agreement, agreement.rule(name))))
        found.append(Result(name, text_of(name, read), None))
    return found, LAYERS


def text_of(rule: str, contents: bytes) -> bytes:
    """What the stand-in releases for a rule that reads these bytes."""
    number = int.from_bytes(hashlib.sha256(rule.encode() + contents).digest()[:5], "big")
    return b"partner_id\np%d\n" % number if rule == "audience" else b'{"count":%d}' % number
