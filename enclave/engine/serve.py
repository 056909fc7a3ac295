"""Starts the engine: imports, confines the process, and only then takes tables.

Runs in: engine.   Believes: the gate.   Spec: §9.4.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from sealroom.enclave import frames
from sealroom.enclave.jail import absent, layers

CPU_SECONDS = 24 * 3600


def main(control_fd: int) -> NoReturn:
    """Serve the engine protocol on one descriptor until the gate closes it."""
    # Libraries size their thread pools at import; equal inputs shall give equal outputs, and threads started now would
    # stay outside the confinement.
    os.environ.clear()
    os.environ.update(layers.ENVIRONMENT)
    absent.leave_out(absent.OF_JOBS)
    from sealroom.enclave.engine import service  # noqa: PLC0415

    control = socket.socket(fileno=control_fd)
    engine = service.Engine(control)
    engine.warm_up()
    names = layers.apply("engine", limits=_limits(), readable=_readable(), keep=[control_fd])
    frames.send(control, {"ready": True, "layers": list(names)})
    engine.serve()
    os._exit(0)  # some libraries abort in their own exit handlers


def _limits() -> layers.Limits:
    """As much memory as the machine has: the launcher's own limit is tighter, and the tables' sizes are agreed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return layers.Limits(memory_bytes=memory, cpu_seconds=CPU_SECONDS)


def _readable() -> tuple[str, ...]:
    """The interpreter and its packages, for modules that are imported late."""
    places = {os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, *sys.path) if place}
    return tuple(sorted(place for place in places if os.path.exists(place)))
