"""Owners whose payloads are not what they declared: a closed status, a reason for owners, nothing for the host."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from sealroom.protocol import canonical, release
from sealroom.protocol.errors import NotReleased
from tests.gate import world
from tests.hostile_parties import room
from tests.jail.zygotes import Zygote

LINES = room.customers()
Change = dict[str, tuple[str, bytes]]


def bank(*lines: str, header: str = room.CUSTOMERS) -> Change:
    """The bank's table with other lines."""
    return {"customers": ("csv", room.csv(header, lines or LINES))}


def parquet(media: str = "parquet", **columns: Any) -> Change:
    """The bank's table in Parquet, with some columns replaced."""
    cells = list(zip(*(line.split(",") for line in LINES), strict=True))
    table = dict(zip(room.CUSTOMERS.split(","), map(list, cells), strict=True)) | columns
    out = io.BytesIO()
    pa.parquet.write_table(pa.table(table), out, compression="zstd", write_statistics=False)
    return {"customers": (media, out.getvalue())}


REFUSED: dict[str, tuple[Change, str]] = {
    "more-rows-than-agreed": (bank(*room.customers(1001)), "E5.reader-error"),
    "an-entity-twice": (bank(*LINES, LINES[7]), "E5.load-duplicate-entity"),
    "an-entity-missing": (bank(*LINES, LINES[7].replace("B7,", ",")), "E5.load-duplicate-entity"),
    "an-entity-empty": (bank(*LINES, LINES[7].replace("B7,", '"",')), "E5.load-duplicate-entity"),
    "a-column-missing": (bank(header=room.CUSTOMERS.replace("balance", "balances")), "E5.reader-error"),
    "a-column-twice": (bank(header=room.CUSTOMERS.replace("phone", "email")), "E5.reader-error"),
    "csv-under-the-name-of-parquet": ({"customers": ("parquet", bank()["customers"][1])}, "E5.reader-error"),
    "parquet-under-the-name-of-arrow": (parquet("arrow"), "E5.reader-error"),
    "a-compressed-bomb": (parquet(email=["a" * (300 << 20), *"b" * (room.ROWS - 1)]), "E5.reader-out-of-memory"),
    "more-text-than-its-bytes-allow": (parquet(email=["a" * 80_000] * room.ROWS), "E5.reader-bad-output"),
    "a-bundle-that-is-no-archive": ({"segments": ("bundle", b"PK\x03\x04" + bytes(2000))}, "E1.bad-header"),
    "a-whole-bundle-for-a-query": ({"segments": ("bundle", room.whole_bundle())}, "E5.bundle-lane"),
}
WITHHELD: dict[str, tuple[Change, dict[str, str]]] = {
    "a-query-for-a-whole-bundle": (
        {"model": ("bundle", room.query_bundle())},
        {"audience": "job-import-error"},
    ),
    "a-label-that-is-not-declared": (
        {"segments": ("bundle", room.query_bundle(room.QUERY.replace(b"rich", b"poor")))},
        {"by-segment": "undeclared-label"},
    ),
    "a-query-for-an-identifier": (
        {"segments": ("bundle", room.query_bundle(room.QUERY.replace(b".balance", b".email")))},
        {"by-segment": "bad-query"},
    ),
    "a-query-for-an-entity-id": (
        {"segments": ("bundle", room.query_bundle(room.QUERY.replace(b"customers.balance", b"prospects.partner_id")))},
        {"by-segment": "bad-query"},
    ),
    "a-query-nested-without-end": (
        {"segments": ("bundle", room.query_bundle(b"[" * 100_000))},
        {"by-segment": "bad-query"},
    ),
    "an-outcome-of-one-value": (
        bank(*(line.replace("yes", "no") for line in LINES)),
        {"audience": "seed-too-small"},
    ),
    "an-outcome-outside-its-domain": (
        bank(*(line.replace("yes", "YES") for line in LINES)),
        {"audience": "seed-too-small"},
    ),
}
RULES = ("overlap", "by-segment", "audience")


def run(jailer: Zygote, payloads: Change) -> tuple[world.Play, room.Host]:
    played = room.play(RULES, payloads)
    host = room.Host(jailer)
    host.finish(played)
    return played, host


@pytest.fixture(scope="module")
def honest(jailer: Zygote) -> tuple[world.Play, room.Host]:
    return run(jailer, {})


def test_the_honest_payloads_release(honest: tuple[world.Play, room.Host]) -> None:
    played, host = honest
    assert host.receipt().status == "completed"
    assert world.reasons_for(host.receipt(), played.members["bank"]) == {}
    offer, data = host.offers()[0]
    shares = {name: release.open_share(offer, name, played.members[name].sealing) for name in offer.affected}
    opened = canonical.decode(release.open_release(offer, data, shares, played.members["bank"].sealing), most=1 << 20)
    assert abs(opened["count"] - room.ROWS // 2) <= 40


def owners_learn_and_nobody_else(played: world.Play, host: room.Host, reasons: dict[str, str]) -> None:
    """Both data owners find the reasons; the operator has none sealed to it, and the host has seen no code."""
    receipt = host.receipt()
    assert set(receipt.reasons) == {"bank", "partner"}
    for name in ("bank", "partner"):
        assert world.reasons_for(receipt, played.members[name]) == reasons
    for code in reasons.values():
        assert code.encode() not in host.everything_seen()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_payload_that_cannot_be_used_ends_the_run(jailer: Zygote, name: str) -> None:
    payloads, code = REFUSED[name]
    played, host = run(jailer, payloads)
    assert host.receipt().status == "refused"
    assert host.offers() == []
    owners_learn_and_nobody_else(played, host, {"*": code})
    assert room.shape(host) == room.shape(stopped(played))


def stopped(played: world.Play) -> world.Host:
    """What a host sees when a run is refused for another reason."""
    host = world.Host(error=NotReleased("another", "reason"))
    host.finish(played)
    return host


@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_a_payload_that_one_rule_cannot_use_costs_that_rule(jailer: Zygote, name: str) -> None:
    payloads, reasons = WITHHELD[name]
    played, host = run(jailer, payloads)
    assert host.receipt().status == "completed"
    assert {r.rule for r in host.receipt().results if r.outcome == "withheld"} == set(reasons)
    owners_learn_and_nobody_else(played, host, reasons)
