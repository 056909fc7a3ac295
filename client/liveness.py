"""The sign of life of a broker: a small private file, read by `sealroom broker --health` without a passphrase.

Runs in: an owner's machine.   Believes: its own folder.   Spec: §12.1.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files
from sealroom.client.errors import Unreachable
from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import Int, Time

FILE: Final = "broker.health"
STALE: Final = 300
"""Seconds without a sign after which a broker counts as stuck; one step can wait for a gateway for minutes."""
_MOST: Final = 4096
State = Literal["starting", "answering", "gateway-silent", "not-let-in"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Which process it is (number, and start in ticks since boot), how it fares, and when it last looked."""

    format: Literal["sealroom/broker-health/v1"]
    process: Annotated[int, Int(1)]
    started: Annotated[int, Int(0)]
    state: State
    looked: Time


def show(folder: Path, state: State, *, now: float) -> None:
    """Write the sign of this process; not synced, since it means nothing after a crash of the machine."""
    process = os.getpid()
    sign = Sign(
        format="sealroom/broker-health/v1", process=process, started=_started(process) or 0, state=state,
        looked=int(now),
    )  # fmt: skip
    temporary = folder / f".{FILE}.part"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(canonical.encode(schema.encode(sign)))
    temporary.rename(folder / FILE)


def clear(folder: Path) -> None:
    """Take the sign away: this broker is done."""
    (folder / FILE).unlink(missing_ok=True)


def check(folder: Path, *, now: float) -> Sign:
    """The sign of a broker that lives.

    Raises:
        Unreachable: none runs on this home, or it is stuck.
    """
    try:
        sign = schema.decode(Sign, canonical.decode(files.read(folder / FILE, most=_MOST), most=_MOST))
    except (Unreachable, Malformed) as error:
        raise Unreachable("no broker runs on this home", hint="start one: `sealroom broker --service`") from error
    if _started(sign.process) != sign.started:
        raise Unreachable("the broker of this home has died", hint="start it again; it goes on where it was")
    if now > sign.looked + STALE:
        raise Unreachable(
            "the broker of this home is stuck", hint="kill it and start it again; it goes on where it was"
        )
    return sign


def _started(process: int) -> int | None:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
