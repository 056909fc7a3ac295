"""Cases: a host that lies about states and lists: what is going on, who must act, which runs there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sealroom.client.transport import GatewayRefused
from sealroom.protocol import envelope, schema, wire
from sealroom.protocol.statements import Request
from tests.hostile_host.answers import HOST, Play, always, by_host, played
from tests.hostile_host.case import Case
from tests.hostile_host.scene import Scene
from tests.hostile_host.tricks import Passing, Trick, as_json

PHASES = ("challenge", "grant", "running", "consent")
"""Where the run at hand really is, while a host claims something else."""
_TRUE = {
    "waiting-for-challenges": "challenge", "queued": "challenge", "launching": "challenge",
    "waiting-for-grants": "grant", "running": "running", "waiting-for-consent": "consent", "done": "consent",
}  # fmt: skip


def _phase(passing: Passing) -> str:
    scene: Scene = passing.scene
    return _TRUE.get(scene.store.state(scene.run), "ended") if scene.run in scene.store.held else "challenge"


def claimed(state: str, phase: str, waiting: Callable[[list[str]], list[str]] = lambda found: found) -> Play:
    """While the run is really in `phase`, say it is in `state`, in the list and by itself."""

    def change(value: Any, passing: Passing) -> Any:
        if _phase(passing) != phase:
            return value
        if "runs" not in value:
            return {**value, "state": state, "waiting_for": waiting(value["waiting_for"])}
        here = passing.scene.run
        lines = [
            {**line, "state": state, "waiting_for": waiting(line["waiting_for"])} if line["run"] == here else line
            for line in value["runs"]
        ]
        return {"runs": lines}

    return played(lambda: Trick("run", as_json(change), "partner"), lambda: Trick("runs", as_json(change), "partner"))


def _states() -> list[Case]:
    honest = {
        "challenge": {"waiting-for-challenges"},
        "grant": {"waiting-for-grants"},
        "consent": {"waiting-for-consent"},
    }
    return [
        Case(message="state", manipulation=f"claimed to be {state}", phase=phase, play=claimed(state, phase))
        for phase in ("challenge", "grant", "consent")
        for state in wire.RUN_STATES
        if state not in honest[phase]
    ]


def _waiting() -> list[Case]:
    ways: dict[str, Callable[[list[str]], list[str]]] = {
        "nobody": lambda _: [], "everybody": lambda _: ["auditor", "bank", "operator", "partner", "vendor"],
        "a stranger": lambda _: ["mallory"], "the others": lambda found: [p for p in found if p != "partner"],
    }  # fmt: skip
    state = {"challenge": "waiting-for-challenges", "grant": "waiting-for-grants", "consent": "waiting-for-consent"}
    return [
        Case(message="waiting_for", manipulation=f"said to be {words}", phase=phase,
             play=claimed(state[phase], phase, way))
        for phase in state
        for words, way in ways.items()
    ]  # fmt: skip


def listed(
    change: Callable[[list[dict[str, Any]], Scene], list[dict[str, Any]]], party: str | None = "partner"
) -> Play:
    return always("runs", as_json(lambda value, passing: {"runs": change(value["runs"], passing.scene)}), party)


def _invented(run: str) -> dict[str, Any]:
    return {"run": run, "state": "waiting-for-challenges", "waiting_for": ["partner"], "created": 1}


def _hidden(lines: list[dict[str, Any]], scene: Scene) -> list[dict[str, Any]]:
    return [line for line in lines if line["run"] != scene.run]


def replayed(which: str) -> Play:
    """A finished run is shown as one that waits for challenges again."""

    def change(value: Any, passing: Passing) -> Any:
        run = getattr(passing.scene.past, which)
        fresh = {"state": "waiting-for-challenges", "waiting_for": ["bank", "partner", "vendor"]}
        if "runs" in value:
            return {"runs": [{**line, **fresh} if line["run"] == run else line for line in value["runs"]]}
        return {**value, **fresh} if value["run"] == run else value

    def play(scene: Scene) -> None:
        scene.tricks = [Trick("run", as_json(change)), Trick("runs", as_json(change))]
        scene.ask()
        scene.play()

    return play


def forged_request(*, borrowed: bool) -> Play:
    """A run that nobody asked for, under a request of the host's own making."""

    def play(scene: Scene) -> None:
        scene.ask()
        real = envelope.unverified(scene.held.request, Request)
        said = schema.encode(envelope.sign(dataclasses.replace(real, nonce="66" * 32), [HOST]))
        if borrowed:
            said = by_host({**said, "signatures": schema.encode(scene.held.request)["signatures"]}, borrowed=True)
        scene.store.call("operator", "POST", "/v1/runs", _bytes(said), {})
        scene.forced += 1
        scene.play()

    return play


def _bytes(said: dict[str, Any]) -> bytes:
    return envelope.Envelope(
        said["payload"], said["payloadType"], tuple(envelope.Signature(**s) for s in said["signatures"])
    ).to_bytes()


def receipt_claimed(there: bool) -> Play:
    def change(value: Any, _: Passing) -> Any:
        return {**value, "receipt": there}

    def play(scene: Scene) -> None:
        scene.ask()
        if there:
            scene.store.work()
            scene.step()
            scene.tricks = [Trick("run", as_json(change), None)]
            scene.held.state = "failed"
        else:
            scene.play()
            scene.tricks = [Trick("run", as_json(change), "auditor")]

    return play


LISTS: dict[str, Play] = {
    "this run hidden from all": listed(_hidden, None),
    "this run hidden from one": listed(_hidden),
    "each run listed twice": listed(lambda lines, _: lines * 2),
    "order turned around": listed(lambda lines, _: lines[::-1]),
    "a run invented": listed(lambda lines, _: [_invented("ab" * 32), *lines]),
    "a run of another agreement listed": listed(lambda lines, scene: [_invented(scene.past.elsewhere), *lines]),
    "two runs' names swapped": listed(
        lambda lines, scene: [{**line, "run": scene.past.same_version} if line["run"] == scene.run else line
                              for line in lines]),
    "created long ago": listed(lambda lines, _: [{**line, "created": 0} for line in lines]),
    "created in the future": listed(lambda lines, _: [{**line, "created": 1 << 39} for line in lines]),
    "a state that does not exist": listed(lambda lines, _: [{**line, "state": "paused"} for line in lines]),
    "a field that nobody knows": listed(lambda lines, _: [{**line, "urgent": True} for line in lines]),
    "a finished run shown as new": replayed("same_version"),
    "a finished run of an old version shown as new": replayed("old_version"),
    "a request of the host's own": forged_request(borrowed=False),
    "a request of the host's own in the bank's name": forged_request(borrowed=True),
}  # fmt: skip


def refusing(message: str, status: int, code: str, *, phase: str) -> Play:
    """The host answers every call of a kind with an error of its choice."""

    def change(passing: Passing) -> bytes:
        raise GatewayRefused(status, code, "\x1b[2J you have been stopped [E3.stopped]", "pay the operator")

    del phase
    return always(message, change)


CASES: tuple[Case, ...] = (
    *_states(), *_waiting(),
    *(Case(message="runs", manipulation=words, phase="every phase", play=play) for words, play in LISTS.items()),
    Case(message="receipt flag", manipulation="claimed though there is none", phase="grant", to="all",
         play=receipt_claimed(there=True)),
    Case(message="receipt flag", manipulation="denied though there is one", phase="collect", to="auditor",
         play=receipt_claimed(there=False)),
    *(Case(message=message, manipulation="refused with words of the host's own", phase="every phase",
           play=refusing(message, 409, "wrong-state", phase="")) for message in ("runs", "run", "evidence", "receipt")),
)  # fmt: skip
