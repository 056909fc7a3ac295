"""The scan for planted values finds them in every form, and nothing where there is nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import struct
import zlib
from collections.abc import Callable

import pytest

from tests.e2e.scanner import Scanner

TEXT, NUMBER = "canary-9qk2vx7hm1zt", 7_305_118_264_937_151
SCANNER = Scanner({"text": TEXT, "number": NUMBER})
PLAIN = TEXT.encode()
NESTED = json.dumps(
    {"payload": base64.b64encode(json.dumps({"inner": base64.b64encode(PLAIN).decode()}).encode()).decode()}
)

WRITTEN: dict[str, bytes] = {
    "as it is": PLAIN,
    "upper case": TEXT.upper().encode(),
    "utf-16 little": TEXT.encode("utf-16-le"),
    "utf-16 big": TEXT.encode("utf-16-be"),
    "hex": PLAIN.hex().encode(),
    "hex upper": PLAIN.hex().upper().encode(),
    "json": json.dumps({"a": [TEXT]}).encode(),
    "base64 of more": base64.b64encode(b"12" + PLAIN + b"xyz"),
    "base64url": base64.urlsafe_b64encode(b"\xff\xfe" + PLAIN + b"\xff\xff"),
    "base64 without padding": base64.urlsafe_b64encode(PLAIN).rstrip(b"="),
    "base64 in base64": NESTED.encode(),
    "base64 of utf-16": base64.b64encode(b"1" + TEXT.encode("utf-16-le")),
    "gzip": gzip.compress(b"x" * 999 + PLAIN),
    "zlib": zlib.compress(PLAIN * 3),
    "zlib fast": zlib.compress(b"abc" + PLAIN, 1),
    "gzip in base64": base64.b64encode(gzip.compress(PLAIN)),
    "hex of gzip": gzip.compress(PLAIN).hex().encode(),
    "sha256": hashlib.sha256(PLAIN).digest(),
    "sha256 hex": hashlib.sha256(PLAIN).hexdigest().encode(),
    "sha256 base64": base64.b64encode(b"1" + hashlib.sha256(PLAIN).digest() + b"12"),
    "a cut gzip": gzip.compress(os.urandom(9000) + PLAIN + os.urandom(90000))[:60000],
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_planted_text_is_found_in_every_form(form: str) -> None:
    around = random.Random(7).randbytes(5000)
    assert SCANNER.names(around + b"\0" + WRITTEN[form] + b"\0" + around) == {"text"}, form


@pytest.mark.parametrize("written", [str(NUMBER).encode(), struct.pack("<q", NUMBER), struct.pack(">d", NUMBER)])
@pytest.mark.parametrize("wrap", [bytes, gzip.compress, base64.b64encode])
def test_a_planted_number_is_found_as_text_and_as_memory_holds_it(
    written: bytes, wrap: Callable[[bytes], bytes]
) -> None:
    assert "number" in SCANNER.names(b"\0\0\0" + wrap(b"\1" * 16 + written + b"\1" * 16))


def test_nothing_is_found_where_nothing_is() -> None:
    assert SCANNER.find(random.Random(3).randbytes(2_000_000)) == set()
    assert SCANNER.find(TEXT[:-1].encode() + b" " + str(NUMBER)[1:].encode()) == set()
