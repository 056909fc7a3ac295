"""Sealed objects: reordered, cut, swapped, re-purposed or re-keyed, nothing opens; and memory stays constant."""

from __future__ import annotations

import dataclasses
import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from sealroom.protocol import schema, sealed
from sealroom.protocol.errors import CannotOpen, Malformed, UsageError
from sealroom.protocol.sealed import CHUNK, TAG, Context, Manifest, Opener

AGREEMENT = "ab" * 32
STEP = CHUNK + TAG


def context(size: int, **changes: Any) -> Context:
    given = {"agreement": AGREEMENT, "kind": "dataset", "name": "customers", "owner": "bank", "media": "csv", **changes}
    return Context(size=size, **given)


def make(data: bytes, **changes: Any) -> tuple[bytes, Manifest, bytes]:
    """(object key, manifest, ciphertext)."""
    out = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(data), out, context(len(data), **changes))
    return key, manifest, out.getvalue()


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size]


def opened(key: bytes, manifest: Manifest, data: bytes) -> bytes:
    return b"".join(Opener(key, manifest).plaintext(reader(data)))


@pytest.fixture(scope="module")
def three() -> tuple[bytes, bytes, Manifest, bytes]:
    """(plaintext, key, manifest, ciphertext) of two full chunks and a short one."""
    plain = b"".join(bytes([number]) * CHUNK for number in (1, 2)) + b"the end"
    return (plain, *make(plain))


@pytest.mark.parametrize("size", [1, 15, 4096, CHUNK - 1, CHUNK, CHUNK + 1])
def test_what_was_sealed_comes_back_whatever_its_size(size: int):
    plain = bytes(size)
    key, manifest, data = make(plain)
    assert opened(key, manifest, data) == plain
    assert len(data) == Opener(key, manifest).ciphertext_size == size + TAG * manifest.chunks
    assert manifest.chunks == -(-size // CHUNK)
    assert schema.decode(Manifest, schema.encode(manifest)) == manifest


def test_every_seal_has_a_new_key_salt_and_ciphertext():
    (key, one, data), (other_key, other, other_data) = make(b"same"), make(b"same")
    assert key != other_key
    assert one.salt != other.salt
    assert data != other_data


def test_any_chunk_opens_alone_and_in_any_order(three: Any):
    plain, key, manifest, data = three
    opener = Opener(key, manifest)
    for index in (2, 0, 1, 1):
        assert opener.chunk(reader(data), index) == plain[index * CHUNK : (index + 1) * CHUNK]
    for index in (-1, 3):
        with pytest.raises(UsageError):
            opener.chunk(reader(data), index)


def test_a_chunk_is_read_where_it_stands_and_nothing_else(three: Any):
    _, key, manifest, data = three
    asked = []

    def read(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return data[offset : offset + size]

    Opener(key, manifest).chunk(read, 1)
    assert asked == [(STEP, STEP)]


@pytest.mark.parametrize(
    ("what", "change", "survivors"),
    [
        ("two chunks swapped", lambda d: d[STEP : 2 * STEP] + d[:STEP] + d[2 * STEP :], {2}),
        ("first chunk twice", lambda d: d[:STEP] * 2 + d[2 * STEP :], {0, 2}),
        ("first chunk gone", lambda d: d[STEP:], set()),
        ("last chunk gone", lambda d: d[: 2 * STEP], {0, 1}),
        ("last byte gone", lambda d: d[:-1], {0, 1}),
        ("one bit of a chunk", lambda d: d[: STEP + 9] + bytes([d[STEP + 9] ^ 1]) + d[STEP + 10 :], {0, 2}),
        ("one bit of a tag", lambda d: d[: STEP - 1] + bytes([d[STEP - 1] ^ 128]) + d[STEP:], {1, 2}),
        ("all of it", lambda d: bytes(len(d)), set()),
        ("nothing there", lambda d: b"", set()),
    ],
)
def test_reordered_repeated_cut_or_altered_chunks_do_not_open(three: Any, what: str, change: Any, survivors: set):
    plain, key, manifest, data = three
    broken, opener = change(data), Opener(key, manifest)
    for index in range(3):
        if index in survivors:
            assert opener.chunk(reader(broken), index) == plain[index * CHUNK : (index + 1) * CHUNK]
        else:
            with pytest.raises(CannotOpen):
                opener.chunk(reader(broken), index)


def relabelled(manifest: Manifest, key: bytes, **changes: Any) -> Manifest:
    """A manifest that says something else and commits to it: what a hostile owner of another object could sign."""
    altered = dataclasses.replace(manifest, **changes)
    fields = {f.name: getattr(altered, f.name) for f in dataclasses.fields(Context) if f.name != "size"}
    _, commitment = sealed._derive(key, bytes.fromhex(altered.salt), Context(size=altered.plaintext_size, **fields))
    return dataclasses.replace(altered, commitment=commitment.hex())


@pytest.mark.parametrize(
    "changes",
    [
        {"agreement": "cd" * 32},
        {"kind": "bundle"},
        {"name": "prospects"},
        {"owner": "partner"},
        {"media": "arrow"},
        {"salt": "00" * 32},
        {"plaintext_size": 5},
        {"commitment": "00" * 32},
    ],
)
def test_a_repurposed_manifest_fails_before_any_chunk_and_its_chunks_do_not_open(changes: dict[str, Any]):
    key, manifest, data = make(b"secret")
    with pytest.raises(CannotOpen):
        Opener(key, dataclasses.replace(manifest, **changes))
    if "commitment" not in changes:
        with pytest.raises(CannotOpen):
            opened(key, relabelled(manifest, key, **changes), data)


@pytest.mark.parametrize("size", [CHUNK, 2 * CHUNK + 7])
def test_an_object_cut_at_a_chunk_is_not_a_shorter_object(size: int):
    key, manifest, data = make(bytes(size))
    shorter = relabelled(manifest, key, plaintext_size=size - CHUNK or 1, chunks=max(1, manifest.chunks - 1))
    with pytest.raises(CannotOpen):
        opened(key, shorter, data)


def test_chunks_of_two_objects_under_one_key_cannot_be_mixed():
    key, manifest, data = make(bytes(CHUNK + 1))
    _, other_manifest, other = make(bytes(CHUNK + 1))
    with pytest.raises(CannotOpen):
        Opener(key, other_manifest)
    assert len(other) == len(data)
    with pytest.raises(CannotOpen):
        opened(key, manifest, other[:STEP] + data[STEP:])


@pytest.mark.parametrize("wrong", [bytes(32), b"", bytes(31), bytes(33)])
def test_a_wrong_key_is_refused_before_any_byte_is_read(wrong: bytes):
    _, manifest, _ = make(b"secret")
    with pytest.raises(CannotOpen):
        Opener(wrong, manifest)


@pytest.mark.parametrize(("size", "chunks"), [(0, 1), (1, 2), (CHUNK, 2), (CHUNK + 1, 1)])
def test_sizes_that_disagree_are_malformed(size: int, chunks: int):
    key, manifest, _ = make(b"x")
    with pytest.raises(Malformed) as caught:
        Opener(key, dataclasses.replace(manifest, plaintext_size=size, chunks=chunks))
    assert caught.value.code == "E1.bad-sizes"


@pytest.mark.parametrize(
    ("data", "size", "match"),
    [(b"", 0, "between 1 byte"), (b"ab", 3, "shrank"), (b"abc", 2, "grew"), (b"", 2**41, "1 TiB")],
)
def test_a_source_that_is_not_what_was_said_is_not_sealed(data: bytes, size: int, match: str):
    with pytest.raises(UsageError, match=match):
        sealed.seal(io.BytesIO(data), io.BytesIO(), context(size))


class Dripping(io.RawIOBase):
    """Gives one small piece at a time, as a pipe may."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        got = min(size, self._left, 100_000)
        self._left -= got
        return bytes(got)


def test_a_source_may_give_less_than_asked():
    size = CHUNK + 5
    out = io.BytesIO()
    key, manifest = sealed.seal(Dripping(size), out, context(size))
    assert opened(key, manifest, out.getvalue()) == bytes(size)


class Sink(io.RawIOBase):
    """Forgets what it is given."""

    def write(self, data: Any) -> int:
        return len(data)


def peak(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seal_and_open(chunks: int) -> None:
    size = chunks * CHUNK
    sealed.seal(Dripping(size), Sink(), context(size))
    key, manifest, data = make(bytes(CHUNK))
    opener = Opener(key, manifest)
    for _ in range(chunks):
        opener.chunk(reader(data), 0)


def test_memory_does_not_grow_with_the_object():
    small, large = peak(lambda: seal_and_open(2)), peak(lambda: seal_and_open(20))
    assert large < small + CHUNK
    assert large < 9 * CHUNK
