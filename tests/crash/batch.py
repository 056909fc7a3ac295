"""A few runs, with one kill at a random point in each; everybody who dies is started again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from sealroom.protocol import wire
from tests.crash import checks
from tests.crash.programs import KILLED, until
from tests.crash.setting import Scene
from tests.crash.template import OWNERS, RULES

NEVER = {"at": "never"}
IN_ENCLAVE = (
    "after (commit (note guest|put_evidence|put_grant|step granted|add_offer)|sending .*"
    "|receiving (evidence|progress .*|offer))( #.*)?"
)
"""Points of the gateway at which there is a gate."""
VICTIMS = {
    # who is killed: who has the plan, which points count, how many of them a run passes at least
    "gateway": ("gateway", "(?!.*(take_nonce|reply)).*", 60),
    "broker of bank": ("bank", ".*", 24),
    "broker of partner": ("partner", ".*", 24),
    "gate": ("gateway", IN_ENCLAVE, 12),
    "engine": ("gateway", IN_ENCLAVE, 8),
    "zygote": ("gateway", IN_ENCLAVE, 8),
    "jail": ("gateway", IN_ENCLAVE, 5),
}
LATER = 0.2
"""Seconds, at most, between a point and the death of another process than the one that passed it."""


def play(scene: Scene, chance: random.Random, size: int, kills: list[dict[str, Any]]) -> None:
    """Play runs until `size` of them met their kill, then check everything; a plan that met nothing is drawn anew."""
    scene.start_gateway(NEVER)
    for party in OWNERS:
        scene.start_broker(party, NEVER)
    runs: list[str] = []
    for _ in range(3 * size):
        if len(kills) == size:
            break
        runs.append(one(scene, chance, kills))
    assert len(kills) == size, f"only {len(kills)} of {len(runs)} plans met a point"
    checks.ends_well(scene, runs)


def one(scene: Scene, chance: random.Random, kills: list[dict[str, Any]]) -> str:
    """One run and one plan; what was killed where is added to `kills` if it was."""
    victim = chance.choice(sorted(VICTIMS))
    owner, at, most = VICTIMS[victim]
    rules = chance.choice([RULES, RULES, RULES, ("overlap",), ("audience",)])
    plan: dict[str, Any] = {"at": at, "nth": 1 + chance.randrange(most)}
    if owner == "gateway" != victim:
        plan |= {"victim": victim, "after": 0.001 + chance.random() * LATER}
    before = len(scene.struck(owner))
    scene.plan(owner, plan)
    run = scene.ask(rules, unanswered=lambda: revive(scene))
    state = ended(scene, run)
    scene.plan(owner, NEVER)
    struck = scene.struck(owner)[before:]
    assert len(struck) <= 1
    for found in struck:
        kills.append({"victim": victim, "point": found["point"], "rules": list(rules), "state": state, "run": run})
        if victim == "gate":
            checks.enclave_is_gone(found["pids"])
    return run


def revive(scene: Scene) -> None:
    """Start everybody who was killed; nobody may have died in another way."""
    for name, program in list(scene.programs.items()):
        if not program.alive:
            assert program.process.returncode == KILLED, Path(program.log).read_text("utf-8")[-2000:]
            if name == "gateway":
                scene.start_gateway(NEVER, wait=False)
            else:
                scene.start_broker(name, NEVER)


def ended(scene: Scene, run: str) -> str:
    """Keep everybody up until the run has ended, and both owners have cosigned its receipt if there is one."""

    def settled() -> bool:
        revive(scene)
        row = scene.row(run)
        cosigned = row["receipt"] is None or scene.cosigned(run) == set(OWNERS)
        return row["state"] in wire.RUN_FINAL_STATES and cosigned

    until(settled, f"the end of run {run[:8]}", seconds=240)
    return scene.state(run)
