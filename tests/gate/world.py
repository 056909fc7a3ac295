"""A gate without a machine around it: a session, a host that keeps all it is sent, and an engine that obeys."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sealroom.attestation.evidence import SnpEvidence, snp_evidence
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.compute import Payload, Result
from sealroom.enclave.gate.session import Session, World
from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingPublicKey, VerifyingKey, from_text
from sealroom.protocol.statements import Evidence, Offer, Receipt, evidence_digest, reason_info
from tests import parties
from tests.parties import Member, SealedObject

CANARY = b"canary-7f3a91"
CHECKPOINT = "c0" * 32
LAYERS = ("engine:seccomp", "jail:landlock")
D = TypeVar("D")


@dataclasses.dataclass
class Play:
    """An agreement between real keys, its sealed objects, and one request."""

    members: Mapping[str, Member]
    agreement: Agreement
    signed: Envelope
    objects: Mapping[str, SealedObject]
    request: Envelope
    chain: list[Envelope]

    @property
    def id(self) -> str:
        return self.chain[0].digest

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(envelope.unverified(self.request, parties.Request).objects)

    @property
    def manifests(self) -> list[Envelope]:
        return [self.objects[name].envelope for name in self.names]

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(sorted({self.agreement.owner_of(name) for name in self.names}))

    @property
    def nonces(self) -> dict[str, str]:
        return {owner: f"{index + 1:02x}" * 32 for index, owner in enumerate(self.owners)}

    def assign(self, **changes: Any) -> dict[str, Any]:
        message = {
            "type": "assign",
            "agreement": [schema.encode(e) for e in self.chain],
            "request": schema.encode(self.request),
            "manifests": [schema.encode(e) for e in self.manifests],
            "nonces": self.nonces,
            "checkpoint": CHECKPOINT,
        }
        return {**message, **changes}

    def grant(self, name: str, evidence: Evidence, **changes: Any) -> Envelope:
        """The owner's grant of one object to the gate of this evidence; `changes` replace what it is made for."""
        owner = self.members[self.agreement.owner_of(name)]
        made_for = {
            "agreement": self.id,
            "version": self.signed.digest,
            "request": self.request.digest,
            "evidence": digest_of(evidence),
            "gate": SealingPublicKey.parse(evidence.gate_sealing_key),
        }
        return parties.make_grant(owner, self.objects[name], **{**made_for, **changes})


def digest_of(evidence: Evidence) -> str:
    return evidence_digest(canonical.encode(schema.encode(evidence)))


def resigned(signed: Envelope, kind: type[Any], /, *signers: Member, **changes: Any) -> Envelope:
    """The same statement with some fields replaced, signed anew."""
    document = dataclasses.replace(envelope.unverified(signed, kind), **changes)
    return envelope.sign(document, [signer.signing for signer in signers])


def people(*names: str) -> dict[str, Member]:
    return {name: Member.make(name) for name in names}


def play(wanted: tuple[str, ...] = ("overlap",), members: Mapping[str, Member] | None = None, **changes: Any) -> Play:
    """Bank, partner and operator, unless other members are given; every object's plaintext holds the canary."""
    members = members or people("bank", "partner", "operator")
    agreement, signed = parties.sign_agreement(members, parties.agreement_json(members, **changes))
    objects = {}
    for item in (*agreement.datasets, *agreement.bundles):
        kind, media = ("dataset", "csv") if item in agreement.datasets else ("bundle", "bundle")
        plaintext = CANARY + f" {item.name} of {item.owner}".encode()
        objects[item.name] = parties.seal_object(members[item.owner], item.name, kind, media, plaintext, signed.digest)
    request = parties.make_request(members["bank"], agreement, signed, objects, wanted)
    return Play(members, agreement, signed, objects, request, [signed])


def three_data_parties(wanted: tuple[str, ...] = ("overlap", "overlap-second")) -> Play:
    """A third owner of data joins: its table is linked to the bank's too."""
    members = people("bank", "partner", "second", "operator")
    base = parties.agreement_json(members)
    link = {**base["links"][0], "name": "members", "right": "panel"}
    rule = {**base["rules"][0], "name": "overlap-second", "link": "members", "recipients": ["bank", "partner"]}
    changes = {
        "datasets": [*base["datasets"], parties.dataset("panel", "second", "panel_id", [parties.column("age", "int")])],
        "links": [*base["links"], link],
        "rules": [*base["rules"], rule],
        "purses": [
            *base["purses"],
            {"owner": "second", "population": "panel", "epsilon": 1_000_000, "bits": 10**6, "runs": 10},
        ],
    }
    return play(wanted, members, **changes)


class Host:
    """Keeps every message and the bytes behind every descriptor, as a curious host would."""

    def __init__(self, results: Sequence[Result] = (), *, error: Exception | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.files: list[bytes] = []
        self.reports: list[bytes] = []
        self.payloads: dict[str, bytes] = {}
        self.broken = False
        self.prepared: list[AdmittedRun] = []
        self.confirmed: tuple[str, ...] = ()
        self._results, self._error = list(results), error
        self.session = Session(
            World(
                send=self._take,
                quoter=self._quote,
                compute=self._compute,
                layers=lambda: self.confirmed,
                prepare=self.prepared.append,
            )
        )

    def _take(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        if self.broken:
            raise BrokenPipeError
        self.messages.append(message)
        self.files.extend(os.pread(fd, os.fstat(fd).st_size, 0) for fd in fds)

    def _quote(self, report_data: bytes) -> SnpEvidence:
        self.reports.append(report_data)
        return snp_evidence(
            report=report_data, vek=b"v", intermediate=b"i", root=b"r", crl=None, host_data_preimage=None
        )

    def _compute(self, run: AdmittedRun, payloads: Mapping[str, Payload]) -> tuple[list[Result], tuple[str, ...]]:
        self.payloads = {name: os.pread(p.fd, os.fstat(p.fd).st_size, 0) for name, p in payloads.items()}
        self.confirmed = LAYERS
        if self._error is not None:
            raise self._error
        return self._results or [Result(rule, CANARY, None) for rule in run.request.rules], LAYERS

    def tell(self, message: dict[str, Any], *fds: int) -> None:
        self.session.handle(message, list(fds))

    def start(self, played: Play) -> Evidence:
        self.tell(played.assign())
        return self.evidence

    def hand_over(self, name: str, played: Play, ciphertext: bytes | None = None) -> None:
        data = played.objects[name].ciphertext if ciphertext is None else ciphertext
        self.tell({"type": "object", "manifest": played.objects[name].envelope.digest}, file_of(data))

    def give(self, grant: Envelope) -> None:
        self.tell({"type": "grant", "grant": schema.encode(grant)})

    def finish(self, played: Play) -> Receipt:
        """Start, grant everything, hand everything over."""
        evidence = self.start(played)
        for name in played.names:
            self.give(played.grant(name, evidence))
        for name in played.names:
            self.hand_over(name, played)
        return self.receipt()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["type"] == kind]

    @property
    def evidence(self) -> Evidence:
        (message,) = self.of_type("evidence")
        return schema.decode(Evidence, message["evidence"])

    def _statement(self, value: Any, kind: type[D]) -> D:
        signed = envelope.parse(canonical.encode(value))
        gate = VerifyingKey.parse(self.evidence.gate_signing_key)
        return envelope.verify(signed, kind, {"gate": gate})

    def receipt(self) -> Receipt:
        """The one receipt, verified under the key that the evidence binds."""
        (message,) = self.of_type("receipt")
        return self._statement(message["receipt"], Receipt)

    def offers(self) -> list[tuple[Offer, bytes]]:
        """Verified offers, each with its ciphertext."""
        found = [self._statement(message["offer"], Offer) for message in self.of_type("offer")]
        return list(zip(found, self.files, strict=True))

    def everything_seen(self) -> bytes:
        return canonical.encode(self.messages) + b"".join(self.files)


def reasons_for(receipt: Receipt, member: Member) -> dict[str, str]:
    """What a party finds in a receipt under its own sealing key."""
    sealed = from_text(receipt.reasons[member.name])
    text = member.sealing.open(sealed, info=reason_info(receipt.request, member.name))
    value: dict[str, str] = canonical.decode(text.rstrip(b" "), most=1 << 20)
    return value


def file_of(data: bytes) -> int:
    fd = os.memfd_create("ciphertext", os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def to_base64(data: bytes, shift: int) -> bytes:
    """How `data` looks inside base64 when `shift` bytes stand before it, without the ends that depend on neighbours."""
    text = base64.b64encode(bytes(shift) + data + bytes(3))
    return text[4 : 4 + (len(data) // 3 - 1) * 4]
