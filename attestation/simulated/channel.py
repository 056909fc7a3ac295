"""Requests to the simulated processor over a Unix socket: 4-byte big-endian length, then a JSON object.

Runs in: the operator's machine, outside the enclave.   Believes: whoever can open the socket.   Spec: §6.6.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from sealroom.protocol import wire
from sealroom.protocol.errors import Malformed

SECONDS = 10.0
_LENGTH = struct.Struct(">I")


def send(sock: socket.socket, message: dict[str, Any]) -> None:
    """Send one message.

    Raises:
        OSError: the peer is gone, or does not read.
    """
    body = json.dumps(message).encode()
    sock.sendall(_LENGTH.pack(len(body)) + body)


def receive(sock: socket.socket) -> dict[str, Any]:
    """Receive one message within the time set on the socket.

    Raises:
        EOFError: the peer closed the connection.
        Malformed: too long, cut short, or not a JSON object.
        OSError: the peer is gone, or does not write.
    """
    head = _exactly(sock, _LENGTH.size)
    if not head:
        raise EOFError("the peer closed the connection")
    if len(head) < _LENGTH.size:
        raise Malformed("cut-short", "the connection ended inside a message")
    length = int(_LENGTH.unpack(head)[0])
    if length > wire.FRAME_MOST:
        raise Malformed("too-large", f"a message of {length} bytes, {wire.FRAME_MOST} are allowed")
    body = _exactly(sock, length)
    if len(body) < length:
        raise Malformed("cut-short", "the connection ended inside a message")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", "a message is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not-object", "a message is not a JSON object")
    return value


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data
