"""What must hold after whatever a host did, judged by one who sees all homes, all gates, and all that passed."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sealroom.client import audit, audit_folder, grants, purses
from sealroom.client.entries import NOTHING, Amount, Draft
from sealroom.protocol import canonical, envelope, release, wire
from sealroom.protocol.agreement import affected_owners, objects_of
from sealroom.protocol.errors import CannotOpen, Refused, SealroomError
from sealroom.protocol.keys import from_text
from sealroom.protocol.statements import Consent, Grant, Offer, Receipt, Request, grant_info, reason_info
from tests.hostile_host import gates
from tests.hostile_host.scene import CONTENTS, OWNERS, RECIPIENTS, Scene

CODE = re.compile(r"\bE[0-9]\.[a-z][a-z0-9-]+")
TEXT = re.compile(rb"[\x20-\x7e]{10,}")
"""What is text within bytes that are not: in ciphertext a few characters stand by chance, a line of text does not."""
Release = tuple[str, str, str]
"""Run, recipient, rule."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What became of the run at hand: what recipients opened, what they were told, and which codes each owner saw."""

    opened: dict[str, dict[str, bytes]]
    told: dict[str, str]
    codes: dict[str, frozenset[str]]
    stands: dict[str, str]

    @property
    def ends(self) -> str:
        """`released`: all of it; `part`; `nothing`."""
        count = sum(len(rules) for rules in self.opened.values())
        return "nothing" if not count else "released" if count == 3 else "part"


def let_deadlines_pass(scene: Scene) -> None:
    """Everybody looks again after all deadlines."""
    scene.clock.now += 100_000
    scene.store.work()
    scene.step()


def hold(scene: Scene) -> Seen:
    """Whatever must hold of a scene in which nobody has anything left to do.

    Raises:
        AssertionError: something does not.
    """
    honest = allowed(scene)
    possible = could_open(scene)
    assert possible.items() <= honest.items(), "something can be opened that no honest run releases"
    opened, told = collected(scene)
    for party, rules in opened.items():
        for rule, text in rules.items():
            assert possible.get((scene.run, party, rule)) == text, "a recipient opened what its owners did not let go"
    assert scene.uncharged == [], "something left an owner before it was charged"
    for run, party, rule in possible:
        _paid_by_all(scene, run, party, rule)
    for owner in OWNERS:
        ledger_is_consistent(scene, owner)
    keys_went_to_approved_gates_only(scene)
    host_was_told_nothing(scene)
    return Seen(opened, told, codes(scene), {owner: stands(scene, owner) for owner in OWNERS})


def allowed(scene: Scene) -> dict[Release, bytes]:
    """What honest runs of all genuine requests release: texts by run, recipient and rule."""
    found = {}
    for run, held in scene.store.held.items():
        with contextlib.suppress(SealroomError):
            request = envelope.verify(held.request, Request, {"bank": scene.members["bank"].signing.public})
            agreement = scene.store.agreement_of(request.agreement)
            for rule in map(agreement.rule, request.rules):
                read = b"".join(CONTENTS[request.objects[name]] for name in sorted(objects_of(agreement, rule)))
                for recipient in rule.recipients:
                    found[run, recipient, rule.name] = gates.text_of(rule.name, read)
    return found


def could_open(scene: Scene) -> dict[Release, bytes]:
    """What the host could open together with every recipient: all offers of all gates, all shares that ever left."""
    shares: dict[str, dict[str, bytes]] = {}
    for said in _sent(scene, Consent):
        if said.share is not None:
            shares.setdefault(said.release, {})[said.party] = from_text(said.share)
    found = {}
    for offer, digest, ciphertext, key in _offers(scene):
        name = release.release_id(digest, offer.ciphertext_sha256, offer.share_commitments, key)
        with contextlib.suppress(CannotOpen):
            sealing = scene.members[offer.recipient].sealing
            text = release.open_release(offer, ciphertext, shares.get(name, {}), sealing)
            assert found.get((offer.request, offer.recipient, offer.rule), text) == text, "one rule was released twice"
            found[offer.request, offer.recipient, offer.rule] = text
    return found


def _offers(scene: Scene) -> Iterator[tuple[Offer, str, bytes, bytes]]:
    for gate in scene.gates():
        for message, files in gate.said:
            if message["type"] == wire.OFFER:
                signed = envelope.parse(canonical.encode(message["offer"]))
                key = gate.session._identity.signing.public.raw
                yield envelope.unverified(signed, Offer), signed.digest, files[0], key


def collected(scene: Scene) -> tuple[dict[str, dict[str, bytes]], dict[str, str]]:
    """What each recipient opens of the run at hand, and what it is told otherwise."""
    opened: dict[str, dict[str, bytes]] = {}
    told = {}
    for party in RECIPIENTS:
        opened[party] = {}
        try:
            opened[party] = scene.collect(party)
            told[party] = "opened" if opened[party] else "nothing to open"
        except SealroomError as error:
            told[party] = getattr(error, "code", type(error).__name__)
    return opened, told


def _paid_by_all(scene: Scene, run: str, party: str, rule: str) -> None:
    """Each owner that the release affects has it in its ledger, at the agreed price."""
    agreement = scene.store.agreement_of(scene.store.held[run].asked.agreement)
    for owner in affected_owners(agreement, agreement.rule(rule), party):
        entry = scene.ledgers[owner].find(f"release/{run}/{rule}/{party}")
        assert entry is not None, f"{owner} did not pay"
        assert entry.draft.kind == "release", f"{owner} had refused"
        assert entry.draft.charges == purses.release_charges(agreement, owner, agreement.rule(rule))


def ledger_is_consistent(scene: Scene, owner: str) -> None:
    """A chain that holds; each matter once; the sum is what its entries say; each grant's end is known."""
    ledger = scene.ledgers[owner]
    ledger.verify_chain()
    entries = ledger.entries()
    matters = Counter(entry.draft.once for entry in entries)
    assert set(matters.values()) <= {1}
    releases = [entry.draft.name for entry in entries if entry.draft.kind == "release"]
    assert len(set(releases)) == len(releases), "one release was charged twice"
    spent = {purse.population: NOTHING for purse in scene.agreement.purses if purse.owner == owner}
    for entry in entries:
        for purse, amount in _price(scene, owner, entry.draft).items():
            spent[purse] += amount
        if entry.draft.kind == "grant":
            assert grants.end_matter(_run_of(entry.draft)) in matters, f"{owner} does not know how it ended"
    assert {purse: ledger.spent(purse) for purse in spent} == spent
    ends = [once for once in matters if once.startswith("end/")]
    assert {f"grant/{once.removeprefix('end/')}" for once in ends} <= set(matters), "an end without a grant"


def _price(scene: Scene, owner: str, draft: Draft) -> dict[str, Amount]:
    """What an entry must charge, and does."""
    expected: dict[str, Amount] = {}
    if draft.kind == "grant":
        agreement = scene.store.agreement_of(draft.agreement)
        expected = purses.run_charges(agreement, owner, scene.store.held[_run_of(draft)].asked.rules)
    elif draft.kind == "release":
        agreement = scene.store.agreement_of(draft.agreement)
        expected = purses.release_charges(agreement, owner, agreement.rule(draft.once.split("/")[2]))
    assert draft.charges == expected, f"{owner} was charged {draft.charges} for a {draft.kind}"
    return expected


def _run_of(draft: Draft) -> str:
    return draft.once.split("/")[1]


def charged_first(scene: Scene, party: str, body: bytes) -> bool:
    """Whether what leaves an owner at this moment stands in its ledger already, at the place that it names."""
    signed = envelope.parse(body)
    places = {(e.sequence, e.previous): e.draft for e in scene.ledgers[party].entries()}
    if signed.payloadType == envelope.media_type(Grant):
        said = envelope.unverified(signed, Grant)
        paid = places.get((said.ledger.sequence, said.ledger.previous))
        return paid is not None and (paid.kind, paid.name) == ("grant", said.evidence)
    answer = envelope.unverified(signed, Consent)
    if answer.share is None or answer.ledger is None:
        return answer.share is None
    paid = places.get((answer.ledger.sequence, answer.ledger.previous))
    return paid is not None and (paid.kind, paid.name) == ("release", answer.release)


def keys_went_to_approved_gates_only(scene: Scene) -> None:
    """Each grant is for one genuine gate per run and owner, and opens under no key that the host has."""
    genuine = {
        gate.session._attested.digest
        for gate in scene.gates()
        if gate.session._attested is not None and gate.measurement == scene.expected_measurement
    }
    given: dict[tuple[str, str], set[str]] = {}
    for said in _sent(scene, Grant):
        assert said.evidence in genuine, "a key was granted to something that is no approved gate"
        given.setdefault((said.party, said.request), set()).add(said.evidence)
        info = grant_info(
            owner_key=scene.members[said.party].signing.public.raw, version=said.version, evidence=said.evidence,
            agreement=said.agreement, request=said.request, object_digest=said.object,
        )  # fmt: skip
        for key in scene.known_keys:
            with contextlib.suppress(CannotOpen):
                key.open(from_text(said.sealed_key), info=info)
                raise AssertionError("the host opened a grant")
    assert all(len(evidence) == 1 for evidence in given.values()), "an owner granted one run to two gates"


def host_was_told_nothing(scene: Scene) -> None:
    """Nothing that reached the host holds plaintext, keys, results or a reason."""
    seen = [body for _, path, body in scene.sent] + [_payload(body) for _, _, body in scene.sent if body]
    for message, files in (said for gate in scene.gates() for said in gate.said):
        seen += [canonical.encode(message), *files]
        seen += [base64.b64decode(v["payload"]) for v in message.values() if isinstance(v, dict) and "payload" in v]
    everything = b"\n".join(seen)
    for content in (*CONTENTS.values(), *set(allowed(scene).values())):
        assert content not in everything, "plaintext reached the host"
        assert base64.b64encode(content)[:-4] not in everything, "plaintext reached the host"
    told = {found for said in seen for text in _texts(said) for found in CODE.findall(text)}
    assert told == set(), f"the host was told {told}"


def history_proves_itself(scene: Scene) -> None:
    """The whole log, taken home by a party, passes an audit."""
    folder = scene.folder / "history"
    audit_folder.export(scene.gateways["bank"], scene.past.agreement, folder)
    found = audit.verify(audit_folder.load(folder), roots=frozenset({scene.processor.root}))
    assert scene.run in found.receipts


def _texts(said: bytes) -> list[str]:
    """All of what is text, and every readable stretch of what is not."""
    try:
        return [said.decode()]
    except UnicodeDecodeError:
        return [stretch.decode("ascii") for stretch in TEXT.findall(said)]


def codes(scene: Scene) -> dict[str, frozenset[str]]:
    """Every code that an owner saw: in what its broker said, in its ledger's refusals, in the receipt's reasons."""
    found: dict[str, set[str]] = {owner: set() for owner in OWNERS}
    if scene.refused_to_ask:
        found["bank"].add(scene.refused_to_ask)
    for owner in OWNERS:
        for event in scene.events[owner]:
            if event.error is not None:
                found[owner].add(getattr(event.error, "code", type(event.error).__name__))
            elif event.kind == "refused":
                found[owner].add(event.text.rpartition(": ")[2])
        found[owner] |= set(reasons(scene, owner).values())
    return {owner: frozenset(said) for owner, said in found.items()}


def reasons(scene: Scene, owner: str) -> dict[str, str]:
    """What an owner finds in receipts of this run's gates under its own key."""
    found: dict[str, str] = {}
    for gate in scene.held.gates if scene.run in scene.store.held else ():
        for message, _ in gate.said:
            if message["type"] == wire.RECEIPT:
                receipt = envelope.unverified(envelope.parse(canonical.encode(message["receipt"])), Receipt)
                info = reason_info(receipt.request, owner)
                text = scene.members[owner].sealing.open(from_text(receipt.reasons[owner]), info=info)
                found |= canonical.decode(text.rstrip(b" "), most=1 << 20)  # type: ignore[operator]
    return found


def stands(scene: Scene, owner: str) -> str:
    """How the run at hand stands for an owner, from its own files alone."""
    ledger, run = scene.ledgers[owner], scene.run
    if ledger.find(grants.matter(run)) is None:
        return "challenged" if ledger.kept(f"nonce/{run}") else "not answered"
    end = ledger.find(grants.end_matter(run))
    return "granted" if end is None else end.draft.kind


def _sent(scene: Scene, kind: type) -> Iterator[Any]:
    for _, _, body in scene.sent:
        with contextlib.suppress(Refused):
            yield envelope.unverified(envelope.parse(body), kind)


def _payload(body: bytes) -> bytes:
    with contextlib.suppress(Refused):
        return envelope.parse(body).unverified_payload
    return b""
