"""Starts the gate: hardens the process, opens the one socket, serves one run, exits.

Runs in: the gate (TCB).   Believes: the measured image that it was started from.   Spec: §9.1.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sealroom.attestation.evidence import SnpEvidence
from sealroom.enclave import frames
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.children import Child, require_layers
from sealroom.enclave.gate.compute import Computation, Payload, Result, needs_jobs
from sealroom.enclave.gate.phases import Phase
from sealroom.enclave.gate.session import Session, World
from sealroom.enclave.jail import kernel
from sealroom.enclave.quoter import quote
from sealroom.protocol import wire
from sealroom.protocol.errors import NotAcceptable, Refused

_SEND_SECONDS = 60.0
_PREFIXES = {"zygote": "jail", "engine": "engine"}


def main(image: Path) -> int:
    """Serve one run of the image at `image`; the exit status says only whether the session came to its end."""
    harden()
    required = json.loads((image / "launch.json").read_text("utf-8"))["layers"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_SEND_SECONDS)
        sock.connect(wire.HOST_SOCKET)
        with Child(_command(image, "zygote")) as zygote, Child(_command(image, "engine")) as engine:
            compute = _Compute(zygote, engine, required)
            world = World(
                send=lambda message, fds: frames.send(sock, message, fds),
                quoter=_quoter,
                compute=compute,
                layers=compute.in_force,
                prepare=compute.prepare,
            )
            return _serve(sock, Session(world))


def harden() -> None:
    """No core dumps, no new privileges, no capabilities, and no other process of the same user may look inside."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.umask(0o077)


def _serve(sock: socket.socket, session: Session) -> int:
    """Take messages until the session has ended; whatever goes wrong, the host learns an exit status and no words."""
    try:
        while session.phase is not Phase.ENDED:
            try:
                message, fds = frames.receive(sock, timeout=wire.GRANT_WAIT)
            except TimeoutError:
                session.expire()
                continue
            except Refused as error:  # the stream is out of step, but the host may still take a receipt
                session.refuse(error.code)
                continue
            session.handle(message, fds)
    except Exception:  # noqa: BLE001 (a traceback would be text from inside)
        return 1
    return 0


class _Compute:
    """Waits for the children only when they are needed, so that their imports overlap with attestation and grants."""

    def __init__(self, zygote: Child, engine: Child, required: Sequence[str]) -> None:
        self._children, self._required = {"zygote": zygote, "engine": engine}, required

    def prepare(self, run: AdmittedRun) -> None:
        """Have the zygote import what jobs use, if the run asks for any."""
        if needs_jobs(run):
            self._children["zygote"].send({"op": "prepare"})

    def in_force(self) -> tuple[str, ...]:
        """Every layer that a child has confirmed, under its prefix."""
        found = (f"{_PREFIXES[name]}:{layer}" for name, child in self._children.items() for layer in child.layers)
        return tuple(sorted(found))

    def __call__(self, run: AdmittedRun, payloads: Mapping[str, Payload]) -> tuple[list[Result], tuple[str, ...]]:
        if {layer.partition(":")[0] for layer in self._required} - set(_PREFIXES.values()):
            raise NotAcceptable("missing-layer", "a layer is required of a process that does not exist")
        for name, child in self._children.items():
            child.wait_ready()
            prefix = f"{_PREFIXES[name]}:"
            require_layers(child, [r.removeprefix(prefix) for r in self._required if r.startswith(prefix)])
        return Computation(run, payloads, **self._children).results(), self.in_force()


def _quoter(report_data: bytes) -> SnpEvidence:
    return quote(report_data)


def _command(image: Path, program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-B", str(image / "app" / "boot.py"), program]
