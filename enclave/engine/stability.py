"""How far one entity can move what is counted after linkage: the constants that noise is scaled by.

Runs in: engine.   Believes: the proof.   Spec: §7.2.   Proof: docs/decisions/0002-stability-of-linkage.md.

Neighbours differ in all values of one entity of one owner (replace-one; row counts are public). Each constant is the
largest over both choices of that owner, so that one noise protects everyone. `k` is the number of stages.

    what is released                                             L1 distance of neighbours, at most
    number of pairs                                              1
    histogram of pairs over attributes of one side               4
    histogram of pairs over attributes of both sides             4 k
    blocks of pairs, cut by the key value that linked them       2 k blocks that are not the same
    bounded sums in such a histogram, of values of one of the    4 (or 4 k) times the largest absolute value
      sides its cells read, or 4 k if cells and value differ
"""

from __future__ import annotations

from sealroom.enclave.engine import reasons
from sealroom.protocol.agreement import Link

PAIR_COUNT = 1
ONE_SIDE = 4
PER_STAGE = 4
BLOCKS_PER_STAGE = 2
PROVEN = frozenset({"waterfall/v1"})


def of_count(link: Link) -> int:
    """Sensitivity of the number of pairs.

    Raises:
        NotReleased: reason `no-stability-proof`.
    """
    _require_proof(link)
    return PAIR_COUNT


def of_histogram(link: Link, sides: frozenset[str]) -> int:
    """L1 sensitivity of counts of pairs over disjoint cells; `sides` are the datasets that decide cell and value.

    Raises:
        NotReleased: reason `no-stability-proof`.
    """
    _require_proof(link)
    if len(sides) <= 1:
        return PAIR_COUNT if not sides else ONE_SIDE
    return PER_STAGE * len(link.keys)


def of_blocks(link: Link) -> int:
    """How many disjoint blocks of pairs can hold other pairs; a pair's block follows from its stage and key value.

    Raises:
        NotReleased: reason `no-stability-proof`.
    """
    _require_proof(link)
    return BLOCKS_PER_STAGE * len(link.keys)


def _require_proof(link: Link) -> None:
    if link.scheme not in PROVEN:
        raise reasons.withheld("no-stability-proof")
