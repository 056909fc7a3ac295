"""Cases: what the host answers to recipients who collect, and to the requester."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sealroom.protocol.errors import SealroomError
from tests.hostile_host.answers import RUNS, bent, by_host, each, of_run, turn, unsigned
from tests.hostile_host.case import SETTINGS, Case, Play
from tests.hostile_host.scene import Scene, seal
from tests.hostile_host.tricks import (
    Change,
    Passing,
    Trick,
    as_json,
    dropped,
    extended,
    flipped,
    replaced,
    truncated,
)

MESSAGES = {
    "run": "request", "object": "manifest", "approvals": "statements", "evidence": None, "receipt": "",
    "grants": "grants", "offers": "offers", "consents": "consents", "cosignatures": "cosignatures", "ciphertext": None,
}  # fmt: skip
FORMS: dict[str, Change] = {
    "dropped": dropped, "truncated": truncated, "extended": extended, "flipped early": flipped(2),
    "flipped late": flipped(6),
}  # fmt: skip
CONSENT_FIELDS = ("agreement", "release", "decision", "share", "ledger", "charged", "created")
GRANT_FIELDS = ("agreement", "version", "request", "evidence", "object", "sealed_key", "ledger", "charged")


def collecting(message: str, change: Change, party: str | None = "auditor") -> Play:
    """An honest run, whose end is then shown otherwise to one recipient."""

    def play(scene: Scene) -> None:
        scene.ask()
        scene.play()
        scene.tricks = [Trick(message, change, party)]

    return play


def emptied(field: str) -> Change:
    return as_json(lambda value, _: {**value, field: []})


def one_less(field: str) -> Change:
    return as_json(lambda value, _: {**value, field: value[field][1:]})


def doubled(field: str) -> Change:
    return as_json(lambda value, _: {**value, field: [*value[field], *value[field]]})


def one_more(field: str) -> Change:
    """One of another run is slipped in."""

    def over(value: Any, passing: Passing) -> Any:
        scene: Scene = passing.scene
        path = passing.path.replace(scene.run, scene.past.same_version)
        other = scene.gateways["operator"]._json(path.removeprefix("/v1"))
        return {**value, field: [*value[field], *other[field][:1]]}

    return as_json(over)


def _case(message: str, manipulation: str, change: Change) -> Case:
    return Case(message=message, manipulation=manipulation, phase="collect", to="auditor",
                play=collecting(message, change))  # fmt: skip


def _forms() -> list[Case]:
    return [_case(message, form, change) for message in MESSAGES for form, change in FORMS.items()]


def _swapped() -> list[Case]:
    messages = [message for message in MESSAGES if message not in ("object", "approvals")]
    return [_case(message, words, of_run(which)) for message in messages for words, which in RUNS.items()]


def _signed() -> list[Case]:
    ways: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "signature bent": unsigned, "signed by the host": by_host,
        "signed by the host in another's name": lambda signed: by_host(signed, borrowed=True),
    }  # fmt: skip
    return [
        _case(message, words, each(field or None, way))
        for message, field in MESSAGES.items()
        if field is not None and message not in ("receipt", "offers", "run")
        for words, way in ways.items()
    ]


def _lists() -> list[Case]:
    ways: dict[str, Callable[[str], Change]] = {
        "all withheld": emptied, "one withheld": one_less, "each shown twice": doubled, "one slipped in": one_more,
    }  # fmt: skip
    made = []
    for message in ("grants", "offers", "consents", "cosignatures"):
        made += [_case(message, words, way(message)) for words, way in ways.items()]
    return [*made, _case("approvals", "all withheld", emptied("statements"))]


def _fields() -> list[Case]:
    fields = {"consents": CONSENT_FIELDS, "grants": GRANT_FIELDS, "cosignatures": ("receipt", "party")}
    return [
        _case(message, f"{field} changed", each(MESSAGES[message], lambda signed, field=field: bent(signed, field)))
        for message, names in fields.items()
        for field in names
    ]


def other_ciphertext(passing: Passing) -> bytes:
    """The ciphertext of another offer of the same run."""
    scene: Scene = passing.scene
    return next(data for _, data in scene.held.offers.values() if data != passing.data)


# ---- the requester


def asking(message: str, change: Change) -> Play:
    """The requester is shown other objects than there are; what it then asks for is played."""

    def play(scene: Scene) -> None:
        scene.tricks = [Trick(message, change, "bank")]
        try:
            scene.ask()
        except SealroomError as error:
            scene.refused_to_ask = getattr(error, "code", type(error).__name__)
            scene.run = "00" * 32
            return
        scene.play()

    return play


def newer_object(scene: Scene) -> None:
    """The partner seals its data anew, before a run is asked for."""
    scene.newer = seal(scene, scene.past.agreement, "prospects", b"fresh prospects")
    first = next(d for d in scene.store.objects if d != scene.newer and _is(scene, d, "prospects"))
    scene.older = first
    del scene.store.objects[first]


def _is(scene: Scene, digest: str, name: str) -> bool:
    entries = scene.gateways["operator"].objects(scene.past.agreement)
    return any(entry.digest == digest and entry.name == name for entry in entries)


SETTINGS["newer object"] = newer_object


def renamed(value: Any, _: Passing) -> Any:
    """Every object under the next one's name."""
    names = [entry["name"] for entry in value["objects"]]
    return {"objects": [{**e, "name": n} for e, n in zip(value["objects"], [*names[1:], names[0]], strict=True)]}


def swapped_manifest(passing: Passing) -> bytes:
    other = next(d for d in passing.scene.store.objects if d not in passing.path)
    return bytes(passing.scene.store.call("bank", "GET", f"/v1/objects/{other}", b"", {}))


def _asked() -> list[Case]:
    lists: dict[str, Change] = {
        "dropped": dropped, "truncated": truncated, "all withheld": emptied("objects"),
        "one withheld": one_less("objects"),
        "names swapped": as_json(renamed), "said to be incomplete": as_json(
            lambda value, _: {"objects": [{**e, "complete": False} for e in value["objects"]]}),
        "digest changed": as_json(
            lambda value, _: {"objects": [{**e, "digest": turn(e["digest"])} for e in value["objects"]]}),
    }  # fmt: skip
    one: dict[str, Change] = {
        "dropped": dropped, "truncated": truncated, "of another object": replaced(swapped_manifest),
        "signature bent": each("manifest", unsigned), "signed by the host": each("manifest", by_host),
        "salt changed": each("manifest", lambda signed: bent(signed, "salt")),
    }  # fmt: skip
    return [
        Case(message=message, manipulation=words, phase="request", to="bank", play=asking(message, change))
        for message, ways in (("objects", lists), ("object", one))
        for words, change in ways.items()
    ]


CASES: tuple[Case, ...] = (
    *_forms(), *_swapped(), *_signed(), *_lists(), *_fields(), *_asked(),
    _case("ciphertext", "of another offer", replaced(other_ciphertext)),
)  # fmt: skip
