"""Cases that take more than one message: several gates, late use, equivocation, stale stores, forged gates."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

from sealroom.attestation import binding
from sealroom.attestation.evidence import SnpEvidence
from sealroom.client import outbox
from sealroom.protocol import canonical, envelope, schema, wire
from sealroom.protocol.keys import SealingKey, SigningKey, to_text
from sealroom.protocol.statements import Evidence
from tests.attestation import simulation
from tests.client_broker.world import NOW
from tests.hostile_host.answers import NEXT
from tests.hostile_host.case import SETTINGS, Case, Play
from tests.hostile_host.scene import APPROVED, LAUNCH, OWNERS, RECIPIENTS, WITHDRAWN, Scene, amend
from tests.hostile_host.store import Held, Store
from tests.hostile_host.tricks import Passing, Trick, dropped

# ---- two gates on one request


def challenged(scene: Scene) -> Held:
    """A run up to the moment before its gate is launched."""
    scene.ask()
    scene.step()
    return scene.held


def _second(scene: Scene) -> None:
    scene.store.launch(scene.held)
    scene.forced += 1


def second_gate_after_grants(scene: Scene) -> None:
    challenged(scene)
    scene.store.work()
    scene.step()
    _second(scene)
    scene.play()


def second_gate_before_grants(scene: Scene) -> None:
    """The first gate's evidence is never shown; the second one does the run."""
    challenged(scene)
    scene.store.work()
    _second(scene)
    scene.play()


def second_gate_after_receipt(scene: Scene) -> None:
    """The run is given to another gate once the first has ended, with all grants."""
    scene.ask()
    scene.play()
    _second(scene)
    scene.store.hand_over(scene.held)
    scene.held.state = None
    scene.play()


def one_gate_each(scene: Scene) -> None:
    """The partner is shown another gate than bank and vendor: neither gate gets all keys."""
    held = challenged(scene)
    scene.store.work()
    first = held.evidence
    _second(scene)
    second = held.evidence
    assert first is not None
    assert second is not None
    scene.tricks = [Trick("evidence", lambda p: second if p.party == "partner" else first)]
    scene.step()
    for gate in held.gates:
        scene.store.hand_over(held, gate)
    scene.play()


def killed_and_launched_again(scene: Scene) -> None:
    """The gate is killed once it has the keys, and another one is launched for the same run."""
    held = challenged(scene)
    scene.store.work()
    scene.step()
    held.gates[-1].kill()
    held.receipt, held.handed = None, False
    _second(scene)
    scene.play()


def grants_lost_and_asked_again(scene: Scene) -> None:
    challenged(scene)
    scene.store.work()
    scene.step()
    scene.held.grants.clear()
    scene.forced += 1
    scene.restart()
    _second(scene)
    scene.play()


def two_runs_crossed(scene: Scene) -> None:
    """Two requests at once; each owner is shown the other run's evidence."""
    first = scene.ask()
    scene.step()
    second = scene.ask(("overlap",))
    scene.step()
    scene.store.work()
    other = {first: second, second: first}
    scene.tricks = [Trick("evidence", lambda p: scene.store.held[other[p.run]].evidence or dropped(p))]
    scene.run = first
    scene.play()


# ---- gates that are none


def _forged(scene: Scene, quote: Callable[[bytes], SnpEvidence], **changes: Any) -> Evidence:
    """Evidence for keys that the host holds itself."""
    held, signing, sealing = scene.held, SigningKey.generate(), SealingKey.generate()
    scene.known_keys.append(sealing)
    checkpoint = scene.store.log.assign(held.request.digest, held.asked.agreement)
    report = binding.report_data(
        nonces=held.challenges, gate_sealing_key=sealing.public.raw, gate_signing_key=signing.public.raw,
        agreement_id=held.asked.agreement, agreement_version=held.asked.version, request=held.request.digest,
        checkpoint=checkpoint,
    )  # fmt: skip
    document = {
        "format": "sealroom/evidence/v1", "agreement": held.asked.agreement, "version": held.asked.version,
        "request": held.request.digest, "nonces": dict(held.challenges), "checkpoint": checkpoint,
        "gate_signing_key": signing.public.text, "gate_sealing_key": sealing.public.text, "platform": "sev-snp",
        "attestation": to_text(canonical.encode(schema.encode(quote(report)))), **changes,
    }  # fmt: skip
    return schema.decode(Evidence, document)


def forging(prepare: Callable[[Scene], Callable[[bytes], SnpEvidence]]) -> Play:
    """Show evidence for the host's own keys in place of the gate's."""

    def play(scene: Scene) -> None:
        held = challenged(scene)
        scene.store.work()
        held.evidence = canonical.encode(schema.encode(_forged(scene, prepare(scene))))
        scene.store.log.add_evidence(held.asked.agreement, held.evidence)
        scene.forced += 1
        scene.play()

    return play


def other_program(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    scene.measurement = "ff" * 48
    return scene.quote


def withdrawn_program(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    scene.measurement = WITHDRAWN
    return scene.quote


def other_launcher(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    scene.measurement, scene.launch = APPROVED, canonical.encode({"launcher": "by hand"})
    return scene.quote


def hidden_configuration(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    return lambda report: scene.quote(report, host_data_preimage=None)


def other_configuration(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    scene.launch = canonical.encode({"launcher": "by hand"})
    return lambda report: scene.quote(report, host_data_preimage=LAUNCH)


def own_processor(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    """A second simulated processor of the host's own, which says whatever it is told."""
    scene.processor = simulation.processor(scene.folder / "own", now=NOW - 1000)
    return scene.quote


def mixed_chain(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    """The host's own processor, under the root that was agreed."""
    agreed = scene.processor.root_certificate
    quote = own_processor(scene)
    del quote
    return lambda report: scene.quote(report, root=agreed)


def old_report(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    """The report of a gate that was genuine, in a run that is over."""
    evidence = canonical.decode(scene.store.held[scene.past.same_version].evidence or b"", most=1 << 22)
    text = evidence["attestation"]  # type: ignore[index,call-overload]
    old = canonical.decode(base64.urlsafe_b64decode(text + "=="), most=1 << 22)
    return lambda _: schema.decode(SnpEvidence, old)


def report_of_this_run(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    """The genuine gate's report of this very run, beside keys of the host's own."""
    evidence = canonical.decode(scene.held.evidence or b"", most=1 << 22)
    text = evidence["attestation"]  # type: ignore[index,call-overload]
    this = canonical.decode(base64.urlsafe_b64decode(text + "=="), most=1 << 22)
    return lambda _: schema.decode(SnpEvidence, this)


def report_cut(scene: Scene) -> Callable[[bytes], SnpEvidence]:
    return lambda report: scene.quote(report, report=bytes(1184))


# ---- statements that are held back, and versions that are old


def _quietly(scene: Scene, party: str, statement: envelope.Envelope) -> None:
    """The party's own home knows what it sent, as the real commands see to it."""
    outbox.put(scene.homes[party], scene.past.agreement, statement)
    outbox.mark_sent(scene.homes[party], scene.past.agreement, statement)


Say = Callable[[Scene, dict[str, bool]], tuple[str, envelope.Envelope]]


def hiding(say: Say, when: str, *, listed: bool = False, logged: bool = False) -> Play:
    """A party stops or revokes; the host leaves it out of its lists, of its log, or of both."""

    def play(scene: Scene) -> None:
        scene.ask()
        if when == "grant":
            scene.step()
        elif when == "consent":
            scene.step()
            scene.store.work()
            scene.step()
        party, statement = say(scene, {"listed": listed, "logged": logged})
        _quietly(scene, party, statement)
        scene.forced += 1
        scene.play()

    return play


def stop(party: str) -> Say:
    return lambda scene, shown: (party, scene.say_stop(party, **shown))


def revocation(party: str) -> Say:
    return lambda scene, shown: (party, scene.revoke(party, **shown))


def approving(**shown: bool) -> Play:
    """A new image is launched, which every owner approved; the host leaves one approval out of its lists or its log."""

    def play(scene: Scene) -> None:
        scene.measurement = scene.expected_measurement = NEXT
        for owner in OWNERS:
            left_out = {"listed": False, "logged": False} | shown if owner == "vendor" else {}
            said = scene.approve(owner, scene.past.agreement, NEXT, **left_out)
            _quietly(scene, owner, said)
        scene.forced += 1
        scene.ask()
        scene.play()

    return play


def withdrawn(scene: Scene) -> None:
    """An image that was approved once and whose approval the partner took back."""
    for owner in OWNERS:
        scene.approve(owner, scene.past.agreement, WITHDRAWN)
    scene.revoke("partner", WITHDRAWN)
    scene.step()


SETTINGS["withdrawn image"] = withdrawn


def stale_approvals(scene: Scene) -> None:
    """The withdrawn image is launched, and its revocation is shown no more."""
    scene.measurement = WITHDRAWN
    kept = scene.store.statements[scene.past.agreement]
    scene.store.statements[scene.past.agreement] = [s for s in kept if "revocation" not in s.payloadType]
    scene.forced += 1
    scene.ask()
    scene.play()


def old_version_asked_again(scene: Scene) -> None:
    """An old request, on a version that was replaced, is run again under its old name."""
    held = scene.store.held[scene.past.old_version]
    fresh = Held(held.request, since=scene.clock())
    scene.store.held[scene.past.old_version] = fresh
    scene.run = scene.past.old_version
    scene.forced += 1
    scene.play()


def finished_run_again(scene: Scene) -> None:
    """A request that was done is run again, with a fresh gate."""
    held = scene.store.held[scene.past.same_version]
    scene.store.held[scene.past.same_version] = Held(held.request, since=scene.clock())
    scene.run = scene.past.same_version
    scene.forced += 1
    scene.play()


def version_changed_on_the_way(scene: Scene) -> None:
    """Everybody signs a third version between grant and consent; the run of the second goes on."""
    scene.ask()
    scene.step()
    scene.store.work()
    scene.step()
    amend(scene, scene.past.agreement, title="Third version")
    scene.forced += 1
    scene.play()


# ---- held back, and used late


def late(message: str, seconds: int) -> Play:
    """What the host got from the partner it keeps to itself until a deadline is over."""

    def play(scene: Scene) -> None:
        held = challenged(scene)
        if message == "challenge":
            nonce = held.challenges.pop("partner")
            scene.clock.now += seconds
            held.challenges["partner"] = nonce
        elif message == "evidence":
            scene.store.work()
            scene.clock.now += seconds
        elif message == "grant":
            scene.store.work()
            scene.step()
            scene.clock.now += seconds
            scene.step()
        elif message == "receipt":
            scene.store.work()
            scene.step()
            scene.store.work()
            receipt, held.receipt = held.receipt, None
            scene.clock.now += seconds
            scene.step()
            held.receipt = receipt
        scene.forced += 1
        scene.store.hand_over(held) if message == "grant" else scene.store.work()
        scene.play()

    return play


def consents_lost(scene: Scene) -> None:
    """The host forgets consents that it acknowledged: none is given, or charged, a second time."""
    scene.ask()
    scene.play()
    scene.held.consents.clear()
    scene.held.state = None
    scene.forced += 1
    scene.restart()
    scene.play()


def consents_hidden_from(party: str) -> Play:
    """One recipient is told that an owner refused to answer; the others see the answer."""

    def play(scene: Scene) -> None:
        scene.ask()
        scene.play()
        empty = b'{"consents":[]}'
        scene.tricks = [Trick("consents", lambda p: empty, party)]

    return play


def refusals_hidden(scene: Scene) -> None:
    """The vendor stops after granting; recipients are shown a run without its refusals."""
    scene.ask()
    scene.step()
    scene.store.work()
    scene.step()
    scene.say_stop("vendor")
    scene.store.work()
    scene.step()

    def kept(passing: Passing) -> bytes:
        value = canonical.decode(passing.data or b"", most=1 << 22)
        said = [c for c in value["consents"] if b"release" in base64.b64decode(c["payload"])[:400]]  # type: ignore[index,call-overload]
        return canonical.encode({"consents": said[:0]})

    scene.tricks = [Trick("consents", kept, party) for party in RECIPIENTS]


def lost(message: str) -> Play:
    """The host acknowledges a party's message and throws it away."""

    def play(scene: Scene) -> None:
        scene.lost = {("partner", message)}
        scene.ask()
        scene.play()

    return play


def rolled_back(when: str) -> Play:
    """The host's store is put back to an earlier copy, in the middle of a run."""

    def play(scene: Scene) -> None:
        scene.ask()
        backup: Store | None = None
        for name in ("challenge", "grant", "consent"):
            if name == when:
                backup = scene.store.copy(scene.clock)
            scene.store.work()
            scene.step()
        assert backup is not None
        old = scene.store.held[scene.run]
        scene.store.held[scene.run] = copy.deepcopy(backup.held[scene.run])
        scene.store.held[scene.run].gates = old.gates[:]
        if not backup.held[scene.run].evidence:
            scene.store.held[scene.run].gates = []
            scene.retired += old.gates
        scene.forced += 1
        scene.restart()
        scene.play()

    return play


def fewer_keys(scene: Scene) -> None:
    """Bank and host are one: the bank's own approval and grant are there, the partner's broker is never asked."""
    scene.tricks = [Trick("runs", lambda _: b'{"runs":[]}', "partner")]
    scene.ask()
    scene.play()


PLOTS: tuple[tuple[str, str, str, str, Play], ...] = (
    ("gate", "a second one once keys were granted", "grant", "all", second_gate_after_grants),
    ("gate", "a second one before any key", "grant", "all", second_gate_before_grants),
    ("gate", "a second one after the receipt, with the same grants", "results", "all", second_gate_after_receipt),
    ("gate", "one for the partner, one for the others", "grant", "all", one_gate_each),
    ("gate", "killed with the keys, another one launched", "grant", "all", killed_and_launched_again),
    ("gate", "another one after grants were lost", "grant", "all", grants_lost_and_asked_again),
    ("evidence", "crossed between two live runs", "grant", "all", two_runs_crossed),
    ("evidence", "of another program, for the host's keys", "grant", "all", forging(other_program)),
    ("evidence", "of a withdrawn program, for the host's keys", "grant", "all", forging(withdrawn_program)),
    ("evidence", "of another launcher, for the host's keys", "grant", "all", forging(other_launcher)),
    ("evidence", "without its configuration, for the host's keys", "grant", "all", forging(hidden_configuration)),
    ("evidence", "with another configuration, for the host's keys", "grant", "all", forging(other_configuration)),
    ("evidence", "of the host's own processor", "grant", "all", forging(own_processor)),
    ("evidence", "of the host's own processor under the agreed root", "grant", "all", forging(mixed_chain)),
    ("evidence", "an old gate's report for the host's keys", "grant", "all", forging(old_report)),
    ("evidence", "this gate's report for the host's keys", "grant", "all", forging(report_of_this_run)),
    ("evidence", "a report of zeros for the host's keys", "grant", "all", forging(report_cut)),
    *(("stop", f"by the {who} hidden", phase, "all", hiding(stop(who), phase))
      for who in OWNERS for phase in ("challenge", "grant", "consent")),
    *(("revocation", f"by the {who} hidden", phase, "all", hiding(revocation(who), phase))
      for who in OWNERS for phase in ("challenge", "grant", "consent")),
    *(("stop", f"by the {who} logged and not listed", phase, "all", hiding(stop(who), phase, logged=True))
      for who in (*OWNERS, "auditor") for phase in ("challenge", "grant", "consent")),
    *(("revocation", f"by the {who} logged and not listed", phase, "all", hiding(revocation(who), phase, logged=True))
      for who in OWNERS for phase in ("challenge", "grant", "consent")),
    *((name, f"by the {who} listed and not logged", phase, "all", hiding(say(who), phase, listed=True))
      for name, say, who in (("stop", stop, "auditor"), ("revocation", revocation, "vendor"))
      for phase in ("challenge", "grant", "consent")),
    ("approval", "logged and not listed", "grant", "all", approving(logged=True)),
    ("approval", "listed and not logged", "grant", "all", approving(listed=True)),
    ("request", "of an old version run again", "request", "all", old_version_asked_again),
    ("request", "that was done run again", "request", "all", finished_run_again),
    ("agreement", "changed between grant and consent", "consent", "all", version_changed_on_the_way),
    ("challenge", "held back past its deadline", "challenge", "partner", late("challenge", wire.CHALLENGE_WAIT)),
    ("evidence", "held back past the challenge's deadline", "grant", "all", late("evidence", wire.CHALLENGE_WAIT)),
    ("grant", "held back past its deadline, then used", "handover", "all", late("grant", wire.GRANT_WAIT)),
    ("receipt", "held back past the grant's deadline", "consent", "all", late("receipt", wire.GRANT_WAIT)),
    ("consents", "lost and asked for again", "consent", "all", consents_lost),
    *(("consents", "hidden from one recipient", "collect", party, consents_hidden_from(party)) for party in RECIPIENTS),
    ("consents", "refusals hidden from recipients", "collect", "all", refusals_hidden),
    *((message, "acknowledged and thrown away", phase, "partner", lost(message)) for message, phase in (
        ("challenge", "challenge"), ("grant", "grant"), ("consent", "consent"), ("cosignature", "consent"))),
    *(("store", "put back to an earlier copy", phase, "all", rolled_back(phase))
      for phase in ("challenge", "grant", "consent")),
    ("runs", "hidden from the partner by a bank that is the host", "every phase", "partner", fewer_keys),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(message=m, manipulation=w, phase=phase, to=to, play=play) for m, w, phase, to, play in PLOTS),
    Case(message="approvals", manipulation="old ones of a withdrawn image shown again", phase="grant", to="all",
         play=stale_approvals, twin="withdrawn image"),
)  # fmt: skip
