"""The DER reader accepts one spelling of everything."""

from __future__ import annotations

import pytest

from sealroom.attestation import der
from sealroom.protocol.errors import Malformed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x31\x00",
        b"\x30\x01",
        b"\x30\x80\x00\x00",
        b"\x30\x81",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x84\x00\x00\x00\x80" + bytes(128),
        b"\x30\x00\x00",
    ],
)
def test_a_wrong_tag_a_long_length_or_missing_bytes_are_refused(data):
    with pytest.raises(Malformed) as refusal:
        der.whole(data, der.SEQUENCE)
    assert refusal.value.code == "E1.der"


def test_short_and_long_lengths_are_read():
    assert der.whole(b"\x30\x81\x80" + bytes(128), der.SEQUENCE) == bytes(128)
    assert der.whole(b"\x30\x82\x01\x00" + bytes(256), der.SEQUENCE) == bytes(256)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x00\x7f", b"\x00\x00"])
def test_integers_that_are_negative_or_padded_are_refused(content):
    with pytest.raises(Malformed):
        der.integer(content)


def test_integers_of_every_size_are_read():
    assert [der.integer(c) for c in (b"\x00", b"\x7f", b"\x00\xd9")] == [0, 127, 217]


@pytest.mark.parametrize("content", [b"", b"\x01", b"\xff\xff"])
def test_booleans_have_two_spellings(content):
    with pytest.raises(Malformed):
        der.boolean(content)


@pytest.mark.parametrize("content", [b"", b"\x01\x00"])
def test_bit_strings_with_unused_bits_are_refused(content):
    with pytest.raises(Malformed):
        der.octets(content)


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        (der.UTF8_STRING, b"\xff"),
        (der.IA5_STRING, b"\x80"),
        (der.UTF8_STRING, "a\u202eb".encode()),
        (der.IA5_STRING, b"a\nb"),
    ],
)
def test_text_that_could_disguise_itself_is_refused(tag, content):
    with pytest.raises(Malformed):
        der.text(der.Element(tag, content, b""))


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x2a\x80\x01", b"\x2a\x86"])
def test_object_identifiers_have_one_spelling(content):
    with pytest.raises(Malformed):
        der.oid(content)


def test_object_identifiers_are_read():
    assert der.oid(bytes.fromhex("2b060104019c78010308")) == "1.3.6.1.4.1.3704.1.3.8"
    assert [der.oid(c) for c in (b"\x00", b"\x55\x04\x03", b"\x81\x34\x03")] == ["0.0", "2.5.4.3", "2.100.3"]


@pytest.mark.parametrize(
    ("tag", "text", "seconds"),
    [
        (der.UTC_TIME, b"700101000000Z", 0),
        (der.UTC_TIME, b"230403192343Z", 1_680_549_823),
        (der.UTC_TIME, b"500101000000Z", -631_152_000),
        (der.UTC_TIME, b"491231235959Z", 2_524_607_999),
        (der.GENERALIZED_TIME, b"20500101000000Z", 2_524_608_000),
    ],
)
def test_times_are_read_in_the_right_century(tag, text, seconds):
    assert der.moment(der.Reader(bytes([tag, len(text)]) + text)) == seconds


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (der.UTC_TIME, b"2304031923Z"),
        (der.UTC_TIME, b"230403192343+"),
        (der.UTC_TIME, b"231303192343Z"),
        (der.UTC_TIME, b"23040319234 Z"),
        (der.GENERALIZED_TIME, b"230403192343Z"),
        (der.GENERALIZED_TIME, b"20230403192343.5Z"),
        (der.OCTET_STRING, b"230403192343Z"),
    ],
)
def test_times_in_another_form_are_refused(tag, text):
    with pytest.raises(Malformed):
        der.moment(der.Reader(bytes([tag, len(text)]) + text))


@pytest.mark.parametrize(
    ("read", "content"),
    [(der.integer, b"\x7f" + b"\xff" * 3999), (der.oid, b"\xff" * 2999 + b"\x7f")],
    ids=["integer", "object-identifier"],
)
def test_numbers_too_long_to_be_written_out_are_refused(read, content):
    """Python refuses to write integers of more than 4300 digits, with an error that nobody expects here."""
    with pytest.raises(Malformed) as refusal:
        read(content)
    assert refusal.value.code == "E1.der"
    assert read(content[-der.MOST_NUMBER + 1 :] if read is der.oid else content[: der.MOST_NUMBER])
