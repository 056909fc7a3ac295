"""What must hold after any crash, read from ledgers, the gateway's database and what recipients opened."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import Counter
from typing import Any

from sealroom.client import purses
from sealroom.client.entries import NOTHING, Entry
from sealroom.client.ledger import Ledger
from sealroom.protocol import envelope, wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.statements import Consent, Grant, Offer, Request
from tests.crash.processes import runs as is_running
from tests.crash.programs import PATIENCE, until
from tests.crash.setting import Scene
from tests.crash.template import OWNERS

AHEAD = 2 * wire.GRANT_WAIT


def ends_well(scene: Scene, runs: list[str], *, seconds: float = PATIENCE) -> None:
    """Stop all brokers, let deadlines pass, then check every run and every ledger."""
    let_deadlines_pass(scene, seconds=seconds)
    gateway = scene.gateways["bank"]
    requests = {run: envelope.unverified(gateway.run(run).request, Request) for run in runs}
    for run in runs:
        assert scene.state(run) in wire.RUN_FINAL_STATES
        one_evidence(scene, run)
        opened_at_most_once(scene, run)
    for party in OWNERS:
        with scene.ledger(party) as ledger:
            charged_exactly(scene, party, ledger, requests)
    nothing_half_written(scene)


def let_deadlines_pass(scene: Scene, *, seconds: float = PATIENCE) -> None:
    """Every broker looks once more at every run, after all deadlines of grants."""
    for program in (scene.programs[party] for party in OWNERS if party in scene.programs):
        program.kill()
    for party in OWNERS:
        scene.start_broker(party, {"at": "never", "ahead": AHEAD})
    runs = [row["run"] for row in scene.rows("SELECT run FROM runs")]
    for party in OWNERS:
        closed = functools.partial(_all_closed, scene, party, runs)
        until(closed, f"{party}'s books to be closed", seconds=seconds)
        scene.programs[party].kill()


def _all_closed(scene: Scene, party: str, runs: list[str]) -> bool:
    path = scene.folder / party / "ledger.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        return set(runs) <= {name.removeprefix("closed/") for (name,) in database.execute("SELECT name FROM sent")}


def one_evidence(scene: Scene, run: str) -> None:
    """All grants of a run are for the one evidence that the gateway shows."""
    row = scene.row(run)
    granted = {envelope.unverified(signed, Grant).evidence for signed in scene.gateways["bank"].grants(run)}
    assert granted <= {row["evidence_digest"]}


def opened_at_most_once(scene: Scene, run: str) -> None:
    """A done run opens for those it has an offer to, with the same content each time; any other opens nothing."""
    done = scene.state(run) == "done"
    offers = [envelope.unverified(entry.offer, Offer) for entry in scene.gateways["bank"].offers(run)]
    recipients = {offer.recipient for offer in offers} if done else set()
    for party in OWNERS:
        try:
            first = scene.collect(party, run)
        except NotReleased:
            assert not done
            continue
        assert bool(first) == (party in recipients)
        assert scene.collect(party, run) == first
        folder = scene.homes[party].run_folder(run)
        assert {path.stem for path in folder.iterdir() if not path.name.startswith(".")} == {"receipt", *first}


def charged_exactly(scene: Scene, party: str, ledger: Ledger, requests: dict[str, Request]) -> None:
    """Whatever the gateway holds of a party is in its ledger at the place it names, once, at the agreed price."""
    entries = ledger.entries()
    ledger.verify_chain()
    agreement = scene.homes[party].agreement().agreement
    spent = dict.fromkeys(purses.limits(agreement, party), NOTHING)
    for run, request in requests.items():
        mine = [entry for entry in entries if run in [*entry.draft.once.split("/"), entry.draft.name]]
        kinds = Counter(entry.draft.kind for entry in mine)
        posted_is_charged(scene, party, run, entries)
        price = charges(scene, party, run, request, kinds)
        for purse, amount in price:
            spent[purse] += amount
        releases = [entry.draft.name for entry in mine if entry.draft.kind == "release"]
        assert len(set(releases)) == len(releases)
        assert kinds["grant"] <= 1
        assert kinds["settled"] + kinds["unresolved"] == kinds["grant"], f"{party} forgot how {run[:8]} ended"
        if scene.row(run)["receipt"] is None:
            assert not kinds["settled"]
            assert not releases
    assert {purse: ledger.spent(purse) for purse in spent} == spent


def posted_is_charged(scene: Scene, party: str, run: str, entries: list[Entry]) -> None:
    """Each grant and each share at the gateway names the place in the ledger where it was paid for."""
    by_place = {(entry.sequence, entry.previous): entry.draft for entry in entries}
    for said in _own(scene.gateways[party].grants(run), Grant, party):
        paid = by_place[said.ledger.sequence, said.ledger.previous]
        assert (paid.kind, paid.name) == ("grant", said.evidence)
    for said in _own(scene.gateways[party].consents(run), Consent, party):
        if said.decision == "release":
            paid = by_place[said.ledger.sequence, said.ledger.previous]
            assert (paid.kind, paid.name) == ("release", said.release)


def charges(scene: Scene, party: str, run: str, request: Request, kinds: Counter[str]) -> list[Any]:
    """What this run must have cost the party, by what its ledger says it did."""
    agreement = scene.homes[party].agreement().agreement
    found = list(purses.run_charges(agreement, party, request.rules).items()) if kinds["grant"] else []
    offers = [envelope.unverified(entry.offer, Offer) for entry in scene.gateways[party].offers(run)]
    mine = [offer for offer in offers if party in offer.affected]
    assert kinds["release"] in (0, len(mine))
    if kinds["release"]:
        for offer in mine:
            found += purses.release_charges(agreement, party, agreement.rule(offer.rule)).items()
    return found


def nothing_half_written(scene: Scene) -> None:
    """No enclave's folder and no temporary file is left at the gateway; every ciphertext in use has its bytes."""
    blobs = scene.folder / "host" / "blobs" / "done"
    assert not list(blobs.glob("*.temporary"))
    until(lambda: not list((scene.folder / "host" / "runs").glob("*")), "the run's folder to be cleared")


def enclave_is_gone(pids: list[int]) -> None:
    """No process of a killed enclave goes on."""
    until(lambda: not any(map(is_running, pids)), f"the end of processes {pids}", seconds=20)


def _own(statements: list[Envelope], kind: Any, party: str) -> list[Any]:
    said = [envelope.unverified(statement, kind) for statement in statements]
    return [one for one in said if one.party == party]
