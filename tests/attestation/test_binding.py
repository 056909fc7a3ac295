"""Report data binds every part of a run, each in its own place."""

from __future__ import annotations

import pytest

from sealroom.attestation.binding import report_data
from sealroom.protocol.errors import UsageError

GOOD = {
    "nonces": {"bank": "01" * 32, "partner": "02" * 32, "third": "03" * 32},
    "gate_sealing_key": b"s" * 1216,
    "gate_signing_key": b"k" * 32,
    "agreement_id": "0a" * 32,
    "agreement_version": "0b" * 32,
    "request": "0c" * 32,
    "checkpoint": "0d" * 32,
}
CHANGES = [
    {"nonces": {"bank": "01" * 32, "partner": "02" * 32}},
    {"nonces": {"bank": "02" * 32, "partner": "01" * 32, "third": "03" * 32}},
    {"gate_sealing_key": b"s" * 1215 + b"t"},
    {"gate_signing_key": b"j" * 32},
    {"gate_sealing_key": b"s" * 1215, "gate_signing_key": b"s" + b"k" * 32},
    {"agreement_id": "0b" * 32, "agreement_version": "0a" * 32},
    {"request": "1c" * 32},
    {"checkpoint": "1d" * 32},
]


def test_it_is_64_bytes_and_does_not_depend_on_the_order_of_the_parties():
    swapped = dict(reversed(GOOD["nonces"].items()))
    assert len(report_data(**GOOD)) == 64
    assert report_data(**{**GOOD, "nonces": swapped}) == report_data(**GOOD)


@pytest.mark.parametrize("change", CHANGES)
def test_every_part_and_its_place_changes_it(change):
    assert report_data(**{**GOOD, **change}) != report_data(**GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"nonces": {}},
        {"nonces": {"bank": "00" * 32}},
        {"nonces": {"bank": ""}},
        {"nonces": {"bank": "01" * 31}},
        {"nonces": {"bank": "0A" * 32}},
        {"nonces": {"": "01" * 32}},
        {"gate_sealing_key": b""},
        {"gate_signing_key": b""},
        {"request": "zz" * 32},
        {"checkpoint": ""},
    ],
)
def test_a_missing_or_misshapen_part_is_refused(change):
    with pytest.raises(UsageError):
        report_data(**{**GOOD, **change})
