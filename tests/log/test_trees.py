"""Both sides' tree code against the public known answers, each other, and every small change."""

from __future__ import annotations

import hashlib

import pytest

from sealroom.host import tree
from sealroom.protocol import merkle
from sealroom.protocol.errors import NotGenuine

# The reference leaves and heads of Certificate Transparency (RFC 6962), sizes 0 to 8.
DATA = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
HEADS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
KNOWN_PATHS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
KNOWN_GROWTH = {
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
}
MOST = 33


def nodes(leaves):
    store = {}
    for number, hashed in enumerate(leaves):
        for level, index, value in tree.completed(number, hashed, lambda *place: store[place]):
            store[level, index] = value
    return lambda level, index: store[level, index]


@pytest.fixture(scope="module")
def many():
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(MOST)]
    return leaves, nodes(leaves), merkle.roots(leaves)


def test_both_sides_give_the_known_heads():
    leaves = [merkle.leaf_hash(bytes.fromhex(data)) for data in DATA]
    assert leaves == [tree.leaf(bytes.fromhex(data)) for data in DATA]
    assert [head.hex() for head in merkle.roots(leaves)] == HEADS
    assert [tree.root(size, nodes(leaves)).hex() for size in range(9)] == HEADS


def test_the_known_proofs_come_out_and_hold():
    leaves = [merkle.leaf_hash(bytes.fromhex(data)) for data in DATA]
    node = nodes(leaves)
    for (index, size), path in KNOWN_PATHS.items():
        assert [step.hex() for step in tree.inclusion(index, size, node)] == path
        proof = [bytes.fromhex(step) for step in path]
        merkle.verify_inclusion(leaves[index], proof, index=index, size=size, root=bytes.fromhex(HEADS[size]))
    for (old, new), path in KNOWN_GROWTH.items():
        assert [step.hex() for step in tree.consistency(old, new, node)] == path
        proof = [bytes.fromhex(step) for step in path]
        ends = (old, bytes.fromhex(HEADS[old])), (new, bytes.fromhex(HEADS[new]))
        merkle.verify_consistency(proof, old=ends[0], new=ends[1])


def test_every_inclusion_proof_holds_and_at_its_own_place_only(many):
    leaves, node, roots = many
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = tree.inclusion(index, size, node)
            merkle.verify_inclusion(leaves[index], proof, index=index, size=size, root=roots[size])
            for other in {*range(size)} - {index}:
                with pytest.raises(NotGenuine):
                    merkle.verify_inclusion(leaves[index], proof, index=other, size=size, root=roots[size])
            for bad in altered(proof):
                with pytest.raises(NotGenuine):
                    merkle.verify_inclusion(leaves[index], bad, index=index, size=size, root=roots[size])


def test_every_consistency_proof_holds_and_for_its_own_trees_only(many):
    _, node, roots = many
    for new in range(MOST + 1):
        for old in range(new + 1):
            proof = tree.consistency(old, new, node)
            merkle.verify_consistency(proof, old=(old, roots[old]), new=(new, roots[new]))
            if old:
                refused(proof, (old, merkle.leaf_hash(b"another")), (new, roots[new]))
                refused(proof, (old, roots[old]), (new, merkle.leaf_hash(b"another")))
            if 0 < old < new:
                refused(proof, (old - 1, roots[old]), (new, roots[new]))
            for bad in altered(proof):
                refused(bad, (old, roots[old]), (new, roots[new]))


def test_a_tree_that_shrank_is_named_for_that(many):
    _, _, roots = many
    with pytest.raises(NotGenuine) as caught:
        merkle.verify_consistency([], old=(5, roots[5]), new=(4, roots[4]))
    assert caught.value.code == "E2.log-shrank"


def test_places_that_are_none_are_refused(many):
    leaves, _, roots = many
    for index, size in ((-1, 1), (1, 1), (0, 0), (0, merkle.MOST_SIZE + 1)):
        with pytest.raises(NotGenuine):
            merkle.verify_inclusion(leaves[0], [], index=index, size=size, root=roots[1])


def test_an_entry_s_leaf_depends_on_salt_kind_and_digest():
    one = merkle.entry_hash(b"s" * 32, "grant", "11" * 32)
    others = [
        merkle.entry_hash(b"t" * 32, "grant", "11" * 32), merkle.entry_hash(b"s" * 32, "offer", "11" * 32),
        merkle.entry_hash(b"s" * 32, "grant", "12" * 32),
    ]  # fmt: skip
    assert len({one, *others}) == 4


def refused(proof, old, new):
    with pytest.raises(NotGenuine):
        merkle.verify_consistency(proof, old=old, new=new)


def altered(proof):
    """Proofs that are not this one: one step changed, left out, put in, or two swapped."""
    stray = hashlib.sha256(b"stray").digest()
    yield [*proof, stray]
    for place, step in enumerate(proof):
        yield [*proof[:place], stray, *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], step, *proof[place:]]
        if place + 1 < len(proof) and proof[place + 1] != step:
            yield [*proof[:place], proof[place + 1], step, *proof[place + 2 :]]
