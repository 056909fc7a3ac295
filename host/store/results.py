"""What comes of a run: offers with their ciphertext, the receipt, consents, and cosignatures.

Runs in: host.   Believes: nothing.   Spec: §8.4, §8.5.
"""

from __future__ import annotations

import dataclasses

from sealroom.host.documents import Statement
from sealroom.host.problems import conflict, forbidden, not_found
from sealroom.host.runs import Run
from sealroom.host.store.database import Database, Row
from sealroom.host.store.log import Log
from sealroom.host.store.runs import Runs


@dataclasses.dataclass(frozen=True, slots=True)
class Results:
    """The tables `offers`, `consents` and `cosignatures`."""

    database: Database
    log: Log
    runs: Runs

    def add_offer(self, run: Run, offer: Statement, ciphertext: str, affected: tuple[str, ...]) -> None:
        """Keep an offer that nobody sees before the receipt is there; every affected party owes a consent.

        Raises:
            Problem: 409 `already-there`.
        """
        with self.database.writing():
            if self.database.one("SELECT 1 FROM offers WHERE run = ? AND digest = ?", run.run, offer.digest):
                raise conflict("already-there", "the offer has been made before")
            number = self.database.number("SELECT count(*) FROM offers WHERE run = ?", run.run)
            self.database.write(
                "INSERT INTO offers VALUES (?, ?, ?, ?, ?)", run.run, number, offer.digest, offer.data, ciphertext
            )
            for party in affected:
                self.database.write("INSERT INTO consents VALUES (?, ?, ?, NULL)", run.run, offer.digest, party)
            self.log.wait(run.run, run.agreement, offer)

    def add_receipt(self, run: Run, receipt: Statement, status: str, now: float) -> Run:
        """Keep the receipt and move the run on, all in one commit; the log has it from when it is shown."""
        with self.database.writing():
            self.log.wait(run.run, run.agreement, receipt)
            run = self.runs.step(run, f"receipt-{status}", now, receipt=receipt.data, receipt_digest=receipt.digest)
            return run if run.is_final or self.undecided(run.run) else self.runs.step(run, "settled", now)

    def offers(self, run: str) -> list[Row]:
        """Rows of (digest, envelope, ciphertext) in the order they were made."""
        return self.database.all("SELECT * FROM offers WHERE run = ? ORDER BY number", run)

    def offer(self, run: str, digest: str) -> Row:
        """One offer.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT * FROM offers WHERE run = ? AND digest = ?", run, digest)
        if row is None:
            raise not_found("offer")
        return row

    def undecided(self, run: str) -> list[str]:
        """Parties that owe a consent."""
        rows = self.database.all(
            "SELECT DISTINCT party FROM consents WHERE run = ? AND envelope IS NULL ORDER BY party", run
        )
        return [row["party"] for row in rows]

    def put_consent(self, run: Run, offer: str, party: str, consent: Statement, now: float) -> None:
        """Take an affected party's answer once; the same bytes again change nothing, the last one settles the run.

        Raises:
            Problem: 403 not affected, 409 `already-there` or `wrong-state`.
        """
        with self.database.writing():
            row = self.database.one(
                "SELECT envelope FROM consents WHERE run = ? AND offer = ? AND party = ?", run.run, offer, party
            )
            if row is None:
                raise forbidden("only parties that the offer affects consent to it")
            if row["envelope"] == consent.data:
                return
            if row["envelope"] is not None:
                raise conflict("already-there", "this party has answered the offer otherwise")
            run = self.runs.get(run.run)
            if run.is_final:
                raise conflict("wrong-state", f"the run is {run.state}; it takes no consents now")
            self.database.write(
                "UPDATE consents SET envelope = ? WHERE run = ? AND offer = ? AND party = ?",
                consent.data, run.run, offer, party,
            )  # fmt: skip
            self.log.add(run.agreement, consent, now)
            if not self.undecided(run.run):
                self.runs.step(run, "settled", now)

    def consents(self, run: str) -> list[bytes]:
        """Every consent that has come."""
        rows = self.database.all(
            "SELECT envelope FROM consents WHERE run = ? AND envelope IS NOT NULL ORDER BY offer, party", run
        )
        return [row["envelope"] for row in rows]

    def put_cosignature(self, run: Run, party: str, cosignature: Statement, now: float) -> None:
        """Take a party's cosignature once; the same bytes again change nothing.

        Raises:
            Problem: 409 `already-there`.
        """
        with self.database.writing():
            data = cosignature.data
            self.database.write(
                "INSERT INTO cosignatures VALUES (?, ?, ?) ON CONFLICT DO NOTHING", run.run, party, data
            )
            row = self.database.one("SELECT envelope FROM cosignatures WHERE run = ? AND party = ?", run.run, party)
            if row is None or row["envelope"] != data:
                raise conflict("already-there", "this party has cosigned otherwise")
            self.log.add(run.agreement, cosignature, now)

    def cosignatures(self, run: str) -> list[bytes]:
        """Every cosignature that has come."""
        rows = self.database.all("SELECT envelope FROM cosignatures WHERE run = ? ORDER BY party", run)
        return [row["envelope"] for row in rows]
