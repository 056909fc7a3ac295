"""A whole run over blocks through the gate itself: hidden code that does all it can, and what anybody sees of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sealroom.protocol import bundle, release, terms
from sealroom.protocol.rules import Cost
from tests import parties
from tests.gate import world
from tests.hostile_parties import room
from tests.jail.zygotes import Zygote

BLOCKS = b'{"format":"sealroom/bundle/v1","lane":"blocks","entry":"job:run"}'
HONEST = b"def run(tables, ask):\n    return [0.1, len(tables['block']) / 10]\n"
HOSTILE = b"""
import ctypes, hashlib, os, time
from sealroom.enclave.jail import harness
import numpy as np

def run(tables, ask):
    what = hashlib.blake2b(tables["block"].to_csv().encode()).digest()[0] % 8
    if what == 0:
        time.sleep(99)
    if what == 1:
        while True:
            pass
    if what == 2:
        os._exit(77)
    if what == 3:
        return ctypes.string_at(0)
    if what == 4:
        return [float("nan"), 1e300]
    if what == 5:
        return list(range(10_000))
    if what == 6:
        return bytearray(1 << 40)
    harness.check = lambda *_: np.array([1e300, -1e300])
    return None
"""


@dataclasses.dataclass(frozen=True)
class Ran:
    """One run: what the host saw, and what the recipient opened."""

    host: room.Host
    opened: dict[str, Any]


def ran(jailer: Zygote, code: bytes) -> Ran:
    document = parties.with_estimate(parties.agreement_json(room.MEMBERS), at_once=2, block_milliseconds=200)
    changes = {key: document[key] for key in ("bundles", "purses", "rules")}
    payload = {"fit": ("bundle", bundle.build({"bundle.json": BLOCKS, "job.py": code}))}
    limits = room.LIMITS | {"wall_time": 60}
    played = room.play(("drivers",), payload, limits=limits, **changes)
    host = room.Host(jailer)
    receipt = host.finish(played)
    assert receipt.status == "completed"
    assert [(result.rule, result.outcome) for result in receipt.results] == [("drivers", "offered")]
    assert world.reasons_for(receipt, room.MEMBERS["partner"]) == {}
    [(offer, ciphertext)] = host.offers()
    assert (offer.rule_type, offer.guarantee, offer.cost) == ("vector_estimate", "F", Cost(epsilon=1_000_000, bits=0))
    assert offer.affected == ("partner",)
    rule = played.agreement.rule("drivers")
    assert offer.size == terms.padded_size(played.agreement, rule) + release.LOCK_OVERHEAD
    share = release.open_share(offer, "partner", room.MEMBERS["partner"].sealing)
    text = release.open_release(offer, ciphertext, {"partner": share}, room.MEMBERS["bank"].sealing)
    return Ran(host, json.loads(text))


@pytest.mark.slow
def test_code_that_does_all_it_can_leaves_what_honest_code_leaves_but_for_the_numbers(jailer: Zygote) -> None:
    honest, hostile = ran(jailer, HONEST), ran(jailer, HOSTILE)
    for found in (honest, hostile):
        assert set(found.opened) == {"blocks", "epsilon_millionths", "estimate"}
        assert [item["name"] for item in found.opened["estimate"]] == ["age", "level"]
    # No block of the hostile code gave a vector: the middle of each box is within reach of the noise.
    for item, middle, width in zip(hostile.opened["estimate"], (100_000, 500_000), (600_000, 1_000_000), strict=True):
        assert abs(item["millionths"] - middle) < width / 2
        assert "failed" not in item
    # Messages, their order and their sizes are the same, so that the host cannot tell either.
    assert room.shape(honest.host) == room.shape(hostile.host)
