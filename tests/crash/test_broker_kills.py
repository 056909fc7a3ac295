"""Brokers that are killed at every boundary of a run: each goes on where it was, and the run comes to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import checks
from tests.crash.programs import ALL, KILLED, until
from tests.crash.setting import Scene
from tests.crash.template import OWNERS

VICTIMS = [OWNERS, ("bank",), ("partner",)] if ALL else [OWNERS]
POINTS = ".*" if ALL else "after (commit (keep (nonce|cosig)|grant|settled|release|sent closed).*|put_.*)"
"""By default one point for each thing that stays; all in all also those right before, and what only saves time."""


def nurse(scene: Scene, victims: tuple[str, ...]) -> None:
    """Start every victim that has died once more; it will not die at the same point again."""
    for party in victims:
        program = scene.programs[party]
        if not program.alive:
            assert program.process.returncode == KILLED, Path(program.log).read_text("utf-8")[-2000:]
            scene.start_broker(party, {"at": POINTS, "not": scene.points(party)})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_a_broker_killed_at_every_boundary_sees_the_run_through(scene, table, victims):
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
        table += [(f"broker of {party}", point, "resumes: done") for point in died]
    checks.ends_well(scene, [run])


STEPS = {
    "posted": lambda scene, run: scene.row(run),
    "challenge": lambda scene, run: scene.rows("SELECT 1 FROM challenges WHERE nonce IS NOT NULL AND run = ?", run),
    "launched": lambda scene, run: scene.row(run)["launched"],
    "evidence": lambda scene, run: scene.row(run)["evidence"],
    "grant": lambda scene, run: scene.rows("SELECT 1 FROM run_objects WHERE run = ? AND grant_envelope NOT NULL", run),
    "running": lambda scene, run: scene.state(run) in ("running", "waiting-for-consent", "done"),
    "receipt": lambda scene, run: scene.row(run)["receipt"],
    "consent": lambda scene, run: scene.rows("SELECT 1 FROM consents WHERE envelope IS NOT NULL AND run = ?", run),
    "cosigned": lambda scene, run: scene.cosigned(run),
}  # fmt: skip

OFTEN = ("challenge", "evidence", "consent")


def test_brokers_killed_at_every_step_that_shows_see_the_run_through(scene, table):
    scene.start_gateway()
    run = scene.ask()
    for name, reached in STEPS.items():
        if not (ALL or name in OFTEN):
            continue
        scene.start_brokers()
        until(lambda reached=reached: reached(scene, run), name)
        for party in OWNERS:
            scene.programs[party].kill()
        table.append(("both brokers", name, "resumes: done"))
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


def test_an_answer_that_came_too_late_to_post_is_let_go_of(scene):
    """Charged, killed before posting, and then the run was stopped: charged for good, and nobody goes on about it."""
    scene.start_gateway()
    scene.start_broker("bank")
    scene.start_broker("partner", {"at": "after commit release .*"})
    run = scene.ask()
    until(lambda: not scene.programs["partner"].alive, "the partner's death")
    scene.programs["bank"].kill()
    scene.gateways["bank"].stop_run(run)
    assert scene.state(run) == "stopped"
    for _ in range(2):
        assert [scene.broker_once(party)[0] for party in OWNERS] == [0, 0]
    with scene.ledger("partner") as ledger:
        kinds = [entry.draft.kind for entry in ledger.entries()]
        assert kinds == ["grant", "settled", "release"]
        assert ledger.sent(f"closed/{run}")
    assert not [row for row in scene.rows("SELECT envelope e FROM consents WHERE party = 'partner'") if row["e"]]
