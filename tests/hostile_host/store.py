"""What a host holds, and the one gate of each run: honest as it stands here, and in memory.

The calls are those of the gateway's HTTP interface, so that the parties' real client reads real bytes; the other face
is the gate's socket. Everything that passes either face can be changed on its way (`tricks.py`).
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sealroom.client.transport import GatewayRefused
from sealroom.protocol import canonical, envelope, schema, wire
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Offer, Receipt, Request
from tests.client_broker.world import FakeRun
from tests.hostile_host.gates import Compute, Gate
from tests.hostile_host.keeping import HostLog

if TYPE_CHECKING:
    from sealroom.attestation.evidence import SnpEvidence

CONSENT_WAIT = 86_400


@dataclasses.dataclass
class Held(FakeRun):
    """What the host holds of one run; `gates` are all that it ever started for it, the last one counts."""

    gates: list[Gate] = dataclasses.field(default_factory=list)
    refusals: dict[str, Envelope] = dataclasses.field(default_factory=dict)
    handed: bool = False
    since: float = 0

    @property
    def asked(self) -> Request:
        return _read(self.request.payload, Request)


class Store:
    """All that the host has. Subclassing or `routes` adds calls; one that is not known is kept and given back."""

    def __init__(self, clock: Callable[[], float], quoter: Callable[[bytes], SnpEvidence]) -> None:
        self.clock, self.quoter = clock, quoter
        self.chains: dict[str, list[Envelope]] = {}
        self.statements: dict[str, list[Envelope]] = {}
        self.objects: dict[str, tuple[Envelope, bytes]] = {}
        self.held: dict[str, Held] = {}
        self.other: dict[str, list[bytes]] = {}
        self.log = HostLog()
        self.compute: Compute | None = None
        self.measurement: Callable[[], str] = str
        self.deliver: Callable[[Held, str, list[Any]], list[Any]] = lambda _held, _what, batch: batch
        """What becomes of frames on their way to a gate: `assign`, or `handover` for grants and objects."""

    def copy(self, clock: Callable[[], float]) -> Store:
        """The same content in another store; gates are not copied, as there are none after a run."""
        made = Store(clock, self.quoter)
        made.log.close()
        made.log = self.log.copy()
        made.chains, made.statements = copy.deepcopy((self.chains, self.statements))
        made.objects, made.other = dict(self.objects), {key: list(value) for key, value in self.other.items()}
        made.held = {run: copy.deepcopy(dataclasses.replace(held, gates=[])) for run, held in self.held.items()}
        return made

    def register(self, agreement: str, version: Envelope) -> None:
        """Take a version that all have signed."""
        self.chains.setdefault(agreement, []).append(version)
        self.statements.setdefault(agreement, [])
        self.log.add(agreement, version)

    def state_of(self, agreement: str, statement: Envelope, *, listed: bool = True, logged: bool = True) -> None:
        """Take a statement, and list and log it, or not."""
        if listed:
            self.statements[agreement].append(statement)
        if logged:
            self.log.add(agreement, statement)

    def agreement_of(self, agreement: str) -> Agreement:
        return _read(self.chains[agreement][-1].payload, Agreement)

    # ---- the face towards parties

    def call(self, party: str, method: str, path: str, body: bytes, query: Mapping[str, str]) -> bytes:
        """Answer one call as an honest gateway does.

        Raises:
            GatewayRefused: there is no such thing, or not now.
        """
        parts = path.strip("/").split("/")[1:]
        if name_of(parts) == "ciphertext":
            return self._held(parts).offers[parts[3]][1]
        handler = getattr(self, f"_{method.lower()}_{name_of(parts).replace('-', '_')}", None)
        if handler is not None:
            return json.dumps(handler(party, parts, body, query) or {}, separators=(",", ":"), sort_keys=True).encode()
        if method == "GET":
            if path not in self.other:
                raise _missing()
            return self.other[path][-1]
        self.other.setdefault(path, []).append(body)
        return b"{}"

    def _get_agreements(self, *_: Any) -> Any:
        return [
            {"agreement": key, "version": version.digest, "sequence": number}
            for key, chain in self.chains.items()
            for number, version in enumerate(chain, start=1)
        ]

    def _get_agreement(self, _: str, parts: list[str], *__: Any) -> Any:
        found = [v for chain in self.chains.values() for v in chain if v.digest == parts[1]]
        return schema.encode((found or [_no()])[0])

    def _get_statements(self, _: str, parts: list[str], __: bytes, query: Mapping[str, str]) -> Any:
        wanted = f"sealroom.{query['kind']}.v1"
        return {"statements": [schema.encode(s) for s in self.statements[parts[1]] if wanted in s.payloadType]}

    def _post_statements(self, _: str, parts: list[str], body: bytes, *__: Any) -> None:
        self.state_of(parts[1], envelope.parse(body))

    def _get_checkpoint(self, party: str, parts: list[str], _: bytes, query: Mapping[str, str]) -> Any:
        return self.log.shown_to(party).answer("checkpoint", parts[1], query)

    def _get_consistency(self, party: str, parts: list[str], _: bytes, query: Mapping[str, str]) -> Any:
        return self.log.shown_to(party).answer("consistency", parts[1], query)

    def _get_inclusion(self, party: str, parts: list[str], _: bytes, query: Mapping[str, str]) -> Any:
        return self.log.shown_to(party).answer("inclusion", parts[1], query)

    def _get_entries(self, party: str, parts: list[str], _: bytes, query: Mapping[str, str]) -> Any:
        return self.log.shown_to(party).answer("entries", parts[1], query)

    def _get_log_cosignatures(self, party: str, parts: list[str], _: bytes, query: Mapping[str, str]) -> Any:
        return self.log.shown_to(party).answer("log_cosignatures", parts[1], query)

    def _put_log_cosignature(self, party: str, parts: list[str], body: bytes, *_: Any) -> None:
        self.log.cosign(parts[1], party, body)

    def _get_assigned(self, _: str, parts: list[str], *__: Any) -> Any:
        return self.log.assigned(parts[1])

    def _get_objects(self, _: str, parts: list[str], *__: Any) -> Any:
        agreement = self.agreement_of(parts[1])
        found = [(d, _read(m.payload, Manifest)) for d, (m, _) in self.objects.items()]
        return {
            "objects": [
                {"digest": d, "name": m.name, "owner": agreement.owner_of(m.name), "kind": m.kind, "complete": True}
                for d, m in found
                if m.agreement == parts[1]
            ]
        }

    def _get_object(self, _: str, parts: list[str], *__: Any) -> Any:
        if parts[1] not in self.objects:
            raise _missing()
        return {"manifest": schema.encode(self.objects[parts[1]][0]), "missing": [], "complete": True}

    def _post_runs(self, _: str, __: list[str], body: bytes, *___: Any) -> Any:
        request = envelope.parse(body)
        held = self.held.setdefault(request.digest, Held(request, since=self.clock()))
        self.log.add(held.asked.agreement, request)
        return {"run": request.digest, "state": self.state(request.digest)}

    def _get_runs(self, _: str, __: list[str], ___: bytes, query: Mapping[str, str]) -> Any:
        found = [run for run, held in self.held.items() if held.asked.agreement == query["agreement"]]
        return {
            "runs": [
                {
                    "run": r,
                    "state": self.state(r),
                    "waiting_for": self.waiting(r),
                    "created": self.held[r].asked.created,
                }
                for r in found
            ]
        }

    def _get_run(self, _: str, parts: list[str], *__: Any) -> Any:
        held = self._held(parts)
        return {
            "run": parts[1], "state": self.state(parts[1]), "waiting_for": self.waiting(parts[1]),
            "request": schema.encode(held.request), "version": held.asked.version, "launched": None,
            "next_visible": None, "receipt": held.receipt is not None,
        }  # fmt: skip

    def _put_challenge(self, party: str, parts: list[str], body: bytes, *_: Any) -> None:
        self._once(self._held(parts).challenges, party, json.loads(body)["nonce"])

    def _get_evidence(self, _: str, parts: list[str], *__: Any) -> Any:
        return json.loads(_there(self._held(parts).evidence))

    def _put_grant(self, _: str, parts: list[str], body: bytes, *__: Any) -> None:
        self._once(self._held(parts).grants, parts[3], self._logged(parts, body))

    def _get_grants(self, _: str, parts: list[str], *__: Any) -> Any:
        return {"grants": [schema.encode(e) for e in self._held(parts).grants.values()]}

    def _get_offers(self, _: str, parts: list[str], *__: Any) -> Any:
        return {"offers": [{"digest": d, "offer": schema.encode(e)} for d, (e, _) in self._held(parts).offers.items()]}

    def _put_consent(self, party: str, parts: list[str], body: bytes, *_: Any) -> None:
        if self.state(parts[1]) in wire.RUN_FINAL_STATES:
            raise GatewayRefused(409, "wrong-state", "the run has ended", "")
        self._once(self._held(parts).consents, (parts[3], party), self._logged(parts, body))

    def _put_refusal(self, party: str, parts: list[str], body: bytes, *_: Any) -> None:
        held = self._held(parts)
        self._once(held.refusals, party, self._logged(parts, body))
        held.state = held.state or "refused"

    def _get_refusals(self, _: str, parts: list[str], *__: Any) -> Any:
        return {"refusals": [schema.encode(e) for e in self._held(parts).refusals.values()]}

    def _get_consents(self, _: str, parts: list[str], *__: Any) -> Any:
        return {"consents": [schema.encode(e) for e in self._held(parts).consents.values()]}

    def _get_receipt(self, _: str, parts: list[str], *__: Any) -> Any:
        return schema.encode(_there(self._held(parts).receipt))

    def _put_cosignature(self, party: str, parts: list[str], body: bytes, *_: Any) -> None:
        self._once(self._held(parts).cosignatures, party, self._logged(parts, body))

    def _get_cosignatures(self, _: str, parts: list[str], *__: Any) -> Any:
        return {"cosignatures": [schema.encode(e) for e in self._held(parts).cosignatures.values()]}

    def _held(self, parts: list[str]) -> Held:
        if parts[1] not in self.held:
            raise _missing()
        return self.held[parts[1]]

    def _logged(self, parts: list[str], body: bytes) -> Envelope:
        signed = envelope.parse(body)
        self.log.add(self._held(parts).asked.agreement, signed)
        return signed

    @staticmethod
    def _once(store: dict[Any, Any], key: Any, value: Any) -> None:
        if store.setdefault(key, value) != value:
            raise GatewayRefused(409, "taken", "something else is there", "")

    # ---- states, as an honest host tells them

    def owners(self, run: str) -> tuple[str, ...]:
        asked = self.held[run].asked
        agreement = self.agreement_of(asked.agreement)
        return tuple(sorted({agreement.owner_of(name) for name in asked.objects}))

    def waiting(self, run: str) -> list[str]:
        held = self.held[run]
        state, agreement = self.state(run), self.agreement_of(held.asked.agreement)
        if state == "waiting-for-challenges":
            return sorted(set(self.owners(run)) - set(held.challenges))
        if state == "waiting-for-grants":
            return sorted({agreement.owner_of(n) for n, d in held.asked.objects.items() if d not in held.grants})
        if state == "waiting-for-consent":
            return sorted({party for _, party in _asked(held) - set(held.consents)})
        return []

    def state(self, run: str) -> str:  # noqa: PLR0911 (one return per state)
        held = self.held[run]
        if held.state is not None:
            return held.state
        if held.receipt is not None:
            status = _read(held.receipt.payload, Receipt).status
            if status != "completed":
                return status
            return "waiting-for-consent" if _asked(held) - set(held.consents) else "done"
        if held.gates and held.gates[-1].exit is not None:
            return "failed"
        if held.handed:
            return "running"
        if held.evidence is not None:
            return "waiting-for-grants"
        return "waiting-for-challenges" if set(self.owners(run)) - set(held.challenges) else "queued"

    # ---- the face towards gates

    def work(self) -> bool:
        """Launch what can be launched, hand over what is complete, let expire what is late; whether anything moved."""
        before = [(run, self.state(run), len(held.gates), held.handed) for run, held in self.held.items()]
        for run, held in self.held.items():
            state = self.state(run)
            if state == "queued" and not held.gates:
                self.launch(held)
            elif state == "waiting-for-grants" and set(held.asked.objects.values()) <= set(held.grants):
                self.hand_over(held)
            late = {"waiting-for-grants": wire.GRANT_WAIT, "waiting-for-consent": CONSENT_WAIT}.get(state)
            if (late and self.clock() >= held.since + late) or (
                state == "waiting-for-challenges" and self.clock() >= held.asked.deadline
            ):
                held.state = "expired"
        return before != [(run, self.state(run), len(held.gates), held.handed) for run, held in self.held.items()]

    def launch(self, held: Held) -> Gate:
        """Start a gate and assign the run to it."""
        gate = Gate(self.quoter, self.compute, self.measurement())
        held.gates.append(gate)
        held.since = self.clock()
        for frame, fds in self.deliver(held, "assign", [(self.assignment(held), [])]):
            self.take(held, gate.tell(frame, fds))
            _close(fds)
        return gate

    def assignment(self, held: Held) -> dict[str, Any]:
        asked = held.asked
        chain = self.chains[asked.agreement]
        upto = next((n for n, v in enumerate(chain, start=1) if v.digest == asked.version), len(chain))
        return {
            "type": wire.ASSIGN,
            "agreement": [schema.encode(e) for e in chain[:upto]],
            "request": schema.encode(held.request),
            "manifests": [schema.encode(self.objects[d][0]) for d in asked.objects.values()],
            "nonces": dict(held.challenges),
            "checkpoint": self.log.assign(held.request.digest, asked.agreement),
        }

    def hand_over(self, held: Held, gate: Gate | None = None) -> None:
        """Give grants and ciphertexts to the run's gate, or to another."""
        held.handed, held.since = True, self.clock()
        batch: list[Any] = [({"type": wire.GRANT, "grant": schema.encode(g)}, []) for g in held.grants.values()]
        batch += [
            ({"type": wire.OBJECT, "manifest": d}, [file_of(self.objects[d][1])]) for d in held.asked.objects.values()
        ]
        given = self.deliver(held, "handover", batch)
        for frame, fds in given:
            self.take(held, (gate or held.gates[-1]).tell(frame, fds))
        for fd in {fd for _, fds in [*batch, *given] for fd in fds}:
            os.close(fd)

    def take(self, held: Held, said: list[tuple[dict[str, Any], list[bytes]]]) -> None:
        """Keep what a gate said about a run."""
        for message, files in said:
            kind = message["type"]
            if kind == wire.EVIDENCE:
                held.evidence = canonical.encode(message["evidence"])
                self.log.add_evidence(held.asked.agreement, held.evidence)
            elif kind == wire.OFFER:
                offer = envelope.parse(canonical.encode(message["offer"]))
                held.offers[offer.digest] = (offer, files[0])
            elif kind == wire.RECEIPT:
                held.receipt = envelope.parse(canonical.encode(message["receipt"]))
                held.since = self.clock()
                for signed in (*(offer for offer, _ in held.offers.values()), held.receipt):
                    self.log.add(held.asked.agreement, signed)


_ONE = {
    "challenges": "challenge",
    "grants": "grant",
    "consents": "consent",
    "cosignatures": "cosignature",
    "refusals": "refusal",
}


_OF_THE_LOG = {
    "": "checkpoint",
    "consistency": "consistency",
    "inclusion": "inclusion",
    "entries": "entries",
    "cosignatures": "log-cosignatures",
    "cosignatures/": "log-cosignature",
}


def name_of(parts: list[str]) -> str:
    """What a call is about: the last word of its path that is no digest and no name."""
    if parts[0] == "runs" and len(parts) > 2:
        return _of_a_run(parts)
    if parts[0] == "agreements" and parts[2:3] == ["log"]:
        return _OF_THE_LOG["/".join([*parts[3:4], *("" for _ in parts[4:])])]
    if parts[0] in {"agreements", "objects"} and len(parts) > 2:
        return "chunk" if len(parts) == 4 else parts[2]
    return parts[0].removesuffix("s") if len(parts) == 2 else parts[0]


def _of_a_run(parts: list[str]) -> str:
    if len(parts) > 4:
        return {5: "ciphertext", 6: "consent"}[len(parts)]
    if parts[2] == "checkpoint":
        return "assigned"
    return _ONE.get(parts[2], parts[2]) if len(parts) == 4 else parts[2]


def file_of(data: bytes) -> int:
    """A file of the host's, in memory; the host may change it whenever it likes."""
    fd = os.memfd_create("ciphertext", os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


@functools.lru_cache(maxsize=4096)
def _read(payload: str, kind: Any) -> Any:
    """What a statement says; a host routes by it and verifies nothing."""
    return schema.decode(kind, canonical.decode(base64.b64decode(payload), most=envelope.MOST_BYTES))


def _asked(held: Held) -> set[tuple[str, str]]:
    return {(d, p) for d, (o, _) in held.offers.items() for p in _read(o.payload, Offer).affected}


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _there(value: Any) -> Any:
    if value is None:
        raise _missing()
    return value


def _no() -> Any:
    raise _missing()


def _missing() -> GatewayRefused:
    return GatewayRefused(404, "not-found", "there is no such thing that you may see", "")
