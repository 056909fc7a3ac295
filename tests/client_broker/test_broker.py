"""A broker does its part in a run of three parties, and nothing that was not agreed."""

from __future__ import annotations

import pytest

from sealroom.client import collect
from tests.client_broker.world import TEXTS, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def kinds(events):
    return [event.kind for event in events]


def test_a_run_goes_from_request_to_final_receipt(world):
    run = world.ask("overlap", "quality", "audience")
    events = world.play()
    assert [e for e in events if e.error] == []
    assert kinds(events).count("challenged") == 2
    assert kinds(events).count("granted") == 3
    assert kinds(events).count("released") == 5
    assert kinds(events).count("cosigned") == 2
    assert set(world.gateway.gate.opened.values()) == {item.key for item in world.objects.values()}
    got = collect.collect(world.homes["compliance"], world.gateway, run)
    assert got.verified.final
    assert [item.path.read_bytes() for item in got.opened] == [TEXTS["overlap"]]
