"""What comes of a run: offers with their ciphertext, the receipt, consents, cosignatures, and the chain of receipts.

Runs in: host.   Believes: nothing.   Spec: §8.4, §8.5.
"""

from __future__ import annotations

import dataclasses

from sealroom.host.documents import Statement, labelled
from sealroom.host.problems import conflict, forbidden, not_found
from sealroom.host.runs import Run
from sealroom.host.store.database import Database, Row
from sealroom.host.store.runs import Runs

GENESIS = "00" * 32
"""The checkpoint of an agreement that has no receipt yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Results:
    """The tables `offers`, `consents`, `cosignatures` and `checkpoints`."""

    database: Database
    runs: Runs

    def checkpoint(self, agreement: str) -> str:
        """The head of the agreement's chain of receipts.

        head(n + 1) = SHA-256 labelled `checkpoint/v1` over head(n) and the receipt's statement digest, 32 bytes each.
        """
        row = self.database.one(
            "SELECT head FROM checkpoints WHERE agreement = ? ORDER BY sequence DESC LIMIT 1", agreement
        )
        return GENESIS if row is None else str(row["head"])

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

    def add_receipt(self, run: Run, receipt: Statement, status: str, now: float) -> Run:
        """Keep the receipt, extend the chain, and move the run on, all in one commit."""
        with self.database.writing():
            head = self.checkpoint(run.agreement)
            chained = labelled("checkpoint/v1", bytes.fromhex(head), bytes.fromhex(receipt.digest))
            sequence = self.database.number("SELECT count(*) FROM checkpoints WHERE agreement = ?", run.agreement)
            self.database.write(
                "INSERT INTO checkpoints VALUES (?, ?, ?, ?)", run.agreement, sequence + 1, chained, receipt.digest
            )
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

    def put_consent(self, run: Run, offer: str, party: str, envelope: bytes, now: float) -> None:
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
            if row["envelope"] == envelope:
                return
            if row["envelope"] is not None:
                raise conflict("already-there", "this party has answered the offer otherwise")
            run = self.runs.get(run.run)
            if run.is_final:
                raise conflict("wrong-state", f"the run is {run.state}; it takes no consents now")
            self.database.write(
                "UPDATE consents SET envelope = ? WHERE run = ? AND offer = ? AND party = ?",
                envelope, run.run, offer, party,
            )  # fmt: skip
            if not self.undecided(run.run):
                self.runs.step(run, "settled", now)

    def consents(self, run: str) -> list[bytes]:
        """Every consent that has come."""
        rows = self.database.all(
            "SELECT envelope FROM consents WHERE run = ? AND envelope IS NOT NULL ORDER BY offer, party", run
        )
        return [row["envelope"] for row in rows]

    def put_cosignature(self, run: Run, party: str, envelope: bytes) -> None:
        """Take a party's cosignature once; the same bytes again change nothing.

        Raises:
            Problem: 409 `already-there`.
        """
        with self.database.writing():
            self.database.write("INSERT OR IGNORE INTO cosignatures VALUES (?, ?, ?)", run.run, party, envelope)
            row = self.database.one("SELECT envelope FROM cosignatures WHERE run = ? AND party = ?", run.run, party)
            if row is None or row["envelope"] != envelope:
                raise conflict("already-there", "this party has cosigned otherwise")

    def cosignatures(self, run: str) -> list[bytes]:
        """Every cosignature that has come."""
        rows = self.database.all("SELECT envelope FROM cosignatures WHERE run = ? ORDER BY party", run)
        return [row["envelope"] for row in rows]
