"""Looks for known values in bytes, in every form in which they might have been written down.

Beside the value itself: lower and upper case, UTF-16, hex, base64 and base64url at every alignment, the SHA-256 of the
value (a hash of an identifier is as good as the identifier), integers as eight bytes and as a float. Inflates gzip and
zlib streams and decodes base64 and hex runs that it comes across, and looks inside again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping

DEPTH = 4
MOST_INFLATED = 64 << 20
LEAST = 6
"""Bytes of a form; shorter ones would be found by chance."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-f]{2}){12,}|(?:[0-9A-F]{2}){12,}")
_DEFLATED = re.compile(rb"\x1f\x8b\x08|[\x08-\x78][\x01-\xff]", re.DOTALL)


class Scanner:
    """Finds any of the `values` (name -> text or whole number)."""

    def __init__(self, values: Mapping[str, str | int]) -> None:
        self._names: dict[bytes, tuple[str, str]] = {}
        for name, value in values.items():
            for form, data in forms(value):
                assert len(data) >= LEAST, (name, form)
                self._names.setdefault(data, (name, form))
        # One alternation is searched faster than many patterns; the longest first, so that forms are told apart.
        ordered = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(data) for data in ordered))

    def find(self, data: bytes, depth: int = DEPTH) -> set[tuple[str, str]]:
        """(name, form) of everything found in `data`; forms inside of others are joined by `<`."""
        found = {self._names[match.group()] for match in self._pattern.finditer(data)}
        if depth:
            for wrapping, inner in unwrapped(data):
                found |= {(name, f"{form} < {wrapping}") for name, form in self.find(inner, depth - 1)}
        return found

    def names(self, data: bytes) -> set[str]:
        """The names alone."""
        return {name for name, _ in self.find(data)}


def forms(value: str | int) -> Iterator[tuple[str, bytes]]:
    """(what form, bytes) of every way in which a value is looked for."""
    if isinstance(value, int):
        for form, layout in (
            ("int64", "<q"),
            ("int64 big-endian", ">q"),
            ("float64", "<d"),
            ("float64 big-endian", ">d"),
        ):
            yield form, struct.pack(layout, value)
    text = str(value)
    for spelling in dict.fromkeys((text, text.lower(), text.upper())):
        plain = spelling.encode()
        yield "text", plain
        for encoding in ("utf-16-le", "utf-16-be"):
            yield encoding, spelling.encode(encoding)
        for name, data in (("", plain), ("sha256 ", hashlib.sha256(plain).digest())):
            if name:
                yield name.strip(), data
            yield f"{name}hex", data.hex().encode()
            yield f"{name}hex", data.hex().upper().encode()
            for inner in (data, *([spelling.encode("utf-16-le")] if not name else [])):
                yield from ((f"{name}base64", part) for part in base64_parts(inner))


def base64_parts(data: bytes) -> Iterator[bytes]:
    """What is in the base64 and base64url of any text around `data`, whatever stands before and behind it."""
    for shift in range(3):
        usable = (len(data) + shift) // 3 * 3 - shift
        encoded = base64.b64encode(bytes(shift) + data[:usable])
        # The first characters hold bits of what stands before.
        part = encoded[(0, 2, 3)[shift] :]
        yield part
        yield part.translate(bytes.maketrans(b"+/", b"-_"))


def unwrapped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(what it was, content) of base64 and hex runs and of compressed streams in `data`."""
    for match in _BASE64.finditer(data):
        text = match.group().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(text) % 4 != 1:
            yield "base64", base64.b64decode(text + b"=" * (-len(text) % 4))
    for match in _HEX.finditer(data):
        yield "hex", binascii.unhexlify(match.group())
    for match in _DEFLATED.finditer(data):
        head = match.group()
        if len(head) == 3 or (head[0] & 15 == 8 and (head[0] * 256 + head[1]) % 31 == 0):
            inflated = _inflate(data, match.start(), 31 if len(head) == 3 else 15)
            if inflated:
                yield "compressed", inflated


def _inflate(data: bytes, start: int, bits: int) -> bytes:
    """Everything up to the end or to the first fault; most candidates are chance, and end at once."""
    stream, out, at = zlib.decompressobj(bits), bytearray(), start
    try:
        while not stream.eof and at < len(data) and len(out) < MOST_INFLATED:
            out += stream.decompress(data[at : at + 4096], MOST_INFLATED - len(out))
            at += 4096
    except zlib.error:
        # Chance yields a few bytes at most, which hold no form.
        return bytes(out) if len(out) >= LEAST else b""
    return bytes(out)
