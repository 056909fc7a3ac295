"""Runs and what parties put to them before they compute: requests, challenges, grants; and the queue of them.

Runs in: host.   Believes: nothing.   Spec: §8.4, §8.5.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping

from sealroom.host import runs
from sealroom.host.documents import Statement, labelled
from sealroom.host.problems import Problem, conflict, forbidden, not_found
from sealroom.host.runs import Run, Waits
from sealroom.host.store.database import Database, Row
from sealroom.host.store.log import Log
from sealroom.host.store.objects import Sealed
from sealroom.protocol import wire

_MOST_LISTED = 1000
_FIELDS = tuple(field.name for field in dataclasses.fields(Run))
_DOCUMENTS = ("request", "evidence", "receipt")
_LIGHT = tuple(name for name in _FIELDS if name not in _DOCUMENTS)
_SELECT = f"SELECT {', '.join(_LIGHT)} FROM runs"  # noqa: S608 (columns of ours)
_FINAL = ", ".join(f"'{state}'" for state in wire.RUN_FINAL_STATES)


@dataclasses.dataclass(frozen=True, slots=True)
class Runs:
    """The tables `runs`, `run_objects` and `challenges`."""

    database: Database
    log: Log

    def add(self, run: Run, objects: Mapping[str, Sealed], *, most_open: int) -> None:
        """Store a new run, waiting for a challenge of every owner; one that is there already stays as it is.

        Raises:
            Problem: 409 `too-many-runs`.
        """
        with self.database.writing():
            if self.database.one("SELECT 1 FROM runs WHERE run = ?", run.run):
                return
            sql = f"SELECT count(*) FROM runs WHERE agreement = ? AND state NOT IN ({_FINAL})"  # noqa: S608 (constants)
            if self.database.number(sql, run.agreement) >= most_open:
                hint = "wait until one has ended, then ask again"
                raise conflict("too-many-runs", f"an agreement has at most {most_open} open runs", hint=hint)
            marks = ", ".join("?" * len(_FIELDS))
            columns = ", ".join(_FIELDS)
            values = [getattr(run, name) for name in _FIELDS]
            self.database.write(f"INSERT INTO runs ({columns}) VALUES ({marks})", *values)  # noqa: S608 (constants)
            for sealed in objects.values():
                self.database.write(
                    "INSERT INTO run_objects VALUES (?, ?, ?, ?, NULL)",
                    run.run,
                    sealed.digest,
                    sealed.name,
                    sealed.owner,
                )
            for owner in {sealed.owner for sealed in objects.values()}:
                self.database.write("INSERT INTO challenges VALUES (?, ?, NULL)", run.run, owner)
            self.log.add_bytes(run.agreement, "request", run.run, run.request, run.created)

    def get(self, run: str) -> Run:
        """One run.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT * FROM runs WHERE run = ?", run)
        if row is None:
            raise not_found("run")
        return _run(row)

    def of(self, agreement: str) -> list[Run]:
        """The newest thousand runs of an agreement, the newest first, without their documents."""
        rows = self.database.all(
            f"{_SELECT} WHERE agreement = ? ORDER BY created DESC, run LIMIT ?", agreement, _MOST_LISTED
        )
        return [_light(row) for row in rows]

    def all(self) -> list[Run]:
        """Every run there ever was, without its documents."""
        return [_light(row) for row in self.database.all(_SELECT)]

    def open(self) -> list[Run]:
        """Every run that has not ended, without its documents."""
        return [_light(row) for row in self.database.all(f"{_SELECT} WHERE state NOT IN ({_FINAL})")]

    def with_guest(self) -> list[Run]:
        """Runs that have a directory, and so perhaps an enclave, without their documents."""
        return [_light(row) for row in self.database.all(f"{_SELECT} WHERE run_dir IS NOT NULL")]

    def step(self, run: Run, event: str, now: float, **changes: object) -> Run:
        """Move a run by one event of the table, with other columns in the same commit.

        Raises:
            Problem: 409 `wrong-state`, also when somebody else moved it meanwhile.
        """
        changes |= {"state": runs.after(run.state, event), "since": now}
        if changes["state"] in (*wire.RUN_FINAL_STATES, runs.WAITING_CONSENT) and run.shown_at is None:
            changes["shown_at"] = runs.shown_after(run, event, now)
        sets = ", ".join(f"{name} = ?" for name in changes)
        sql = f"UPDATE runs SET {sets} WHERE run = ? AND state = ?"  # noqa: S608 (column names are ours)
        if self.database.write(sql, *changes.values(), run.run, run.state) != 1:
            raise conflict("wrong-state", "the run has moved on meanwhile")
        return self.get(run.run)

    def note(self, run: Run, *, run_dir: str | None, guest: str | None) -> None:
        """Remember where a run's enclave is, so that it can be ended after a crash."""
        self.database.write("UPDATE runs SET run_dir = ?, guest = ? WHERE run = ?", run_dir, guest, run.run)

    def stop(self, run: Run, now: float) -> Run:
        """End a run at a member's word, also one that has ended behind its slot boundary.

        Raises:
            Problem: 409 `wrong-state`: parties have seen it end.
        """
        with self.database.writing():
            run = self.get(run.run)
            if run.state == runs.STOPPED:
                return run
            runs.after(runs.shown(run, now), "stop")
            self.database.write("UPDATE runs SET state = ?, since = ? WHERE run = ?", runs.STOPPED, now, run.run)
        return self.get(run.run)

    def expire(self, waits: Waits, now: float) -> None:
        """End every run whose state has lasted too long."""
        for run in self.open():
            if now > runs.deadline(run, waits):
                with contextlib.suppress(Problem):  # somebody moved it this very moment
                    self.step(run, "expire", now)

    def next_queued(self, now: float) -> Run | None:
        """The run that waits longest for an enclave; None until the last one's end is shown.

        The next run's launch would otherwise tell at once when the one before it ended.
        """
        row = self.database.one("SELECT max(shown_at) FROM runs WHERE launched IS NOT NULL AND state != 'stopped'")
        if row is not None and row[0] is not None and now < row[0]:
            return None
        queued = self.database.one("SELECT * FROM runs WHERE state = ? ORDER BY since, run", runs.QUEUED)
        return None if queued is None else _run(queued)

    def objects(self, run: str) -> list[Row]:
        """Rows of (object, name, owner, grant_envelope) in the order of names."""
        return self.database.all("SELECT * FROM run_objects WHERE run = ? ORDER BY name", run)

    def challenges(self, run: str) -> dict[str, str | None]:
        """Nonce by owner; None where it has not come."""
        rows = self.database.all("SELECT party, nonce FROM challenges WHERE run = ? ORDER BY party", run)
        return {row["party"]: row["nonce"] for row in rows}

    def put_challenge(self, run: Run, party: str, nonce: str, now: float) -> None:
        """Take an owner's challenge once; the last one puts the run into the queue.

        Raises:
            Problem: 403 not an owner, 409 `already-there` or `wrong-state`.
        """
        with self.database.writing():
            have = self.challenges(run.run)
            if party not in have:
                raise forbidden("only owners of the run's objects send challenges")
            if have[party] == nonce:
                return
            if have[party] is not None:
                raise conflict("already-there", "this party has sent another challenge for this run")
            if run.state != runs.WAITING_CHALLENGES:
                raise conflict("wrong-state", f"the run is {run.state}; it takes no challenges now")
            self.database.write("UPDATE challenges SET nonce = ? WHERE run = ? AND party = ?", nonce, run.run, party)
            if all(value for owner, value in have.items() if owner != party):
                self.step(run, "challenged", now)

    def put_grant(self, run: Run, object_digest: str, grant: Statement, now: float) -> None:
        """Take the grant for one object once; the same bytes again change nothing.

        Raises:
            Problem: 409 `already-there` or `wrong-state`.
        """
        with self.database.writing():
            have = next(row for row in self.objects(run.run) if row["object"] == object_digest)["grant_envelope"]
            if have == grant.data:
                return
            if have is not None:
                raise conflict("already-there", "there is another grant for this object")
            run = self.get(run.run)
            if run.state != runs.WAITING_GRANTS:
                raise conflict("wrong-state", f"the run is {run.state}; it takes no grants now")
            self.database.write(
                "UPDATE run_objects SET grant_envelope = ? WHERE run = ? AND object = ?",
                grant.data,
                run.run,
                object_digest,
            )
            self.log.add(run.agreement, grant, now)

    def put_evidence(self, run: Run, evidence: bytes, now: float) -> Run:
        """Keep the enclave's evidence; owners can grant from now on."""
        name = labelled("evidence/v1", evidence)
        with self.database.writing():
            stepped = self.step(run, "evidence", now, evidence=evidence, evidence_digest=name)
            self.log.add_bytes(run.agreement, "evidence", name, evidence, now)
        return stepped

    def put_refusal(self, run: Run, party: str, refusal: Statement, now: float) -> None:
        """Take an owner's refusal once, and end the run if none did; the same bytes again change nothing.

        Raises:
            Problem: 403 not an owner, 409 `already-there` or `wrong-state`.
        """
        with self.database.writing():
            if party not in self.challenges(run.run):
                raise forbidden("only owners of the run's objects refuse it")
            row = self.database.one("SELECT envelope FROM refusals WHERE run = ? AND party = ?", run.run, party)
            if row is not None and row["envelope"] == refusal.data:
                return
            if row is not None:
                raise conflict("already-there", "this party has refused the run in other words")
            if not self.refusals(run.run):  # another owner's may have ended the run before
                self.step(self.get(run.run), "refuse", now)
            self.database.write("INSERT INTO refusals VALUES (?, ?, ?)", run.run, party, refusal.data)
            self.log.add(run.agreement, refusal, now)

    def refusals(self, run: str) -> list[bytes]:
        """Every refusal of a run."""
        rows = self.database.all("SELECT envelope FROM refusals WHERE run = ? ORDER BY party", run)
        return [row["envelope"] for row in rows]


def _run(row: Row) -> Run:
    return Run(**{name: row[name] for name in _FIELDS})


def _light(row: Row) -> Run:
    """A run for lists: brokers ask for them all the time, and documents are most of what a run weighs."""
    return Run(**{name: row[name] for name in _LIGHT}, request=b"", evidence=None, receipt=None)
