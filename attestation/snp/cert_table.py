"""The table of certificates that a host puts beside a report (configfs-tsm `auxblob`; AMD 56421 §4.1.8.1).

Runs in: gate.   Believes: nothing.   Spec: §6.

The table is the host's word. It only saves a download: what it holds is checked like any other certificate.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sealroom.protocol.errors import Malformed

ENTRY = 24
MOST_ENTRIES = 16
MOST_BYTES = 1 << 17

VCEK = uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd")
VLEK = uuid.UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
ASK = uuid.UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782")
"""The intermediate, ASK or ASVK."""
ARK = uuid.UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae")
CRL = uuid.UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea")


def parse(data: bytes) -> dict[uuid.UUID, bytes]:
    """The entries by their GUID; those that this project has no use for are among them.

    Raises:
        Malformed: no end mark, too many entries, one that repeats, overlaps or leaves the table, or bytes in no entry.
    """
    if len(data) > MOST_BYTES:
        raise Malformed("too-large", f"the certificate table has {len(data)} bytes, {MOST_BYTES} are allowed")
    found: dict[uuid.UUID, bytes] = {}
    extents: list[tuple[int, int]] = []
    for at in range(0, MOST_ENTRIES * ENTRY, ENTRY):
        entry = data[at : at + ENTRY]
        if len(entry) < ENTRY:
            raise Malformed("cert-table", "the certificate table has no end mark")
        if not any(entry):
            _check_extents(data, at + ENTRY, extents)
            return found
        name = uuid.UUID(bytes_le=entry[:16])
        start, size = int.from_bytes(entry[16:20], "little"), int.from_bytes(entry[20:], "little")
        if name in found:
            raise Malformed("cert-table", f"the certificate table names {name} twice")
        found[name] = data[start : start + size]
        extents.append((start, size))
    raise Malformed("cert-table", f"the certificate table has more than {MOST_ENTRIES - 1} entries")


def serialise(certificates: Mapping[uuid.UUID, bytes]) -> bytes:
    """The table with these entries in their order; the inverse of `parse`."""
    at = ENTRY * (len(certificates) + 1)
    head, body = b"", b""
    for name, data in certificates.items():
        head += name.bytes_le + (at + len(body)).to_bytes(4, "little") + len(data).to_bytes(4, "little")
        body += data
    return head + bytes(ENTRY) + body


def _check_extents(data: bytes, body: int, extents: list[tuple[int, int]]) -> None:
    """Entries lie behind the head, do not overlap, and what is between or behind them is padding of zeros."""
    at = body
    for start, size in sorted(extents):
        if start < at or size == 0 or start + size > len(data):
            raise Malformed("cert-table", "an entry of the certificate table is empty, overlaps or leaves the table")
        if any(data[at:start]):
            raise Malformed("cert-table", "the certificate table has bytes that belong to no entry")
        at = start + size
    if any(data[at:]):
        raise Malformed("cert-table", "the certificate table has bytes that belong to no entry")
