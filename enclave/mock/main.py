"""The mock run's program: an order in, a report on standard output, nothing else anywhere.

Runs in: an author's machine.   Believes: the author.   Reference: docs/JOBS.md.

It is started by `sealroom mock`, never by a gate: no key, no payload and no other party's data is ever near it.
"""

from __future__ import annotations

import json
import os
import sys

from sealroom.enclave.jail import layers
from sealroom.enclave.mock import nursery, orders
from sealroom.protocol.errors import SealroomError


def main(control_fd: int) -> int:
    """Read the order from a memory file, play it, write the report as one JSON object."""
    os.environ.clear()
    os.environ.update(layers.ENVIRONMENT)
    try:
        order = orders.read(control_fd)
        os.close(control_fd)
        control = nursery.start()  # before the engine's libraries, which start threads
        from sealroom.enclave.mock import play, trials  # noqa: PLC0415

        report = play.play(order, trials.Jails(control))
    except SealroomError as error:
        code = getattr(error, "code", "usage")
        report = {"error": {"code": code, "message": error.message, "hint": error.hint}}
    sys.stdout.write(json.dumps(report, ensure_ascii=True, allow_nan=False))
    sys.stdout.flush()
    os._exit(0)  # some libraries abort in their own exit handlers
