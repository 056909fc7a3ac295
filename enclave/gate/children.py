"""Starts the two processes that the gate directs, and speaks to them over socketpairs.

Runs in: the gate (TCB).   Believes: nothing that they say.   Spec: §9.3.

The zygote is import-only and holds no secret; readers and jobs are forked from it. The engine holds joined tables.
Neither holds a key, and neither has any way out but its socket to the gate.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Any, Self

from sealroom.enclave import frames
from sealroom.protocol.errors import NotAcceptable

READY_SECONDS = 120.0


class Child:
    """One directed process: a command that takes its control descriptor's number as its last argument."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it with an empty environment, no inherited descriptors and no standard streams."""
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(  # the command is ours: fixed in the measured image
                [*command, str(theirs.fileno())],
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.layers: tuple[str, ...] = ()

    def wait_ready(self) -> None:
        """Wait for its first message, which names the layers of confinement in force."""
        message, _ = self.receive(READY_SECONDS)
        layers = message.get("layers")
        if message.get("ready") is not True or not isinstance(layers, list):
            raise NotAcceptable("child-not-ready", "a process of the enclave did not start as it must")
        self.layers = tuple(sorted(str(layer) for layer in layers))

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message; the descriptors stay open here."""
        frames.send(self._sock, message, fds)

    def receive(self, timeout: float) -> tuple[dict[str, Any], list[int]]:
        """Receive one message within `timeout` seconds."""
        return frames.receive(self._sock, timeout=timeout)

    def call(self, message: dict[str, Any], fds: Sequence[int] = (), *, timeout: float) -> dict[str, Any]:
        """Send one message and receive its answer, which carries no descriptors."""
        self.send(message, fds)
        answer, extra = self.receive(timeout)
        close_all(extra)
        return answer

    def close(self) -> None:
        """End it for certain."""
        self._sock.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_layers(child: Child, required: Sequence[str]) -> None:
    """Refuse a child that runs without a layer that the launch specification requires.

    Raises:
        NotAcceptable: a layer is missing.
    """
    if missing := sorted(set(required) - set(child.layers)):
        raise NotAcceptable("missing-layer", f"a required layer is not in force: {', '.join(missing)}")


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that nobody needs any more."""
    for fd in fds:
        os.close(fd)
