"""Cases: what the host answers to owners' brokers."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from sealroom.protocol import canonical, envelope
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SigningKey
from tests.hostile_host.case import SETTINGS, Case, Play
from tests.hostile_host.scene import OWNERS, Scene
from tests.hostile_host.tricks import (
    Change,
    Passing,
    Stale,
    Trick,
    as_json,
    dropped,
    extended,
    flipped,
    truncated,
)

NEXT = "e2" * 48
HOST = SigningKey.generate()
"""A key of the host's own."""


def new_program(scene: Scene) -> None:
    """A new image is launched, which every owner approved just now."""
    scene.measurement = NEXT
    scene.expected_measurement = NEXT
    for owner in OWNERS:
        scene.approve(owner, scene.past.agreement, NEXT)


SETTINGS["new program"] = new_program


def played(*tricks: Callable[[], Trick]) -> Play:
    """Ask for a run with these tricks in place, and play it."""

    def play(scene: Scene) -> None:
        scene.tricks = [make() for make in tricks]
        scene.ask()
        for trick in scene.tricks:
            trick.run = scene.run
            trick.seen = trick.hits = 0
        scene.play()

    return play


def always(message: str, change: Change, party: str | None = "partner") -> Play:
    return played(lambda: Trick(message, change, party))


def once(message: str, change: Change, party: str | None = "partner") -> Play:
    """Only the first answer to which it can be done."""

    def until_done(passing: Passing) -> bytes:
        trick = next(t for t in passing.scene.tricks if t.message == message)
        return change(passing) if not trick.hits else passing.data or dropped(passing)

    return played(lambda: Trick(message, until_done, party))


def changed(signed: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The envelope with fields of its payload replaced; its signatures stay."""
    payload = json.loads(base64.b64decode(signed["payload"]))
    return {**signed, "payload": base64.b64encode(canonical.encode({**payload, **fields})).decode()}


def bent(signed: dict[str, Any], field: str) -> dict[str, Any]:
    """One digit of one field of the payload turned; its signatures stay."""
    payload = json.loads(base64.b64decode(signed["payload"]))
    return changed(signed, **{field: turn(payload[field])})


def turn(value: Any) -> Any:
    """Another value of the same form; of base64 too, whose last character holds bits that must be zero."""
    if isinstance(value, str):
        before, at, after = value[:-2], value[-2:-1] or value, value[-1:] if len(value) > 1 else ""
        other = {"0": "1", "a": "b"}.get(at, "0" if at in "123456789bcdef" else "a")
        return before + other + after
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, dict):
        return {**value, min(value): turn(value[min(value)])} if value else {"more": 1}
    return value[1:]


def unsigned(signed: dict[str, Any]) -> dict[str, Any]:
    """One bit of the first signature turned."""
    made = copy.deepcopy(signed)
    raw = bytearray(base64.b64decode(made["signatures"][0]["sig"]))
    raw[7] ^= 1
    made["signatures"][0]["sig"] = base64.b64encode(raw).decode()
    return made


def by_host(signed: dict[str, Any], *, borrowed: bool = False) -> dict[str, Any]:
    """The same statement signed by the host, under its own key's name or under the real signer's."""
    kind = signed["payloadType"]
    payload = base64.b64decode(signed["payload"])
    said = envelope.pre_authentication_encoding(kind, payload)
    name = signed["signatures"][0]["keyid"] if borrowed else HOST.public.text
    return {**signed, "signatures": [{"keyid": name, "sig": base64.b64encode(HOST.sign(said)).decode()}]}


def each(field: str | None, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Change every envelope of an answer: the answer itself, its `field`, or the `offer`s of a list."""

    def over(value: Any, _: Passing) -> Any:
        if field is None:
            return change(value)
        if field == "offers":
            return {"offers": [{**entry, "offer": change(entry["offer"])} for entry in value["offers"]]}
        inner = value[field]
        return {**value, field: [change(one) for one in inner] if isinstance(inner, list) else change(inner)}

    return as_json(over)


def of_run(which: str) -> Change:
    """What the host would say of another run: `same_version`, `old_version`, `elsewhere`."""

    def over(passing: Passing) -> bytes:
        if passing.data is None:
            dropped(passing)
        scene: Scene = passing.scene
        other = getattr(scene.past, which)
        path = passing.path.replace(scene.run, other)
        if passing.message == "ciphertext":
            path = f"/v1/runs/{other}/offers/{_like(scene, passing, other)}/ciphertext"
        query = passing.query
        if "agreement" in query:
            query = {"agreement": scene.past.other_agreement}
        return scene.store.call(passing.party, "GET", path, b"", query)

    return over


def _like(scene: Scene, passing: Passing, run: str) -> str:
    """The other run's offer of the same rule to the same recipient."""
    digest = passing.path.split("/")[5]
    wanted = _offer(scene.held.offers[digest][0])
    return next(d for d, (o, _) in scene.store.held[run].offers.items() if _offer(o) == wanted)


def _offer(signed: Envelope) -> tuple[str, str]:
    payload = json.loads(signed.unverified_payload)
    return payload["rule"], payload["recipient"]


RUNS = {"of another run": "same_version", "of an old version": "old_version", "of another agreement": "elsewhere"}
MESSAGES = {
    "runs": None, "run": "request", "evidence": None, "grants": "grants", "receipt": "", "offers": "offers",
    "consents": "consents", "approvals": "statements", "revocations": "statements", "stops": "statements",
}  # fmt: skip
"""Answers to a broker, and where in each the envelope stands: `` is the answer itself, None says there is none."""
PHASES = {
    "runs": "every phase", "run": "every phase", "evidence": "grant", "grants": "every phase", "receipt": "consent",
    "offers": "consent", "consents": "every phase", "approvals": "grant", "revocations": "every phase",
    "stops": "every phase",
}  # fmt: skip
FORMS: dict[str, Change] = {
    "dropped": dropped, "truncated": truncated, "extended": extended, "flipped early": flipped(1),
    "flipped in the middle": flipped(4), "flipped late": flipped(7),
}  # fmt: skip
FIELDS = {
    "evidence": (
        "agreement", "version", "request", "nonces", "checkpoint", "gate_signing_key", "gate_sealing_key",
        "attestation",
    ),
    "run": ("requester", "agreement", "version", "objects", "columns", "rules", "deadline", "nonce"),
    "receipt": (
        "agreement", "version", "request", "evidence", "platform_class", "gate_key", "grants", "layers", "status",
        "results", "reasons",
    ),
    "offers": (
        "agreement", "version", "request", "evidence", "rule", "cost", "recipient", "affected", "ciphertext_sha256",
        "size", "share_commitments", "sealed_shares",
    ),
}  # fmt: skip
"""Fields of what a gate or the requester said, each changed alone."""


def _twin(message: str) -> str:
    return "new program" if message == "approvals" else "plain"


def _forms() -> list[Case]:
    made = []
    for message in MESSAGES:
        for form, change in FORMS.items():
            base = Case(message=message, manipulation=form, phase=PHASES[message], play=always(message, change),
                        twin=_twin(message))  # fmt: skip
            made.append(base)
            if form in ("dropped", "truncated", "flipped in the middle"):
                again = once(message, change)
                made.append(dataclasses.replace(base, manipulation=f"{form} once", play=again))
    return made


def _stale() -> list[Case]:
    return [
        Case(message=m, manipulation="stale for ever", phase=PHASES[m], play=always_new(m, Stale), twin=_twin(m))
        for m in MESSAGES
        if m not in ("evidence", "receipt", "offers", "approvals", "revocations", "stops")
    ]


def always_new(message: str, kind: type[Stale]) -> Play:
    """A trick that has a memory of its own in each scene."""
    return played(lambda: Trick(message, kind(), "partner"))


def _swapped() -> list[Case]:
    return [
        Case(message=message, manipulation=words, phase=PHASES[message], play=always(message, of_run(which)))
        for message in ("run", "evidence", "grants", "receipt", "offers", "consents")
        for words, which in RUNS.items()
    ]


def _signed() -> list[Case]:
    made = []
    for message, field in MESSAGES.items():
        if field is None or message in ("grants", "consents", "revocations", "stops"):
            continue
        ways: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "signature bent": unsigned, "signed by the host": by_host,
            "signed by the host in another's name": lambda signed: by_host(signed, borrowed=True),
        }  # fmt: skip
        made += [
            Case(message=message, manipulation=words, phase=PHASES[message],
                 play=always(message, each(field or None, way)), twin=_twin(message))
            for words, way in ways.items()
        ]  # fmt: skip
    return made


def _fields() -> list[Case]:
    made = []
    for message, fields in FIELDS.items():
        for field in fields:
            if message == "evidence":
                change = as_json(lambda value, _, field=field: {**value, field: turn(value[field])})
            else:
                change = each(MESSAGES[message] or None, lambda signed, field=field: bent(signed, field))
            made.append(Case(message=message, manipulation=f"{field} changed", phase=PHASES[message],
                             play=always(message, change)))  # fmt: skip
    return made


CASES: tuple[Case, ...] = (*_forms(), *_stale(), *_swapped(), *_signed(), *_fields())
