"""Checkpoints as C2SP signed notes: public key ids and examples, round trips, and no second spelling."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

import pytest

from sealroom.protocol import merkle, notes
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.keys import SigningKey, VerifyingKey
from sealroom.protocol.notes import Checkpoint

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
NAME = "sealroom.agreement/" + "ab" * 32
HEAD = Checkpoint(NAME, 20852163, bytes(range(32)))
# The checkpoint that C2SP's tlog-checkpoint and tlog-cosignature give as their example.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
    "+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0"
    "xUe+mbIUBkBIfZ+qnA==\n"
)
KEY_IDS = {  # verifier keys that are public: name, key id, base64url of the key
    "sum.golang.org": ("033de0ae", "Ac4zctda0e5eza-HJyk9SxEdh-s3Ux18htTTAD8OuAn8"),
    "PeterNeumann": ("c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq_LDE4izWy10TW"),
}


def test_the_public_example_is_read_and_written_back():
    note = notes.parse(EXAMPLE.encode())
    assert note.to_bytes() == EXAMPLE.encode()
    assert (note.unverified.origin, note.unverified.size) == ("example.com/behind-the-sofa", 20852163)
    log, witness = note.signatures
    assert (log.key_id.hex(), len(log.signature)) == ("033de0ae", 64)
    assert int.from_bytes(witness.signature[:8], "big") == 1679315147
    assert notes._cosigned(note.unverified, 1679315147) == (
        b"cosignature/v1\ntime 1679315147\n" + EXAMPLE.partition("\n\n")[0].encode() + b"\n"
    )


@pytest.mark.parametrize("name", KEY_IDS)
def test_key_ids_are_those_of_public_verifier_keys(name):
    key_id, text = KEY_IDS[name]
    data = base64.urlsafe_b64decode(text)
    assert notes._key_id(name, data[:1], VerifyingKey(data[1:])).hex() == key_id


def test_what_is_signed_and_cosigned_verifies_and_nothing_else():
    note = notes.cosign(notes.sign(HEAD, KEY), OTHER, name=f"{NAME}/bank", at=1_700_000_000)
    read = notes.parse(note.to_bytes())
    assert notes.verify_log(read, name=NAME, key=KEY.public) == HEAD
    assert notes.verify_cosignature(read, name=f"{NAME}/bank", key=OTHER.public) == 1_700_000_000
    assert notes.cosigners(read, {f"{NAME}/bank": OTHER.public, f"{NAME}/x": KEY.public}) == {
        f"{NAME}/bank": 1_700_000_000
    }
    for name, key, code in ((NAME, OTHER, "E2.not-signed"), ("another", KEY, "E2.other-log")):
        with pytest.raises(NotGenuine) as caught:
            notes.verify_log(read, name=name, key=key.public)
        assert caught.value.code == code
    with pytest.raises(NotGenuine):
        notes.verify_cosignature(read, name=f"{NAME}/partner", key=OTHER.public)


@pytest.mark.parametrize("change", [{"size": 20852162}, {"root": bytes(32)}])
def test_a_signature_is_for_one_checkpoint(change):
    note = notes.cosign(notes.sign(HEAD, KEY), OTHER, name=f"{NAME}/bank", at=5)
    moved = dataclasses.replace(note, unverified=dataclasses.replace(HEAD, **change))
    for verify in (
        lambda: notes.verify_log(moved, name=NAME, key=KEY.public),
        lambda: notes.verify_cosignature(moved, name=f"{NAME}/bank", key=OTHER.public),
    ):
        with pytest.raises(NotGenuine) as caught:
            verify()
        assert caught.value.code == "E2.signature"


def test_a_log_s_signature_is_no_cosignature_and_the_other_way_round():
    name = f"{NAME}/bank"
    as_log = notes.sign(dataclasses.replace(HEAD, origin=name), OTHER)
    with pytest.raises(NotGenuine):
        notes.verify_cosignature(as_log, name=name, key=OTHER.public)


def test_no_bit_of_a_note_can_be_changed():
    data = notes.cosign(notes.sign(HEAD, KEY), OTHER, name=f"{NAME}/bank", at=5).to_bytes()
    for place in range(len(data) * 8):
        other = bytearray(data)
        other[place // 8] ^= 1 << place % 8
        with pytest.raises((Malformed, NotGenuine)):
            both(bytes(other))


def both(data):
    read = notes.parse(data)
    notes.verify_log(read, name=NAME, key=KEY.public)
    notes.verify_cosignature(read, name=f"{NAME}/bank", key=OTHER.public)


GOOD = notes.sign(HEAD, KEY).to_bytes().decode()
LINE = GOOD.partition("\n\n")[2]
ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BAD = {
    "nothing": "",
    "no signature": GOOD.partition("\n\n")[0] + "\n\n",
    "no final newline": GOOD[:-1],
    "a line more": GOOD.replace("\n\n", "\nextension\n\n", 1),
    "a line less": GOOD.partition("\n")[2],
    "zero before the size": GOOD.replace("\n2085", "\n02085"),
    "a sign before the size": GOOD.replace("\n2085", "\n+2085"),
    "digits of another script": GOOD.replace("\n20852163", "\n\u0662\u0660"),
    "more entries than a log has": GOOD.replace("20852163", "9" * 16),
    "a root of 31 bytes": GOOD.replace(ROOT, ROOT[:-4] + "Hg=="),
    "base64 with stray bits": GOOD.replace("Hh8=", "Hh9="),
    "a space in a name": GOOD.replace("— seal", "— s eal"),
    "a plus in a name": GOOD.replace("— seal", "— s+eal"),
    "a hyphen for the dash": GOOD.replace("—", "-"),
    "carriage returns": GOOD.replace("\n", "\r\n"),
    "too long": GOOD + "— x AAAAAAA=\n" * 700,
    "one key twice": GOOD + LINE,
    "too many lines": GOOD + "".join(f"— x{n} AAAAAAA=\n" for n in range(33)),
    "an empty log with another root": notes.sign(Checkpoint(NAME, 0, bytes(32)), KEY).to_bytes().decode(),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_another_spelling_is_refused(text):
    with pytest.raises(Malformed) as caught:
        notes.parse(text.encode())
    assert caught.value.code == "E1.bad-note"


def test_bytes_that_are_no_text_are_refused_and_an_empty_log_has_the_root_of_nothing():
    with pytest.raises(Malformed):
        notes.parse(b"\xff" + GOOD.encode())
    empty = Checkpoint(NAME, 0, merkle.EMPTY)
    assert notes.verify_log(notes.parse(notes.sign(empty, KEY).to_bytes()), name=NAME, key=KEY.public) == empty
    assert hashlib.sha256(b"").digest() == merkle.EMPTY
