"""Frames on a Unix socket: a length, a JSON object, and descriptors on its first byte.

Runs in: host.   Believes: nothing that comes in.   Spec: §9.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Never

from sealroom.protocol import wire

_LENGTH = struct.Struct(">I")
_FD_SIZE = array.array("i").itemsize


class GarbageError(ValueError):
    """The peer broke the framing, or sent what is not expected; the connection is of no more use."""


class Channel:
    """One end of a connection; closing it is the owner's business."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected stream socket."""
        self.socket = sock

    def send(self, message: dict[str, Any], fds: Sequence[int] = (), *, seconds: float) -> None:
        """Send one message; the descriptors stay open here.

        Raises:
            GarbageError: it does not fit a frame.
            OSError: the peer is gone; TimeoutError when it does not read.
        """
        body = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        if len(body) > wire.FRAME_MOST or len(fds) > wire.FRAME_MOST_FDS:
            raise GarbageError("too large for a frame")
        frame = memoryview(_LENGTH.pack(len(body)) + body)
        self.socket.settimeout(seconds)
        sent = socket.send_fds(self.socket, [frame], list(fds), socket.MSG_NOSIGNAL)
        end = time.monotonic() + seconds
        while sent < len(frame):
            self._arm(end)
            sent += self.socket.send(frame[sent:], socket.MSG_NOSIGNAL)

    def receive(self, *, seconds: float, most_fds: int = 0) -> tuple[dict[str, Any], list[int]]:
        """Receive one message; the descriptors, at most `most_fds`, belong to the caller.

        Raises:
            EOFError: the peer closed the connection between two messages.
            TimeoutError: the message was not complete in time.
            GarbageError: too long, cut short, not a JSON object, or more descriptors than allowed.
        """
        end = time.monotonic() + seconds
        fds: list[int] = []
        try:
            head = self._first(fds, end)
            _at_most(len(fds), most_fds, "descriptors that were not asked for")
            length = _LENGTH.unpack(head + self._exactly(_LENGTH.size - 1, end))[0]
            _at_most(length, wire.FRAME_MOST, "a frame beyond the cap")
            return _object(self._exactly(length, end)), fds
        except BaseException:
            close(fds)
            raise

    def _first(self, fds: list[int], end: float) -> bytes:
        self._arm(end)
        room = socket.CMSG_SPACE(wire.FRAME_MOST_FDS * _FD_SIZE)
        data, ancillary, flags, _ = self.socket.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                got = array.array("i")
                got.frombytes(payload[: len(payload) // _FD_SIZE * _FD_SIZE])
                fds.extend(got)
        if flags & socket.MSG_CTRUNC:
            raise GarbageError("more descriptors than a frame may carry")
        if not data:
            raise EOFError
        return data

    def _exactly(self, count: int, end: float) -> bytes:
        """Bytes without descriptors: with no room for control data, the kernel drops them and says so."""
        parts: list[bytes] = []
        while count:
            self._arm(end)
            data, _, flags, _ = self.socket.recvmsg(min(count, 1 << 16), 0, socket.MSG_CMSG_CLOEXEC)
            if not data or flags & socket.MSG_CTRUNC:
                raise GarbageError("cut short" if not data else "misplaced descriptors")
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def _arm(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)


@contextlib.contextmanager
def near(path: Path) -> Iterator[str]:
    """An address for `path` that is short enough for a Unix socket, however deep the folder lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path, *, mode: int = 0o600, owner: int | None = None) -> socket.socket:
    """A socket for one connection at `path`, which only `owner` (or we) may connect to."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with near(path) as address:
            made.bind(address)
        path.chmod(mode)
        if owner is not None:
            os.chown(path, owner, owner)
        made.listen(1)
    except BaseException:
        made.close()
        raise
    return made


def connect(path: Path, *, seconds: float) -> socket.socket:
    """A connection to whoever listens at `path`."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.settimeout(seconds)
        with near(path) as address:
            made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def close(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _at_most(count: int, most: int, message: str) -> None:
    if count > most:
        raise GarbageError(message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unrepeated, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise GarbageError("a frame is not JSON") from error
    if not isinstance(value, dict):
        raise GarbageError("a frame is not a JSON object")
    return value


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated key")
    return found


def _constant(_: str) -> Never:
    raise ValueError("not a number")
