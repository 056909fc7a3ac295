"""One run from assignment to receipt: handles one message at a time.

Runs in: the gate (TCB).   Believes: what `admit` has admitted.   Spec: §6, §9.

The host learns the closed status and nothing else. Owners find a closed reason, sealed to them, in the receipt. After
evidence was given, every end that the gate lives to see leaves a signed receipt, refusals included.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sealroom.enclave.gate import phases
from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_grant, admit_request
from sealroom.enclave.gate.children import close_all
from sealroom.enclave.gate.compute import Payload, Result
from sealroom.enclave.gate.identity import Attested, Identity, Quoter, attest
from sealroom.enclave.gate.offers import MadeOffer, make_offers
from sealroom.enclave.gate.receipts import Ending, make_receipt
from sealroom.enclave.gate.vault import open_object
from sealroom.protocol import canonical, envelope, schema, wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotAcceptable, Refused
from sealroom.protocol.statements import Challenges

Send = Callable[[dict[str, Any], Sequence[int]], None]
Compute = Callable[[AdmittedRun, Mapping[str, Payload]], tuple[list[Result], tuple[str, ...]]]
"""Runs readers, engine and jail: results by rule, and the names of the layers of confinement in force."""
Prepare = Callable[[AdmittedRun], None]
"""Tells the children what the run will need, so that they are ready when it does."""
Layers = Callable[[], tuple[str, ...]]
"""The layers that were confirmed so far, for a run that ends early."""


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Everything outside the session that it acts on, so that it can be tested as a function."""

    send: Send
    quoter: Quoter
    compute: Compute
    layers: Layers = tuple
    prepare: Prepare = lambda _: None


class Session:
    """Serves one request; its state only moves forward."""

    def __init__(self, world: World) -> None:
        """Make this gate's keys; wait for the assignment."""
        self._world = world
        self._identity = Identity.generate()
        self._run: AdmittedRun | None = None
        self._attested: Attested | None = None
        self._keys: dict[str, bytes] = {}
        self._files: dict[str, int] = {}
        self._grants: list[str] = []
        self.phase = phases.Phase.IDLE

    def handle(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        """Take one message from the host.

        Raises:
            Malformed: the session has ended.
            Exception: before evidence was given there is no run to sign a receipt for; the session ends without one.
        """
        if self.phase is phases.Phase.ENDED:
            close_all(fds)
            raise Malformed("untimely", "the session has ended")
        try:
            self._dispatch(message, fds)
        except Exception as error:  # whatever went wrong, a run that was attested ends with a receipt
            layers = self._world.layers()
            self._end(Ending.refused(error.code, layers) if isinstance(error, Refused) else Ending.failed(layers))
            if self._attested is None:
                raise

    def expire(self) -> None:
        """The host fell silent for too long: end, with a receipt if there was evidence."""
        self.refuse("E3.expired")

    def refuse(self, code: str) -> None:
        """No message can be taken any more, for this reason: end, with a receipt if there was evidence."""
        self._end(Ending.refused(code, self._world.layers()))

    def _dispatch(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        try:
            kind = phases.accept(self.phase, message, len(fds))
        except Refused:
            close_all(fds)
            raise
        if kind == wire.STOP:
            raise NotAcceptable("stopped", "the run was stopped")
        if kind == wire.ASSIGN:
            self._assign(message)
        elif kind == wire.GRANT:
            self._grant(_envelope(message["grant"]))
        else:
            self._object(message["manifest"], fds[0])
        if self._run is not None and self._ready(self._run):
            self._world.send({"type": wire.PROGRESS, "phase": "granted"}, ())
            self._compute(self._run)

    def _assign(self, message: dict[str, Any]) -> None:
        agreed = admit_agreement(_envelopes(message["agreement"]))
        challenges = schema.decode(Challenges, {"nonces": message["nonces"]})
        self._run = admit_request(
            agreed,
            _envelope(message["request"]),
            _envelopes(message["manifests"]),
            nonces=challenges.nonces,
            checkpoint=_hex32(message["checkpoint"]),
        )
        self._attested = attest(self._identity, self._run, self._world.quoter)
        self.phase = phases.Phase.GRANTING
        self._world.send({"type": wire.EVIDENCE, "evidence": schema.encode(self._attested.evidence)}, ())
        self._world.prepare(self._run)

    def _grant(self, grant: Envelope) -> None:
        assert self._run is not None and self._attested is not None  # noqa: S101, PT018 (the phase table sees to it)
        name, key = admit_grant(self._run, grant, evidence=self._attested.digest, key=self._identity.sealing)
        if name in self._keys:
            raise NotAcceptable("second-grant", f"there is a grant for {name} already")
        self._keys[name] = key
        self._grants.append(grant.digest)

    def _object(self, manifest: object, fd: int) -> None:
        assert self._run is not None  # noqa: S101 (the phase table sees to it)
        names = [n for n, d in self._run.request.objects.items() if d == manifest]
        if len(names) != 1 or names[0] in self._files:
            os.close(fd)
            raise NotAcceptable("unknown-object", "the object is not of this run, or is there already")
        self._files[names[0]] = fd

    def _ready(self, run: AdmittedRun) -> bool:
        needed = set(run.manifests)
        return self.phase is phases.Phase.GRANTING and set(self._keys) == needed and set(self._files) == needed

    def _compute(self, run: AdmittedRun) -> None:
        self.phase = phases.Phase.COMPUTING
        self._world.send({"type": wire.PROGRESS, "phase": "computing"}, ())
        payloads: dict[str, Payload] = {}
        try:
            for name, manifest in run.manifests.items():
                payloads[name] = Payload(*open_object(self._keys[name], manifest, self._files[name]))
            results, layers = self._world.compute(run, payloads)
        finally:
            close_all([p.fd for p in payloads.values()])
        self._world.send({"type": wire.PROGRESS, "phase": "sealing"}, ())
        self._release(run, results, layers)

    def _release(self, run: AdmittedRun, results: Sequence[Result], layers: Sequence[str]) -> None:
        assert self._attested is not None  # noqa: S101 (set before any grant)
        made = {r.rule: make_offers(run, self._attested, self._identity, r) for r in results}
        for offer in (offer for offers in made.values() for offer in offers.offers):
            self._send_offer(offer)
        reasons = {rule: offers.reason for rule, offers in made.items() if offers.reason}
        offers = {rule: tuple(o.envelope.digest for o in m.offers) for rule, m in made.items()}
        self._end(Ending.completed(offers, reasons, layers))

    def _send_offer(self, offer: MadeOffer) -> None:
        fd = offer.ciphertext_file()
        try:
            self._world.send({"type": wire.OFFER, "offer": schema.encode(offer.envelope)}, [fd])
        finally:
            close_all([fd])

    def _end(self, ending: Ending) -> None:
        self.phase = phases.Phase.ENDED
        close_all(list(self._files.values()))
        self._files.clear()
        self._keys.clear()
        if self._run is None or self._attested is None:
            return
        receipt = make_receipt(self._run, self._attested, self._identity, tuple(self._grants), ending)
        with contextlib.suppress(OSError):  # the host may be gone; there is nobody else to tell
            self._world.send({"type": wire.RECEIPT, "receipt": schema.encode(receipt)}, ())


def _envelope(value: object) -> Envelope:
    return envelope.parse(canonical.encode(value))


def _envelopes(value: object) -> list[Envelope]:
    if not isinstance(value, list) or len(value) > 64:
        raise Malformed("wrong-type", "expected a list of envelopes")
    return [_envelope(item) for item in value]


def _hex32(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise Malformed("wrong-type", "expected 64 hex digits")
    return value
