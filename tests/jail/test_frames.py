"""Frames between the enclave's processes."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from sealroom.enclave import frames
from sealroom.protocol.errors import Malformed, UsageError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_message_and_its_descriptors_arrive(pair: Pair) -> None:
    fds = [os.memfd_create(str(i)) for i in range(16)]
    frames.send(pair[0], {"op": "run", "n": 1.5}, fds)
    frames.send(pair[0], {"op": "next"})
    message, got = frames.receive(pair[1], timeout=5)
    assert message == {"op": "run", "n": 1.5}
    assert [os.fstat(fd).st_ino for fd in got] == [os.fstat(fd).st_ino for fd in fds]
    assert not any(os.get_inheritable(fd) for fd in got)
    assert frames.receive(pair[1], timeout=5) == ({"op": "next"}, [])
    frames.close_all(fds + got)


@pytest.mark.parametrize(
    ("message", "fds"), [({"a": float("nan")}, []), ({"a": b""}, []), ({"a": "x" * (1 << 20)}, []), ({}, [0] * 17)]
)
def test_what_does_not_fit_a_frame_is_not_sent(pair: Pair, message: dict[str, object], fds: list[int]) -> None:
    with pytest.raises(UsageError):
        frames.send(pair[0], message, fds)


def test_a_closed_stream_is_the_end(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        frames.receive(pair[1], timeout=5)


def test_a_silent_or_slow_peer_runs_into_the_deadline(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], timeout=0.02)
    pair[0].sendall(b"\0\0\0\5{")
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], timeout=0.02)
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], timeout=0)


def test_the_timeout_of_the_socket_is_left_as_it_was(pair: Pair) -> None:
    pair[1].settimeout(3)
    frames.send(pair[0], {})
    frames.receive(pair[1], timeout=None)
    assert pair[1].gettimeout() == 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (struct.pack(">I", 11) + b"{}", "E1.too-large"),
        (struct.pack(">I", 5) + b"{}", "E1.cut-short"),
        (b"\0\0", "E1.cut-short"),
        (struct.pack(">I", 0), "E1.not-json"),
        (struct.pack(">I", 2) + b"{\xff", "E1.not-json"),
        (struct.pack(">I", 9) + b'{"a":NaN}', "E1.not-json"),
        (struct.pack(">I", 9) + b'{"a":1e9}'.replace(b"1e9", b"9e9"), None),
        (struct.pack(">I", 10) + b'{"a":1e999'[:10], "E1.not-json"),
        (struct.pack(">I", 9) + b"[1e99999]", "E1.not-json"),
        (struct.pack(">I", 2) + b"[]", "E1.not-object"),
    ],
)
def test_a_broken_frame_is_refused(pair: Pair, data: bytes, code: str | None) -> None:
    pair[0].sendall(data)
    pair[0].close()
    if code is None:
        assert frames.receive(pair[1], most=10, timeout=5)[0] == {"a": 9e9}
        return
    with pytest.raises(Malformed) as caught:
        frames.receive(pair[1], most=10, timeout=5)
    assert caught.value.code == code


def test_a_key_given_twice_is_refused(pair: Pair) -> None:
    pair[0].sendall(struct.pack(">I", 13) + b'{"a":1,"a":2}')
    with pytest.raises(Malformed) as caught:
        frames.receive(pair[1], timeout=5)
    assert caught.value.code == "E1.not-json"


def rights(fds: list[int]) -> list[tuple[int, int, array.array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]


def test_a_seventeenth_descriptor_is_refused_and_none_is_kept(pair: Pair) -> None:
    before = open_fds()
    pair[0].sendmsg([struct.pack(">I", 2) + b"{}"], rights([0] * 17))
    with pytest.raises(Malformed) as caught:
        frames.receive(pair[1], timeout=5)
    assert caught.value.code == "E1.too-many-fds"
    assert open_fds() == before


def test_descriptors_inside_a_frame_are_refused(pair: Pair) -> None:
    before = open_fds()
    pair[0].sendall(struct.pack(">I", 2))
    pair[0].sendmsg([b"{}"], rights([0]))
    with pytest.raises(Malformed) as caught:
        frames.receive(pair[1], timeout=5)
    assert caught.value.code == "E1.misplaced-fds"
    assert open_fds() == before


def test_descriptors_of_a_broken_frame_are_closed(pair: Pair) -> None:
    before = open_fds()
    pair[0].sendmsg([struct.pack(">I", 2) + b"[]"], rights([0, 0]))
    with pytest.raises(Malformed):
        frames.receive(pair[1], timeout=5)
    assert open_fds() == before
