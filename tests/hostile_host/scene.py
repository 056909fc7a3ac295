"""Three owners, an auditor and an operator with real homes, ledgers, brokers and clients around a host that may lie.

Bank and partner bring data, the vendor brings hidden code, bank, partner and auditor receive. Before each case lies a
past: a run under version 1, one under version 2, and one under another agreement between the same parties.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from sealroom.attestation.evidence import SnpEvidence, snp_evidence
from sealroom.attestation.snp import cert_table
from sealroom.client import collect, config, runs
from sealroom.client.broker import Broker
from sealroom.client.desk import Event
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import canonical, digest, envelope, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import SealroomError
from sealroom.protocol.logged import Log
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.statements import Approval, Revocation, Stop
from tests import homes as copies
from tests import parties
from tests.client_broker import world
from tests.client_broker.world import NOW, Clock
from tests.hostile_host.gates import Gate
from tests.hostile_host.store import Held, Store, name_of
from tests.hostile_host.tricks import Passing, Trick

PARTIES = ("bank", "partner", "vendor", "auditor", "operator")
OWNERS = ("bank", "partner", "vendor")
RECIPIENTS = ("bank", "partner", "auditor")
RULES = ("overlap", "audience")
APPROVED, WITHDRAWN = "c1" * 48, "0d" * 48
LAUNCH = parties.LAUNCH
SEALED = (
    ("customers", "bank", "dataset", "csv"),
    ("prospects", "partner", "dataset", "csv"),
    ("model", "vendor", "bundle", "bundle"),
)
CONTENTS: dict[str, bytes] = {}
"""Plaintext of every object that was sealed here, by manifest digest."""
_KEPT = tempfile.TemporaryDirectory(
    prefix="sealroom-hostile-", ignore_cleanup_errors=True, dir="/dev/shm" if Path("/dev/shm").is_dir() else None
)


@dataclasses.dataclass(frozen=True)
class Past:
    """What was before: run ids of finished runs, and both agreements."""

    agreement: str
    other_agreement: str
    same_version: str
    old_version: str
    elsewhere: str


class Face:
    """One party's connection to the host, in place of HTTP: the client signs nothing here, and believes nothing."""

    def __init__(self, scene: Scene, party: str) -> None:
        self._scene, self._party = scene, party

    def call(
        self, method: str, path: str, body: bytes = b"", *, most: int, query: dict[str, str] | None = None
    ) -> bytes:
        from tests.hostile_host import checks  # noqa: PLC0415 (it looks at scenes)

        scene = self._scene
        scene.sent.append((self._party, path, body))
        message = name_of(path.strip("/").split("/")[1:])
        if message in {"grant", "consent"} and method == "PUT" and not checks.charged_first(scene, self._party, body):
            scene.uncharged.append(path)
        if method != "GET":
            return scene.store_put(self._party, method, path, body)
        try:
            data: bytes | None = scene.store.call(self._party, method, path, body, query or {})
        except GatewayRefused:
            data = None
        if message == "statements" and query:
            message = query["kind"] + "s"
        passing = Passing(scene, self._party, message, path, query or {}, data)
        for trick in scene.tricks:
            if trick.takes(passing):
                passing = dataclasses.replace(passing, data=trick.apply(passing))
        if message == "evidence" and passing.data is not None:
            scene.store.log.add_evidence(scene.store.held[passing.run].asked.agreement, passing.data)
        if passing.data is None:
            raise GatewayRefused(404, "not-found", "there is no such thing that you may see", "")
        return passing.data[: most + 1]


class Scene:
    """Everybody's homes in a folder of their own, and one host."""

    def __init__(self, folder: Path, store: Store | None, past: Past | None, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.past: Past = past  # type: ignore[assignment]
        self.processor, self.measurement, self.launch = world._processor(), APPROVED, LAUNCH
        self.expected_measurement = APPROVED
        self.store = store.copy(clock) if store else Store(clock, self.quote)
        self.store.quoter, self.store.measurement = self.quote, lambda: self.measurement
        self.homes = {name: _home(folder, name) for name in PARTIES}
        self.members = _members()
        self.gateways = {name: Gateway(self.homes[name], transport=Face(self, name)) for name in PARTIES}  # type: ignore[arg-type]
        self.ledgers = {name: Ledger.open(self.homes[name].root, name) for name in OWNERS}
        self.brokers = {name: self._broker(name) for name in OWNERS}
        self.tricks: list[Trick] = []
        self.lost: set[tuple[str, str]] = set()
        self.sent: list[tuple[str, str, bytes]] = []
        self.events: dict[str, list[Event]] = {name: [] for name in OWNERS}
        self.known_keys: list[Any] = []
        self.forced = 0
        self.uncharged: list[str] = []
        self.run = ""
        self.refused_to_ask = ""
        self.retired: list[Gate] = []
        self.newer = self.older = ""

    def _broker(self, name: str) -> Broker:
        return Broker(self.homes[name], self.gateways[name], self.ledgers[name], clock=self.clock)

    def restart(self) -> None:
        """Every broker begins anew, from its files."""
        for name in OWNERS:
            self.ledgers[name].close()
            self.ledgers[name] = Ledger.open(self.homes[name].root, name)
            self.brokers[name] = self._broker(name)

    def close(self, *, with_log: bool = True) -> None:
        for ledger in self.ledgers.values():
            ledger.close()
        for gate in self.gates():
            gate.close()
        if with_log:
            self.store.log.close()

    def gates(self) -> list[Gate]:
        """Every gate that was ever started here."""
        return [*self.retired, *(gate for held in self.store.held.values() for gate in held.gates)]

    @property
    def held(self) -> Held:
        return self.store.held[self.run]

    @property
    def agreement(self) -> Agreement:
        return self.store.agreement_of(self.past.agreement)

    def quote(self, report_data: bytes, **changes: Any) -> SnpEvidence:
        """What the processor says of whatever the host launched."""
        table = cert_table.parse(self.processor.certificate_table(NOW))
        report = self.processor.report(
            report_data=report_data, measurement=self.measurement, report_id=bytes(32),
            host_data=digest.sha256("launch-configuration/v1", self.launch),
        )  # fmt: skip
        said = {
            "report": report, "vek": table[cert_table.VCEK], "intermediate": table[cert_table.ASK],
            "root": table[cert_table.ARK], "crl": table[cert_table.CRL], "host_data_preimage": self.launch, **changes,
        }  # fmt: skip
        return snp_evidence(**said)

    def store_put(self, party: str, method: str, path: str, body: bytes) -> bytes:
        """Take a message from a party, or only say so."""
        if (party, name_of(path.strip("/").split("/")[1:])) in self.lost:
            self.forced += 1
            return canonical.encode({"run": "00" * 32, "state": "queued"})
        return self.store.call(party, method, path, body, {})

    def ask(self, rules: tuple[str, ...] = RULES) -> str:
        """The requester asks for a run on the agreement's newest version, with the real client."""
        with mock.patch("time.time", self.clock):
            made = runs.prepare(self.homes["bank"], self.gateways["bank"], rules=rules, agreement=self.past.agreement)
            runs.send(self.gateways["bank"], made)
        self.run = made.run
        return made.run

    def step(self, *names: str) -> list[Event]:
        """One look of each owner's broker; what ends a whole look is an event like any other."""
        found = []
        for name in names or OWNERS:
            try:
                events = self.brokers[name].step()
            except SealroomError as error:
                events = [Event("no", "", error.message, error)]
            self.events[name] += events
            found += events
        return found

    def play(self, rounds: int = 6) -> None:
        """Host and brokers in turns, until nobody has anything left to do."""
        for _ in range(rounds):
            moved = self.store.work()
            events = self.step()
            quiet = not moved and not [event for event in events if event.kind not in ("no", "asked")]
            if quiet or (self.run in self.store.held and self.store.state(self.run) == "done"):
                return

    def collect(self, party: str, run: str | None = None) -> dict[str, bytes]:
        """What a party opens, by rule.

        Raises:
            SealroomError: it opens nothing, and why.
        """
        got = collect.collect(self.homes[party], self.gateways[party], run or self.run)
        return {item.rule: item.path.read_bytes() for item in got.opened}

    def sign(self, party: str, document: object) -> Envelope:
        return envelope.sign(document, [self.members[party].signing])

    def say_stop(self, party: str, **shown: bool) -> Envelope:
        """A party stops the agreement, and the host is told."""
        said = Stop(format="sealroom/stop/v1", party=party, agreement=self.past.agreement, created=NOW, remark="enough")
        return self._post(party, self.past.agreement, said, **shown)

    def say_nothing(self) -> Envelope:
        """A statement that changes nothing: the operator approves, which nobody asks it to."""
        return self.sign("operator", self._approval("operator", self.past.agreement, WITHDRAWN, NOW + 10**7))

    def approve(
        self, party: str, agreement: str, measurement: str, *, not_after: int = NOW + 10**7, **shown: bool
    ) -> Envelope:
        return self._post(party, agreement, self._approval(party, agreement, measurement, not_after), **shown)

    def _approval(self, party: str, agreement: str, measurement: str, not_after: int) -> Approval:
        return Approval(
            format="sealroom/approval/v1", party=party, agreement=agreement, measurement=measurement,
            not_after=not_after, created=NOW - 500, remark="looked at it", nonce="77" * 32,
        )  # fmt: skip

    def revoke(self, party: str, measurement: str = APPROVED, agreement: str | None = None, **shown: bool) -> Envelope:
        """A party takes back its approval of a measurement."""
        agreement = agreement or self.past.agreement
        kind = envelope.media_type(Approval)
        approvals = [e for e in self.store.statements[agreement] if e.payloadType == kind]
        said = [(e, envelope.unverified(e, Approval)) for e in approvals]
        mine = next(e for e, a in said if (a.party, a.measurement) == (party, measurement))
        revocation = Revocation(
            format="sealroom/revocation/v1", party=party, agreement=agreement, approval=mine.digest, created=NOW,
            remark="found a flaw",
        )  # fmt: skip
        return self._post(party, agreement, revocation, **shown)

    def _post(self, party: str, agreement: str, document: object, **shown: bool) -> Envelope:
        signed = self.sign(party, document)
        self.store.state_of(agreement, signed, **shown)
        return signed


def _home(folder: Path, name: str) -> Home:
    home = Home.open(folder / name)
    member = _members()[name]
    home._signing, home._sealing = member.signing, member.sealing
    return home


@functools.cache
def _members() -> dict[str, parties.Member]:
    """Keys and homes, made once: stretching passphrases takes time on purpose."""
    found = {}
    for name in PARTIES:
        role = name if name in {"bank", "partner", "operator"} else "recipient"
        home = Home.create(_homes() / name, config.make(party=name, role=role), phrase=world.PASSPHRASE)
        found[name] = parties.Member(name, home.signing_key(), home.sealing_key())
    return found


@functools.cache
def _homes() -> Path:
    return Path(_KEPT.name) / "homes"


def document(**changes: Any) -> dict[str, Any]:
    """The agreement's text: three owners, three rules, every owner affected by some release."""
    made = parties.agreement_json(
        _members(), platforms=[schema.encode(simulated_policy(world._processor().root))], **changes
    )
    made["rules"] = [rule for rule in made["rules"] if rule["name"] in RULES]
    made["rules"][0]["recipients"] = ["bank", "auditor"]
    made["bundles"] = [{"name": "model", "owner": "vendor", "lane": "whole"}]
    made["approvals"] = {"threshold": 3, "mandatory": list(OWNERS)}
    made["purses"] = [
        {"owner": owner, "population": name, "epsilon": 40_000_000, "bits": 10**9, "runs": 50}
        for name, owner, _, _ in SEALED
    ]
    return made


def _found(scene: Scene, **changes: Any) -> str:
    """Agree, seal, approve: everything that comes before a run."""
    _, signed = parties.sign_agreement(_members(), document(**changes))
    scene.store.register(signed.digest, signed)
    log = Log(
        format="sealroom/log/v1", party="operator", agreement=signed.digest, key=scene.store.log.log.public_key,
        created=NOW,
    )  # fmt: skip
    scene.store.state_of(signed.digest, scene.sign("operator", log))
    for home in scene.homes.values():
        home.save_agreement(signed)
    for name, owner, *_ in SEALED:
        seal(scene, signed.digest, name, f"{name} of {owner} under {signed.digest}".encode())
    for owner in OWNERS:
        scene.approve(owner, signed.digest, APPROVED)
    return signed.digest


def seal(scene: Scene, agreement: str, name: str, content: bytes) -> str:
    """Seal an object for an agreement, keep its key at home, and leave its ciphertext with the host."""
    _, owner, kind, media = next(item for item in SEALED if item[0] == name)
    item = parties.seal_object(scene.members[owner], name, kind, media, content, agreement)
    scene.homes[owner].save_object(item.envelope, item.key)
    scene.store.objects[item.envelope.digest] = (item.envelope, item.ciphertext)
    scene.store.log.add(agreement, item.envelope)
    CONTENTS[item.envelope.digest] = content
    return item.envelope.digest


def amend(scene: Scene, agreement: str, **changes: Any) -> Envelope:
    """The next version, signed by all and pinned by all."""
    chain = scene.store.chains[agreement]
    number = {"sequence": len(chain) + 1, "first": agreement, "previous": chain[-1].digest}
    _, signed = parties.sign_agreement(_members(), document(**number, **changes))
    scene.store.register(agreement, signed)
    for home in scene.homes.values():
        home.save_agreement(signed)
    return signed


def _whole(scene: Scene, agreement: str) -> str:
    scene.past = Past(agreement, agreement, "", "", "")
    scene.ask()
    scene.play()
    for party in RECIPIENTS:
        scene.collect(party)
    return scene.run


@functools.cache
def template() -> tuple[Path, Store, Past]:
    """Homes, store and past that every case starts from a copy of."""
    _members()
    scene = Scene(_homes(), None, None, Clock())
    agreement = _found(scene)
    old = _whole(scene, agreement)
    amend(scene, agreement, title="Look-alike audience, second version")
    same = _whole(scene, agreement)
    other = _found(scene, title="Another agreement")
    elsewhere = _whole(scene, other)
    for held in scene.store.held.values():
        assert scene.store.state(held.request.digest) == "done"
    scene.step()
    scene.close(with_log=False)
    for name in PARTIES:  # they are through with it; brokers would go on looking at it
        shutil.rmtree(_homes() / name / "agreements" / other)
    return _homes(), scene.store, Past(agreement, other, same, old, elsewhere)


def fresh() -> Scene:
    """A scene of one's own in which a run can be asked for."""
    homes, store, past = template()
    folder = Path(tempfile.mkdtemp(dir=_KEPT.name))
    for name in PARTIES:
        copies.copy(homes / name, folder / name)
    return Scene(folder, store, past, Clock())
