"""The host's table of certificates is read within its bounds, or refused."""

from __future__ import annotations

import uuid

import pytest

from sealroom.attestation.snp import cert_table
from sealroom.attestation.snp.cert_table import ARK, ASK, CRL, VCEK
from sealroom.protocol.errors import Malformed

GOOD = {VCEK: b"vcek", ASK: b"ask", ARK: b"ark", CRL: b"list"}


def entry(name: uuid.UUID, start: int, size: int) -> bytes:
    return name.bytes_le + start.to_bytes(4, "little") + size.to_bytes(4, "little")


def test_a_table_survives_writing_and_reading():
    assert cert_table.parse(cert_table.serialise(GOOD)) == GOOD


def test_padding_of_zeros_and_unknown_entries_are_read():
    other = uuid.UUID(int=5)
    assert cert_table.parse(cert_table.serialise({other: b"x"}) + bytes(100)) == {other: b"x"}


def test_the_guid_is_written_in_mixed_endian_order():
    assert cert_table.serialise({VCEK: b"x"})[:16].hex() == "8d75da6364e66445adc5f4b93be8accd"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(23),
        entry(VCEK, 48, 1),
        entry(VCEK, 48, 1) + bytes(24),
        entry(VCEK, 48, 2) + bytes(24) + b"x",
        entry(VCEK, 40, 9) + bytes(24) + b"x",
        entry(VCEK, 48, 0) + bytes(24),
        entry(VCEK, 72, 1) + entry(VCEK, 73, 1) + bytes(24) + b"xy",
        entry(VCEK, 72, 2) + entry(ASK, 73, 1) + bytes(24) + b"xy",
        entry(VCEK, 48, 1) + bytes(24) + b"xy",
        entry(VCEK, 49, 1) + bytes(24) + b"xy",
        b"".join(entry(uuid.UUID(int=n), 24 * 17 + n, 1) for n in range(1, 17)) + bytes(24) + b"x" * 17,
    ],
)
def test_a_table_that_is_cut_short_overlaps_or_hides_bytes_is_refused(data):
    with pytest.raises(Malformed) as refusal:
        cert_table.parse(data)
    assert refusal.value.code == "E1.cert-table"


def test_a_huge_table_is_refused():
    with pytest.raises(Malformed) as refusal:
        cert_table.parse(bytes(cert_table.MOST_BYTES + 1))
    assert refusal.value.code == "E1.too-large"
