"""What a host can do to an answer about its log: checkpoints, proofs, entries, cosignatures."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from sealroom.protocol import envelope, merkle, notes, schema
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.notes import Checkpoint, Note, NoteSignature
from tests.client_broker.world import NOW
from tests.hostile_host.answers import HOST, turn
from tests.hostile_host.scene import Scene
from tests.hostile_host.tricks import Change, Passing, as_json

Rewrite = Callable[[Note, Passing], Note]
List = Callable[[list[Any]], list[Any]]


def noted(change: Rewrite) -> Change:
    """Another checkpoint in place of the log's."""

    def over(value: Any, passing: Passing) -> Any:
        return {**value, "checkpoint": change(notes.parse(value["checkpoint"].encode()), passing).to_bytes().decode()}

    return as_json(over)


def resigned(size: Callable[[int], int], root: Callable[[bytes, Passing, int], bytes]) -> Change:
    """Another size and root, under the log's own key, which the host has."""

    def change(note: Note, passing: Passing) -> Note:
        made = size(note.unverified.size)
        return _signed(passing, note.unverified.origin, made, root(note.unverified.root, passing, made))

    return noted(change)


def _signed(passing: Passing, origin: str, size: int, root: bytes) -> Note:
    key: SigningKey = passing.scene.store.log.key()
    return notes.sign(Checkpoint(origin, size, root), key)


def true_root(_: bytes, passing: Passing, size: int) -> bytes:
    scene: Scene = passing.scene
    return scene.store.log.log.root(scene.past.agreement, size)


def other_root(root: bytes, *_: Any) -> bytes:
    return bytes(32) if root != bytes(32) else bytes([1]) * 32


def signature_bent(note: Note, _: Passing) -> Note:
    line = note.signatures[0]
    return Note(note.unverified, (NoteSignature(line.name, line.key_id, turned(line.signature)),))


def by_another_key(note: Note, _: Passing) -> Note:
    return notes.sign(note.unverified, HOST)


def by_another_key_as_the_log(note: Note, _: Passing) -> Note:
    """The host's signature behind the name and key id of the log."""
    line, own = note.signatures[0], notes.sign(note.unverified, HOST).signatures[0]
    return Note(note.unverified, (NoteSignature(line.name, line.key_id, own.signature),))


def of_another_agreement(passing: Passing) -> bytes:
    """What the host would say about the other agreement's log."""
    scene: Scene = passing.scene
    path = passing.path.replace(scene.past.agreement, scene.past.other_agreement)
    return scene.store.call(passing.party, "GET", path, b"", _that_exist(scene, passing))


def _that_exist(scene: Scene, passing: Passing) -> dict[str, str]:
    """The same question with numbers and digests that the other log has."""
    log, other = scene.store.log.log, scene.past.other_agreement
    last = log.size(other)
    first = {"old": "1", "new": str(last), "size": str(last), "start": "0", "digest": other}
    return {name: first.get(name, value) for name, value in passing.query.items()}


def other_log_under_this_name(note: Note, passing: Passing) -> Note:
    scene: Scene = passing.scene
    log, other = scene.store.log.log, scene.past.other_agreement
    return _signed(passing, note.unverified.origin, log.size(other), log.root(other, log.size(other)))


def turned(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def with_field(name: str, change: Callable[[Any], Any]) -> Change:
    return as_json(lambda value, _: {**value, name: change(value[name])})


def bent_hash(proof: list[str]) -> list[str]:
    return [turn(proof[0]), *proof[1:]] if proof else ["00" * 32]


def one_hash_less(proof: list[str]) -> list[str]:
    return proof[:-1]


def one_hash_more(proof: list[str]) -> list[str]:
    return [*proof, "00" * 32]


def endless(_: list[str]) -> list[str]:
    return ["00" * 32] * 100_000


def asked_otherwise(**query: Callable[[str], str]) -> Change:
    """The honest answer to another question."""

    def change(passing: Passing) -> bytes:
        asked = {name: query[name](value) if name in query else value for name, value in passing.query.items()}
        scene: Scene = passing.scene
        return scene.store.call(passing.party, "GET", passing.path, b"", asked)

    return change


def of_another_leaf(passing: Passing) -> bytes:
    scene: Scene = passing.scene
    return scene.store.call(passing.party, "GET", passing.path, b"", {**passing.query, "digest": scene.past.agreement})


def entries(change: List) -> Change:
    return as_json(lambda value, _: {"entries": change(value["entries"])})


def last(change: Callable[[Any], Any]) -> List:
    return lambda found: [*found[:-1], change(found[-1])] if found else found


def renumbered(found: list[Any]) -> list[Any]:
    """Two entries in each other's place, and numbers as if nothing had happened."""
    swapped = [*found[1::-1], *found[2:]] if len(found) > 1 else found
    return [{**entry, "number": found[place]["number"]} for place, entry in enumerate(swapped)]


def restated(entry: Any) -> Any:
    """Another statement of the same kind with its own digest, at the same place."""
    body = entry["body"]
    if "payload" not in body:
        return {**entry, "digest": turn(entry["digest"])}
    said = {**json.loads(base64.b64decode(body["payload"])), "created": NOW + 1}
    payload = base64.b64encode(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).decode()
    made = envelope.Envelope(
        payload, body["payloadType"], tuple(envelope.Signature(**line) for line in body["signatures"])
    )
    return {**entry, "body": schema.encode(made), "digest": made.digest}


def beyond(found: list[Any]) -> list[Any]:
    """Entries that no checkpoint covers, behind the last one."""
    return [*found, {**found[-1], "number": found[-1]["number"] + 1, "digest": "ab" * 32}] if found else found


def forged_cosignatures(value: Any, passing: Passing) -> Any:
    """Lines in everybody's name under a longer log, by the host's key."""
    scene: Scene = passing.scene
    ahead = Checkpoint(notes.origin(scene.past.agreement), merkle.MOST_SIZE, bytes(32))
    made = {}
    for party in ("bank", "vendor", "auditor"):
        name = notes.cosigner(scene.past.agreement, party)
        made[party] = notes.cosign(notes.sign(ahead, HOST), HOST, name=name, at=NOW).to_bytes().decode()
    return {"cosignatures": {**value["cosignatures"], **made}}


def cosignatures(change: Callable[[dict[str, str]], dict[str, str]]) -> Change:
    return as_json(lambda value, _: {"cosignatures": change(value["cosignatures"])})
