"""Frames as the host reads and writes them, against the enclave's own code and against garbage."""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealroom.enclave import frames as enclave_frames
from sealroom.host import frames
from sealroom.host.bell import Bell
from sealroom.host.frames import Channel, GarbageError
from sealroom.protocol import wire

Ends = tuple[Channel, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_both_sides_speak_the_same_frames(ends: Ends) -> None:
    channel, gate = ends
    fds = [os.memfd_create(str(i)) for i in range(3)]
    channel.send({"type": "object", "ä": 1}, fds, seconds=5)
    message, got = enclave_frames.receive(gate, timeout=5)
    assert (message, len(got)) == ({"type": "object", "ä": 1}, 3)
    enclave_frames.send(gate, {"type": "offer"}, got[:1])
    message, back = channel.receive(seconds=5, most_fds=1)
    assert (message, len(back)) == ({"type": "offer"}, 1)
    assert os.fstat(back[0]).st_ino == os.fstat(fds[0]).st_ino
    frames.close(fds + got + back)
    frames.close(back)


def test_a_large_frame_arrives_whole(ends: Ends) -> None:
    channel, gate = ends
    message = {"x": "y" * 1_000_000}
    thread = threading.Thread(target=lambda: channel.send(message, seconds=10))
    thread.start()
    assert enclave_frames.receive(gate, timeout=10) == (message, [])
    thread.join()


def test_a_peer_that_does_not_read_is_not_waited_for(ends: Ends) -> None:
    channel, _ = ends
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with pytest.raises(TimeoutError):
        channel.send({"x": "y" * 1_000_000}, seconds=0.05)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\0\0\0", struct.pack(">I", wire.FRAME_MOST + 1),
        b"\0\0\0\x0d" + b'{"a":1,"a":2}',
        b"\0\0\0\x09" + b'{"a":NaN}', b"\0\0\0\2\xff\xff", b"\0\0\1\0{", b"\0\0",
    ],
)  # fmt: skip
def test_garbage_is_named_garbage(ends: Ends, data: bytes) -> None:
    channel, gate = ends
    gate.sendall(data)
    gate.shutdown(socket.SHUT_WR)
    with pytest.raises(GarbageError):
        channel.receive(seconds=5)


def test_an_end_between_frames_is_an_end(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(EOFError):
        ends[0].receive(seconds=5)


def test_a_slow_peer_runs_into_the_deadline(ends: Ends) -> None:
    for data in (b"", b"\0\0\0\5{"):
        ends[1].sendall(data)
        with pytest.raises(TimeoutError):
            ends[0].receive(seconds=0.02)


@pytest.mark.parametrize(("count", "place"), [(1, 0), (2, 0), (17, 0), (1, 1)])
def test_descriptors_beyond_what_is_expected_are_refused_and_closed(ends: Ends, count: int, place: int) -> None:
    channel, gate = ends
    fd = os.memfd_create("x")
    before = len(os.listdir("/proc/self/fd"))
    frame = b"\0\0\0\2{}"
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * count))]
    if place:
        gate.sendall(frame[:place])
    gate.sendmsg([frame[place:]], rights)
    with pytest.raises(GarbageError):
        channel.receive(seconds=5)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)


def test_what_does_not_fit_is_not_sent(ends: Ends) -> None:
    for message, fds in (({"x": "y" * wire.FRAME_MOST}, []), ({}, [0] * 17)):
        with pytest.raises(GarbageError):
            ends[0].send(message, fds, seconds=1)
    ends[1].close()
    with pytest.raises(OSError):
        ends[0].send({}, seconds=1)


def test_a_socket_deep_down_can_be_served_and_found(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    with frames.listen(folder / "host.sock") as listener:
        assert (folder / "host.sock").stat().st_mode & 0o777 == 0o600
        with frames.connect(folder / "host.sock", seconds=5) as sock, listener.accept()[0] as other:
            frames.Channel(sock).send({"a": 1}, seconds=5)
            assert frames.Channel(other).receive(seconds=5) == ({"a": 1}, [])
    for bad in (folder / "host.sock", folder / "none"):
        with pytest.raises(OSError):
            frames.connect(bad, seconds=1)
    with pytest.raises(OSError):
        frames.listen(folder / "host.sock")


def test_the_bell_is_heard_once_however_often_it_rings(ends: Ends) -> None:
    bell = Bell()
    for _ in range(3):
        bell.ring()
    assert not bell.wait(5)
    ends[1].sendall(b"x")
    assert bell.wait(5, also=ends[0].socket)
    assert not bell.wait(0)
    bell.close()
