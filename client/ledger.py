"""What an owner has spent: one append-only, hash-chained file with one writer, charged before anything leaves.

Runs in: an owner's broker.   Believes: its own file, after checking its chain.   Spec: §10.5.

An entry and the bytes that it pays for (grants, consents) are committed in one transaction, before they are posted.
After a crash the same bytes are posted again, so that nothing is charged twice and nothing leaves uncharged. Nothing is
ever refunded. Triggers refuse changes; the chain shows those that were made around them. A ledger that may have
forgotten something is *frozen*: it takes no entry until `sealroom ledger confirm` (`confirming`).

Files in a home: `ledger.lock` (locked while a broker runs), `ledger.db` (and its `-wal`, `-shm`), `ledger.seat` (which
place and which head this ledger was last at). Whoever restores a home MUST write a file `restored` into it, before any
other file: any text of at most 300 printable characters that says from when the backup is. While it is there the ledger
opens frozen (`E3.ledger-frozen`: no challenge, grant, consent or charge) until `sealroom ledger confirm` removes it. A
backup copies `ledger.db` by SQLite's backup call, or all of these files while it holds the lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from sealroom.client import entries, ledger_file, seat, words
from sealroom.client.chain import Chain, Keep
from sealroom.client.entries import Amount, Draft, Entry
from sealroom.client.errors import BudgetSpent, Unreachable
from sealroom.protocol import wire
from sealroom.protocol.errors import NotAcceptable, SealroomError

_NOTE_EVERY: Final = 10
"""Seconds; how much of the time that it saw a broker can forget when it is killed."""


class Ledger(Chain):
    """One party's ledger, opened for writing; `open` takes the lock, checks the file, and looks where it is."""

    def __init__(self, database: sqlite3.Connection, lock: int, folder: Path, party: str) -> None:
        """Use `open`."""
        super().__init__(database, folder, party)
        self._lock, self._latest, self._noted = lock, 0, 0

    @classmethod
    def open(cls, folder: Path, party: str) -> Self:
        """The ledger in `folder`; frozen if it is a copy, older than it was, restored, or not where it was.

        Raises:
            NotAcceptable: another broker writes it.
            NotGenuine: it is damaged.
            UsageError: it is another party's.
            Unreachable: it cannot be read or written now.
        """
        lock = seat.take_lock(folder)
        try:
            database = ledger_file.connect(folder / ledger_file.NAME, party)
        except BaseException:
            os.close(lock)
            raise
        ledger = cls(database, lock, folder, party)
        try:
            ledger.verify_chain()
            ledger._look_around()
            ledger._latest = ledger._noted = ledger._newest_time()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Note the time, release file and lock; closing twice is fine."""
        with contextlib.suppress(sqlite3.Error, SealroomError):  # a full disk: what is not written now was not promised
            if self._latest > self._noted and self.frozen() is None:
                self._note_time(self._latest)
        with contextlib.suppress(sqlite3.Error):  # the log stays, and is read at the next opening
            self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, draft: Draft, *, limits: Mapping[str, Amount], keep: Keep = lambda _: {}) -> Entry:
        """Charge, and keep what the charge pays for, in one transaction; the same draft again changes nothing.

        Raises:
            BudgetSpent: a purse would hold less than nothing; nothing was written.
            NotAcceptable: the matter is settled already, otherwise; or the ledger is frozen.
            Unreachable: it could not be written; nothing was.
        """
        self.require_live()
        with self._transaction():
            if found := self.find(draft.once):
                if (found.draft.kind, found.draft.name) != (draft.kind, draft.name):
                    raise NotAcceptable("settled-otherwise", f"the ledger has settled {draft.once} in another way")
                return found
            self.require_budget(draft.charges, limits=limits)
            entry = self._insert(draft, keep)
        self._be_seated()
        return entry

    def adopt(self, draft: Draft, keep: Keep) -> Entry:
        """Charge what was let go before, by a ledger that was lost, whatever the purse holds; also while frozen."""
        with self._transaction():
            return self.find(draft.once) or self._insert(draft, keep)

    def keep(self, name: str, body: bytes) -> bytes:
        """Keep `body` under `name` for ever; what was kept first stays and is returned."""
        if (known := self.kept(name)) is None:
            self.keep_all({name: body})
        return body if known is None else known

    def keep_all(self, bodies: Mapping[str, bytes]) -> None:
        """Keep each under its name for ever, all in one transaction; none of the names may be taken."""
        self.require_live()
        with self._transaction():
            for name, body in bodies.items():
                self._keep(name, body)

    def mark_sent(self, name: str) -> None:
        """Note that it was."""
        self.require_live()
        with self._transaction():
            self._ask("INSERT INTO sent VALUES (?) ON CONFLICT DO NOTHING", name)

    def frozen(self) -> Entry | None:
        """The entry that froze this ledger; its digest is what others are asked to sign. None if it is live."""
        query = """SELECT sequence, previous, body FROM entries WHERE once GLOB 'frozen/*' OR once GLOB 'confirmed/*'
                   ORDER BY sequence DESC LIMIT 1"""
        rows = self._ask(query)
        last = entries.read(*rows[0]) if rows else None
        return last if last is not None and last.draft.kind == "frozen" else None

    def require_live(self) -> None:
        """Return if this ledger may be written.

        Raises:
            NotAcceptable: it is frozen, and why.
        """
        if (entry := self.frozen()) is not None:
            raise NotAcceptable("ledger-frozen", f"the ledger is frozen: {entry.draft.remark}",
                                hint="read `sealroom ledger show`, then `sealroom ledger confirm --help`")  # fmt: skip

    def freeze(self, reason: entries.Reason, remark: str) -> None:
        """Take no entry from now on until a person confirms; the same reason is noted once."""
        since = self._since()
        known = [e for e in self.entries() if e.sequence > since and (e.draft.kind, e.draft.name) == ("frozen", reason)]
        if not known:
            with self._transaction():
                self._insert(entries.freezing(reason, remark, now=int(time.time())), lambda _: {})

    def thaw(self, draft: Draft, keep: Keep) -> None:
        """Note that a person confirmed this ledger, here and now: the clock counts anew, the seat is this one."""
        with self._transaction():
            self._insert(draft, keep)
        seat.save(self._folder, self.party, self.head())
        seat.unmark(self._folder)
        self._latest = self._noted = self._newest_time()

    def now(self, clock: float) -> int:
        """Seconds since 1970, never less than before: what has expired once stays expired.

        Raises:
            NotAcceptable: the clock is a minute or more behind what this ledger has seen.
        """
        if clock + wire.REQUEST_SKEW <= self._latest:
            raise NotAcceptable(
                "clock-behind",
                f"the clock is {int(self._latest - clock)} seconds behind what the ledger has seen",
                hint="set the clock; if it was ahead before and is right now: `sealroom ledger confirm --alone REASON`",
            )
        if clock >= self._noted + _NOTE_EVERY and self.frozen() is None:
            self._note_time(int(clock))
        self._latest = max(self._latest, int(clock))
        return self._latest

    def require_budget(self, charges: Mapping[str, Amount], *, limits: Mapping[str, Amount]) -> None:
        """Return if every purse could pay its charge now.

        Raises:
            BudgetSpent: one could not.
        """
        for purse, charge in charges.items():
            limit, spent = limits.get(purse, entries.NOTHING), self.spent(purse)
            if not (spent + charge).within(limit):
                raise BudgetSpent(
                    "budget-spent",
                    f"the purse {purse} cannot pay {words.amount(charge)}: of {words.amount(limit)}, "
                    f"{words.amount(spent)} is spent",
                    hint="only a new version of the agreement, signed by all, can widen a purse",
                )

    def _look_around(self) -> None:
        """Freeze if this may not be the newest copy, or not the only one; else note that it is at home here."""
        for reason, remark in self._doubts():
            self.freeze(reason, remark)
        if self.frozen() is None:
            self._be_seated()

    def _doubts(self) -> Iterator[tuple[entries.Reason, str]]:
        was, (sequence, _) = seat.load(self._folder), self.head()
        if (said := seat.mark(self._folder)) is not None:
            yield "restored", f"this home was restored from a backup: {said}"
        if was is None or (was.party, was.key) != (self.party, seat.key_of(self._folder)):
            yield "lost", "nothing says how far the ledger of these keys was: its home is another, or was lost"
            return
        if was.place != seat.here(self._folder):
            yield "copied", "this is a copy of the home that the ledger was made in, or that home was moved"
        if sequence < was.sequence or (was.sequence and not self._holds(was.sequence, was.head)):
            yield "rolled-back", f"it had {was.sequence} entries here once, and now these are not among its {sequence}"

    def _holds(self, sequence: int, digest: str) -> bool:
        return bool(self._ask("SELECT 1 FROM entries WHERE sequence = ? AND digest = ?", sequence, digest))

    def _be_seated(self) -> None:
        """Note how far this ledger is; a crash before this only makes the note older than the ledger."""
        was, (sequence, head) = seat.load(self._folder), self.head()
        if was is not None and (was.sequence, was.head) == (sequence, head):
            return
        try:
            seat.save(self._folder, self.party, (sequence, head))
        except OSError as error:
            raise Unreachable(
                f"the ledger's seat could not be written: {(error.strerror or 'it failed').lower()}",
                hint="what was charged is kept and was not let go; make room, the broker goes on then",
            ) from error

    def _since(self) -> int:
        """Number of the last confirmation."""
        return int(self._ask("SELECT coalesce(max(sequence), 0) FROM entries WHERE once GLOB 'confirmed/*'")[0][0])

    def _newest_time(self) -> int:
        since = self._since()
        noted: int = self._ask("SELECT coalesce(max(latest), 0) FROM clock WHERE since = ?", since)[0][0]
        told = [e.draft.created for e in self.entries() if e.sequence >= since and e.draft.kind != "frozen"]
        return max(noted, *told, 0)

    def _note_time(self, now: int) -> None:
        with self._transaction():
            self._ask("INSERT INTO clock VALUES (?, ?) ON CONFLICT DO UPDATE SET latest = excluded.latest",
                      self._since(), now)  # fmt: skip
        self._noted = now
