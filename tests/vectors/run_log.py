"""Runs vectors of a transparency log."""

from __future__ import annotations

import json
from collections.abc import Callable

from sealroom.protocol import merkle, notes
from sealroom.protocol.errors import Refused
from tests.vectors import cases, make_log
from tests.vectors.cases import Vector

Ending = tuple[str, str]


def a_note(vector: Vector) -> Ending:
    stage = "parse"
    try:
        note = notes.parse(vector.body)
        stage = "log"
        notes.verify_log(note, name=make_log.NAME, key=cases.signing("log").public)
        stage = "cosignature"
        notes.verify_cosignature(note, name=make_log.BANK, key=cases.signing("bank").public)
    except Refused as error:
        return error.code, stage
    return cases.OK, stage


def a_proof(vector: Vector) -> Ending:
    said = json.loads(vector.body)
    proof = [bytes.fromhex(step) for step in said["proof"]]
    try:
        if "leaf" in said:
            leaf, root = bytes.fromhex(said["leaf"]), bytes.fromhex(said["root"])
            merkle.verify_inclusion(leaf, proof, index=said["index"], size=said["size"], root=root)
        else:
            old, new = ((said[end], bytes.fromhex(said[f"{end}_root"])) for end in ("old", "new"))
            merkle.verify_consistency(proof, old=old, new=new)
    except Refused as error:
        return error.code, "proof"
    return cases.OK, "proof"


RUNNERS: dict[str, Callable[[Vector], Ending]] = {"log-note": a_note, "log-proof": a_proof}
