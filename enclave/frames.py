"""Carries JSON messages and file descriptors between the processes of the enclave.

Runs in: gate, engine, zygote.   Believes: nothing that it receives.   Spec: §9.2.

A message is a 4-byte big-endian length and a UTF-8 JSON object; up to 16 descriptors ride on its first byte. A peer
that breaks this leaves the stream out of step: after any error but EOFError the caller closes the socket.
"""

from __future__ import annotations

import array
import contextlib
import json
import math
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any, Never

from sealroom.protocol.errors import Malformed, UsageError

MOST_BYTES = 1 << 20
MOST_FDS = 16
_LENGTH = struct.Struct(">I")
_FD_BYTES = array.array("i").itemsize


def send(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message of at most 1 MiB with at most 16 descriptors, which stay open here.

    Raises:
        UsageError: the message is too large, not JSON, or has too many descriptors.
        OSError: the peer is gone, or a timeout set on the socket has passed.
    """
    try:
        body = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("a frame must be a JSON object") from error
    if len(body) > MOST_BYTES or len(fds) > MOST_FDS:
        raise UsageError(f"a frame holds at most {MOST_BYTES} bytes and {MOST_FDS} descriptors")
    data = memoryview(_LENGTH.pack(len(body)) + body)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
    if sent < len(data):  # sending nothing to a peer that has left since would be an error
        sock.sendall(data[sent:], socket.MSG_NOSIGNAL)


def receive(sock: socket.socket, *, most: int = MOST_BYTES, timeout: float | None) -> tuple[dict[str, Any], list[int]]:
    """Receive one message of at most `most` bytes within `timeout` seconds; the caller owns the descriptors.

    Raises:
        EOFError: the peer closed the stream between two messages.
        TimeoutError: the whole message was not there in time.
        Malformed: too long, cut short, not a JSON object, or too many descriptors; all of them are closed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    fds: list[int] = []
    try:
        first = _first_byte(sock, fds, deadline)
        length = _bounded(first + _exactly(sock, _LENGTH.size - 1, deadline), most)
        message = _parse(_exactly(sock, length, deadline))
    except BaseException:
        close_all(fds)
        raise
    return message, fds


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors, whether or not they are still open."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _first_byte(sock: socket.socket, fds: list[int], deadline: float | None) -> bytes:
    _arm(sock, deadline)
    room = socket.CMSG_SPACE(MOST_FDS * _FD_BYTES)
    data, ancillary, flags, _ = sock.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            got = array.array("i")
            got.frombytes(payload[: len(payload) - len(payload) % _FD_BYTES])
            fds.extend(got)
    if not data:
        raise EOFError("the peer closed the stream")
    if flags & socket.MSG_CTRUNC:
        raise Malformed("too-many-fds", f"a frame came with more than {MOST_FDS} descriptors")
    return data


def _exactly(sock: socket.socket, count: int, deadline: float | None) -> bytearray:
    """Read `count` bytes; descriptors that ride on them are dropped by the kernel, and refused here."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        _arm(sock, deadline)
        got, _, flags, _ = sock.recvmsg_into([view])
        if not got:
            raise Malformed("cut-short", "the stream ended inside a frame")
        if flags & socket.MSG_CTRUNC:
            raise Malformed("misplaced-fds", "descriptors may ride only on the first byte of a frame")
        view = view[got:]
    return data


def _bounded(head: bytes, most: int) -> int:
    length = int(_LENGTH.unpack(head)[0])
    if length > most:
        raise Malformed("too-large", f"a frame of {length} bytes, {most} are allowed")
    return length


def _arm(sock: socket.socket, deadline: float | None) -> None:
    """Wait until bytes are there, by poll(2): a socket time-out takes an ioctl that jails deny."""
    if deadline is None:
        return
    left = deadline - time.monotonic()
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLIN)
    if left <= 0 or not waiting.poll(math.ceil(left * 1000)):
        raise TimeoutError("no complete frame in time")


def _parse(body: bytearray) -> dict[str, Any]:
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_no_duplicates, parse_float=_finite, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", "a frame is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not-object", "a frame is not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _no_constant(text: str) -> Never:
    raise ValueError(text)
