"""Memory files whose seals hold."""

from __future__ import annotations

import mmap
import os
import tempfile

import pytest

from sealroom.enclave import memory
from sealroom.protocol.errors import Malformed, UsageError


def test_a_sealed_copy_cannot_change() -> None:
    fd = memory.sealed_copy("t", [b"one ", bytearray(b"two")])
    assert memory.require_seals(fd) == 7
    assert os.read(fd, 100) == b"one two"
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 3)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 7, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    view = memory.map_readonly(fd)
    os.close(fd)
    assert view.readonly
    assert bytes(view) == b"one two"


def test_a_sealer_keeps_its_bound_and_drops_what_is_not_finished() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with memory.Sealer("t", most=3) as sealer:
        sealer.write(b"ab")
        with pytest.raises(Malformed) as caught:
            sealer.write(b"cd")
    assert caught.value.code == "E1.too-large"
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_fixed_output_can_be_written_but_never_grows() -> None:
    fd = memory.fixed_output(8)
    assert memory.require_seals(fd, memory.FIXED) == 8
    memory.map_writable(fd)[:2] = b"hi"
    assert bytes(memory.map_readonly(fd)) == b"hi".ljust(8, b"\0")
    for size in (7, 9):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 8)
    with pytest.raises(Malformed) as caught:
        memory.require_seals(fd)
    assert caught.value.code == "E1.not-sealed"
    os.close(fd)


@pytest.mark.parametrize("size", [0, -1, (1 << 40) + 1])
def test_an_output_has_a_sensible_size(size: int) -> None:
    with pytest.raises(UsageError):
        memory.fixed_output(size)


def test_an_ordinary_file_or_pipe_is_no_memory_file() -> None:
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as file:
        for fd in (reader, file.fileno()):
            with pytest.raises(Malformed):
                memory.require_seals(fd)
    os.close(reader)
    os.close(writer)


def test_an_empty_file_maps_to_no_bytes() -> None:
    fd = memory.sealed_copy("t", [])
    assert bytes(memory.map_readonly(fd)) == b""
    os.close(fd)
