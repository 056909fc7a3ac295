"""Keys and their one spelling; sealing and its one answer."""

from __future__ import annotations

import pytest

from sealroom.protocol import keys
from sealroom.protocol.errors import CannotOpen, Malformed, NotGenuine
from sealroom.protocol.keys import SealingKey, SealingPublicKey, SigningKey, VerifyingKey


@pytest.fixture(scope="module")
def sealing() -> SealingKey:
    return SealingKey.generate()


def test_bytes_have_one_text():
    for data in (b"", b"\0", b"\xfb\xff", bytes(range(256))):
        assert keys.from_text(keys.to_text(data)) == data
    for text in ("AB==", "AA=", "A", "A A", "+/", "AB", "é", "AAAA\n"):
        with pytest.raises(Malformed) as caught:
            keys.from_text(text)
        assert caught.value.code == "E1.not-base64"


def test_a_key_text_has_the_keys_length():
    with pytest.raises(Malformed):
        VerifyingKey.parse(keys.to_text(bytes(31)))
    with pytest.raises(Malformed):
        SealingPublicKey.parse(keys.to_text(bytes(1215)))


def test_fingerprints_are_six_groups_of_a_labelled_digest():
    assert keys.fingerprint(b"key") == keys.fingerprint(b"key") != keys.fingerprint(b"kez")
    assert [len(group) for group in keys.fingerprint(b"key").split("-")] == [4] * 6


def test_signatures_hold_for_their_message_and_key_only():
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"message")
    key.public.verify(signature, b"message")
    assert VerifyingKey.parse(key.public.text) == key.public
    for public, data, message in (
        (other.public, signature, b"message"),
        (key.public, signature, b"massage"),
        (key.public, signature[:-1], b"message"),
        (key.public, bytes(64), b"message"),
        (VerifyingKey(b"\xff" * 32), signature, b"message"),
        (VerifyingKey(b"short"), signature, b"message"),
    ):
        with pytest.raises(NotGenuine) as caught:
            public.verify(data, message)
        assert caught.value.code == "E2.signature"


def test_what_is_sealed_opens_under_its_key_and_info_only(sealing: SealingKey):
    sealed = sealing.public.seal(b"secret", info=b"for this")
    assert len(sealed) == len(b"secret") + keys.SEAL_OVERHEAD
    assert sealing.open(sealed, info=b"for this") == b"secret"
    attempts = (
        (sealing, sealed, b"for that"),
        (SealingKey.generate(), sealed, b"for this"),
        (sealing, sealed[:-1], b"for this"),
        (sealing, sealed + b"\0", b"for this"),
        (sealing, b"", b"for this"),
        (sealing, bytes(keys.SEAL_OVERHEAD), b"for this"),
        (SealingKey(b"short"), sealed, b"for this"),
        *(
            (sealing, sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :], b"for this")
            for i in (0, 1087, 1088, 1119, 1120, -1)
        ),
    )
    answers = set()
    for key, data, info in attempts:
        with pytest.raises(CannotOpen) as caught:
            key.open(data, info=info)
        answers.add(str(caught.value))
    assert len(answers) == 1


@pytest.mark.parametrize("raw", [bytes(1216), b"\xff" * 1216, b"short"])
def test_a_public_key_that_is_none_cannot_be_sealed_to(raw: bytes):
    with pytest.raises(Malformed) as caught:
        SealingPublicKey(raw).seal(b"x", info=b"")
    assert caught.value.code == "E1.bad-key"


def test_private_keys_do_not_show_themselves():
    key = SigningKey.generate()
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)
    assert "seed" not in repr(SealingKey.generate())
