"""Enclaves that lose a process: the run ends, what was granted stays charged, and nothing of the enclave goes on."""

from __future__ import annotations

import random

import pytest

from tests.crash import batch, checks
from tests.crash.programs import ALL, until
from tests.crash.setting import Scene
from tests.crash.template import OWNERS, RULES

LAUNCHED, ASSIGNED, ATTESTED = "after commit note guest", "after sending assign", "after commit put_evidence"
GRANTED, COMPUTING, SEALING = (
    "after sending object #3",
    "after receiving progress computing",
    "after receiving progress sealing",
)
FIRST_GRANT, FIRST_OFFER, RECEIPT = "after commit put_grant", "after commit add_offer", "after receiving receipt"
OFFERED = "after receiving offer #3"
TABLE = [
    # victim, where, state, grants of both owners, receipt
    ("gate", LAUNCHED, "done", 3, True),
    ("gate", ASSIGNED, "done", 3, True),
    ("gate", ATTESTED, "failed", None, False),
    ("gate", FIRST_GRANT, "failed", None, False),
    ("gate", GRANTED, "failed", 3, False),
    ("gate", COMPUTING, "failed", 3, False),
    ("gate", SEALING, None, 3, None),
    ("gate", FIRST_OFFER, None, 3, None),
    ("gate", OFFERED, None, 3, None),
    ("gate", RECEIPT, "done", 3, True),
    ("engine", ATTESTED, "failed", 3, True),
    ("engine", COMPUTING, "failed", 3, True),
    ("engine", SEALING, "done", 3, True),
    ("zygote", ATTESTED, "failed", 3, True),
    ("zygote", COMPUTING, "failed", 3, True),
    ("zygote", SEALING, "done", 3, True),
]
"""None where it depends on who is faster: an owner that grants, a gate whose last words were on their way.

A gate that died before evidence has met nobody, and another one serves the run.
"""
OFTEN = [row for row in TABLE if row[:2] in (("gate", LAUNCHED), ("gate", COMPUTING), ("engine", COMPUTING))]
KILLS = 2


def play(scene: Scene, victim: str, point: str, rules: tuple[str, ...]) -> str:
    """One run whose enclave loses a process at a point; nothing of the enclave is left."""
    struck = len(scene.struck("gateway"))
    scene.plan("gateway", {"at": point, "victim": victim})
    run = scene.ask(rules)
    scene.ended(run)
    until(lambda: scene.row(run)["receipt"] is None or scene.cosigned(run) == set(OWNERS), "cosignatures")
    found = scene.struck("gateway")[struck:]
    assert [item["point"] for item in found] == [point]
    checks.enclave_is_gone(found[0]["pids"])
    return run


def grants(scene: Scene, run: str) -> int:
    return len(scene.rows("SELECT 1 FROM run_objects WHERE grant_envelope IS NOT NULL AND run = ?", run))


@pytest.mark.timeout(900)
def test_a_run_whose_enclave_loses_a_process_ends_in_a_clear_state(scene, table):
    scene.start_gateway({"at": "never"})
    scene.start_brokers()
    runs = []
    for victim, point, state, granted, receipt in TABLE if ALL else OFTEN:
        run = play(scene, victim, point, RULES)
        runs.append(run)
        said = (scene.state(run), grants(scene, run), scene.row(run)["receipt"] is not None)
        table.append((victim, point, f"{said[0]}, {said[1]} grants, {'a' if said[2] else 'no'} receipt"))
        for expected, found in zip((state, granted, receipt), said, strict=True):
            assert expected in (None, found), (victim, point, said)
    checks.ends_well(scene, runs)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not ALL, reason="the whole table runs with SEALROOM_CRASH=all")
@pytest.mark.parametrize("victim", ["gate", "engine", "zygote"])
def test_a_run_of_hidden_code_whose_enclave_loses_a_process_ends_in_a_clear_state(scene, table, victim):
    scene.start_gateway({"at": "never"})
    scene.start_brokers()
    run = play(scene, victim, COMPUTING, ("audience",))
    table.append((victim, f"{COMPUTING}, opaque code", scene.state(run)))
    assert scene.state(run) == "failed"
    checks.ends_well(scene, [run])


@pytest.mark.timeout(600)
@pytest.mark.skipif(ALL, reason="the whole table is followed by all kills of `random_kills`")
def test_whatever_is_killed_nothing_is_lost_doubled_or_under_charged(scene):
    """The first kills of a batch of `random_kills`, played by the same code."""
    kills = []
    batch.play(scene, random.Random("sample"), KILLS, kills)
    assert len(kills) == KILLS
