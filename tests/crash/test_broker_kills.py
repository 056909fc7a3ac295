"""Brokers that are killed at every boundary of a run: each goes on where it was, and the run comes to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import checks
from tests.crash.setting import ALL, KILLED, OWNERS, Scene, until

VICTIMS = [OWNERS, ("bank",), ("partner",)] if ALL else [OWNERS]
POINTS = ".*" if ALL else "after .*"


def nurse(scene: Scene, victims: tuple[str, ...]) -> None:
    """Start every victim that has died once more; it will not die at the same point again."""
    for party in victims:
        program = scene.programs[party]
        if not program.alive:
            assert program.process.returncode == KILLED, Path(program.log).read_text("utf-8")[-2000:]
            scene.start_broker(party, {"at": POINTS, "not": scene.points(party)})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_a_broker_killed_at_every_boundary_sees_the_run_through(scene, victims):
    scene.start_gateway()
    for party in OWNERS:
        scene.start_broker(party, {"at": POINTS if party in victims else "never"})
    run = scene.ask()

    def closed():
        nurse(scene, victims)
        return all(f"after commit sent closed/{run}" in scene.points(party) for party in victims)

    until(closed, "the victims to die at their last boundary", seconds=500)
    assert scene.state(run) == "done"
    for party in victims:
        died = scene.points(party)
        for part in ("keep nonce", "put_challenge", f"grant grant/{run}", "put_grant", f"settled end/{run}",
                     f"release release/{run}/overlap", "put_consent", "put_cosignature"):  # fmt: skip
            assert any(part in point for point in died), part
        assert len(set(died)) == len(died)
    checks.ends_well(scene, [run])


STEPS = {
    "posted": lambda scene, run: scene.row(run),
    "challenge": lambda scene, run: scene.rows("SELECT 1 FROM challenges WHERE nonce IS NOT NULL AND run = ?", run),
    "launched": lambda scene, run: scene.row(run)["launched"],
    "evidence": lambda scene, run: scene.row(run)["evidence"],
    "grant": lambda scene, run: scene.rows("SELECT 1 FROM run_objects WHERE grant_envelope IS NOT NULL AND run = ?", run),
    "running": lambda scene, run: scene.state(run) in ("running", "waiting-for-consent", "done"),
    "receipt": lambda scene, run: scene.row(run)["receipt"],
    "consent": lambda scene, run: scene.rows("SELECT 1 FROM consents WHERE envelope IS NOT NULL AND run = ?", run),
    "cosigned": lambda scene, run: scene.cosigned(run),
}  # fmt: skip


def test_brokers_killed_at_every_step_that_shows_see_the_run_through(scene):
    scene.start_gateway()
    run = scene.ask()
    for name, reached in STEPS.items():
        scene.start_brokers()
        until(lambda reached=reached: reached(scene, run), name)
        for party in OWNERS:
            scene.programs[party].kill()
    scene.start_brokers()
    until(lambda: scene.cosigned(run) == set(OWNERS), "both cosignatures")
    assert scene.state(run) == "done"
    checks.ends_well(scene, [run])


def test_a_second_broker_on_one_home_is_refused(scene):
    scene.start_gateway()
    scene.start_broker("bank")
    until(lambda: "answering" in scene.programs["bank"].log.read_text("utf-8"), "the first broker")
    status, said = scene.broker_once("bank")
    assert status == 3
    assert "another broker of this party is running" in said
    scene.programs["bank"].kill()
    assert scene.broker_once("bank")[0] == 0
