"""A ledger whose last writes were lost, and a recipient that is killed while it opens what it received."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess

import pytest

from tests import homes
from tests.crash import checks
from tests.crash.programs import KILLED, Program, until
from tests.crash.template import OWNERS

CUTS = (1, 24, 4096, 20_000, 50_000)
"""Bytes cut off the write-ahead log: inside its last page, a whole page, several commits; then all of it."""


def posted(scene, run):
    """What the gateway holds of a run."""
    sql = ("SELECT envelope FROM consents WHERE run = ?", "SELECT grant_envelope FROM run_objects WHERE run = ?",
           "SELECT envelope FROM cosignatures WHERE run = ?", "SELECT state FROM runs WHERE run = ?")  # fmt: skip
    return [[tuple(row) for row in scene.rows(query, run)] for query in sql]


def cut(folder, size):
    """Take the last bytes of the log away, as a disk may that did not write what it said; how much is left."""
    log = folder / "ledger.db-wal"
    (folder / "ledger.db-shm").unlink(missing_ok=True)
    left = max(0, log.stat().st_size - size)
    with log.open("r+b") as file:
        file.truncate(left)
    return left


@pytest.mark.timeout(400)
def test_a_ledger_that_lost_its_last_writes_charges_nothing_twice_and_forgets_nothing(scene):
    scene.start_gateway()
    scene.start_brokers()
    run = scene.ask()
    until(lambda: scene.cosigned(run) == set(OWNERS), "both cosignatures")
    scene.programs["bank"].kill()
    scene.programs["partner"].kill()
    assert scene.state(run) == "done"
    before, home, whole = posted(scene, run), scene.folder / "partner", scene.folder / "whole"
    shutil.copytree(home, whole)
    with sqlite3.connect(f"file:{whole / 'ledger.db'}?mode=ro", uri=True) as database:
        entries = database.execute("SELECT count(*) FROM entries").fetchone()[0]
    refused = 0
    for size in (*CUTS, (whole / "ledger.db-wal").stat().st_size):
        shutil.rmtree(home)
        homes.copy(whole, home)
        cut(home, size)
        status, said = scene.broker_once("partner")
        assert posted(scene, run) == before
        refused += status == 3
        # what was kept without a charge may be lost unseen: a second cosignature, which the gateway does not take
        assert status == 0 or any(word in said for word in ("E3.ledger-frozen", "ledger-broken", "already-there")), said
        with sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True) as database:
            assert database.execute("SELECT count(*) FROM entries").fetchone()[0] <= entries
    assert refused >= 2
    shutil.rmtree(home)
    homes.copy(whole, home)
    checks.ends_well(scene, [run])


@pytest.mark.timeout(200)
def test_a_recipient_killed_around_each_file_opens_one_content_once(scene):
    scene.start_gateway()
    scene.start_brokers()
    run = scene.ask()
    until(lambda: scene.cosigned(run) == set(OWNERS), "both cosignatures")
    while True:
        scene.plan("recipient", {"at": ".*rename.*", "not": scene.points("recipient")})
        command = ["tests.crash.party", str(scene.folder / "recipient"), "results", run]
        program = Program(command, scene.folder / "recipient.log", scene.environment("bank"))
        if program.process.wait(60) != KILLED:
            break
    assert program.process.returncode == 0
    written = {point.rpartition(" ")[2] for point in scene.points("recipient")}
    of_the_log = {"key.json", "head", *OWNERS}  # unless the bank's broker, which runs, was there first
    assert written - of_the_log == {"receipt.json", "overlap.json", "cells.json"}
    checks.ends_well(scene, [run])


def test_a_gateway_that_is_killed_leaves_no_lock_behind_and_a_second_one_is_refused(scene):
    scene.start_gateway()
    again = scene.start_gateway
    command = [*map(str, scene.programs["gateway"].process.args)]
    second = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert second.returncode == 2
    assert b"another gateway runs" in second.stderr
    scene.programs["gateway"].kill()
    again()
    assert scene.gateways["bank"].health() == "ok"
