"""What a host sees of one run, and what the other parties see: everything but the bytes that look random.

The gate, its readers and jails are real; host, gateway and clock are not there: nothing of what is compared comes from
them. `measure.py` plays whole runs through them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from sealroom.protocol import canonical, schema
from tests.gate import world
from tests.hostile_parties import room
from tests.jail.zygotes import Zygote

LONG = 40


@dataclasses.dataclass(frozen=True)
class Seen:
    """`shape`: messages with every word of theirs that is no digest or ciphertext; `seconds` from `computing` on."""

    shape: tuple[Any, ...]
    seconds: float


class Clocked(room.Host):
    """A host that looks at its clock when a message comes."""

    def __init__(self, jailer: Zygote) -> None:
        super().__init__(jailer)
        self.times: list[float] = []

    def _take(self, message: dict[str, Any], fds: Any) -> None:
        super()._take(message, fds)
        self.times.append(time.perf_counter())


def play(jailer: Zygote, rules: tuple[str, ...], payloads: Mapping[str, tuple[str, bytes]]) -> Seen:
    """One run over these payloads."""
    played = room.play(rules, payloads)
    host = Clocked(jailer)
    host.finish(played)
    began = next(t for m, t in zip(host.messages, host.times, strict=True) if m.get("phase") == "computing")
    return Seen(tuple(_stored(played) + _told(host)), host.times[-1] - began)


def _stored(played: world.Play) -> list[Any]:
    """What lies at the gateway of each object: the size of its ciphertext, and its manifest."""
    return [
        (name, len(o.ciphertext), of(schema.encode(o.manifest)), len(canonical.encode(schema.encode(o.envelope))))
        for name, o in sorted(played.objects.items())
    ]


def _told(host: world.Host) -> list[Any]:
    """Messages in order, each with its size and what stands in the statement that it carries; then sizes of files."""
    found: list[Any] = [(m["type"], m.get("phase"), len(canonical.encode(m))) for m in host.messages]
    found += [of(schema.encode(offer)) for offer, _ in host.offers()]
    found += [of(schema.encode(host.receipt())), *(len(data) for data in host.files)]
    return found


def of(value: Any) -> Any:
    """A document with long texts (digests, keys, ciphertexts) replaced by their lengths; all else stays."""
    if isinstance(value, dict):
        return tuple((key, of(item)) for key, item in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(of(item) for item in value)
    return len(value) if isinstance(value, str) and len(value) >= LONG else value
