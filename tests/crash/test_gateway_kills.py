"""Gateways that are killed at commits, files and messages of a run: the run resumes, or ends and says how."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sealroom.protocol import wire
from tests.crash import checks
from tests.crash.programs import ALL, KILLED, until
from tests.crash.setting import Scene
from tests.crash.template import OWNERS, RULES

RESUMES = (
    "after commit (add|put_challenge .*|note guest|add_receipt .*|note gone|put_consent .*|put_cosignature .*)"
    "|after receiving evidence"
)
"""Before evidence is shown a run goes back to the queue, at most twice; after the receipt nothing is lost."""
FAILS = "after commit (put_evidence|put_grant|add_offer)|before commit add_receipt .*"
"""In between, keys may have gone to an enclave that nobody can find again."""


class Keeper:
    """Starts the gateway again whenever it has died, never to die at the same point twice."""

    def __init__(self, scene: Scene, at: str) -> None:
        self.scene, self.at = scene, at
        scene.start_gateway({"at": at})
        scene.start_brokers()

    @property
    def points(self) -> list[str]:
        return self.scene.points("gateway")

    def ask(self, rules: tuple[str, ...]) -> str:
        return self.scene.ask(rules, unanswered=self.look)

    def look(self) -> None:
        """Start it again if it has died."""
        program = self.scene.programs["gateway"]
        if not program.alive:
            assert program.process.returncode == KILLED, Path(program.log).read_text("utf-8")[-2000:]
            self.scene.start_gateway({"at": self.at, "not": self.points}, wait=False)

    def rest(self) -> None:
        """Kill it once more, and leave it alone from now on."""
        self.scene.programs["gateway"].kill()
        self.scene.start_gateway()

    def ended(self, run: str) -> str:
        """Keep the gateway up until a run has ended, and both owners have cosigned its receipt if it has one."""

        def settled() -> bool:
            self.look()
            row = self.scene.row(run)
            cosigned = row["receipt"] is None or self.scene.cosigned(run) == set(OWNERS)
            return row["state"] in wire.RUN_FINAL_STATES and cosigned and self.scene.programs["gateway"].alive

        until(settled, f"the end of run {run[:8]}", seconds=200)
        return self.scene.state(run)


@pytest.mark.timeout(400)
def test_a_run_outlives_a_gateway_that_dies_before_evidence_or_after_the_receipt(scene, table):
    keeper = Keeper(scene, RESUMES)
    run = keeper.ask(RULES)
    assert keeper.ended(run) == "done", (keeper.points, keeper.scene.said("gateway"))
    died = " ".join(keeper.points)
    for part in ("add", "challenge bank", "challenge partner", "guest", "evidence", "receipt", "consent", "cosig"):
        assert part in died
    table += [("gateway", point, "resumes: done") for point in keeper.points]
    keeper.rest()
    checks.ends_well(scene, [run])


@pytest.mark.timeout(600)
def test_a_run_fails_if_its_gateway_dies_between_evidence_and_receipt(scene, table):
    keeper = Keeper(scene, FAILS)
    runs = []
    while not runs or len(keeper.points) == len(runs):
        runs.append(keeper.ask(("overlap",)))
        state = keeper.ended(runs[-1])
    assert state == "done", "the last run met no point at which the gateway had not died before"
    assert len(runs) == 5
    assert [scene.state(run) for run in runs[:-1]] == ["failed"] * len(keeper.points)
    table += [("gateway", point, "failed, unresolved if granted") for point in keeper.points]
    keeper.rest()
    checks.ends_well(scene, runs)


def test_nobody_can_grant_to_an_enclave_whose_gateway_has_died(scene):
    """Also not while the gateway that came back still clears up: the processor does not answer it here."""
    scene.start_gateway({"at": "after commit put_evidence"})
    run = scene.ask()
    for party in OWNERS:
        assert scene.broker_once(party)[0] == 0
    until(lambda: not scene.programs["gateway"].alive, "the gateway's death")
    assert scene.state(run) == "waiting-for-grants"
    scene.template.cpu.process.send_signal(signal.SIGSTOP)
    try:
        scene.start_gateway()
        assert [scene.broker_once(party)[0] for party in OWNERS] == [0, 0]
    finally:
        scene.template.cpu.process.send_signal(signal.SIGCONT)
    assert scene.state(run) == "failed"
    for party in OWNERS:
        with scene.ledger(party) as ledger:
            assert ledger.entries() == []
    checks.ends_well(scene, [run])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not ALL, reason="the whole table runs with SEALROOM_CRASH=all")
def test_a_gateway_killed_at_every_point_leaves_every_run_in_a_clear_state(scene, table):
    keeper = Keeper(scene, "(?!.*(take_nonce|reply|end) #).*")  # of what happens all the time, once is enough
    runs, met = [], -1
    while len(keeper.points) > met:
        met = len(keeper.points)
        runs.append(keeper.ask(RULES))
        state = keeper.ended(runs[-1])
        table += [("gateway", point, state) for point in keeper.points[met:]]
    assert state == "done"
    assert len(keeper.points) > 40
    keeper.rest()
    checks.ends_well(scene, runs)
