"""A gate with real readers, jails and engine, and parties that bring whatever bytes they like.

The zygote is a process of its own, as in an enclave; the engine is a thread here. Sealing, grants, admission, offers
and receipts are the gate's own.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealroom.enclave import frames
from sealroom.enclave.engine import service
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.compute import Computation, Payload, Result
from sealroom.protocol import bundle, canonical
from tests import parties
from tests.gate import world
from tests.jail.zygotes import Zygote

ROWS = 400
WHOLE = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
QUERY = b'{"format":"sealroom/query/v1","segments":[{"label":"rich","when":[["customers.balance",">",10]]}]}'
JOB = b"def run(tables, ask):\n    return range(ask.size) if ask.kind == 'rows' else [0.5] * ask.size\n"
CUSTOMERS = "bank_id,first_name,last_name,email,phone,balance,y"
PROSPECTS = "partner_id,first_name,last_name,email,phone,age,job"
_NAMES = "a,b,{mail}@x.y,555{number:05}"


def customers(count: int = ROWS) -> list[str]:
    """Lines of the bank's table; every second one links to a prospect."""
    names = (_NAMES.format(mail=f"m{n}", number=n) for n in range(count))
    return [f"B{n},{name},{n},{'no' if n % 4 else 'yes'}" for n, name in enumerate(names)]


def prospects(count: int = ROWS) -> list[str]:
    """Lines of the partner's table."""
    names = (_NAMES.format(mail=f"m{2 * n}", number=2 * n) for n in range(count))
    return [f"P{n},{name},{n % 90},{('admin', 'retired', 'student')[n % 3]}" for n, name in enumerate(names)]


def csv(header: str, lines: Sequence[str]) -> bytes:
    """A table as its owner would write it."""
    return "\n".join([header, *lines, ""]).encode()


def query_bundle(text: bytes = QUERY) -> bytes:
    """A query bundle around that text."""
    manifest = b'{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}'
    return bundle.build({"bundle.json": manifest, "query.json": text})


def whole_bundle(code: bytes = JOB) -> bytes:
    """A bundle of opaque code."""
    return bundle.build({"bundle.json": WHOLE, "job.py": code})


HONEST: Mapping[str, tuple[str, bytes]] = {
    "customers": ("csv", csv(CUSTOMERS, customers())),
    "prospects": ("csv", csv(PROSPECTS, prospects())),
    "model": ("bundle", whole_bundle()),
    "segments": ("bundle", query_bundle()),
}
MEMBERS = world.people("bank", "partner", "operator")
LIMITS = {"memory": 256 << 20, "processor_time": 5, "wall_time": 20}


def play(rules: tuple[str, ...], payloads: Mapping[str, tuple[str, bytes]], /, **changes: Any) -> world.Play:
    """An agreement whose parties seal these payloads, and a request for these rules."""
    document = parties.agreement_json(MEMBERS, **{"limits": LIMITS, **changes})
    agreement, signed = parties.sign_agreement(MEMBERS, document)
    objects = {}
    for item in (*agreement.datasets, *agreement.bundles):
        media, data = {**HONEST, **payloads}[item.name]
        kind = "dataset" if item in agreement.datasets else "bundle"
        objects[item.name] = parties.seal_object(MEMBERS[item.owner], item.name, kind, media, data, signed.digest)
    request = parties.make_request(MEMBERS["bank"], agreement, signed, objects, rules)
    return world.Play(MEMBERS, agreement, signed, objects, request, [signed])


class _Wire:
    """The gate's end of a child: see `sealroom.enclave.gate.children.Child`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        frames.send(self._sock, message, fds)

    def receive(self, timeout: float) -> tuple[dict[str, Any], list[int]]:
        return frames.receive(self._sock, timeout=min(timeout, 120))

    def call(self, message: dict[str, Any], fds: Sequence[int] = (), *, timeout: float) -> dict[str, Any]:
        self.send(message, fds)
        answer, extra = self.receive(timeout)
        frames.close_all(extra)
        return answer


@contextlib.contextmanager
def engine() -> Iterator[_Wire]:
    """A fresh engine, as every run has one."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=service.Engine(theirs).serve)
    thread.start()
    try:
        yield _Wire(ours)
    finally:
        ours.close()
        thread.join(60)
        theirs.close()


class Host(world.Host):
    """A host whose gate computes for real."""

    def __init__(self, jailer: Zygote) -> None:
        super().__init__()
        self._jailer = jailer

    def _compute(self, run: AdmittedRun, payloads: Mapping[str, Payload]) -> tuple[list[Result], tuple[str, ...]]:
        self.confirmed = world.LAYERS
        with engine() as wire:
            computation = Computation(run, payloads, zygote=_Wire(self._jailer.control), engine=wire)  # type: ignore[arg-type]
            return computation.results(), world.LAYERS


def shape(host: world.Host) -> list[tuple[str, int]]:
    """All that a host sees of a run beside time: messages in order, sizes, and sizes of what they carry."""
    seen = [(str(message["type"]), len(canonical.encode(message))) for message in host.messages]
    return [*seen, *(("file", len(data)) for data in host.files)]
