"""Four parties with real homes, a gateway in memory that a test can make lie, and a gate made of protocol functions.

Nothing is patched out: keys, envelopes, evidence and its verification are the real ones; only the clock is ours.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sealroom.attestation import binding
from sealroom.attestation.evidence import snp_evidence
from sealroom.attestation.snp import cert_table
from sealroom.client import config, runs
from sealroom.client.broker import Broker
from sealroom.client.gateway import AgreementEntry, ObjectEntry, ObjectState, OfferEntry, RunEntry, RunStatus
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import canonical, digest, envelope, release, schema, terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingKey, SealingPublicKey, SigningKey, from_text, to_text
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.statements import (
    Approval,
    Evidence,
    Grant,
    Offer,
    Receipt,
    Request,
    RuleResult,
    evidence_digest,
    grant_info,
)
from tests import homes, logs, parties
from tests.attestation import simulation

NOW = parties.NOW
NAMES = ("bank", "partner", "compliance", "operator")
MEASUREMENT = "c1" * 48
LAUNCH = parties.LAUNCH
TEXTS = {"overlap": b'{"count":1230}', "quality": b'{"auc":870}', "audience": b"partner_id\np1\np2\n"}
PASSPHRASE = "five random words here"
_KEPT = tempfile.TemporaryDirectory(prefix="sealroom-tests-", ignore_cleanup_errors=True)


@functools.cache
def _templates() -> Path:
    """Homes with keys, made once: stretching passphrases takes time on purpose."""
    folder = Path(_KEPT.name) / "homes"
    for name in NAMES:
        role = {"bank": "bank", "partner": "partner", "operator": "operator"}.get(name, "recipient")
        home = Home.create(folder / name, config.make(party=name, role=role), phrase=PASSPHRASE)
        _KEYS[name] = (home.signing_key(), home.sealing_key())
    return folder


_KEYS: dict[str, tuple[SigningKey, SealingKey]] = {}


@functools.cache
def _processor() -> Any:
    return simulation.processor(Path(_KEPT.name) / "processor", now=NOW - 1000)


def _home(name: str, folder: Path) -> Home:
    homes.copy(_templates() / name, folder / name)
    home = Home.open(folder / name)
    home.agreements()
    home._signing, home._sealing = _KEYS[name]
    return home


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class FakeRun:
    """What the gateway holds of one run."""

    request: Envelope
    challenges: dict[str, str] = dataclasses.field(default_factory=dict)
    evidence: bytes | None = None
    grants: dict[str, Envelope] = dataclasses.field(default_factory=dict)
    offers: dict[str, tuple[Envelope, bytes]] = dataclasses.field(default_factory=dict)
    consents: dict[tuple[str, str], Envelope] = dataclasses.field(default_factory=dict)
    receipt: Envelope | None = None
    cosignatures: dict[str, Envelope] = dataclasses.field(default_factory=dict)
    state: str | None = None


class FakeGateway:
    """The gateway's store and its one gate; `tricks` change answers by method name on their way to a party."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.posted_statements: list[Envelope] = []
        self.manifests: dict[str, Envelope] = {}
        self.run_store: dict[str, FakeRun] = {}
        self.tricks: dict[str, Any] = {}
        self.posts: list[tuple[str, ...]] = []
        self.gate: FakeGate | None = None
        self.log = logs.PlayedLog(world.folder, world.id)
        self.log.add(world.signed)
        self.log_statements: list[Envelope] = []
        self.refused: dict[str, list[Envelope]] = {}

    def name_log(self, operator: SigningKey) -> None:
        self.log_statements.append(self.log.statement("operator", operator, NOW))
        self.log.add(self.log_statements[-1])

    def _answer(self, name: str, value: Any) -> Any:
        return self.tricks[name](value) if name in self.tricks else value

    def _once(self, store: dict[Any, Any], key: Any, value: Any, *log: str) -> None:
        if store.get(key, value) != value:
            raise GatewayRefused(409, "already-there", "something else is there", "")
        store[key] = value
        if isinstance(value, Envelope):
            self.log.add(value)
        self.posts.append(log)

    def log_checkpoint(self, agreement: str) -> bytes:
        return self._answer("log_checkpoint", self.log.checkpoint())

    def log_key(self, agreement: str) -> str:
        return self.log.store.public_key

    def log_consistency(self, agreement: str, old: int, new: int) -> tuple[bytes, ...]:
        return self._answer("log_consistency", self.log.consistency(old, new))

    def log_inclusion(self, agreement: str, digest: str, size: int) -> Any:
        return self._answer("log_inclusion", self.log.inclusion(digest, size))

    def log_entries(self, agreement: str, start: int) -> list[Any]:
        return self._answer("log_entries", self.log.entries(start))

    def put_log_cosignature(self, agreement: str, party: str, note: bytes) -> None:
        self.log.cosign(party, note)

    def log_cosignatures(self, agreement: str) -> dict[str, bytes]:
        return self._answer("log_cosignatures", self.log.cosignatures())

    def assigned_size(self, run: str) -> int:
        return self._answer("assigned_size", self.log.store.assigned(run))

    def put_refusal(self, run: str, party: str, refusal: Envelope) -> None:
        self.refused.setdefault(run, []).append(refusal)
        self.log.add(refusal)
        self.posts.append(("refusal", run, party))
        self.run_store[run].state = "refused"

    def refusals(self, run: str) -> list[Envelope]:
        return self._answer("refusals", self.refused.get(run, []))

    def agreements(self) -> list[AgreementEntry]:
        return [AgreementEntry(self.world.id, self.world.signed.digest, 1)]

    def post_statement(self, agreement: str, statement: Envelope) -> None:
        self.posted_statements.append(statement)
        self.log.add(statement)

    def statements(self, agreement: str, kind: str) -> list[Envelope]:
        wanted = f"sealroom.{kind}.v1"
        if kind == "log":
            return self._answer("log_statements", list(self.log_statements))
        return self._answer("statements", [s for s in self.posted_statements if wanted in s.payloadType])

    def objects(self, agreement: str) -> list[ObjectEntry]:
        owner_of = self.world.agreement.owner_of
        entries = []
        for name, item in self.world.objects.items():
            kind = item.manifest.kind
            entries.append(ObjectEntry(item.envelope.digest, name, owner_of(name), kind, True))
        return self._answer("objects", entries)

    def object_state(self, digest: str) -> ObjectState | None:
        found = self.manifests.get(digest)
        return self._answer("object_state", found and ObjectState(found, (), True))

    def manifest(self, digest: str) -> Envelope | None:
        state = self.object_state(digest)
        return None if state is None else state.manifest

    def post_run(self, request: Envelope) -> str:
        self.run_store.setdefault(request.digest, FakeRun(request))
        self.log.add(request)
        return self._state(request.digest)

    def runs(self, agreement: str) -> list[RunEntry]:
        return self._answer("runs", [RunEntry(r, self._state(r), self._waiting(r), NOW) for r in self.run_store])

    def run(self, run: str) -> RunStatus:
        held = self.run_store[run]
        version = envelope.unverified(held.request, Request).version
        status = RunStatus(
            run, self._state(run), self._waiting(run), held.request, version, None, None, held.receipt is not None
        )
        return self._answer("run", status)

    def put_challenge(self, run: str, party: str, nonce: str) -> None:
        self._once(self.run_store[run].challenges, party, nonce, "challenge", run, party)
        if not self._unchallenged(run):
            self.world.make_gate().attest(self.run_store[run])

    def evidence(self, run: str) -> bytes | None:
        return self._answer("evidence", self.run_store[run].evidence)

    def put_grant(self, run: str, digest: str, grant: Envelope) -> None:
        held = self.run_store[run]
        self._once(held.grants, digest, grant, "grant", run, digest)
        if set(held.grants) == set(envelope.unverified(held.request, Request).objects.values()) and not held.receipt:
            self.gate.compute(held)

    def grants(self, run: str) -> list[Envelope]:
        return self._answer("grants", list(self.run_store[run].grants.values()))

    def offers(self, run: str) -> list[OfferEntry]:
        return self._answer("offers", [OfferEntry(d, o) for d, (o, _) in self.run_store[run].offers.items()])

    def ciphertext(self, run: str, offer: str, *, most: int) -> bytes:
        return self._answer("ciphertext", self.run_store[run].offers[offer][1])[: most + 1]

    def put_consent(self, run: str, offer: str, party: str, consent: Envelope) -> None:
        self._once(self.run_store[run].consents, (offer, party), consent, "consent", run, offer, party)

    def consents(self, run: str) -> list[Envelope]:
        return self._answer("consents", list(self.run_store[run].consents.values()))

    def receipt(self, run: str) -> Envelope | None:
        return self._answer("receipt", self.run_store[run].receipt)

    def put_cosignature(self, run: str, party: str, cosignature: Envelope) -> None:
        self._once(self.run_store[run].cosignatures, party, cosignature, "cosignature", run, party)

    def cosignatures(self, run: str) -> list[Envelope]:
        return self._answer("cosignatures", list(self.run_store[run].cosignatures.values()))

    def _owners(self, run: str) -> set[str]:
        request = envelope.unverified(self.run_store[run].request, Request)
        return {self.world.agreement.owner_of(name) for name in request.objects}

    def _unchallenged(self, run: str) -> set[str]:
        return self._owners(run) - set(self.run_store[run].challenges)

    def _waiting(self, run: str) -> tuple[str, ...]:
        """Whose turn it is, as a gateway says it."""
        state, held = self._state(run), self.run_store[run]
        if state == "waiting-for-challenges":
            return tuple(sorted(self._unchallenged(run)))
        if state == "waiting-for-grants":
            objects = envelope.unverified(held.request, Request).objects
            return tuple(sorted({self.world.agreement.owner_of(n) for n, d in objects.items() if d not in held.grants}))
        return tuple(sorted({party for _, party in self._unanswered(held)})) if state == "waiting-for-consent" else ()

    def _unanswered(self, held: FakeRun) -> set[tuple[str, str]]:
        asked = {(d, p) for d, (o, _) in held.offers.items() for p in envelope.unverified(o, Offer).affected}
        return asked - set(held.consents)

    def _state(self, run: str) -> str:
        held = self.run_store[run]
        if held.state is not None:
            return held.state
        if held.receipt is not None:
            return "waiting-for-consent" if self._unanswered(held) else "done"
        return "waiting-for-challenges" if self._unchallenged(run) else "waiting-for-grants"


class FakeGate:
    """A gate as the protocol describes it, with fixed results."""

    def __init__(self, world: World) -> None:
        self.world, self.signing, self.sealing = world, SigningKey.generate(), SealingKey.generate()
        self.measurement, self.launch, self.status = MEASUREMENT, LAUNCH, "completed"
        self.change_offer: Any = lambda offer: offer
        self.change_receipt: Any = lambda receipt: receipt
        self.change_evidence: Any = lambda evidence: evidence
        self.withheld: set[str] = set()
        self.opened: dict[str, bytes] = {}

    def attest(self, held: FakeRun) -> None:
        request = envelope.unverified(held.request, Request)
        checkpoint = self.world.assign(held.request.digest)
        report_data = binding.report_data(
            nonces=held.challenges,
            gate_sealing_key=self.sealing.public.raw,
            gate_signing_key=self.signing.public.raw,
            agreement_id=request.agreement,
            agreement_version=request.version,
            request=held.request.digest,
            checkpoint=checkpoint,
        )
        evidence = Evidence(
            format="sealroom/evidence/v1",
            agreement=request.agreement,
            version=request.version,
            request=held.request.digest,
            nonces=dict(held.challenges),
            checkpoint=checkpoint,
            gate_signing_key=self.signing.public.text,
            gate_sealing_key=self.sealing.public.text,
            platform="sev-snp",
            attestation=to_text(canonical.encode(schema.encode(self.quote(report_data)))),
        )
        held.evidence = canonical.encode(schema.encode(self.change_evidence(evidence)))
        self.world.gateway.log.add_evidence(evidence_digest(held.evidence), held.evidence)

    def quote(self, report_data: bytes) -> Any:
        table = cert_table.parse(self.world.processor.certificate_table(NOW))
        host_data = digest.sha256("launch-configuration/v1", self.launch)
        report = self.world.processor.report(
            report_data=report_data, measurement=self.measurement, host_data=host_data, report_id=bytes(32)
        )
        return snp_evidence(
            report=report,
            vek=table[cert_table.VCEK],
            intermediate=table[cert_table.ASK],
            root=table[cert_table.ARK],
            crl=table[cert_table.CRL],
            host_data_preimage=self.launch,
        )

    def compute(self, held: FakeRun) -> None:
        for signed in held.grants.values():
            grant = envelope.unverified(signed, Grant)
            info = grant_info(
                owner_key=self.world.homes[grant.party].public_keys().signing.raw,
                version=grant.version,
                evidence=grant.evidence,
                agreement=grant.agreement,
                request=grant.request,
                object_digest=grant.object,
            )
            self.opened[grant.object] = self.sealing.open(from_text(grant.sealed_key), info=info)
        request = envelope.unverified(held.request, Request)
        results = []
        for name in request.rules:
            offers = () if name in self.withheld or self.status != "completed" else self._offers(held, name)
            results.append(RuleResult(rule=name, outcome="offered" if offers else "withheld", offers=tuple(offers)))
        self._sign_receipt(held, request, tuple(results))

    def _sign_receipt(self, held: FakeRun, request: Request, results: tuple[RuleResult, ...]) -> None:
        receipt = Receipt(
            format="sealroom/receipt/v1",
            agreement=request.agreement,
            version=request.version,
            request=held.request.digest,
            evidence=evidence_digest(held.evidence),
            platform_class="simulated",
            gate_key=self.signing.public.text,
            grants=tuple(sorted(grant.digest for grant in held.grants.values())),
            layers=("landlock", "seccomp"),
            status=self.status,
            results=results,
            reasons={},
        )
        held.receipt = envelope.sign(self.change_receipt(receipt), [self.signing])
        for signed in (*(offer for offer, _ in held.offers.values()), held.receipt):
            self.world.gateway.log.add(signed)

    def _offers(self, held: FakeRun, name: str) -> list[str]:
        agreement = self.world.agreement
        rule = agreement.rule(name)
        made = []
        for recipient in rule.recipients:
            signed, ciphertext = self._offer(held, rule, recipient)
            held.offers[signed.digest] = (signed, ciphertext)
            made.append(signed.digest)
        return made

    def _offer(self, held: FakeRun, rule: Any, recipient: str) -> tuple[Envelope, bytes]:
        agreement, run = self.world.agreement, held.request.digest
        context = release.Context(
            agreement=self.world.id,
            version=self.world.signed.digest,
            request=run,
            rule=rule.name,
            recipient=recipient,
        )
        to = SealingPublicKey.parse(agreement.party(recipient).sealing_key)
        sealed = release.seal_release(
            TEXTS[rule.name], terms.padded_size(agreement, rule), recipient=to, context=context
        )
        affected = affected_owners(agreement, rule, recipient)
        keys = {p: SealingPublicKey.parse(agreement.party(p).sealing_key) for p in affected}
        commitments, shares = release.seal_shares(sealed, keys, context)
        offer = Offer(
            format="sealroom/offer/v1",
            agreement=self.world.id,
            version=self.world.signed.digest,
            request=run,
            evidence=evidence_digest(held.evidence),
            platform_class="simulated",
            rule=rule.name,
            rule_type=rule.type,
            guarantee=rule.guarantee,
            cost=terms.cost_of(agreement, rule),
            recipient=recipient,
            affected=affected,
            ciphertext_sha256=sealed.ciphertext_sha256,
            size=len(sealed.ciphertext),
            share_commitments=commitments,
            sealed_shares=shares,
        )
        return envelope.sign(self.change_offer(offer), [self.signing]), sealed.ciphertext


class World:
    """The whole of it; `consent` overrides a party's consent mode, `changes` fields of the agreement.

    `approvers` have approved the measurement for a long time.
    """

    def __init__(
        self, folder: Path, *, consent: dict[str, dict[str, Any]] | None = None,
        approvers: Sequence[str] = ("bank", "partner"), **changes: Any,
    ) -> None:  # fmt: skip
        self.folder, self.clock, self.processor = folder, Clock(), _processor()
        self.homes = {name: _home(name, folder) for name in NAMES}
        members = {name: parties.Member(name, *_KEYS[name]) for name in NAMES}
        self.members = members
        document = parties.agreement_json(members, platforms=[schema.encode(simulated_policy(self.processor.root))])
        document["rules"] = [rule for rule in document["rules"] if rule["name"] in TEXTS]
        document["rules"][0]["recipients"] = ["bank", "compliance"]
        document["parties"] = [m.card(**(consent or {}).get(n, {})) for n, m in members.items()]
        document.update(changes)
        self.agreement, self.signed = parties.sign_agreement(members, document)
        self.id = self.signed.digest
        self.gateway = FakeGateway(self)
        self.objects = {}
        for home in self.homes.values():
            home.save_agreement(self.signed)
        for name, owner, kind, media in (
            ("customers", "bank", "dataset", "csv"),
            ("prospects", "partner", "dataset", "csv"),
            ("model", "bank", "bundle", "bundle"),
        ):
            item = parties.seal_object(members[owner], name, kind, media, name.encode(), self.id)
            self.objects[name] = item
            self.gateway.manifests[item.envelope.digest] = item.envelope
            self.gateway.log.add(item.envelope)
            self.homes[owner].save_object(item.envelope, item.key)
        self.gateway.name_log(members["operator"].signing)
        for party in approvers:
            self.approve(party)

    def assign(self, run: str) -> str:
        """The log's root that this run's gate binds; a world before a real gateway asks that one."""
        return self.gateway.log.assign(run)

    def make_gate(self) -> FakeGate:
        if self.gateway.gate is None:
            self.gateway.gate = FakeGate(self)
        return self.gateway.gate

    def approve(self, party: str, *, measurement: str = MEASUREMENT, not_after: int = NOW + 10**6) -> Envelope:
        approval = Approval(
            format="sealroom/approval/v1",
            party=party,
            agreement=self.id,
            measurement=measurement,
            not_after=not_after,
            created=NOW - 500,
            remark="looked at it",
            nonce="77" * 32,
        )
        signed = envelope.sign(approval, [self.members[party].signing])
        self.gateway.post_statement(self.id, signed)
        return signed

    def sign(self, party: str, document: object) -> Envelope:
        return envelope.sign(document, [self.members[party].signing])

    def ask(self, *rules: str) -> str:
        request = parties.make_request(
            self.members["bank"], self.agreement, self.signed, self.objects, rules or ("overlap",)
        )
        self.gateway.post_run(request)
        return request.digest

    def ask_again(self, *rules: str) -> str:
        """Another run of the same rules, asked for now."""
        bank = self.members["bank"]
        request = envelope.unverified(
            parties.make_request(bank, self.agreement, self.signed, self.objects, rules), Request
        )
        signed = self.sign("bank", dataclasses.replace(request, nonce="6b" * 32, created=int(self.clock.now)))
        self.gateway.post_run(signed)
        return signed.digest

    def broker(self, party: str, *, gateway: Any = None, ledger: Any = None) -> Broker:
        home = self.homes[party]
        ledger = ledger or Ledger.open(home.root, party)
        return Broker(home, gateway or self.gateway, ledger, clock=self.clock)

    def ledger(self, party: str) -> Ledger:
        return Ledger.open(self.homes[party].root, party)

    def step(self, *names: str) -> dict[str, list[Any]]:
        """One step of each party's broker, each started anew."""
        events = {}
        for party in names or ("bank", "partner"):
            with self.ledger(party) as ledger:
                events[party] = self.broker(party, ledger=ledger).step()
        return events

    def play(self, steps: int = 4) -> list[Any]:
        """Step both owners' brokers until nothing is left to do."""
        return [event for _ in range(steps) for events in self.step().values() for event in events]

    def posts(self, kind: str) -> list[tuple[str, ...]]:
        return [post for post in self.gateway.posts if post[0] == kind]


def prepared(world: World, **options: Any) -> runs.Prepared:
    return runs.prepare(world.homes["bank"], world.gateway, **options)
