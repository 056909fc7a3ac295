"""Targets: frames on sockets, and what may be said in them between host, gate, zygote and simulated processor."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from sealroom.attestation.evidence import snp_evidence
from sealroom.attestation.simulated import channel
from sealroom.enclave import frames
from sealroom.enclave.gate.phases import Phase
from sealroom.enclave.gate.session import Session, World
from sealroom.enclave.jail import requests
from sealroom.host.frames import Channel, GarbageError
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed, Refused
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target
from tests.vectors import cases

Receive = Callable[[socket.socket], Any]


def _over_a_socket(receive: Receive, send: Callable[[socket.socket, Any], Any], *refusals: type[Exception]) -> Check:
    """Write the input to one end and close it; read frames at the other until it is refused or over."""

    def check(data: bytes) -> bool:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(data)
            held = False
            while True:
                try:
                    value = receive(ours)
                except EOFError:
                    return held
                except refusals:
                    return False
                held = True
                assert isinstance(value, dict)
                _again(value, receive, send)

    return check


def _again(value: Any, receive: Receive, send: Callable[[socket.socket, Any], Any]) -> None:
    """What was read can be sent, and is read as the same value."""
    one, other = socket.socketpair()
    with one, other:
        send(one, value)
        assert receive(other) == value


def _enclave() -> Check:
    return _over_a_socket(lambda sock: frames.receive(sock, timeout=5)[0], frames.send, Malformed)


def _host() -> Check:
    return _over_a_socket(
        lambda sock: Channel(sock).receive(seconds=5)[0],
        lambda sock, value: Channel(sock).send(value, seconds=5),
        GarbageError,
    )


def _processor() -> Check:
    return _over_a_socket(channel.receive, channel.send, Malformed)


def _zygote() -> Check:
    def check(data: bytes) -> bool:
        try:
            message = frames._parse(bytearray(data))
            run = requests.parse(message, _descriptors(message))
        except Refused:
            return False
        assert schema.encode(run.limits) == message["limits"]
        assert schema.encode(run.spec) == message["spec"]
        return True

    return check


def _descriptors(message: dict[str, Any]) -> int:
    """As many as the message seems to need, so that most inputs are judged by what they say."""
    spec = message.get("spec")
    tables = spec.get("tables") if isinstance(spec, dict) else None
    return 2 + (len(tables) if isinstance(tables, list) else 0)


def _assignment() -> Any:
    return {"type": "assign", **cases.resolved(cases.shared("run"))}


def _gate() -> Check:
    """Input: a list of messages that a host sends to a gate, in JSON; it ends with a receipt or with nothing."""

    def check(data: bytes) -> bool:
        try:
            messages = json.loads(data)
        except (ValueError, RecursionError):
            return False
        sent: list[dict[str, Any]] = []
        session = Session(World(lambda message, _: sent.append(message), _quote, _nothing_to_compute))
        for message in messages if isinstance(messages, list) else ():
            if not isinstance(message, dict) or session.phase is Phase.ENDED:
                break
            try:
                session.handle(message, ())
            except Refused:
                assert not sent, "a gate that was attested ended without a receipt"
        kinds = [message["type"] for message in sent]
        assert kinds in ([], ["evidence"], ["evidence", "receipt"]), kinds
        assert session.phase is not Phase.COMPUTING
        return "evidence" in kinds

    return check


def _quote(_: bytes) -> Any:
    return _QUOTE


def _nothing_to_compute(*_: Any) -> Any:
    raise AssertionError("a gate without files began to compute")


_QUOTE = snp_evidence(report=b"r", vek=b"v", intermediate=b"i", root=b"c", crl=None, host_data_preimage=None)
"""Evidence is not read here; its shape is enough."""


def _framed(*values: Any) -> bytes:
    bodies = [json.dumps(value).encode() for value in values]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def _wire_seeds() -> list[bytes]:
    return [
        _framed({"type": "stop"}), _framed({"ready": True, "layers": ["landlock"]}, {"outcome": "ok"}),
        _framed({"a": [1, 2.5, None, "é", {"b": True}]}), _framed({}) + b"\x00\x00", b"\x7f\xff\xff\xff{}",
        b"\x00\x00\x00\x02{}" * 3,
    ]  # fmt: skip


def _runs() -> list[bytes]:
    dataset = schema.encode(seeds.agreement().datasets[0])
    limits = {"memory_bytes": 1 << 28, "cpu_seconds": 10, "wall_seconds": 20}
    ask = {"kind": "rows", "table": "candidates", "size": 3, "label": None, "positive": None}
    reader = {"op": "run", "kind": "reader", "limits": limits, "spec": {"dataset": dataset, "format": "csv"}}
    job = {"op": "run", "kind": "job", "limits": limits}
    return [
        json.dumps(value).encode()
        for value in (reader, job | {"spec": {"tables": ["labelled", "candidates"], "ask": ask, "seed": 7}})
    ]


def _conversations() -> list[bytes]:
    grant = json.loads(cases.load("grant", "valid").body)
    return [
        json.dumps(value).encode()
        for value in (
            [_assignment()],
            [_assignment(), {"type": "grant", "grant": grant}],
            [_assignment(), {"type": "stop"}],
            [{"type": "stop"}],
        )
    ]


TARGETS = (
    Target(
        name="enclave-frames", decoder="enclave/frames.py receive", law="sent again, is read the same",
        prepare=_enclave, seeds=_wire_seeds,
    ),
    Target(
        name="host-frames", decoder="host/frames.py Channel.receive", law="sent again, is read the same", prepare=_host,
        seeds=_wire_seeds,
    ),
    Target(
        name="processor-frames", decoder="attestation/simulated/channel.py receive",
        law="sent again, is read the same", prepare=_processor, seeds=_wire_seeds,
    ),
    Target(
        name="zygote-request", decoder="enclave/jail/requests.py parse", law="encodes to the same message",
        prepare=_zygote, shape="json", seeds=_runs, most=8192,
    ),
    Target(
        name="gate-messages", decoder="enclave/gate/session.py handle", shape="json", prepare=_gate,
        law="a gate that was attested ends with one receipt", seeds=_conversations, most=1 << 16,
    ),
)  # fmt: skip
