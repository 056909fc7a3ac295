"""Phase, accepted messages, next phase: one table. Anything else ends the session.

Runs in: the gate (TCB).   Believes: nothing.   Spec: §9.2.
"""

from __future__ import annotations

import enum

from sealroom.protocol import wire
from sealroom.protocol.errors import Malformed


class Phase(enum.Enum):
    """Where a gate stands. It serves one request and never goes back."""

    IDLE = "idle"
    GRANTING = "granting"
    COMPUTING = "computing"
    ENDED = "ended"


ACCEPTS: dict[Phase, frozenset[str]] = {
    Phase.IDLE: frozenset({wire.ASSIGN, wire.STOP}),
    Phase.GRANTING: frozenset({wire.GRANT, wire.OBJECT, wire.STOP}),
    Phase.COMPUTING: frozenset({wire.STOP}),
    Phase.ENDED: frozenset(),
}

FIELDS: dict[str, tuple[str, ...]] = {
    wire.ASSIGN: ("agreement", "request", "manifests", "nonces", "checkpoint"),
    wire.GRANT: ("grant",),
    wire.OBJECT: ("manifest",),
    wire.STOP: (),
}
"""The fields each message has besides `type`; no more, no fewer."""

DESCRIPTORS: dict[str, int] = {wire.ASSIGN: 0, wire.GRANT: 0, wire.OBJECT: 1, wire.STOP: 0}


def accept(phase: Phase, message: dict[str, object], descriptors: int) -> str:
    """The type of a message that may come now, in full form.

    Raises:
        Malformed: unknown or untimely type, wrong fields, wrong number of descriptors.
    """
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in ACCEPTS[phase]:
        raise Malformed("untimely", f"a gate that is {phase.value} does not take this message")
    if set(message) != {"type", *FIELDS[kind]}:
        raise Malformed("wrong-fields", f"a {kind} message has other fields")
    if descriptors != DESCRIPTORS[kind]:
        raise Malformed("wrong-descriptors", f"a {kind} message carries {DESCRIPTORS[kind]} descriptors")
    return kind
