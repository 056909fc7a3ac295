"""Replays an agreement's log: every statement signed by whom it must be, and nothing before what it rests on.

Runs in: whoever audits.   Believes: the first agreement's signatures, and what follows from them.   Spec: §13.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from sealroom.client import admission, logbook, pinning, refusing, standing
from sealroom.client.admission import AdmittedRequest
from sealroom.client.appraise import decode
from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import consistency, release
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.logged import Refusal
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import (
    Approval,
    Consent,
    Cosignature,
    Evidence,
    Grant,
    Offer,
    Receipt,
    Request,
    Revocation,
    Stop,
)

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class RunHistory:
    """What the log holds of one run, in the order of the log."""

    request: AdmittedRequest
    place: int
    evidence: Evidence | None = None
    evidence_bytes: bytes = b""
    evidence_digest: str = ""
    grants: dict[str, tuple[Envelope, Grant]] = dataclasses.field(default_factory=dict)
    refusals: dict[str, tuple[Envelope, Refusal]] = dataclasses.field(default_factory=dict)
    offers: dict[str, tuple[Envelope, Offer]] = dataclasses.field(default_factory=dict)
    releases: dict[str, str] = dataclasses.field(default_factory=dict)
    receipt: tuple[Envelope, Receipt] | None = None
    consents: dict[tuple[str, str], tuple[Envelope, Consent]] = dataclasses.field(default_factory=dict)
    cosignatures: dict[str, Envelope] = dataclasses.field(default_factory=dict)

    @property
    def gate(self) -> VerifyingKey:
        """The gate of its evidence."""
        if self.evidence is None:
            raise _order("the run has no evidence before it")
        return VerifyingKey.parse(self.evidence.gate_signing_key)


@dataclasses.dataclass(slots=True)
class History:
    """Everything so far. `roots[n]` is the root over the first n entries."""

    roots: list[bytes]
    chain: list[Envelope] = dataclasses.field(default_factory=list)
    versions: dict[str, PinnedAgreement] = dataclasses.field(default_factory=dict)
    newest: PinnedAgreement | None = None
    log_key: VerifyingKey | None = None
    approvals: list[Envelope] = dataclasses.field(default_factory=list)
    revocations: list[Envelope] = dataclasses.field(default_factory=list)
    stops: list[Stop] = dataclasses.field(default_factory=list)
    manifests: dict[str, Envelope] = dataclasses.field(default_factory=dict)
    runs: dict[str, RunHistory] = dataclasses.field(default_factory=dict)

    @property
    def agreement(self) -> PinnedAgreement:
        """The version in force at this place of the log."""
        if self.newest is None:
            raise _order("there is no agreement before it")
        return self.newest

    def take(self, entry: LoggedEntry) -> None:
        """Add one entry.

        Raises:
            Refused: it is not signed as it must be, or what it rests on does not stand before it.
        """
        if entry.kind == "evidence":
            self._evidence(entry)
            return
        steps: dict[str, Callable[[Envelope, int], None]] = {
            "agreement": self._version, "log": self._log, "approval": self._statement, "revocation": self._statement,
            "stop": self._statement, "manifest": self._manifest, "request": self._request, "grant": self._grant,
            "refusal": self._refusal, "offer": self._offer, "receipt": self._receipt, "consent": self._consent,
            "cosignature": self._cosignature,
        }  # fmt: skip
        if entry.kind not in steps or entry.statement is None:
            raise Malformed("audit-unknown-kind", f"a log holds no {entry.kind}")
        steps[entry.kind](entry.statement, entry.number)

    def _version(self, signed: Envelope, _: int) -> None:
        unverified_version = envelopes.unverified(signed, Agreement)
        before = None if self.newest is None else self.newest.agreement
        versions = (unverified_version,) if before is None else (unverified_version, before)
        said = consistency.check(envelopes.verify(signed, Agreement, pinning.keys_of(*versions)))
        number = len(self.chain) + 1
        follows = (None, None) if not self.chain else (self.chain[0].digest, self.chain[-1].digest)
        if (said.sequence, said.first, said.previous) != (number, *follows):
            raise NotGenuine("broken-chain", f"it does not follow as version {number} of the agreement")
        self.chain.append(signed)
        self.newest = PinnedAgreement(signed, said, signed.digest, self.chain[0].digest)
        self.versions[signed.digest] = self.newest

    def _log(self, signed: Envelope, _: int) -> None:
        key = logbook.key_of(signed, self.agreement.agreement, self.agreement.id)
        if self.log_key not in (None, key):
            raise NotGenuine("log-key", "the operator names a second key of this log")
        self.log_key = key

    def _statement(self, signed: Envelope, _: int) -> None:
        agreement, name = self.agreement.agreement, self.agreement.id
        if signed.payloadType == envelopes.media_type(Approval):
            standing.verify(Approval, signed, agreement, name)
            self.approvals.append(signed)
        elif signed.payloadType == envelopes.media_type(Revocation):
            standing.verify(Revocation, signed, agreement, name)
            self.revocations.append(signed)
        else:
            self.stops.append(standing.verify(Stop, signed, agreement, name))

    def _manifest(self, signed: Envelope, _: int) -> None:
        named = envelopes.unverified(signed, Manifest).name
        admission.check_manifest(signed, named, self.agreement)
        self.manifests[signed.digest] = signed

    def _request(self, signed: Envelope, place: int) -> None:
        self._require_no_stop("asked for")
        asked = envelopes.unverified(signed, Request)
        request = admission.admit(signed, self.agreement, now=asked.created)
        for name, digest in request.request.objects.items():
            if digest not in self.manifests:
                raise _order(f"the manifest of {name} that it names does not stand before it")
        self.runs[signed.digest] = RunHistory(request, place)

    def _evidence(self, entry: LoggedEntry) -> None:
        data = entry.evidence or b""
        evidence = decode(data)
        run = self._run(evidence.request)
        if run.evidence is not None:
            raise NotAcceptable("audit-second", "it is a second evidence of one run")
        pinned = run.request.pinned
        if (evidence.agreement, evidence.version) != (pinned.id, pinned.version):
            raise NotAcceptable("other-run", "it is for another agreement or version than its run")
        if bytes.fromhex(evidence.checkpoint) not in self.roots[run.place + 1 : entry.number + 1]:
            raise NotGenuine(
                "log-other-checkpoint", "its gate bound a checkpoint that is none of this log at that time"
            )
        run.evidence, run.evidence_bytes, run.evidence_digest = evidence, data, entry.digest

    def _grant(self, signed: Envelope, _: int) -> None:
        self._require_no_stop("granted")
        grant = self._by_member(signed, Grant, lambda said: said.party)
        run = self._run(grant.request)
        if run.evidence is None or grant.evidence != run.evidence_digest:
            raise _order("the evidence that it grants to does not stand before it")
        if run.receipt is not None or run.refusals:
            raise _order("its run had ended before it")
        expected = (run.request.pinned.id, run.request.pinned.version)
        if (grant.agreement, grant.version) != expected:
            raise NotAcceptable("other-run", "it is for another agreement or version than its run")
        if grant.object not in run.request.objects_of(grant.party).values():
            raise NotAcceptable("other-object", f"{grant.party} does not own that object in this run")
        if grant.object in run.grants:
            raise NotAcceptable("audit-second", "it is a second grant for one object")
        run.grants[grant.object] = (signed, grant)

    def _refusal(self, signed: Envelope, _: int) -> None:
        unverified_refusal = envelopes.unverified(signed, Refusal)
        run = self._run(unverified_refusal.request)
        said = refusing.verify(signed, run.request.pinned, run.request.request, run.request.digest)
        if said.evidence not in (None, run.evidence_digest):
            raise _order("the evidence that it refuses does not stand before it")
        if run.receipt is not None or said.party in run.refusals:
            raise _order("its run had ended before it")
        run.refusals[said.party] = (signed, said)

    def _offer(self, signed: Envelope, _: int) -> None:
        unverified_offer = envelopes.unverified(signed, Offer)
        run = self._run(unverified_offer.request)
        offer = envelopes.verify(signed, Offer, {"gate": run.gate})
        if set(run.grants) != set(run.request.request.objects.values()) or run.receipt is not None:
            raise _order("not every grant of its run stands before it, or the receipt already does")
        name = release.release_id(signed.digest, offer.ciphertext_sha256, offer.share_commitments, run.gate.raw)
        run.offers[signed.digest] = (signed, offer)
        run.releases[name] = signed.digest

    def _receipt(self, signed: Envelope, _: int) -> None:
        unverified_receipt = envelopes.unverified(signed, Receipt)
        run = self._run(unverified_receipt.request)
        if run.receipt is not None:
            raise NotAcceptable("audit-second", "it is a second receipt of one run")
        said = envelopes.verify(signed, Receipt, {"gate": run.gate})
        if not set(said.grants) <= {grant.digest for grant, _ in run.grants.values()}:
            raise _order("a grant that it lists does not stand before it")
        if {digest for result in said.results for digest in result.offers} != set(run.offers):
            raise _order("the offers before it are not those that it lists")
        run.receipt = (signed, said)

    def _consent(self, signed: Envelope, _: int) -> None:
        self._require_no_stop("consented to")
        said = self._by_member(signed, Consent, lambda consent: consent.party)
        for run in self.runs.values():
            if said.release in run.releases and run.receipt is not None:
                offer = run.offers[run.releases[said.release]][1]
                if said.agreement != self.agreement.id or said.party not in offer.affected:
                    raise NotAcceptable("stray-consent", f"{said.party} answers a release that does not ask it")
                if (said.party, said.release) in run.consents:
                    raise NotAcceptable("audit-second", f"it is a second answer of {said.party} to one release")
                run.consents[said.party, said.release] = (signed, said)
                return
        raise _order("the offer that it answers, and the receipt, do not stand before it")

    def _cosignature(self, signed: Envelope, _: int) -> None:
        said = self._by_member(signed, Cosignature, lambda cosignature: cosignature.party)
        for run in self.runs.values():
            if run.receipt is not None and run.receipt[0].digest == said.receipt:
                run.cosignatures[said.party] = signed
                return
        raise _order("the receipt that it cosigns does not stand before it")

    def _run(self, request: str) -> RunHistory:
        if request not in self.runs:
            raise _order("the request that it belongs to does not stand before it")
        return self.runs[request]

    def _by_member(self, signed: Envelope, kind: type[T], party_of: Callable[[T], str]) -> T:
        name = party_of(envelopes.unverified(signed, kind))
        keys = {
            f"{party.name}/{party.signing_key}": VerifyingKey.parse(party.signing_key)
            for version in self.versions.values()
            for party in version.agreement.parties
            if party.name == name
        }
        if not keys:
            raise NotGenuine("stranger", "it names somebody who is not a party")
        return envelopes.verify(signed, kind, keys, threshold=1)

    def _require_no_stop(self, what: str) -> None:
        for stop in self.stops:
            raise NotAcceptable("stopped", f"it was {what} after {stop.party} had stopped the agreement")


def _order(what: str) -> NotGenuine:
    return NotGenuine("audit-order", what)
