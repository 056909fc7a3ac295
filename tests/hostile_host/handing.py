"""Cases: what the host hands to the gate: the assignment, grants, objects, a stop, silence, or nonsense."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Callable
from typing import Any

from sealroom.protocol import canonical, schema, wire
from tests import parties
from tests.hostile_host.answers import bent, by_host, turn, unsigned
from tests.hostile_host.case import SETTINGS, Case, Play
from tests.hostile_host.scene import CONTENTS, Scene, seal
from tests.hostile_host.store import Held, file_of

Batch = list[Any]
"""Frames, each with its descriptors, in the order in which they are sent."""
Deliver = Callable[[Scene, Held, Batch], Batch]


def delivering(what: str, change: Deliver) -> Play:
    """Play a run in which the frames of one kind reach the gate changed."""

    def play(scene: Scene) -> None:
        def deliver(held: Held, kind: str, batch: Batch) -> Batch:
            if kind != what or held.request.digest != scene.run:
                return batch
            made = change(scene, held, batch)
            scene.forced += 1
            return made

        scene.store.deliver = deliver
        scene.ask()
        scene.play()

    return play


def assigned(change: Callable[[Scene, dict[str, Any]], dict[str, Any]]) -> Play:
    """Change the one assignment."""
    return delivering("assign", lambda scene, _, batch: [(change(scene, batch[0][0]), [])])


def field(name: str, change: Callable[[Any], Any]) -> Play:
    return assigned(lambda _, frame: {**frame, name: change(frame[name])})


def assigned_raw(change: Callable[[dict[str, Any]], bytes]) -> Play:
    """The assignment as other bytes."""
    return delivering("assign", lambda _, __, batch: [(change(batch[0][0]), [])])


def raw(frame: Any) -> bytes:
    body = json.dumps(frame, separators=(",", ":")).encode()
    return struct.pack(">I", len(body)) + body


def _chain_of(scene: Scene, agreement: str) -> list[Any]:
    return [schema.encode(e) for e in scene.store.chains[agreement]]


def _request_of(scene: Scene, run: str) -> Any:
    return schema.encode(scene.store.held[run].request)


def _other_manifests(scene: Scene) -> list[Any]:
    asked = scene.store.held[scene.past.elsewhere].asked
    return [schema.encode(scene.store.objects[d][0]) for d in asked.objects.values()]


def _own_terms(scene: Scene) -> Any:
    """The agreement's text with a wider rule, signed by the host alone."""
    text = canonical.decode(scene.store.chains[scene.past.agreement][-1].unverified_payload, most=1 << 22)
    wider = {**text, "title": "Everything to the operator"}  # type: ignore[dict-item]
    signed = schema.encode(scene.store.chains[scene.past.agreement][-1])
    return by_host({**signed, "payload": base64.b64encode(canonical.encode(wider)).decode()})


ASSIGN: dict[str, Play] = {
    "without an agreement": field("agreement", lambda _: []),
    "first version only": field("agreement", lambda chain: chain[:1]),
    "newest version only": field("agreement", lambda chain: chain[1:]),
    "versions reordered": field("agreement", lambda chain: chain[::-1]),
    "version repeated": field("agreement", lambda chain: [*chain, chain[-1]]),
    "more versions than a frame holds": assigned_raw(
        lambda frame: raw({**frame, "agreement": frame["agreement"] * 40})[:4096]),
    "version with a signature bent": field("agreement", lambda chain: [*chain[:-1], unsigned(chain[-1])]),
    "version with a signature less": field(
        "agreement", lambda chain: [*chain[:-1], {**chain[-1], "signatures": chain[-1]["signatures"][1:]}]),
    "version with its title changed": field("agreement", lambda chain: [*chain[:-1], bent(chain[-1], "title")]),
    "version of the host's own": assigned(
        lambda scene, frame: {**frame, "agreement": [*frame["agreement"][:-1], _own_terms(scene)]}),
    "chain of another agreement": assigned(
        lambda scene, frame: {**frame, "agreement": _chain_of(scene, scene.past.other_agreement)}),
    "chains mixed": assigned(
        lambda scene, frame: {
            **frame, "agreement": [*_chain_of(scene, scene.past.other_agreement), *frame["agreement"][1:]]}),
    "request of an old version": assigned(
        lambda scene, frame: {**frame, "request": _request_of(scene, scene.past.old_version)}),
    "request of another run": assigned(
        lambda scene, frame: {**frame, "request": _request_of(scene, scene.past.same_version)}),
    "request of another agreement": assigned(
        lambda scene, frame: {**frame, "request": _request_of(scene, scene.past.elsewhere)}),
    "request with a rule less": field("request", lambda signed: bent(signed, "rules")),
    "request with other columns": field("request", lambda signed: bent(signed, "columns")),
    "request with other objects": field("request", lambda signed: bent(signed, "objects")),
    "request with a signature bent": field("request", unsigned),
    "request signed by the host": field("request", by_host),
    "request signed by the host in another's name": field("request", lambda s: by_host(s, borrowed=True)),
    "request that is text": field("request", lambda _: "request"),
    "manifests withheld": field("manifests", lambda _: []),
    "one manifest withheld": field("manifests", lambda found: found[1:]),
    "manifests reordered": field("manifests", lambda found: found[::-1]),
    "manifest twice": field("manifests", lambda found: [*found, found[0]]),
    "manifests of another agreement": assigned(lambda scene, frame: {**frame, "manifests": _other_manifests(scene)}),
    "manifest with its salt changed": field("manifests", lambda found: [bent(found[0], "salt"), *found[1:]]),
    "manifest with a signature bent": field("manifests", lambda found: [unsigned(found[0]), *found[1:]]),
    "manifest signed by the host": field("manifests", lambda found: [by_host(found[0]), *found[1:]]),
    "nonces withheld": field("nonces", lambda _: {}),
    "one nonce withheld": field("nonces", lambda nonces: {p: n for p, n in nonces.items() if p != "partner"}),
    "one nonce zero": field("nonces", lambda nonces: {**nonces, "partner": "00" * 32}),
    "one nonce of the host's own": field("nonces", lambda nonces: {**nonces, "partner": "99" * 32}),
    "nonces swapped between owners": field(
        "nonces", lambda nonces: {**nonces, "partner": nonces["vendor"], "vendor": nonces["partner"]}),
    "nonces of another run": assigned(
        lambda scene, frame: {**frame, "nonces": dict(scene.store.held[scene.past.same_version].challenges)}),
    "a stranger's nonce besides": field("nonces", lambda nonces: {**nonces, "operator": "77" * 32}),
    "checkpoint changed": field("checkpoint", turn),
    "checkpoint that is no digest": field("checkpoint", lambda _: "zero"),
    "field more": assigned(lambda _, frame: {**frame, "more": 1}),
    "field less": assigned(lambda _, frame: {k: v for k, v in frame.items() if k != "checkpoint"}),
    "other type": assigned(lambda _, frame: {**frame, "type": "assignment"}),
    "sent twice": delivering("assign", lambda _, __, batch: [*batch, *batch]),
    "truncated": delivering("assign", lambda _, __, batch: [(raw(batch[0][0])[:900], []), (b"", [])]),
    "flipped": delivering("assign", lambda _, __, batch: [(_flip(raw(batch[0][0]), 5000), [])]),
    "length of a gigabyte": delivering("assign", lambda _, __, ___: [(struct.pack(">I", 1 << 30), [])]),
    "not JSON": delivering("assign", lambda _, __, ___: [(struct.pack(">I", 4) + b"{{{{", [])]),
    "a stop before it": delivering("assign", lambda _, __, batch: [({"type": wire.STOP}, []), *batch]),
    "a stop after it": delivering("assign", lambda _, __, batch: [*batch, ({"type": wire.STOP}, [])]),
    "dropped": delivering("assign", lambda _, __, ___: []),
    "with a descriptor": delivering("assign", lambda _, __, batch: [(batch[0][0], [file_of(b"x")])]),
}  # fmt: skip


def _flip(data: bytes, at: int) -> bytes:
    made = bytearray(data)
    made[at] ^= 1
    return bytes(made)


# ---- grants and objects


def _grants(batch: Batch) -> Batch:
    return [item for item in batch if item[0]["type"] == wire.GRANT]


def _objects(batch: Batch) -> Batch:
    return [item for item in batch if item[0]["type"] == wire.OBJECT]


def on_grants(change: Callable[[Scene, Batch], Batch]) -> Play:
    return delivering("handover", lambda scene, _, batch: [*change(scene, _grants(batch)), *_objects(batch)])


def on_objects(change: Callable[[Scene, Batch], Batch]) -> Play:
    return delivering("handover", lambda scene, _, batch: [*_grants(batch), *change(scene, _objects(batch))])


def first_grant(change: Callable[[Any], Any]) -> Play:
    return on_grants(lambda _, found: [({"type": "grant", "grant": change(found[0][0]["grant"])}, []), *found[1:]])


def first_file(change: Callable[[bytes], bytes]) -> Play:
    """The first object's ciphertext, changed."""

    def over(_: Scene, found: Batch) -> Batch:
        frame, fds = found[0]
        data = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
        return [(frame, [file_of(change(data))]), *found[1:]]

    return on_objects(over)


def _past_grants(which: str) -> Play:
    def over(scene: Scene, _: Batch) -> Batch:
        held = scene.store.held[getattr(scene.past, which)]
        return [({"type": "grant", "grant": schema.encode(g)}, []) for g in held.grants.values()]

    return on_grants(over)


def _past_files(scene: Scene, found: Batch) -> Batch:
    """Under each name the ciphertext of that name from another agreement."""
    elsewhere = scene.store.held[scene.past.elsewhere].asked.objects
    names = {digest: name for name, digest in scene.held.asked.objects.items()}
    return [(frame, [file_of(scene.store.objects[elsewhere[names[frame["manifest"]]]][1])]) for frame, _ in found]


def _swapped_files(_: Scene, found: Batch) -> Batch:
    return [(frame, found[(n + 1) % len(found)][1]) for n, (frame, _) in enumerate(found)]


def _own_grant(scene: Scene, found: Batch) -> Batch:
    """A grant of the host's own for the partner's object: its own key, sealed to the gate."""
    item = next(f for f in found if _party(f) == "partner")
    said = json.loads(base64.b64decode(item[0]["grant"]["payload"]))
    forged = {
        **item[0]["grant"],
        "payload": base64.b64encode(canonical.encode({**said, "sealed_key": "AAAA"})).decode(),
    }
    return [f for f in found if f is not item] + [({"type": "grant", "grant": by_host(forged, borrowed=True)}, [])]


def _by_another_owner(scene: Scene, found: Batch) -> Batch:
    """The bank grants the partner's object, sealing a key of its own choice: a bank that is also the host."""
    item = next(f for f in found if _party(f) == "partner")
    said = json.loads(base64.b64decode(item[0]["grant"]["payload"]))
    gate = scene.held.gates[-1].session._identity.sealing.public
    own = parties.SealedObject(b"", bytes(32), scene.store.objects[said["object"]][0], None)  # type: ignore[arg-type]
    made = parties.make_grant(
        scene.members["bank"], own, agreement=said["agreement"], version=said["version"], request=said["request"],
        evidence=said["evidence"], gate=gate,
    )  # fmt: skip
    return [f for f in found if f is not item] + [({"type": "grant", "grant": schema.encode(made)}, [])]


def _party(item: Any) -> str:
    return str(json.loads(base64.b64decode(item[0]["grant"]["payload"]))["party"])


HANDOVER: dict[str, tuple[str, Play]] = {
    "one dropped": ("grant", on_grants(lambda _, found: found[1:])),
    "all dropped": ("grant", on_grants(lambda _, __: [])),
    "reordered": ("grant", on_grants(lambda _, found: found[::-1])),
    "one twice": ("grant", on_grants(lambda _, found: [*found[:1], *found])),
    "signature bent": ("grant", first_grant(unsigned)),
    "signed by the host": ("grant", first_grant(by_host)),
    "signed by the host in another's name": ("grant", first_grant(lambda g: by_host(g, borrowed=True))),
    **{f"{name} changed": ("grant", first_grant(lambda g, name=name: bent(g, name)))
       for name in ("agreement", "version", "request", "evidence", "object", "party", "sealed_key", "charged")},
    "of another run": ("grant", _past_grants("same_version")),
    "of an old version": ("grant", _past_grants("old_version")),
    "of another agreement": ("grant", _past_grants("elsewhere")),
    "of the host's own making": ("grant", on_grants(_own_grant)),
    "by another owner": ("grant", on_grants(_by_another_owner)),
    "that is text": ("grant", first_grant(lambda _: "grant")),
    "truncated ": ("grant", on_grants(lambda _, found: [(raw(found[0][0])[:500], []), *found[1:]])),
    "with a field more": ("grant", on_grants(lambda _, found: [({**found[0][0], "more": 1}, []), *found[1:]])),
    "with a descriptor": ("grant", on_grants(lambda _, found: [(found[0][0], [file_of(b"x")]), *found[1:]])),
    "all dropped ": ("object", on_objects(lambda _, __: [])),
    "one dropped ": ("object", on_objects(lambda _, found: found[1:])),
    "reordered ": ("object", on_objects(lambda _, found: found[::-1])),
    "one twice ": ("object", on_objects(lambda _, found: [*found[:1], *found])),
    "before the grants": ("object", delivering("handover", lambda _, __, b: [*_objects(b), *_grants(b)])),
    "files swapped": ("object", on_objects(_swapped_files)),
    "files of another agreement": ("object", on_objects(_past_files)),
    "file truncated": ("object", first_file(lambda data: data[:-1])),
    "file extended": ("object", first_file(lambda data: data + b"more")),
    "file flipped early": ("object", first_file(lambda data: _flip(data, 0))),
    "file flipped late": ("object", first_file(lambda data: _flip(data, len(data) - 1))),
    "file emptied": ("object", first_file(lambda _: b"")),
    "file of zeros": ("object", first_file(lambda data: bytes(len(data)))),
    "digest changed": ("object", on_objects(
        lambda _, found: [({**found[0][0], "manifest": turn(found[0][0]["manifest"])}, found[0][1]), *found[1:]])),
    "name in place of its digest": ("object", on_objects(
        lambda _, found: [({**found[0][0], "manifest": "customers"}, found[0][1]), *found[1:]])),
    "without a descriptor": ("object", on_objects(lambda _, found: [(found[0][0], []), *found[1:]])),
    "with two descriptors": ("object", on_objects(lambda _, found: [(found[0][0], found[0][1] * 2), *found[1:]])),
    "in the middle": ("stop", delivering("handover", lambda _, __, b: [*b[:2], ({"type": wire.STOP}, []), *b[2:]])),
    "at the end": ("stop", delivering("handover", lambda _, __, b: [*b, ({"type": wire.STOP}, [])])),
    "with a reason": ("stop", delivering("handover", lambda _, __, b: [({"type": wire.STOP, "why": "x"}, []), *b])),
    "a second one": ("assign", delivering("handover", lambda s, h, b: [*b[:1], (s.store.assignment(h), []), *b[1:]])),
    "not JSON ": ("frame", delivering(
        "handover", lambda _, __, b: [*b[:1], (struct.pack(">I", 2) + b"{]", []), *b[1:]])),
    "of an unknown type": ("frame", delivering("handover", lambda _, __, b: [({"type": "dump"}, []), *b])),
    "repeating a key": ("frame", delivering("handover", lambda _, __, b: [
        (struct.pack(">I", 30) + b'{"type":"stop","type":"grant"}', []), *b])),
    "of another program's making": ("frame", delivering(
        "handover", lambda _, __, b: [(b"GET / HTTP/1.1\r\n\r\n", []), *b])),
}  # fmt: skip


# ---- objects of more than one chunk, and what happens while they are read


def large_object(scene: Scene) -> None:
    """The partner's data has three chunks."""
    digest = seal(scene, scene.past.agreement, "prospects", bytes(range(256)) * 4096 * 2 + b"the end")
    for old in [d for d in scene.store.objects if d != digest and CONTENTS[d][:9] == b"prospects"]:
        if scene.store.objects[old][0].digest in scene.store.held[scene.past.same_version].asked.objects.values():
            del scene.store.objects[old]


SETTINGS["large object"] = large_object
CHUNK = wire.CHUNK + wire.CHUNK_TAG


def _large(change: Callable[[bytes], bytes]) -> Play:
    def over(_: Scene, found: Batch) -> Batch:
        made = []
        for frame, fds in found:
            data = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
            made.append((frame, [file_of(change(data))] if len(data) > CHUNK else fds))
        return made

    return on_objects(over)


LARGE: dict[str, Play] = {
    "chunks reordered": _large(lambda d: d[CHUNK : 2 * CHUNK] + d[:CHUNK] + d[2 * CHUNK :]),
    "chunk repeated": _large(lambda d: d[:CHUNK] * 2 + d[2 * CHUNK :]),
    "last chunk cut off": _large(lambda d: d[: 2 * CHUNK]),
    "first chunk cut off": _large(lambda d: d[CHUNK:]),
    "chunk left out": _large(lambda d: d[:CHUNK] + d[2 * CHUNK :]),
    "middle flipped": _large(lambda d: _flip(d, CHUNK + 77)),
}


# ---- silence and death


def at_gate(what: str, when: str) -> Play:
    """Fall silent, or kill the gate, before or after something."""

    def deliver(scene: Scene, held: Held, batch: Batch) -> Batch:
        gate = held.gates[-1]
        if what == "killed":
            for frame, fds in batch if when.startswith("after") else batch[:2]:
                scene.store.take(held, gate.tell(frame, fds)) if when != "after, unheard" else gate.tell(frame, fds)
            gate.kill()
            return []
        for frame, fds in batch[: len(batch) // 2]:
            scene.store.take(held, gate.tell(frame, fds))
        scene.store.take(held, gate.silence())
        return []

    return delivering("handover" if when != "assignment" else "assign", deliver)


SILENCE: dict[str, tuple[str, str, Play]] = {
    "silent": ("before its assignment", "assign", delivering(
        "assign", lambda s, h, _: s.store.take(h, h.gates[-1].silence()) or [])),
    "silent ": ("half of the grants", "handover", at_gate("silent", "half")),
    "killed": ("half of the grants", "handover", at_gate("killed", "half")),
    "killed ": ("its receipt", "results", at_gate("killed", "after")),
    "killed  ": ("its receipt, which is lost", "results", at_gate("killed", "after, unheard")),
}  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(message="assign", manipulation=w, phase="launch", to="gate", play=p) for w, p in ASSIGN.items()),
    *(Case(message=m, manipulation=w.strip(), phase="handover", to="gate", play=p) for w, (m, p) in HANDOVER.items()),
    *(Case(message="object", manipulation=w, phase="handover", to="gate", play=p, twin="large object")
      for w, p in LARGE.items()),
    *(Case(message="gate", manipulation=f"{w.strip()} after {what}" if what[:6] != "before" else f"{w.strip()} {what}",
           phase=phase, to="gate", play=p) for w, (what, phase, p) in SILENCE.items()),
)  # fmt: skip
