"""Not one bit of a checkpoint or of a proof about the log can change; a cosigner's line can only be lost."""

from __future__ import annotations

import pytest

from sealroom.protocol import merkle, notes
from sealroom.protocol.errors import Malformed, NotGenuine
from tests.flips.flipping import flips, taken
from tests.fuzz import logs, seeds
from tests.vectors import cases

KEYS = {name: cases.signing(party).public for name, party in logs.NAMES.items()}


def seen(data: bytes) -> tuple[notes.Checkpoint, dict[str, int]]:
    note = notes.parse(data)
    checkpoint = notes.verify_log(note, name=notes.origin(seeds.A), key=cases.signing("operator").public)
    return checkpoint, notes.cosigners(note, KEYS)


def test_a_flip_of_a_checkpoint_is_refused_or_loses_one_cosigner():
    """A line of a key that nobody named is left alone, as signed notes have it; who is needed counts those it knows."""
    good = logs.signed_note()
    checkpoint, cosigners = seen(good.to_bytes())
    assert set(cosigners) == set(KEYS)
    first_cosigner = good.to_bytes().index(good.signatures[1].line.encode())
    for flipped, (found, left) in taken(seen, good.to_bytes()):
        assert flipped[:first_cosigner] == good.to_bytes()[:first_cosigner]
        assert found == checkpoint
        assert left.items() < cosigners.items()
        assert len(left) == len(cosigners) - 1


@pytest.mark.parametrize("index", range(logs.SIZE))
def test_no_bit_of_an_inclusion_proof_can_be_flipped(index: int):
    proof = b"".join(logs.inclusion(index))

    def check(data: bytes) -> None:
        merkle.verify_inclusion(
            logs.LEAVES[index], logs._hashes(data), index=index, size=logs.SIZE, root=logs.ROOTS[logs.SIZE]
        )

    assert taken(check, proof) == []


@pytest.mark.parametrize("before", range(1, logs.SIZE))
def test_no_bit_of_a_consistency_proof_can_be_flipped(before: int):
    proof, new = b"".join(logs.consistency(before)), (logs.SIZE, logs.ROOTS[logs.SIZE])
    old = (before, logs.ROOTS[before])
    assert taken(lambda data: merkle.verify_consistency(logs._hashes(data), old=old, new=new), proof) == []
    for root in flips(logs.ROOTS[before]):
        with pytest.raises(NotGenuine):
            merkle.verify_consistency(logs.consistency(before), old=(before, root), new=new)


def test_a_note_has_one_spelling():
    data = logs.signed_note().to_bytes()
    for other in (
        data + b"\n",
        data[:-1],
        data.replace(b"\n\n", b"\n\n\n"),
        b"\n" + data,
        data.replace(b"7\n", b"07\n"),
    ):
        with pytest.raises(Malformed):
            notes.parse(other)
