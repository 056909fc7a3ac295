"""Cases: what the host says of its log to owners' brokers and to a recipient, and what it leaves out of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from sealroom.client import refusing
from sealroom.protocol import envelope
from sealroom.protocol.logged import Refusal
from tests.hostile_host import logtricks as lt
from tests.hostile_host.answers import HOST, by_host, each
from tests.hostile_host.case import SETTINGS, Case, Play
from tests.hostile_host.collecting import collecting, emptied
from tests.hostile_host.scene import Scene
from tests.hostile_host.tricks import Change, Stale, Trick, dropped, extended, flipped, truncated

PHASES = ("challenge", "grant", "consent")


def reached(scene: Scene, phase: str) -> None:
    """A run up to the moment before owners are asked for this."""
    scene.ask()
    if phase != "challenge":
        scene.step()
    if phase == "consent":
        scene.store.work()
        scene.step()
        scene.store.work()


def from_then_on(message: str, change: Callable[[], Change], phase: str, party: str | None = "partner") -> Play:
    """An honest host up to a phase; from then on it changes one message."""

    def play(scene: Scene) -> None:
        reached(scene, phase)
        scene.tricks = [Trick(message, change(), party)]
        scene.play()

    return play


FORMS: dict[str, Change] = {
    "dropped": dropped, "truncated": truncated, "extended": extended, "flipped early": flipped(1),
    "flipped late": flipped(6),
}  # fmt: skip
CHECKPOINTS: dict[str, Callable[[], Change]] = {
    "stale for ever": Stale,
    "signature bent": lambda: lt.noted(lt.signature_bent),
    "signed by another key": lambda: lt.noted(lt.by_another_key),
    "signed by another key in the log's name": lambda: lt.noted(lt.by_another_key_as_the_log),
    "of another agreement": lambda: lt.of_another_agreement,
    "of another agreement under this one's name": lambda: lt.noted(lt.other_log_under_this_name),
    "shrunk": lambda: lt.resigned(lambda _: 3, lt.true_root),
    "shrunk to nothing": lambda: lt.resigned(lambda _: 0, lambda *_: lt.merkle.EMPTY),
    "forked": lambda: lt.resigned(lambda size: size, lt.other_root),
    "forked and longer": lambda: lt.resigned(lambda size: size + 1, lt.other_root),
    "of all entries that there can be": lambda: lt.resigned(lambda _: lt.merkle.MOST_SIZE, lt.other_root),
}
PROOFS: dict[str, Change] = {
    "hash bent": lt.with_field("proof", lt.bent_hash), "one hash withheld": lt.with_field("proof", lt.one_hash_less),
    "one hash more": lt.with_field("proof", lt.one_hash_more), "withheld": lt.with_field("proof", lambda _: []),
    "endless": lt.with_field("proof", lt.endless), "of another agreement": lt.of_another_agreement,
}  # fmt: skip
CONSISTENCY: dict[str, Change] = {
    **PROOFS, "of another size": lt.asked_otherwise(old=lambda old: str(int(old) - 1)),
}  # fmt: skip
INCLUSION: dict[str, Change] = {
    **PROOFS, "of another leaf": lt.of_another_leaf, "salt changed": lt.with_field("salt", lt.turn),
    "number changed": lt.with_field("number", lambda number: number - 1),
    "of another size": lt.asked_otherwise(size=lambda size: str(int(size) - 1)),
}  # fmt: skip
ENTRIES: dict[str, Change] = {
    "withheld": lt.entries(lambda _: []), "first withheld": lt.entries(lambda found: found[1:]),
    "last withheld": lt.entries(lambda found: found[:-1]),
    "one withheld and the others renumbered": lt.entries(
        lambda found: [{**entry, "number": entry["number"] - 1} for entry in found[1:]]),
    "reordered": lt.entries(lambda found: found[::-1]), "reordered and renumbered": lt.entries(lt.renumbered),
    "each shown twice": lt.entries(lambda found: [entry for entry in found for _ in range(2)]),
    "body altered": lt.entries(lt.last(lambda entry: {**entry, "body": {}})),
    "statement replaced": lt.entries(lt.last(lt.restated)),
    "digest changed": lt.entries(lt.last(lambda entry: {**entry, "digest": lt.turn(entry["digest"])})),
    "salt changed": lt.entries(lt.last(lambda entry: {**entry, "salt": lt.turn(entry["salt"])})),
    "kind changed": lt.entries(lt.last(lambda entry: {**entry, "kind": "stop"})),
    "of another agreement": lt.of_another_agreement,
    "the first page for ever": lt.asked_otherwise(start=lambda _: "0"),
    "a page without end": lt.entries(lambda found: found * 300),
    "some that no checkpoint covers": lt.entries(lt.beyond),
    "one at a time": lt.entries(lambda found: found[:1]),
}  # fmt: skip
SIZES: dict[str, Change] = {
    "one more": lt.with_field("size", lambda size: size + 1), "one less": lt.with_field("size", lambda size: size - 1),
    "nothing": lt.with_field("size", lambda _: 0), "beyond the log": lt.with_field("size", lambda size: size + 1000),
    "that is text": lt.with_field("size", str), "dropped": dropped, "truncated": truncated,
}  # fmt: skip
COSIGNATURES: dict[str, Change] = {
    "dropped": dropped, "truncated": truncated, "all withheld": lt.cosignatures(lambda _: {}),
    "of all under one name": lt.cosignatures(lambda found: dict.fromkeys(found, found.get("bank", ""))),
    "forged for a longer log": lt.as_json(lt.forged_cosignatures), "that are no notes": lt.cosignatures(
        lambda found: dict.fromkeys(found, "trust me")), "of another agreement": lt.of_another_agreement,
}  # fmt: skip
KEYS: dict[str, Change] = {
    "all withheld": emptied("statements"), "signed by the host": each("statements", by_host),
    "signed by the host in another's name": each("statements", lambda signed: by_host(signed, borrowed=True)),
    "of another agreement": lt.of_another_agreement,
}  # fmt: skip


def _told() -> list[Case]:
    """To a broker: forms and contents of each answer about the log."""
    made = [
        Case(message="checkpoint", manipulation=words, phase=phase, play=from_then_on("checkpoint", change, phase))
        for words, change in CHECKPOINTS.items() for phase in PHASES
    ]  # fmt: skip
    tables: dict[str, dict[str, Change]] = {
        "checkpoint": FORMS, "consistency": {**FORMS, **CONSISTENCY}, "inclusion": {**FORMS, **INCLUSION},
        "entries": {**FORMS, **ENTRIES}, "assigned": SIZES, "log-cosignatures": COSIGNATURES, "logs": KEYS,
    }  # fmt: skip
    phases = {"assigned": "grant"}
    for message, ways in tables.items():
        phase = phases.get(message, "challenge")
        made += [
            Case(message=message, manipulation=words, phase="every phase" if phase == "challenge" else phase,
                 play=from_then_on(message, lambda change=change: change, phase))
            for words, change in ways.items()
        ]  # fmt: skip
    return made


def forgotten(scene: Scene) -> None:
    """The partner's and the auditor's homes have never seen the log."""
    for party in ("partner", "auditor"):
        shutil.rmtree(scene.homes[party].root / "log")


SETTINGS["first look"] = forgotten


def _first() -> list[Case]:
    return [
        Case(message=message, manipulation=f"{words} at the first look", phase="every phase", twin="first look",
             play=from_then_on(message, lambda change=change: change, "challenge"))
        for message, ways in (("logs", KEYS), ("entries", ENTRIES))
        for words, change in ways.items()
    ]  # fmt: skip


def _collected() -> list[Case]:
    """To a recipient that collects."""
    ways: list[tuple[str, str, Change]] = [
        *(("checkpoint", words, change()) for words, change in CHECKPOINTS.items() if words != "stale for ever"),
        *(("consistency", words, change) for words, change in CONSISTENCY.items()),
        *(("inclusion", words, change) for words, change in {**FORMS, **INCLUSION}.items()),
        *(("logs", words, change) for words, change in KEYS.items()),
        *(("entries", words, change) for words, change in {**FORMS, **ENTRIES}.items()),
        ("log-cosignatures", "forged for a longer log", lt.as_json(lt.forged_cosignatures)),
    ]
    return [
        *(Case(message=message, manipulation=words, phase="collect", to="auditor", play=collecting(message, change))
          for message, words, change in ways),
        Case(message="checkpoint", manipulation="from before the run", phase="collect", to="auditor",
             play=before_the_run(alone=False)),
        Case(message="checkpoint", manipulation="from before the run, and nobody else's", phase="collect",
             to="auditor", play=before_the_run(alone=True)),
        Case(message="logs", manipulation="all withheld at the first look", phase="collect", to="auditor",
             twin="first look", play=collecting("logs", KEYS["all withheld"])),
    ]  # fmt: skip


def before_the_run(*, alone: bool) -> Play:
    """The recipient is shown the log as it was before the run."""

    def play(scene: Scene) -> None:
        size = scene.store.log.log.size(scene.past.agreement)
        scene.ask()
        scene.play()
        scene.tricks = [Trick("checkpoint", lt.resigned(lambda _: size, lt.true_root), "auditor")]
        if alone:
            scene.tricks.append(Trick("log-cosignatures", COSIGNATURES["all withheld"], "auditor"))

    return play


# ---- two histories, and a history that goes back


def split(phase: str, *, apart: bool) -> Play:
    """The partner is shown one log, the others another; cosignatures are passed on, or not."""

    def play(scene: Scene) -> None:
        reached(scene, phase)
        if phase == "grant":
            scene.store.work()
        scene.store.log.part(scene.past.agreement, "partner", said=scene.say_nothing())
        if apart:
            scene.tricks = [Trick("log-cosignatures", COSIGNATURES["all withheld"], None)]
        scene.forced += 1
        scene.play()

    return play


def put_back(phase: str) -> Play:
    """The host restores its log from a copy that was made before the run."""

    def play(scene: Scene) -> None:
        backup = scene.store.log.copy()
        reached(scene, phase)
        scene.store.log.close()
        scene.store.log = backup
        scene.forced += 1
        scene.play()

    return play


# ---- a refusal that is logged, and a run that goes on


def refused(phase: str, signer: str) -> Play:
    """The log holds the partner's refusal, and the run's state is said to be what it was."""

    def play(scene: Scene) -> None:
        reached(scene, phase)
        desk = scene.brokers["partner"]._desk
        made = refusing._signed(desk, scene.homes["partner"].agreement(), scene.held.request, None, "E3.objects")
        if signer != "partner":
            made = envelope.sign(envelope.unverified(made, Refusal), [HOST])
        scene.store.log.add(scene.past.agreement, made)
        scene.forced += 1
        scene.play()

    return play


CASES: tuple[Case, ...] = (
    *_told(), *_first(), *_collected(),
    *(Case(message="log", manipulation=f"another one for the partner, {how}", phase=phase, to="all",
           play=split(phase, apart=apart))
      for phase in PHASES for how, apart in (("cosignatures passed on", False), ("cosignatures kept apart", True))),
    *(Case(message="log", manipulation="put back to an earlier copy", phase=phase, to="all", play=put_back(phase))
      for phase in PHASES),
    *(Case(message="refusal", manipulation="by the partner logged, and the run goes on", phase=phase, to="all",
           play=refused(phase, "partner")) for phase in ("challenge", "grant")),
    *(Case(message="refusal", manipulation="in the partner's name logged by the host", phase=phase, to="all",
           play=refused(phase, "host")) for phase in ("challenge", "grant")),
)  # fmt: skip
