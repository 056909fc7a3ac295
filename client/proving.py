"""Proof that the log holds a run's receipt, offers and answers: asked for when collecting, checked by anybody offline.

Runs in: a party that collects, and whoever holds the file.   Believes: the agreement's signatures.   Spec: §5.9, §13.4.
"""

from __future__ import annotations

import dataclasses

from sealroom.client import logbook
from sealroom.client.bundle import Bundle, LogProof, Place
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.logbook import Logbook
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import merkle, notes
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


def prove(home: Home, gateway: Gateway, bundle: Bundle, *, now: int) -> Bundle:
    """The bundle with the proof in it, under a checkpoint that continues all that this home has seen of the log.

    Without a key that the operator named there is no log to ask: the bundle stays as it is.

    Raises:
        NotGenuine: the log lacks one of its statements, or is not what it was.
        NotAcceptable: the operator named two keys.
    """
    pinned = home.agreement(bundle.agreement[0].digest)
    book = Logbook(home, gateway, pinned, now)
    key = book.statement()
    if key is None:
        return bundle
    book.look()
    assert book.note is not None  # noqa: S101 (a look that returns has one)
    places = [_place(book, kind, digest) for digest, kind in _statements(bundle).items()]
    proof = LogProof(
        key=key, checkpoint=book.note.to_bytes().decode(), entries=tuple(sorted(places, key=lambda at: at.number))
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
