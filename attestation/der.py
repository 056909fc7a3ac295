"""A strict reader for the little DER that certificates and revocation lists are made of (X.690 §10, RFC 5280).

Runs in: parties.   Believes: nothing.   Spec: §6.

Our own, because every genuine AMD endorsement certificate has serial number 0, which `cryptography` announces to
refuse, and because AMD puts raw bytes where an extension should hold DER.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from sealroom.protocol.errors import Malformed

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
_CONTEXT = 0xA0
MOST_NUMBER = 64
"""Bytes of an integer or object identifier: serial numbers have up to 20. More would take long to write out."""


def context(number: int) -> int:
    """The tag byte of an explicitly tagged field."""
    return _CONTEXT | number


class Element(NamedTuple):
    """One element: its tag byte, its content, and `raw`, the bytes it was read from with tag and length."""

    tag: int
    content: bytes
    raw: bytes


class Reader:
    """Reads elements in order from `data`; each method moves on by one element."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self._data = data
        self._at = 0

    def peek(self) -> int | None:
        """The next tag byte, or None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def element(self, tag: int) -> Element:
        """The next element, which must have this tag.

        Raises:
            Malformed: another tag, a length that is not minimal, or too few bytes.
        """
        data, start = self._data, self._at
        if data[start : start + 1] != bytes((tag,)):
            raise Malformed("der", f"expected an element with tag 0x{tag:02x}")
        length, at = self._length(start + 1)
        end = at + length
        if end > len(data):
            raise Malformed("der", "an element is longer than what holds it")
        self._at = end
        return Element(tag, data[at:end], data[start:end])

    def optional(self, tag: int) -> Element | None:
        """The next element if it has this tag."""
        return self.element(tag) if self.peek() == tag else None

    def inside(self, tag: int = SEQUENCE) -> Reader:
        """A reader for the content of the next element."""
        return Reader(self.element(tag).content)

    def end(self) -> None:
        """Refuse anything further.

        Raises:
            Malformed: bytes are left.
        """
        if self._at != len(self._data):
            raise Malformed("der", "bytes follow the last field")

    def _length(self, at: int) -> tuple[int, int]:
        if at >= len(self._data):
            raise Malformed("der", "an element is cut short")
        first = self._data[at]
        if first < 0x80:
            return first, at + 1
        size = first & 0x7F
        digits = self._data[at + 1 : at + 1 + size]
        value = int.from_bytes(digits, "big")
        # One spelling only: no indefinite length, no leading zero, no long form where the short one fits.
        if not 1 <= size <= 3 or len(digits) != size or value < 0x80 or digits[0] == 0:
            raise Malformed("der", "a length is not in its shortest form")
        return value, at + 1 + size


def whole(data: bytes, tag: int) -> bytes:
    """The content of the single element that `data` must be.

    Raises:
        Malformed: it is not, or something follows.
    """
    reader = Reader(data)
    content = reader.element(tag).content
    reader.end()
    return content


def integer(content: bytes) -> int:
    """A non-negative integer from its content bytes.

    Raises:
        Malformed: empty, negative, with a superfluous leading byte, or longer than any that is needed.
    """
    if len(content) > MOST_NUMBER:
        raise Malformed("der", f"an integer has more than {MOST_NUMBER} bytes")
    if not content or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and content[1] < 0x80):
        raise Malformed("der", "an integer is negative or not in its shortest form")
    return int.from_bytes(content, "big")


def boolean(content: bytes) -> bool:
    """A boolean from its content byte (0x00 or 0xff, X.690 §11.1).

    Raises:
        Malformed: another byte or length.
    """
    if content not in (b"\x00", b"\xff"):
        raise Malformed("der", "a boolean is neither 0x00 nor 0xff")
    return content == b"\xff"


def octets(content: bytes) -> bytes:
    """The bytes of a BIT STRING that has no unused bits.

    Raises:
        Malformed: it has some, or is empty.
    """
    if content[:1] != b"\x00":
        raise Malformed("der", "a bit string has unused bits")
    return content[1:]


def text(element: Element) -> str:
    """The text of a character string, safe to show.

    Raises:
        Malformed: bytes outside its alphabet, or characters that could disguise what is shown.
    """
    try:
        found = element.content.decode("utf-8" if element.tag == UTF8_STRING else "ascii")
    except UnicodeDecodeError as error:
        raise Malformed("der", "a text has bytes outside its alphabet") from error
    if not found.isprintable():
        raise Malformed("der", "a text has characters that cannot be shown")
    return found


def moment(reader: Reader) -> int:
    """The next element as a time, in seconds since 1970 (RFC 5280 §4.1.2.5: UTC, with seconds, without fractions).

    Raises:
        Malformed: another type or spelling.
    """
    short = reader.optional(UTC_TIME)
    content = short.content if short else reader.element(GENERALIZED_TIME).content
    digits = content[:-1]
    if content[-1:] != b"Z" or not digits.isdigit() or len(digits) != (12 if short else 14):
        raise Malformed("der", "a time is not in the form that certificates use")
    century = b"" if not short else b"19" if digits >= b"50" else b"20"
    year, numbers = (century + digits)[:4], (century + digits)[4:]
    month, day, hour, minute, second = (int(numbers[place : place + 2]) for place in range(0, 10, 2))
    try:
        return int(dt.datetime(int(year), month, day, hour, minute, second, tzinfo=dt.UTC).timestamp())
    except ValueError as error:
        raise Malformed("der", "a time does not exist") from error


def oid(content: bytes) -> str:
    """An object identifier in dotted form.

    Raises:
        Malformed: cut short, with a superfluous leading byte, or longer than any that is needed.
    """
    if len(content) > MOST_NUMBER:
        raise Malformed("der", f"an object identifier has more than {MOST_NUMBER} bytes")
    arcs, value, started = [], 0, False
    for byte in content:
        if byte == 0x80 and not started:
            raise Malformed("der", "an object identifier is not in its shortest form")
        value, started = (value << 7) | (byte & 0x7F), True
        if byte < 0x80:
            arcs.append(value)
            value, started = 0, False
    if started or not arcs:
        raise Malformed("der", "an object identifier is cut short")
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, [top, arcs[0] - 40 * top, *arcs[1:]]))
