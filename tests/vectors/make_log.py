"""Vectors of a transparency log: checkpoints with their signatures, and proofs of inclusion and of growth."""

from __future__ import annotations

from typing import Any

from sealroom.protocol import canonical, merkle, notes
from sealroom.protocol.notes import Checkpoint
from tests.vectors import cases
from tests.vectors.cases import Produced, vector

AGREEMENT = "a1" * 32
NAME, BANK = notes.origin(AGREEMENT), notes.cosigner(AGREEMENT, "bank")
LEAVES = [merkle.entry_hash(bytes([n]) * 32, "grant", f"{n:064x}") for n in range(7)]
ROOTS = merkle.roots(LEAVES)
STRAY = merkle.leaf_hash(b"another")


def produce() -> Produced:
    yield from _notes()
    yield from _proofs()


def _notes() -> Produced:
    log, bank = cases.signing("log"), cases.signing("bank")
    signed = notes.sign(Checkpoint(NAME, 7, ROOTS[7]), log)
    good = notes.cosign(signed, bank, name=BANK, at=1_700_000_000).to_bytes().decode()
    text, _, lines = good.partition("\n\n")
    other = notes.sign(Checkpoint(NAME, 6, ROOTS[6]), log).to_bytes().decode()
    table = [
        ("valid", "ok", "cosignature", "signed by the log, cosigned by bank", good),
        ("valid-more-lines", "ok", "cosignature", "a line by a key that nobody knows", good + "— somebody AAAAAAA=\n"),
        ("extension", "E1.bad-note", "parse", "a fourth line", f"{text}\nmore\n\n{lines}"),
        ("leading-zero", "E1.bad-note", "parse", "a zero before the size", good.replace("\n7\n", "\n07\n")),
        ("no-signature", "E1.bad-note", "parse", "no signature line", f"{text}\n\n"),
        ("plus-in-name", "E1.bad-note", "parse", "a plus sign in a key's name", good + "— some+body AAAAAAA=\n"),
        ("key-twice", "E1.bad-note", "parse", "two lines of one key", good + lines.split("\n")[0] + "\n"),
        ("cut", "E1.bad-note", "parse", "no newline at the end", good[:-1]),
        ("empty-root", "E1.bad-note", "parse", "no entries, and a root all the same", good.replace("\n7\n", "\n0\n")),
        ("other-log", "E2.other-log", "log", "another agreement's log", good.replace("a1" * 32, "a2" * 32)),
        ("not-signed", "E2.not-signed", "log", "cosigned only", f"{text}\n\n{lines.split(chr(10))[1]}\n"),
        ("other-size", "E2.signature", "log", "another size than was signed", good.replace("\n7\n", "\n8\n")),
        ("not-cosigned", "E2.not-signed", "cosignature", "signed by the log alone", signed.to_bytes().decode()),
        (
            "cosigned-another", "E2.signature", "cosignature", "bank's line is about the checkpoint of 7",
            other + lines.split("\n")[1] + "\n",
        ),
    ]  # fmt: skip
    for name, expect, stage, comment, note in table:
        yield f"log-note/{name}", vector(expect, stage, comment, note.encode())


def _proofs() -> Produced:
    inner = merkle.node_hash
    first, second = inner(LEAVES[0], LEAVES[1]), inner(LEAVES[2], LEAVES[3])
    left, right = inner(first, second), inner(inner(LEAVES[4], LEAVES[5]), LEAVES[6])
    there = {"leaf": LEAVES[2], "index": 2, "size": 7, "root": ROOTS[7], "proof": [LEAVES[3], first, right]}
    grown = {
        "old": 3,
        "old_root": ROOTS[3],
        "new": 7,
        "new_root": ROOTS[7],
        "proof": [LEAVES[2], LEAVES[3], first, right],
    }
    assert inner(left, right) == ROOTS[7]
    missing, shrank, forked = "E2.log-not-included", "E2.log-shrank", "E2.log-forked"
    table: list[tuple[str, str, str, dict[str, Any]]] = [
        ("valid-inclusion", "ok", "entry 2 of 7", there),
        ("inclusion-another-place", missing, "the same entry at 3", there | {"index": 3}),
        ("inclusion-another-leaf", missing, "another entry at 2", there | {"leaf": STRAY}),
        ("inclusion-another-root", missing, "another tree", there | {"root": STRAY}),
        ("inclusion-short", missing, "a step less", there | {"proof": there["proof"][:-1]}),
        ("inclusion-long", missing, "a step more", there | {"proof": [*there["proof"], STRAY]}),
        ("inclusion-beyond", missing, "a place that the log does not have", there | {"index": 7}),
        ("valid-consistency", "ok", "3 entries grew to 7", grown),
        ("valid-consistency-same", "ok", "7 entries stayed 7", grown | {"old": 7, "old_root": ROOTS[7], "proof": []}),
        ("valid-consistency-from-nothing", "ok", "no entries grew to 7", grown | {
            "old": 0, "old_root": merkle.EMPTY, "proof": []}),
        ("consistency-shrank", shrank, "7 entries became 3", {
            "old": 7, "old_root": ROOTS[7], "new": 3, "new_root": ROOTS[3], "proof": grown["proof"]}),
        ("consistency-forked", forked, "another 7 entries", grown | {"new_root": STRAY}),
        ("consistency-another-old", forked, "another 3 entries", grown | {"old_root": STRAY}),
        ("consistency-same-size", forked, "two trees of 7", grown | {"old": 7, "old_root": STRAY, "proof": []}),
        ("consistency-short", forked, "a step less", grown | {"proof": grown["proof"][:-1]}),
        ("consistency-long", forked, "a step more", grown | {"proof": [*grown["proof"], STRAY]}),
        ("consistency-empty", forked, "no proof at all", grown | {"proof": []}),
    ]  # fmt: skip
    for name, expect, comment, body in table:
        yield f"log-proof/{name}", vector(expect, "proof", comment, canonical.encode(_hex(body)))


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hex(item) for key, item in value.items()}
    return [_hex(item) for item in value] if isinstance(value, list) else value
