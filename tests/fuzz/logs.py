"""Targets: checkpoints of the transparency log as signed notes, and proofs about its tree."""

from __future__ import annotations

from sealroom.protocol import merkle, notes
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target, round_trip, taken
from tests.vectors import cases

SIZE = 7
LEAVES = [merkle.leaf_hash(bytes((number,))) for number in range(SIZE)]
ROOTS = merkle.roots(LEAVES)
NAMES = {notes.cosigner(seeds.A, name): name for name in ("bank", "partner")}


def signed_note() -> notes.Note:
    """A checkpoint of seven entries, by the log and two cosigners."""
    note = notes.sign(notes.Checkpoint(notes.origin(seeds.A), SIZE, ROOTS[SIZE]), cases.signing("operator"))
    for name, party in NAMES.items():
        note = notes.cosign(note, cases.signing(party), name=name, at=seeds.NOW)
    return note


def inclusion(index: int) -> list[bytes]:
    """The proof for one of the seven leaves, from RFC 9162's definition."""
    return _path(index, LEAVES)


def consistency(before: int) -> list[bytes]:
    """The proof that the first `before` leaves begin the seven, from RFC 9162's definition."""
    return _subproof(before, LEAVES, whole=True) if before else []


def _root(leaves: list[bytes]) -> bytes:
    return merkle.roots(leaves)[-1]


def _split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*_path(index, leaves[:at]), _root(leaves[at:])]
    return [*_path(index - at, leaves[at:]), _root(leaves[:at])]


def _subproof(before: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if before == len(leaves):
        return [] if whole else [_root(leaves)]
    at = _split(len(leaves))
    if before <= at:
        return [*_subproof(before, leaves[:at], whole=whole), _root(leaves[at:])]
    return [*_subproof(before - at, leaves[at:], whole=False), _root(leaves[:at])]


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def _included() -> Check:
    """Input: which leaf, its index, then a proof; for the tree of seven."""

    def check(data: bytes) -> bool:
        leaf = data[0] % SIZE if data else 0
        index = data[1] if len(data) > 1 else 0
        held, _ = taken(
            lambda raw: merkle.verify_inclusion(
                LEAVES[leaf], _hashes(raw[2:]), index=index, size=SIZE, root=ROOTS[SIZE]
            ),
            data,
        )
        assert not held or (leaf == index and _hashes(data[2:]) == inclusion(index)), "a second proof, or a false one"
        return held

    return check


def _consistent() -> Check:
    """Input: how many entries before, the root of then, then a proof; for the tree of seven."""

    def check(data: bytes) -> bool:
        before = data[0] if data else 0
        old, proof = data[1:33], _hashes(data[33:])
        held, _ = taken(lambda _: merkle.verify_consistency(proof, old=(before, old), new=(SIZE, ROOTS[SIZE])), data)
        assert not held or (old == ROOTS[before] and proof == consistency(before)), "a second proof, or a false one"
        return held

    return check


def _noted() -> Check:
    """What is read keeps its bytes, and counts only with signatures that were made."""
    reread = round_trip(notes.parse, notes.Note.to_bytes)()
    good, keys = signed_note(), {name: cases.signing(party).public for name, party in NAMES.items()}

    def check(data: bytes) -> bool:
        if not reread(data):
            return False
        note = notes.parse(data)
        held, found = taken(
            lambda _: notes.verify_log(note, name=notes.origin(seeds.A), key=cases.signing("operator").public), data
        )
        assert not held or found == good.unverified, "a checkpoint that nobody signed"
        held, seen = taken(lambda _: notes.cosigners(note, keys), data)
        assert not held or not seen or note.unverified == good.unverified, "a cosignature that nobody made"
        return True

    return check


def _proofs() -> list[bytes]:
    return [bytes((index, index)) + b"".join(inclusion(index)) for index in range(SIZE)]


def _extensions() -> list[bytes]:
    return [bytes((before,)) + ROOTS[before] + b"".join(consistency(before)) for before in range(SIZE + 1)]


TARGETS = (
    Target(
        name="note", decoder="protocol/notes.py parse", law="one spelling; counts only with signatures that were made",
        prepare=_noted, shape="text", seeds=lambda: [signed_note().to_bytes()],
    ),
    Target(
        name="inclusion-proof", decoder="protocol/merkle.py verify_inclusion", law="the one true proof",
        prepare=_included, seeds=_proofs, most=400,
    ),
    Target(
        name="consistency-proof", decoder="protocol/merkle.py verify_consistency", law="the one true proof",
        prepare=_consistent, seeds=_extensions, most=400,
    ),
)  # fmt: skip
