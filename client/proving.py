"""Proof that the log holds a run's receipt, offers and answers: asked for when collecting, checked by anybody offline.

Runs in: a party that collects, and whoever holds the file.   Believes: the agreement's signatures.   Spec: §5.9, §13.4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sealroom.client import bundle as bundles
from sealroom.client import logbook, standing
from sealroom.client.bundle import Bundle, LogProof, Place
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.logbook import Logbook
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import merkle, notes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine
from sealroom.protocol.notes import Checkpoint

_ORDER = ("offer", "receipt", "consent")


@dataclasses.dataclass(frozen=True, slots=True)
class InLog:
    """The log of this size and root holds the run's end at these numbers."""

    checkpoint: Checkpoint
    numbers: tuple[int, ...]

    def document(self) -> dict[str, object]:
        """The same for programs."""
        return {"size": self.checkpoint.size, "root": self.checkpoint.root.hex(), "entries": list(self.numbers)}


def look(home: Home, gateway: Gateway, agreement: str, *, now: int) -> Logbook | None:
    """The agreement's log, read up to a checkpoint that continues all that this home has seen of it.

    None without a key that the operator named: there is no log to ask.

    Raises:
        NotGenuine: the log is not what it was, or its entries are not shown.
        NotAcceptable: the operator named two keys, or there is more to read than is read at once.
    """
    book = Logbook(home, gateway, home.agreement(agreement), now)
    if book.statement() is None:
        return None
    book.look()
    return book


def complete(bundle: Bundle, book: Logbook, listed: Sequence[Envelope]) -> Bundle:
    """The bundle with every approval and revocation that the log holds, whatever the gateway lists.

    `listed` are those that it listed before the log was looked at.

    Raises:
        NotGenuine: one of them holds and is not in the log (`log-lacks`).
    """
    logged = {kind: {one.digest: one for one in book.statements(kind)} for kind in ("approval", "revocation")}
    shown = standing.read(book.pinned.agreement, book.pinned.id, listed)
    if {*shown.approvals, *shown.revocations} - {*logged["approval"], *logged["revocation"]}:
        raise NotGenuine("log-lacks", "the log lacks an approval or revocation that the gateway lists")
    return dataclasses.replace(
        bundle,
        approvals=bundles.ordered([*bundle.approvals, *logged["approval"].values()]),
        revocations=bundles.ordered([*bundle.revocations, *logged["revocation"].values()]),
    )


def prove(bundle: Bundle, book: Logbook) -> Bundle:
    """The bundle with the proof in it that the log of the newest look holds its end.

    Raises:
        NotGenuine: the log lacks one of its statements.
    """
    key, note = book.statement(), book.note
    assert key is not None  # noqa: S101 (`look` gives no book without one)
    assert note is not None  # noqa: S101 (a look that returns has one)
    places = [_place(book, kind, digest) for digest, kind in _statements(bundle).items()]
    proof = LogProof(
        key=key, checkpoint=note.to_bytes().decode(), entries=tuple(sorted(places, key=lambda at: at.number))
    )
    return dataclasses.replace(bundle, log=proof)


def check_logged(bundle: Bundle, pinned: PinnedAgreement) -> InLog | None:
    """What the bundle proves of the log; None if it holds no proof.

    Steps: (1) the operator named the key; (2) that key signed the checkpoint, of this agreement's log; (3) there is one
    place for the receipt, each offer and each consent, and for nothing else; (4) each stands there in the tree; (5)
    offers stand before the receipt, and answers after it.

    Raises:
        NotGenuine: a signature or a path does not hold (`log-not-included`), or the order is another (`log-order`).
        NotAcceptable: the key is for another agreement's log, or other statements are proved (`other-entries`).
    """
    proof, kinds = bundle.log, _statements(bundle)
    if proof is None:
        return None
    key = logbook.key_of(proof.key, pinned.agreement, pinned.id)  # (1)
    note = notes.parse(proof.checkpoint.encode())
    head = notes.verify_log(note, name=notes.origin(pinned.id), key=key)  # (2)
    if sorted(at.digest for at in proof.entries) != sorted(kinds):  # (3)
        raise NotAcceptable(
            "other-entries", "the proof from the log is about other statements than those that are here"
        )
    for at in proof.entries:
        _require_place(at, kinds[at.digest], head)  # (4)
    stages = [_ORDER.index(kinds[at.digest]) for at in proof.entries]
    numbers = tuple(at.number for at in proof.entries)
    if stages != sorted(stages) or list(numbers) != sorted(set(numbers)):  # (5)
        raise NotGenuine("log-order", "the log holds the run's end in another order than that in which it must come")
    return InLog(head, numbers)


def _statements(bundle: Bundle) -> dict[str, str]:
    """The digest of what must be in the log, and its kind."""
    kinds = {"offer": bundle.offers, "receipt": (bundle.receipt,), "consent": bundle.consents}
    return {signed.digest: kind for kind, found in kinds.items() for signed in found}


def _place(book: Logbook, kind: str, digest: str) -> Place:
    at = book.place(kind, digest)
    return Place(digest=digest, number=at.number, salt=at.salt.hex(), proof=tuple(step.hex() for step in at.proof))


def _require_place(at: Place, kind: str, head: Checkpoint) -> None:
    leaf = merkle.entry_hash(bytes.fromhex(at.salt), kind, at.digest)
    path = [bytes.fromhex(step) for step in at.proof]
    merkle.verify_inclusion(leaf, path, index=at.number, size=head.size, root=head.root)
