"""One encoding per value, and nothing else is read."""

from __future__ import annotations

import pytest

from sealroom.protocol import canonical
from sealroom.protocol.errors import Malformed

MOST = 1 << 16


def refused(data: bytes, most: int = MOST) -> str:
    with pytest.raises(Malformed) as caught:
        canonical.decode(data, most=most)
    return caught.value.code


@pytest.mark.parametrize(
    "data",
    [b"null", b"true", b"0", b"-1", b'""', b"[]", b"{}", b"9007199254740991", b'"\xc3\xa9"', b'{"a":[1,{"b":null}]}',
     b'"\\u0000\\n\\"\\\\"', '"\U0001f600"'.encode(), '{"\U00010000":1,"\uffff":2}'.encode()],
)  # fmt: skip
def test_canonical_bytes_are_read_and_come_back(data: bytes):
    assert canonical.encode(canonical.decode(data, most=MOST)) == data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "E1.not-json"),
        (b"{", "E1.not-json"),
        (b"{} ", "E1.not-canonical"),
        (b"{}{}", "E1.not-json"),
        (b" {}", "E1.not-canonical"),
        (b"\xef\xbb\xbf{}", "E1.not-json"),
        (b'"\xff"', "E1.not-json"),
        (b'"\xed\xa0\x80"', "E1.not-json"),
        (b'"\\ud800"', "E1.not-canonical"),
        (b'{"\\ud800":1}', "E1.not-canonical"),
        (b'{"a":1,"a":1}', "E1.duplicate-key"),
        (b'{"b":1,"a":{"c":1,"c":2}}', "E1.duplicate-key"),
        (b'{"b":1,"a":2}', "E1.not-canonical"),
        (b'{"a": 1}', "E1.not-canonical"),
        (b'"\\u0061"', "E1.not-canonical"),
        (b'"\\/"', "E1.not-canonical"),
        (b'"\\u000a"', "E1.not-canonical"),
        (b"-0", "E1.not-canonical"),
        (b"01", "E1.not-json"),
        (b"1.0", "E1.float"),
        (b"1e2", "E1.float"),
        (b"NaN", "E1.float"),
        (b"-Infinity", "E1.float"),
        (b"9007199254740992", "E1.not-canonical"),
        (b"1" * 5000, "E1.not-json"),
        ('{"\uffff":2,"\U00010000":1}'.encode(), "E1.not-canonical"),
        (b"[" * 70 + b"]" * 70, "E1.too-deep"),
        (b"[" * 9000 + b"]" * 9000, "E1.not-json"),
    ],
)
def test_any_other_spelling_is_refused(data: bytes, code: str):
    assert refused(data) == code


def test_more_than_the_bound_is_not_even_parsed():
    assert refused(b"{" * 11, most=10) == "E1.too-large"
    assert canonical.decode(b"1234567890", most=10) == 1234567890


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.0, "E1.float"),
        ({"a": [float("nan")]}, "E1.float"),
        ((1, (2.5,)), "E1.float"),
        (2**53, "E1.not-canonical"),
        ({"\ud800": 1}, "E1.not-canonical"),
        ("\udfff", "E1.not-canonical"),
        (object(), "E1.not-canonical"),
        (b"bytes", "E1.not-canonical"),
        ({1: 2}, "E1.not-canonical"),
    ],
)
def test_a_value_without_a_canonical_form_is_refused(value: object, code: str):
    with pytest.raises(Malformed) as caught:
        canonical.encode(value)
    assert caught.value.code == code


def test_nesting_is_bounded_at_the_same_depth_both_ways():
    deepest: object = 0
    for _ in range(canonical.MOST_DEPTH):
        deepest = [deepest]
    assert canonical.decode(canonical.encode(deepest), most=MOST) == deepest
    with pytest.raises(Malformed) as caught:
        canonical.encode([deepest])
    assert caught.value.code == "E1.too-deep"
