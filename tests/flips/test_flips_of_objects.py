"""Not one bit of what is sealed, packed, shared or kept can change unnoticed."""

from __future__ import annotations

import dataclasses
import io
from typing import Any
from unittest import mock

import pytest

from sealroom.attestation.measurement import launch
from sealroom.client import entries, keyfile
from sealroom.client.errors import NotAuthorized
from sealroom.protocol import bundle, canonical, release, schema, sealed
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.keys import from_text, to_text
from tests.flips.flipping import STRIDE, flips, taken
from tests.fuzz import seeds
from tests.vectors import cases

PLAIN = b"partner_id,age\np1,44\np2,51\n" * 4
OFFER = seeds.offer()
FILES = {
    "bundle.json": b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}',
    "job.py": b"def run(tables, ask):\n    return range(ask.size)\n",
}


@pytest.fixture(scope="module")
def sealed_object() -> tuple[bytes, sealed.Manifest, bytes]:
    context = sealed.Context(
        agreement=seeds.A, kind="dataset", name="prospects", owner="partner", media="csv", size=len(PLAIN)
    )
    out = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(PLAIN), out, context)
    return key, manifest, out.getvalue()


def opened(key: bytes, manifest: sealed.Manifest, data: bytes) -> bytes:
    return b"".join(sealed.Opener(key, manifest).plaintext(lambda offset, size: data[offset : offset + size]))


def test_no_bit_of_a_sealed_object_can_be_flipped(sealed_object: Any):
    key, manifest, ciphertext = sealed_object
    assert taken(lambda data: opened(key, manifest, data), ciphertext) == []


def test_no_bit_of_an_object_key_can_be_flipped(sealed_object: Any):
    key, manifest, ciphertext = sealed_object
    assert taken(lambda data: opened(data, manifest, ciphertext), key) == []


def test_a_flip_of_a_manifest_that_nobody_signed_opens_nothing_but_the_same(sealed_object: Any):
    """What a manifest says besides its ciphertext's digest is in the context; the digest is the store's to check."""
    key, manifest, ciphertext = sealed_object

    def read(data: bytes) -> bytes:
        return opened(key, schema.decode(sealed.Manifest, canonical.decode(data, most=1 << 12)), ciphertext)

    document = canonical.encode(schema.encode(manifest))
    found = taken(read, document)
    start = document.index(manifest.ciphertext_sha256.encode())
    places = {next(i for i, (a, b) in enumerate(zip(document, other, strict=True)) if a != b) for other, _ in found}
    assert places <= set(range(start, start + 64))
    assert {plain for _, plain in found} == {PLAIN}


def test_a_flip_of_a_bundle_is_refused_or_is_in_the_content_of_one_file():
    """Bundles travel sealed, so that a host cannot flip anything; a reader still takes one spelling only."""
    archive = bundle.build(FILES)
    content = set()
    for name, data in FILES.items():
        start = archive.index(data)
        content |= set(range(start, start + len(data)))
        assert name.encode() in archive
    for other, read in taken(bundle.read, archive):
        place = next(i for i, (a, b) in enumerate(zip(archive, other, strict=True)) if a != b)
        assert place in content
        assert bundle.build(read.files) == other
        assert sum(read.files[name] != data for name, data in FILES.items()) == 1


def sealed_share() -> bytes:
    return from_text(OFFER.sealed_shares["bank"])


def test_no_bit_of_a_sealed_share_can_be_flipped():
    def read(data: bytes) -> bytes:
        offer = dataclasses.replace(OFFER, sealed_shares={**OFFER.sealed_shares, "bank": to_text(data)})
        return release.open_share(offer, "bank", cases.sealing("bank"))

    assert taken(read, sealed_share(), stride=STRIDE) == []


def test_no_bit_of_a_share_can_be_flipped():
    share = release.open_share(OFFER, "bank", cases.sealing("bank"))
    assert taken(lambda data: release.checked_share(OFFER, "bank", data), share) == []


def shares() -> dict[str, bytes]:
    return {name: release.open_share(OFFER, name, cases.sealing(name)) for name in OFFER.affected}


def test_no_bit_of_a_releases_ciphertext_can_be_flipped():
    keys, given = cases.sealing(OFFER.recipient), shares()
    ciphertext = from_text(cases.shared("ciphertext"))
    assert taken(lambda data: release.open_release(OFFER, data, given, keys), ciphertext) == []


def test_no_bit_of_a_release_can_be_flipped_by_whoever_also_writes_the_offer():
    """The digest set aside, the outer layer of encryption holds alone; the inner one is sealed as a grant's key is."""
    to, context = cases.sealing("partner"), release.context_of(OFFER)
    made = release.seal_release(b"partner_id\np1\n", 64, recipient=to.public, context=context)
    base = dataclasses.replace(OFFER, size=len(made.ciphertext), affected=("bank",), share_commitments={})
    base = dataclasses.replace(base, share_commitments={"bank": release.commitment(context, "bank", made.release_key)})

    def read(data: bytes) -> bytes:
        stated = dataclasses.replace(base, ciphertext_sha256=release.SealedRelease(data, b"").ciphertext_sha256)
        return release.open_release(stated, data, {"bank": made.release_key}, to)

    assert taken(read, made.ciphertext) == []


def test_no_bit_of_a_grants_sealed_key_can_be_flipped():
    gate, info = cases.sealing("gate"), b"for this run"
    assert taken(lambda data: gate.open(data, info=info), gate.public.seal(bytes(32), info=info), stride=STRIDE) == []


def test_no_bit_of_padding_can_be_flipped():
    """The recipient's layer of encryption covers all of it; `unpad` alone still takes one text for one padded form."""
    padded = release.pad(b"a text", 64)
    found = taken(release.unpad, padded)
    assert all(other[14:] == padded[14:] for other, _ in found)
    assert b"a text" not in {text for _, text in found}


def test_every_flip_of_a_ledger_line_is_refused_or_breaks_its_chain():
    line = seeds.ledger_draft().to_bytes()
    digest = entries.read(1, seeds.A, line).digest
    found = taken(lambda data: entries.read(1, seeds.A, data), line)
    assert digest not in {entry.digest for _, entry in found}
    for flipped in flips((1).to_bytes(8, "big")):
        assert entries.read(int.from_bytes(flipped, "big"), seeds.A, line).digest != digest


def test_every_flip_of_a_launch_specification_is_refused_or_has_another_digest():
    text = canonical.encode(
        {
            "format": "sealroom/launch/v1", "kind": "process", "argv": ["{image}/python", "gate"], "env": {"A": "b"},
            "layers": ["seccomp"], "user": None, "working_dir": None,
        }
    )  # fmt: skip
    found = taken(lambda data: (launch.parse(data), launch.digest_of(data))[1], text)
    assert launch.digest_of(text) not in {digest for _, digest in found}


def test_no_bit_of_a_key_file_can_be_flipped(tmp_path: Any):
    """Stretching is replaced by a digest of what it would stretch: each flip would take a tenth of a second."""
    path, key = tmp_path / "signing.key", cases.signing("bank")

    def read(data: bytes) -> Any:
        path.write_bytes(data)
        path.chmod(0o600)
        return keyfile.unlock_signing(path, "phrase")

    with mock.patch.object(keyfile, "_stretch", lambda *parts: seeds.keyed(repr(parts))):
        keyfile.create(path, key, "phrase")
        assert taken(read, path.read_bytes(), Malformed, NotAuthorized, UsageError) == []
