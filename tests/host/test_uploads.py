"""Sealed objects: chunks in any order, resumed uploads, and bytes that are not what was announced."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from sealroom.host.store import Store, open_store
from sealroom.host.store.blobs import Blobs, WrongDigestError
from tests.postgres import BOTH

STORES = BOTH

STEP = (1 << 20) + 16


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """Three sealed chunks, the last one short."""
    return os.urandom(2 * STEP + 100)


def part(data: bytes, number: int) -> bytes:
    return data[number * STEP : (number + 1) * STEP]


def announce(gateway: Any, data: bytes, **changes: Any) -> str:
    manifest = gateway.parties.manifest("partner", "prospects", gateway.agreement, data, **changes)
    gateway.call.ok("partner", "PUT", f"/objects/{manifest.digest}", manifest)
    return str(manifest.digest)


def test_chunks_come_in_any_order_and_again(gateway: Any, helpers: Any, sealed: bytes) -> None:
    call, digest = gateway.call, announce(gateway, sealed)
    assert call.ok("bank", "GET", f"/objects/{digest}")["missing"] == [0, 1, 2]
    for number in (2, 0, 0):
        stored = call.ok("partner", "PUT", f"/objects/{digest}/chunks/{number}", part(sealed, number))
        assert stored == {"digest": digest, "number": number, "complete": False}
    state = call.ok("partner", "GET", f"/objects/{digest}")
    assert (state["missing"], state["complete"]) == ([1], False)
    assert call.ok("partner", "PUT", f"/objects/{digest}/chunks/1", part(sealed, 1))["complete"]
    state = call.ok("partner", "GET", f"/objects/{digest}")
    assert (state["missing"], state["complete"]) == ([], True)
    assert gateway.store.blobs.path(hashlib.sha256(sealed).hexdigest()).read_bytes() == sealed
    line = {"digest": digest, "name": "prospects", "owner": "partner", "kind": "dataset", "complete": True}
    assert call.ok("bank", "GET", f"/agreements/{gateway.agreement}/objects") == {"objects": [line]}
    assert call.ok("partner", "PUT", f"/objects/{digest}/chunks/2", part(sealed, 2))["complete"]
    other = call("partner", "PUT", f"/objects/{digest}/chunks/2", bytes(100))
    assert helpers.code(other) == (409, "complete")


def reopened(gateway: Any) -> Store:
    """The store as the next gateway of this home opens it."""
    gateway.store.close()
    return open_store(gateway.settings.home, most=1 << 30, database=gateway.settings.database)


def test_an_upload_goes_on_after_a_restart(gateway: Any, sealed: bytes) -> None:
    digest = announce(gateway, sealed)
    gateway.call.ok("partner", "PUT", f"/objects/{digest}/chunks/1", part(sealed, 1))
    again = reopened(gateway)
    found = again.objects.get(digest)
    assert again.objects.missing(found) == [0, 2]
    assert not again.objects.put_chunk(found, 0, part(sealed, 0))
    assert again.objects.put_chunk(found, 2, part(sealed, 2))
    again.close()


@pytest.mark.parametrize("renamed", [False, True])
def test_an_interruption_before_the_last_commit_is_made_good(gateway: Any, sealed: bytes, renamed: bool) -> None:
    store, digest = gateway.store, announce(gateway, sealed)
    found = store.objects.get(digest)
    for number in range(3):
        store.blobs.write_chunk(digest, number * STEP, part(sealed, number))
        store.database.write("INSERT INTO chunks VALUES (?, ?)", digest, number)
    if renamed:
        store.blobs.finish(digest, size=len(sealed), digest=found.ciphertext)
    again = reopened(gateway)
    assert again.objects.get(digest).complete
    again.close()


def test_an_interrupted_upload_with_wrong_bytes_starts_over(gateway: Any, sealed: bytes) -> None:
    digest = announce(gateway, sealed)
    for number in range(3):
        gateway.store.database.write("INSERT INTO chunks VALUES (?, ?)", digest, number)
    again = reopened(gateway)
    assert again.objects.missing(again.objects.get(digest)) == [0, 1, 2]
    again.close()


def test_wrong_bytes_never_get_the_name(gateway: Any, helpers: Any, sealed: bytes) -> None:
    digest = announce(gateway, sealed)
    for number in (0, 1):
        gateway.call.ok("partner", "PUT", f"/objects/{digest}/chunks/{number}", part(sealed, number))
    answer = gateway.call("partner", "PUT", f"/objects/{digest}/chunks/2", bytes(100))
    assert helpers.code(answer) == (422, "wrong-digest")
    state = gateway.call.ok("partner", "GET", f"/objects/{digest}")
    assert (state["missing"], state["complete"]) == ([0, 1, 2], False)
    assert not gateway.store.blobs.path(hashlib.sha256(sealed).hexdigest()).exists()
    for number in range(3):
        gateway.call.ok("partner", "PUT", f"/objects/{digest}/chunks/{number}", part(sealed, number))


@pytest.mark.parametrize(("number", "size"), [(0, STEP - 1), (2, 99), (2, 101), (0, 0)])
def test_a_chunk_has_exactly_its_size(gateway: Any, helpers: Any, sealed: bytes, number: int, size: int) -> None:
    digest = announce(gateway, sealed)
    answer = gateway.call("partner", "PUT", f"/objects/{digest}/chunks/{number}", bytes(size))
    assert helpers.code(answer) == (422, "wrong-size")


def test_a_chunk_must_exist_fit_and_be_its_owners(gateway: Any, helpers: Any, sealed: bytes) -> None:
    digest, call = announce(gateway, sealed), gateway.call
    assert helpers.code(call("partner", "PUT", f"/objects/{digest}/chunks/3", bytes(9))) == (404, "not-found")
    assert helpers.code(call("partner", "PUT", f"/objects/{digest}/chunks/-1", bytes(9))) == (422, "bad-parameter")
    assert helpers.code(call("partner", "PUT", f"/objects/{'0' * 64}/chunks/0", b"x")) == (404, "not-found")
    assert helpers.code(call("bank", "PUT", f"/objects/{digest}/chunks/0", part(sealed, 0))) == (403, "forbidden")
    assert helpers.code(call("partner", "PUT", f"/objects/{digest}/chunks/0", bytes(STEP + 1))) == (413, "too-large")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chunks": 2}, (422, "bad-sizes")), ({"chunk_size": 1}, (422, "bad-sizes")),
        ({"plaintext_size": 0}, (422, "bad-field")), ({"plaintext_size": 2**41, "chunks": 2**21}, (422, "bad-field")),
        ({"ciphertext_sha256": "x"}, (422, "bad-field")), ({"name": "other"}, (403, "forbidden")),
        ({"kind": "bundle"}, (403, "forbidden")), ({"owner": "bank"}, (403, "forbidden")),
        ({"kind": "table"}, (422, "bad-field")), ({"agreement": "ab" * 32}, (404, "not-found")),
        ({"plaintext_size": 2**30, "chunks": 2**10}, (507, "store-full")),
    ],
)  # fmt: skip
def test_a_manifest_must_fit_the_agreement_and_itself(
    gateway: Any, helpers: Any, sealed: bytes, changes: Any, expected: tuple[int, str]
) -> None:
    manifest = gateway.parties.manifest("partner", "prospects", gateway.agreement, sealed, **changes)
    answer = gateway.call("partner", "PUT", f"/objects/{manifest.digest}", manifest)
    assert helpers.code(answer) == expected


def test_the_same_manifest_again_changes_nothing(gateway: Any, sealed: bytes) -> None:
    manifest = gateway.parties.manifest("partner", "prospects", gateway.agreement, sealed)
    for _ in range(2):
        assert gateway.call.ok("partner", "PUT", f"/objects/{manifest.digest}", manifest) == {"digest": manifest.digest}


def test_a_copied_file_gets_its_name_only_with_its_bytes(tmp_path: Any) -> None:
    blobs, data = Blobs(tmp_path), os.urandom(3 << 20)
    name = hashlib.sha256(data).hexdigest()
    descriptor = os.memfd_create("source")
    os.write(descriptor, data)
    blobs.take(descriptor, size=len(data), digest=name)
    assert blobs.path(name).read_bytes() == data
    assert blobs.path(name).stat().st_mode & 0o777 == 0o400
    for size, digest in ((len(data) - 1, name), (len(data) + 1, name), (len(data), "0" * 64)):
        with pytest.raises(WrongDigestError):
            blobs.take(descriptor, size=size, digest=digest)
    ends = os.pipe()
    with pytest.raises(WrongDigestError):
        blobs.take(ends[0], size=1, digest=name)
    for end in (*ends, descriptor):
        os.close(end)
    assert [path.name for path in (tmp_path / "done").iterdir()] == [name]


def test_leftovers_of_an_interrupted_copy_are_cleared_up(tmp_path: Any) -> None:
    blobs = Blobs(tmp_path)
    (tmp_path / "done" / "ab.temporary").write_bytes(b"x")
    (tmp_path / "partial" / "upload").write_bytes(b"x")
    blobs.clear_up()
    assert not (tmp_path / "done" / "ab.temporary").exists()
    assert (tmp_path / "partial" / "upload").exists()
