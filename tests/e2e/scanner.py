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

import numpy as np
import numpy.typing as npt

Value = str | int | float
DEPTH = 4
MOST_INFLATED = 64 << 20
LEAST = 6
"""Bytes of a form; shorter ones would be found by chance."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-f]{2}){12,}|(?:[0-9A-F]{2}){12,}")


class Scanner:
    """Finds any of the `values` (name -> text or number)."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._forms: dict[bytes, dict[bytes, tuple[str, str]]] = {}
        # Which three bytes any form begins with: one look-up per position, whatever the number of forms.
        self._starts = np.zeros(1 << 24, bool)
        for name, value in values.items():
            for form, data in forms(value):
                assert len(data) >= LEAST, (name, form)
                self._forms.setdefault(data[:3], {}).setdefault(data, (name, form))
                self._starts[int.from_bytes(data[:3], "big")] = True

    def find(self, data: bytes, depth: int = DEPTH) -> set[tuple[str, str]]:
        """(name, form) of everything found in `data`; forms inside of others are joined by `<`."""
        found: set[tuple[str, str]] = set()
        if len(data) < LEAST:
            return found
        octets = np.frombuffer(data, np.uint8).astype(np.int32)
        for at in np.flatnonzero(self._starts[octets[:-2] << 16 | octets[1:-1] << 8 | octets[2:]]).tolist():
            known = self._forms[data[at : at + 3]]
            found |= {what for form, what in known.items() if data.startswith(form, at)}
        if depth:
            for wrapping, inner in unwrapped(data, octets):
                found |= {(name, f"{form} < {wrapping}") for name, form in self.find(inner, depth - 1)}
        return found

    def names(self, data: bytes) -> set[str]:
        """The names alone."""
        return {name for name, _ in self.find(data)}


def forms(value: Value) -> Iterator[tuple[str, bytes]]:
    """(what form, bytes) of every way in which a value is looked for."""
    if isinstance(value, float):
        yield from (("float64", struct.pack(layout, value)) for layout in ("<d", ">d"))
    elif isinstance(value, int):
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


def unwrapped(data: bytes, octets: npt.NDArray[np.int32]) -> Iterator[tuple[str, bytes]]:
    """(what it was, content) of base64 and hex runs and of compressed streams in `data`."""
    for match in _BASE64.finditer(data):
        text = match.group().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(text) % 4 != 1:
            yield "base64", base64.b64decode(text + b"=" * (-len(text) % 4))
    for match in _HEX.finditer(data):
        yield "hex", binascii.unhexlify(match.group())
    first, second = octets[:-1], octets[1:]
    gzipped = (first == 0x1F) & (second == 0x8B)
    deflated = (first & 0x8F == 8) & ((first << 8 | second) % 31 == 0)
    for at in np.flatnonzero(gzipped | deflated).tolist():
        # 16 more tells the library that the stream is a gzip's.
        inflated = _inflate(data, at, 15 + 16 * int(gzipped[at]))
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
