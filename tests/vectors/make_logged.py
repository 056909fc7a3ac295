"""The log of one run, and vectors of what a receipt proves of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any

from sealroom.client.bundle import LogProof, Place
from sealroom.host import tree
from sealroom.protocol import envelope, merkle, notes, schema
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.logged import Log
from sealroom.protocol.notes import Checkpoint
from tests.vectors import cases
from tests.vectors.make_run import NOW

Edits = list[list[Any]]
BEFORE = ("agreement", "log", "approval", "approval", "manifest", "manifest", "request", "evidence", "grant", "grant")
"""Kinds of what stands before the offers; what exactly it is does not matter to the proof."""


def named_key(agreement: str, signer: str = "operator", key: str = "log", **changes: Any) -> Envelope:
    said = Log(
        format="sealroom/log/v1", party="operator", agreement=agreement, key=cases.signing(key).public.text,
        created=NOW - 600,
    )  # fmt: skip
    return envelope.sign(dataclasses.replace(said, **changes), [cases.signing(signer)])


def proved(agreement: str, end: Iterable[tuple[str, str]], *, of: str = "") -> LogProof:
    """The proof for a run's end, (kind, digest) in the log's order; `of` is whose log's name the checkpoint bears."""
    end = list(end)
    named = [(kind, hashlib.sha256(f"{n} {kind}".encode()).hexdigest()) for n, kind in enumerate(BEFORE)]
    salts = [hashlib.sha256(f"salt {n}".encode()).digest() for n in range(len(named) + len(end) + 1)]
    after = ("cosignature", hashlib.sha256(b"cosignature").hexdigest())
    entries = [*named, *end, after]
    leaves = [merkle.entry_hash(salt, *entry) for salt, entry in zip(salts, entries, strict=True)]
    origin = notes.origin(of or agreement)
    note = notes.sign(Checkpoint(origin, len(leaves), merkle.roots(leaves)[-1]), cases.signing("log"))
    first = len(named)
    places = [_place(number, salts[number], entries[number][1], leaves) for number in range(first, first + len(end))]
    return LogProof(key=named_key(agreement), checkpoint=note.to_bytes().decode(), entries=tuple(places))


def _place(number: int, salt: bytes, digest: str, leaves: list[bytes]) -> Place:
    def node(level: int, index: int) -> bytes:
        if not level:
            return leaves[index]
        return merkle.node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    path = tree.inclusion(number, len(leaves), node)
    return Place(digest=digest, number=number, salt=salt.hex(), proof=tuple(step.hex() for step in path))


def end_of(offers: Iterable[Envelope], receipt: Envelope, consents: Iterable[Envelope]) -> list[tuple[str, str]]:
    """A run's end in the order in which the log must have it."""
    return [
        *(("offer", signed.digest) for signed in offers), ("receipt", receipt.digest),
        *(("consent", signed.digest) for signed in consents),
    ]  # fmt: skip


def vectors(agreement: str, proof: LogProof, end: list[tuple[str, str]]) -> list[tuple[str, str, str, str, Edits]]:
    """Edits that change what the shared receipt proves of the log."""
    first = schema.encode(proof.entries[0])
    elsewhere = {**schema.encode(proof.entries[1]), "digest": first["digest"]}

    def key(about: str = agreement, **changes: Any) -> Edits:
        return [[["log", "key"], schema.encode(named_key(about, **changes))]]

    def other(name: str, edits: Edits) -> tuple[str, str, str, str, Edits]:
        return (f"8-{name}", "E2.log-not-included", "8", f"the first entry's {name.replace('-', ' ')}", edits)

    def place(field: str, value: Any) -> Edits:
        return [[["log", "entries", 0, field], value]]

    return [
        *_forms(proof),
        ("8-key-by-another", "E2.stranger", "8", "the log's key named by the bank", key(signer="bank")),
        ("8-key-for-another", "E3.other-agreement", "8", "the key of another agreement's log",
         key("00" * 32)),
        ("8-another-key", "E2.not-signed", "8", "another key signed the checkpoint", key(key="mallory")),
        ("8-another-log", "E2.other-log", "8", "a checkpoint of another log",
         _whole(proved(agreement, end, of="a1" * 32))),
        ("8-another-size", "E2.signature", "8", "another size than was signed",
         [[["log", "checkpoint"], proof.checkpoint.replace(f"\n{_size(proof)}\n", f"\n{_size(proof) + 1}\n")]]),
        ("8-no-note", "E1.bad-note", "8", "a checkpoint that is none", [[["log", "checkpoint"], "trust me"]]),
        other("salt-bent", place("salt", "00" * 32)),
        other("place-one-further", place("number", first["number"] + 1)),
        other("place-beyond", place("number", _size(proof))),
        other("path-bent", [[["log", "entries", 0, "proof", 0], "00" * 32]]),
        other("path-cut", [[["log", "entries", 0, "proof"], first["proof"][:-1]]]),
        other("path-longer", [[["log", "entries", 0, "proof"], [*first["proof"], "00" * 32]]]),
        other("place-of-another", [[["log", "entries", 0], elsewhere]]),
        ("8-entry-less", "E3.other-entries", "8", "no proof for an offer", [[["log", "entries", 0]]]),
        ("8-entry-twice", "E3.other-entries", "8", "an offer proved twice",
         [[["log", "entries"], [first, *schema.encode(proof.entries)]]]),
        ("8-entry-more", "E3.other-entries", "8", "proof of what is not here",
         _whole(proved(agreement, [*end, ("grant", "ab" * 32)]))),
        ("8-not-in-order", "E2.log-order", "8", "entries that do not ascend",
         [[["log", "entries"], schema.encode(proof.entries[::-1])]]),
        ("8-receipt-first", "E2.log-order", "8", "the log holds the receipt before its offers",
         _whole(proved(agreement, sorted(end, key=lambda item: item[0] != "receipt")))),
        ("8-answer-first", "E2.log-order", "8", "the log holds an answer before the receipt",
         _whole(proved(agreement, [end[-1], *end[:-1]]))),
    ]  # fmt: skip


def _forms(proof: LogProof) -> list[tuple[str, str, str, str, Edits]]:
    long = [["00" * 32] * 49]
    named = notes.cosigner("a1" * 32, "bank")
    return [
        ("valid-not-logged", "ok", "8", "no proof, and it says so", [[["log"], None]]),
        ("valid-first-format", "ok", "8", "the format of before", [
            [["format"], "sealroom/receipt-bundle/v1"], [["log"]]]),
        ("valid-more-lines", "ok", "8", "a checkpoint with a line of somebody",
         [[["log", "checkpoint"], proof.checkpoint + f"— {named} AAAAAAA=\n"]]),
        ("decode-first-with-log", "E1.unknown-field", "decode", "the format of before, with a proof",
         [[["format"], "sealroom/receipt-bundle/v1"]]),
        ("decode-no-log", "E1.missing-field", "decode", "not even no proof", [[["log"]]]),
        ("decode-long-path", "E1.bad-length", "decode", "a path of 49 steps", [
            [["log", "entries", 0, "proof"], *long]]),
        ("decode-hidden-text", "E1.bad-text", "decode", "a control character in the checkpoint",
         [[["log", "checkpoint"], proof.checkpoint + "\u0007"]]),
        ("decode-no-entry", "E1.bad-length", "decode", "a proof of nothing", [[["log", "entries"], []]]),
    ]  # fmt: skip


def _whole(proof: LogProof) -> Edits:
    return [[["log"], schema.encode(proof)]]


def _size(proof: LogProof) -> int:
    return notes.parse(proof.checkpoint.encode()).unverified.size
