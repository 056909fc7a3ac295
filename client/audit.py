"""Proves a whole agreement's history from files alone, and names the first entry that is not what it was.

Runs in: whoever holds the folder.   Believes: roots that the caller names, and AMD's.   Spec: §13.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from sealroom.attestation.snp.roots import VENDOR_ROOTS
from sealroom.client import appraise, logged_entry, receipt, standing
from sealroom.client.appraise import Accepted, Question
from sealroom.client.audit_folder import Folder
from sealroom.client.bundle import Bundle
from sealroom.client.history import History, RunHistory
from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.receipt import Verified
from sealroom.protocol import merkle, notes
from sealroom.protocol.errors import NotAcceptable, NotGenuine, Refused
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.notes import Checkpoint, Note


class Finding(NotGenuine):
    """The first thing that is wrong; `entry` is its number, or None where it is no single entry."""

    def __init__(self, code: str, message: str, entry: int | None = None) -> None:
        """Keep the number apart."""
        super().__init__(code, message)
        self.entry = entry


@dataclasses.dataclass(frozen=True, slots=True)
class Audited:
    """A history in which everything holds. `cosigned`: each party's newest cosigned size, and when, by its clock."""

    history: History
    entries: tuple[LoggedEntry, ...]
    head: Checkpoint
    cosigned: Mapping[str, tuple[int, int]]
    receipts: Mapping[str, Verified]
    accepted: Mapping[str, Accepted]


def verify(folder: Folder, *, roots: frozenset[str] = frozenset(), agreement: str | None = None) -> Audited:
    """All that a folder says, if every part of it holds.

    Steps: (1) the hashes give the root of every checkpoint; (2) each entry is there, in its place, with its content;
    (3) each is signed by whom it must be and stands after what it rests on; (4) the key that the operator named signed
    every checkpoint, and those who cosigned one did; (5) each run that was granted keys had evidence that appraised at
    each grant, under AMD's roots or one of `roots`; (6) each receipt verifies with all that belongs to it.

    `roots` are SHA-256 digests of root certificates (hex); `agreement` is the id that the caller expects, if any.

    Raises:
        Finding: the first entry that is removed, moved, doubled, altered or forged.
        Refused: no entry, but a checkpoint or the agreement as a whole, is at fault.
    """
    roots_of = merkle.roots(folder.tree)
    head = _head(folder, roots_of)  # (1)
    entries = tuple(_in_place(folder))  # (2)
    history = _replayed(entries, roots_of)  # (3)
    if agreement is not None and history.agreement.id != agreement:
        raise NotAcceptable("other-agreement", "the history is of another agreement than the one you named")
    cosigned = _signed(folder, history)  # (4)
    accepted = {run.request.digest: _appraised(run, history, entries, roots) for run in _granted(history)}  # (5)
    receipts = {run.request.digest: _receipt(run, history, entries, roots) for run in _ended(history)}  # (6)
    return Audited(history, entries, head, cosigned, receipts, accepted)


def _head(folder: Folder, roots_of: list[bytes]) -> Checkpoint:
    """The longest checkpoint, which covers every entry. Its signature is checked in step 4."""
    if not folder.notes:
        raise Finding(
            "audit-no-checkpoint", "the folder holds no checkpoint, so that anything could have been left out"
        )
    reached = 0
    for note in sorted(folder.notes.values(), key=lambda note: note.unverified.size):
        said = note.unverified
        if said.size > len(folder.tree) or roots_of[said.size] != said.root:
            where = f"entries {reached} to {said.size - 1} are not those that it signs"
            raise Finding("audit-tree", f"the hashes do not give the root of the checkpoint of {said.size}: {where}")
        reached = said.size
    if reached != len(folder.tree):
        raise Finding("audit-beyond", f"no checkpoint covers the entries from {reached} on", reached)
    return max((note.unverified for note in folder.notes.values()), key=lambda said: said.size)


def _in_place(folder: Folder) -> Iterator[LoggedEntry]:
    leaves: dict[bytes, int] = {leaf: number for number, leaf in enumerate(folder.tree)}
    for number, leaf in enumerate(folder.tree):
        if number not in folder.entries:
            raise Finding("audit-removed", f"entry {number} was removed", number)
        try:
            entry = logged_entry.parse(number, folder.entries[number])
        except Refused as error:
            raise _finding(number, "", error) from error
        if entry.leaf != leaf:
            raise _misplaced(entry, leaves, folder)
        yield entry
    if extra := sorted(set(folder.entries) - set(range(len(folder.tree)))):
        raise Finding("audit-added", f"entry {extra[0]} was added: no checkpoint knows it", extra[0])


def _misplaced(entry: LoggedEntry, leaves: Mapping[bytes, int], folder: Folder) -> Finding:
    """In what way an entry is not the one that the tree has at its place."""
    number, home = entry.number, leaves.get(entry.leaf)
    if home is None:
        return Finding(
            "audit-forged", f"entry {number} ({entry.kind}) was forged: it is none that the log holds", number
        )
    if home < number:
        return Finding("audit-doubled", f"entry {number} repeats entry {home}", number)
    if any(_leaf(folder, other) == folder.tree[number] for other in folder.entries if other != number):
        return Finding("audit-moved", f"entry {number} was moved: what stands there is entry {home}", number)
    return Finding("audit-removed", f"entry {number} was removed: what stands there is entry {home}", number)


def _leaf(folder: Folder, number: int) -> bytes:
    try:
        return logged_entry.parse(number, folder.entries[number]).leaf
    except Refused:
        return b""


def _replayed(entries: tuple[LoggedEntry, ...], roots_of: list[bytes]) -> History:
    history = History(roots_of)
    for entry in entries:
        try:
            history.take(entry)
        except Refused as error:
            raise _finding(entry.number, f" ({entry.kind})", error) from error
    return history


def _finding(number: int, kind: str, error: Refused) -> Finding:
    """The refusal of one entry, named by its place."""
    return Finding(error.code.partition(".")[2], f"entry {number}{kind}: {error.message}", number)


def _signed(folder: Folder, history: History) -> dict[str, tuple[int, int]]:
    """Each party's newest cosigned size and time, after every signature was checked."""
    pinned, key = history.agreement, history.log_key
    if key is None:
        raise Finding("log-key", "the operator has named no key of this log")
    keys = {
        notes.cosigner(pinned.id, party.name): VerifyingKey.parse(party.signing_key)
        for party in pinned.agreement.parties
    }
    found: dict[str, tuple[int, int]] = {}
    for name, note in sorted(folder.notes.items()):
        try:
            _check_note(note, pinned.id, key)
            for cosigner, at in notes.cosigners(note, keys).items():
                party = cosigner.rpartition("/")[2]
                found[party] = max(found.get(party, (0, 0)), (note.unverified.size, at))
        except Refused as error:
            raise Finding(error.code.partition(".")[2], f"checkpoint {name}: {error.message}") from error
    return found


def _check_note(note: Note, agreement: str, key: VerifyingKey) -> None:
    notes.verify_log(note, name=notes.origin(agreement), key=key)


def _granted(history: History) -> Iterator[RunHistory]:
    return (run for run in history.runs.values() if run.grants)


def _ended(history: History) -> Iterator[RunHistory]:
    return (run for run in history.runs.values() if run.receipt is not None)


def _appraised(run: RunHistory, history: History, entries: tuple[LoggedEntry, ...], roots: frozenset[str]) -> Accepted:
    """The verdict of the last grant, after the evidence appraised at the time of each."""
    pinned = run.request.pinned
    known = standing.read(pinned.agreement, pinned.id, [*history.approvals, *history.revocations])
    accepted: Accepted | None = None
    for signed, grant in sorted(run.grants.values(), key=lambda item: item[1].created):
        question = Question(
            request=run.request, standing=known, nonces={}, own=grant.party, now=grant.created, past=True
        )
        try:
            accepted = appraise.appraise(run.evidence_bytes, question)
            if accepted.verdict.root not in roots | frozenset(VENDOR_ROOTS):
                raise NotAcceptable("root-not-named", f"its evidence leads to the root {accepted.verdict.root}",
                                    hint="if you know whose root that is, name it: `--root FILE`")  # fmt: skip
        except Refused as error:
            if error.code == "E3.root-not-named":
                raise
            raise _finding(_place(entries, signed.digest), " (grant)", error) from error
    assert accepted is not None  # noqa: S101 (a run in this list has grants)
    return accepted


def _receipt(run: RunHistory, history: History, entries: tuple[LoggedEntry, ...], roots: frozenset[str]) -> Verified:
    assert run.receipt is not None  # noqa: S101 (a run in this list has one)
    try:
        return receipt.verify(bundle(run, history), roots=roots)
    except Refused as error:
        raise _finding(_place(entries, run.receipt[0].digest), " (receipt)", error) from error


def bundle(run: RunHistory, history: History) -> Bundle:
    """The receipt bundle of a run, out of the log's entries."""
    assert run.receipt is not None  # noqa: S101
    assert run.evidence is not None  # noqa: S101
    last = history.chain.index(run.request.pinned.envelope)
    return Bundle(
        format="sealroom/receipt-bundle/v2", agreement=tuple(history.chain[: last + 1]),
        approvals=tuple(history.approvals), revocations=tuple(history.revocations),
        manifests=tuple(history.manifests[d] for d in run.request.request.objects.values()),
        request=run.request.envelope, evidence=run.evidence, grants=tuple(s for s, _ in run.grants.values()),
        offers=tuple(s for s, _ in run.offers.values()), consents=tuple(s for s, _ in run.consents.values()),
        receipt=run.receipt[0], cosignatures=tuple(run.cosignatures.values()), log=None,
    )  # fmt: skip


def _place(entries: tuple[LoggedEntry, ...], digest: str) -> int:
    return next(entry.number for entry in entries if entry.digest == digest)
