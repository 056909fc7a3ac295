"""Removes what nobody is bound to need any more: first the rows, then the files that no row names.

Runs in: host.   Believes: nothing.   Spec: §12.4.

Never touched: receipts, grants, consents, cosignatures, requests and evidence of any run; statements; anything of a run
that is open; and objects of an agreement that is in force, or ended less than `keep_objects` ago. Killed at any point,
the next pruning goes on: a row is gone before its file, so no row ever names a file that is not there.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path

from sealroom.host import documents
from sealroom.host.journal import LOGS
from sealroom.host.settings import Settings
from sealroom.host.store import Store
from sealroom.protocol import wire

ORPHAN_AGE = 86400.0
"""Seconds after which a file that no row names was not just about to be named."""
_LOG_NAME = re.compile(r"\d{4}-\d\d-\d\d\.jsonl")
_FINAL = ", ".join(f"'{state}'" for state in wire.RUN_FINAL_STATES)
_OLD_OFFERS = (  # the states are constants
    "SELECT o.run, o.digest, o.ciphertext FROM offers o JOIN runs r ON r.run = o.run"  # noqa: S608
    f" WHERE r.state IN ({_FINAL}) AND r.since < ? AND (r.shown_at IS NULL OR r.shown_at < ?)"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What goes: ciphertext of (run, offer), offers, objects by digest, files, and how many nonces."""

    results: tuple[tuple[str, str], ...]
    offers: tuple[tuple[str, str], ...]
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    logs: tuple[Path, ...]
    nonces: int
    size: int
    """Bytes that the files have."""

    def counts(self) -> dict[str, int]:
        """In numbers, for the operator."""
        return {
            "results": len(self.results), "offers": len(self.offers), "objects": len(self.objects),
            "files": len(self.files), "logs": len(self.logs), "nonces": self.nonces, "bytes": self.size,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Pruning:
    """Prunes one store by its gateway's settings; safe while the gateway runs."""

    store: Store
    settings: Settings

    def prune(self, now: float, *, dry_run: bool) -> Plan:
        """Do it, or only say what would be done."""
        if dry_run:
            return self._plan(now)
        with self.store.database.writing():
            plan = self._plan(now)
            self._forget(plan, now)
        for path in plan.files:
            self._remove(path)
        for path in plan.logs:
            path.unlink(missing_ok=True)
        return plan

    def _plan(self, now: float) -> Plan:
        settings = self.settings
        results = self._offers(_OLD_OFFERS + " AND o.ciphertext != ''", now, settings.keep_results)
        offers = self._offers(_OLD_OFFERS, now, settings.keep_offers)
        objects = tuple(self._objects(now))
        gone = {name for _, _, name in results} | {name for _, _, name in offers}
        gone |= {self.store.objects.get(digest).ciphertext for digest in objects}
        files = tuple(self._files(gone, frozenset(objects)))
        logs = tuple(self._logs(now))
        nonces = self.store.database.number("SELECT count(*) FROM nonces WHERE expires < ? AND nonce != ''", now)
        size = sum(path.stat().st_size for path in (*files, *logs))
        return Plan(_names(results), _names(offers), objects, files, logs, nonces, size)

    def _offers(self, sql: str, now: float, keep: float) -> list[tuple[str, str, str]]:
        rows = self.store.database.all(f"{sql} ORDER BY o.run, o.number", now - keep, now - keep)
        return [(row["run"], row["digest"], row["ciphertext"]) for row in rows]

    def _objects(self, now: float) -> Iterator[str]:
        """Objects of agreements that ended long enough ago, but for those of a run that is open."""
        used = self.store.database.all(
            "SELECT DISTINCT o.object FROM run_objects o JOIN runs r ON r.run = o.run"  # noqa: S608
            f" WHERE r.state NOT IN ({_FINAL})"
        )
        keep = {row["object"] for row in used}
        for row in self.store.database.all("SELECT DISTINCT agreement FROM objects ORDER BY agreement"):
            if self._ended(row["agreement"], now) + self.settings.keep_objects < now:
                yield from (o.digest for o in self.store.objects.of(row["agreement"]) if o.digest not in keep)

    def _ended(self, agreement: str, now: float) -> float:
        """When an agreement ended, or will; a stop that claims to be of the future ended it now."""
        end = float(self.store.agreements.newest(agreement).not_after)
        for data in self.store.agreements.statements(agreement, "stop"):
            said = documents.number(documents.statement(data, "stop").unverified, "created")
            end = min(end, max(float(said), 0.0), now)
        return end

    def _files(self, gone: set[str], objects: frozenset[str]) -> Iterator[Path]:
        """Files of what goes, and files that nothing has named for a day."""
        blobs, database = self.store.blobs, self.store.database
        named = {row["ciphertext"] for row in database.all("SELECT ciphertext FROM offers")}
        rows = database.all("SELECT digest, ciphertext FROM objects")
        named |= {row["ciphertext"] for row in rows}
        uploads = {row["digest"] for row in rows}
        for path in blobs.finished():
            if path.name in gone or (path.name not in named and _is_old(path)):
                yield path
        for path in blobs.unfinished():
            if path.name in objects or (path.name not in uploads and _is_old(path)):
                yield path

    def _logs(self, now: float) -> Iterator[Path]:
        oldest = time.strftime("%Y-%m-%d", time.gmtime(now - self.settings.keep_logs))
        folder = self.settings.home / LOGS
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _LOG_NAME.fullmatch(path.name) and path.stem < oldest:
                yield path

    def _forget(self, plan: Plan, now: float) -> None:
        write = self.store.database.write
        for run, offer in plan.results:
            write("UPDATE offers SET ciphertext = '' WHERE run = ? AND digest = ?", run, offer)
        for run, offer in plan.offers:
            write("DELETE FROM offers WHERE run = ? AND digest = ?", run, offer)
        for digest in plan.objects:
            write("DELETE FROM chunks WHERE object = ?", digest)
            write("DELETE FROM objects WHERE digest = ?", digest)
        self.store.agreements.forget_nonces(now)

    def _remove(self, path: Path) -> None:
        """Unlink a file if no row names it at this moment: its owner may have announced it again meanwhile."""
        with self.store.database.writing():
            named = self.store.database.one(
                "SELECT 1 FROM offers WHERE ciphertext = ? UNION ALL"
                " SELECT 1 FROM objects WHERE ciphertext = ? OR digest = ?",
                path.name, path.name, path.name,
            )  # fmt: skip
            if named is None:
                path.unlink(missing_ok=True)


def _names(offers: list[tuple[str, str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((run, digest) for run, digest, _ in offers)


def _is_old(path: Path) -> bool:
    """By the file system's own clock, as the file's time is."""
    return path.stat().st_mtime < time.time() - ORPHAN_AGE
