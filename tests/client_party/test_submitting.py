"""What is sent to a gateway, in which order, and that finished work is not repeated; the gateway is one in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from sealroom.client import approving, choosing, config, next_steps, outbox, sealing, submitting
from sealroom.client.errors import NotAuthorized, Unreachable, Waiting
from sealroom.client.gateway import AgreementEntry, Gateway, ObjectEntry, ObjectState, RunEntry
from sealroom.client.home import Home
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotGenuine, UsageError
from sealroom.protocol.sealed import CHUNK, Manifest
from sealroom.protocol.statements import Approval, Revocation
from tests.client_party.playing import BANK_CSV, NOW, Players, draft_for, next_version

MEASUREMENT = "ab" * 48


class MemoryGateway:
    """Holds what it is given; `break_after` chunks it stops answering."""

    def __init__(self) -> None:
        self.versions: dict[str, Envelope] = {}
        self.posted: list[Envelope] = []
        self.manifests: dict[str, Envelope] = {}
        self.chunks: dict[tuple[str, int], bytes] = {}
        self.calls: list[str] = []
        self.break_after = 10**9
        self.lose = False
        self.strict = False

    def put_agreement(self, agreement: Envelope) -> None:
        self.calls.append("agreement")
        self.versions[agreement.digest] = agreement

    def agreements(self) -> list[AgreementEntry]:
        if self.strict and not self.versions:
            raise NotAuthorized("the key is no member's")
        found = []
        for version, envelope in self.versions.items():
            read = envelopes.unverified(envelope, Agreement)
            found.append(AgreementEntry(read.first or version, version, read.sequence))
        return found

    def agreement(self, version: str) -> Envelope:
        return self.versions[version]

    def post_statement(self, agreement: str, statement: Envelope) -> None:
        self.calls.append("statement")
        self.posted.append(statement)

    def log_key(self, agreement: str) -> str:
        return "A" * 43

    def statements(self, agreement: str, kind: str) -> list[Envelope]:
        return [s for s in self.posted if f"sealroom.{kind}." in s.payloadType]

    def put_object(self, manifest: Envelope) -> None:
        self.calls.append("manifest")
        self.manifests[manifest.digest] = manifest

    def object_state(self, digest: str) -> ObjectState | None:
        if digest not in self.manifests:
            return None
        count = envelopes.unverified(self.manifests[digest], Manifest).chunks
        missing = tuple(index for index in range(count) if (digest, index) not in self.chunks)
        return ObjectState(self.manifests[digest], missing, not missing and not self.lose)

    def put_chunk(self, digest: str, index: int, data: bytes) -> None:
        if len(self.chunks) >= self.break_after:
            raise Unreachable("the line was cut")
        self.calls.append(f"chunk {index}")
        self.chunks[digest, index] = data

    def objects(self, agreement: str) -> list[ObjectEntry]:
        found = []
        for digest, envelope in self.manifests.items():
            m = envelopes.unverified(envelope, Manifest)
            state = self.object_state(digest)
            found.append(ObjectEntry(digest, m.name, m.owner, m.kind, state is not None and state.complete))
        return found

    def runs(self, agreement: str) -> list[RunEntry]:
        return []


@pytest.fixture
def memory() -> MemoryGateway:
    return MemoryGateway()


def as_gateway(memory: MemoryGateway) -> Gateway:
    return cast("Gateway", memory)


def sealed_bank(agreed: Players, tmp_path: Path, text: str = BANK_CSV) -> Home:
    bank = agreed.home("bank")
    sealing.seal(bank, bank.agreement(), "customers", agreed.write("bank.csv", text), folder=tmp_path, overwrite=True)
    return bank


def test_the_operator_registers_the_first_version_and_others_wait(agreed: Players, memory: MemoryGateway) -> None:
    bank, operator = agreed.home("bank"), agreed.home("operator")
    with pytest.raises(Waiting, match="operator"):
        submitting.everything(bank, as_gateway(memory), bank.agreement())
    done = submitting.everything(operator, as_gateway(memory), operator.agreement())
    assert done.versions == (bank.agreement().version,)
    assert submitting.everything(bank, as_gateway(memory), bank.agreement()).versions == ()
    second = bank.save_agreement(agreed.signed(next_version(bank.agreement())))
    assert submitting.agreement(bank, as_gateway(memory), second) == (second.version,)


def test_a_gateway_that_does_not_know_the_key_yet_is_waited_for(
    agreed: Players, memory: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.strict = True
    bank, operator = agreed.home("bank"), agreed.home("operator")
    with pytest.raises(Waiting, match="operator has not registered"):
        submitting.everything(bank, as_gateway(memory), bank.agreement())
    with pytest.raises(NotAuthorized):
        submitting.everything(operator, as_gateway(memory), operator.agreement())
    settings = config.make(party="bank", role="bank", gateway="http://127.0.0.1:9")
    config.save(bank.root / "config.json", settings, overwrite=True)
    monkeypatch.setattr(next_steps, "Gateway", lambda home: memory)
    assert "does not know your key" in next_steps.steps(agreed.home("bank"))[0].what


def test_next_begins_where_a_party_begins(players: Players, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = next_steps.steps(players.home("partner"))
    assert [step.command for step in steps] == [
        "sealroom init --gateway URL --gateway-certificate FILE",
        "sealroom agreement sign agreement.signed.json --approve IMAGE",
    ]
    settings = config.make(party="bank", role="bank", gateway="http://127.0.0.1:9")
    config.save(players.root / "bank" / "config.json", settings, overwrite=True)

    def unreachable(home: Home, gateway: Gateway) -> None:
        raise Unreachable("nobody there")

    monkeypatch.setattr(choosing, "fetch", unreachable)
    assert next_steps.steps(players.home("bank"))[0] == next_steps.Step("nobody there", "sealroom doctor")


def test_everything_goes_once_in_order_and_comes_out_complete(
    agreed: Players, memory: MemoryGateway, tmp_path: Path
) -> None:
    bank, operator = sealed_bank(agreed, tmp_path), agreed.home("operator")
    submitting.everything(operator, as_gateway(memory), operator.agreement())
    approving.approve(bank, bank.agreement().id, MEASUREMENT, days=30)
    sizes: list[int] = []
    done = submitting.everything(bank, as_gateway(memory), bank.agreement(), (), sizes.append)
    # The operator names the log, the bank approves.
    assert memory.calls == ["agreement", "statement", "statement", "manifest", "chunk 0"]
    assert (len(done.statements), done.objects) == (1, ("customers",))
    assert sum(sizes) == submitting.size_of(bank, bank.objects())
    assert outbox.waiting(bank, bank.agreement().id) == []
    assert submitting.everything(bank, as_gateway(memory), bank.agreement()) == submitting.Submitted((), (), ())
    assert b"".join(memory.chunks.values()) == (tmp_path / "customers.sealed").read_bytes()


def test_an_upload_that_was_cut_goes_on_where_it_stopped(
    agreed: Players, memory: MemoryGateway, tmp_path: Path
) -> None:
    bank = agreed.home("bank")
    folder = agreed.bundle()
    for index in range(3):
        (folder / f"notes{index}.txt").write_text("x" * CHUNK)
    sealing.seal(bank, bank.agreement(), "model", folder, folder=tmp_path)
    kept = submitting.ready(bank, bank.agreement().id)[0]
    memory.break_after = 2
    with pytest.raises(Unreachable):
        submitting.upload(bank, as_gateway(memory), kept)
    memory.break_after = 10**9
    assert submitting.upload(bank, as_gateway(memory), kept)
    assert memory.calls == ["manifest", "chunk 0", "chunk 1", "chunk 2", "chunk 3"]
    assert not submitting.upload(bank, as_gateway(memory), kept)


def test_the_newest_sealing_of_a_name_is_the_one_that_goes(
    agreed: Players, memory: MemoryGateway, tmp_path: Path
) -> None:
    sealed_bank(agreed, tmp_path)
    bank = sealed_bank(agreed, tmp_path, BANK_CSV + "B4,d@x.example,1,no,no\n")
    (kept,) = submitting.ready(bank, bank.agreement().id)
    assert submitting.upload(bank, as_gateway(memory), kept)
    assert memory.chunks[kept.digest, 0] == (tmp_path / "customers.sealed").read_bytes()


def test_what_was_not_sealed_or_is_gone_or_was_swapped_is_not_sent(
    agreed: Players, memory: MemoryGateway, tmp_path: Path
) -> None:
    bank = sealed_bank(agreed, tmp_path)
    with pytest.raises(UsageError, match="nothing was sealed"):
        submitting.ready(bank, bank.agreement().id, ["model"])
    (kept,) = submitting.ready(bank, bank.agreement().id, ["customers"])
    file = tmp_path / "customers.sealed"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(NotGenuine) as caught:
        submitting.upload(bank, as_gateway(memory), kept)
    assert caught.value.code == "E2.wrong-file"
    file.unlink()
    with pytest.raises(UsageError, match="gone"):
        submitting.upload(bank, as_gateway(memory), kept)


def test_a_gateway_that_loses_an_object_is_noticed(agreed: Players, memory: MemoryGateway, tmp_path: Path) -> None:
    bank = sealed_bank(agreed, tmp_path)
    memory.lose = True
    with pytest.raises(Unreachable, match="complete"):
        submitting.upload(bank, as_gateway(memory), submitting.ready(bank, bank.agreement().id)[0])


def test_an_approval_is_signed_for_one_agreement_and_ends(agreed: Players) -> None:
    bank = agreed.home("bank")
    envelope = approving.approve(bank, bank.agreement().id, MEASUREMENT, days=30)
    said = envelopes.verify(envelope, Approval, {"bank": bank.public_keys().signing})
    assert (said.party, said.agreement, said.measurement) == ("bank", bank.agreement().id, MEASUREMENT)
    assert said.not_after - said.created == 30 * 86_400
    for measurement, days in (("ab", 30), (MEASUREMENT.upper(), 30), (MEASUREMENT, 0), (MEASUREMENT, 10**5)):
        with pytest.raises(UsageError):
            approving.approve(bank, bank.agreement().id, measurement, days=days)


def test_only_an_own_approval_is_taken_back_and_then_counts_no_more(agreed: Players) -> None:
    bank, partner = agreed.home("bank"), agreed.home("partner")
    identity = bank.agreement().id
    approval = approving.approve(bank, identity, MEASUREMENT, days=30)
    with pytest.raises(NotGenuine):
        approving.revoke(partner, identity, approval)
    with pytest.raises(UsageError, match="another agreement"):
        approving.revoke(bank, "0" * 64, approval)
    found = approving.find(bank, identity, approval.digest[:8])
    revocation = envelopes.verify(
        approving.revoke(bank, identity, found), Revocation, {"bank": bank.public_keys().signing}
    )
    assert revocation.approval == approval.digest
    assert approving.own(bank, identity) == []
    with pytest.raises(UsageError, match="no approvals"):
        approving.find(bank, identity, MEASUREMENT[:8])


def looking(memory: MemoryGateway, home: Home) -> next_steps.Seen:
    return next_steps._look(as_gateway(memory), home.agreement().id)


def told(home: Home, seen: next_steps.Seen, now: int = NOW) -> list[tuple[str, str | None]]:
    return [(s.what, s.command) for s in next_steps.of_agreement(home, home.agreement(), seen, now=now)]


def test_next_leads_from_nothing_to_a_run(agreed: Players, memory: MemoryGateway, tmp_path: Path) -> None:
    bank, partner, operator = (agreed.home(name) for name in ("bank", "partner", "operator"))
    assert told(operator, looking(memory, operator)) == [
        ("the gateway does not know the agreement yet", "sealroom submit")
    ]
    assert "operator has not registered" in told(bank, looking(memory, bank))[0][0]
    submitting.everything(operator, as_gateway(memory), operator.agreement())
    commands = [command for _, command in told(bank, looking(memory, bank))]
    assert commands[:2] == ["sealroom approve --image IMAGE", "sealroom seal customers=FILE model=FILE --submit"]
    approving.approve(bank, bank.agreement().id, MEASUREMENT, days=30)
    sealing.seal(bank, bank.agreement(), "customers", agreed.write("b.csv", BANK_CSV), folder=tmp_path)
    sealing.seal(bank, bank.agreement(), "model", agreed.bundle(), folder=tmp_path)
    now = int(time.time())
    assert told(bank, looking(memory, bank), now)[0] == ("not sent yet: customers and model", "sealroom submit")
    submitting.everything(bank, as_gateway(memory), bank.agreement())
    assert told(bank, looking(memory, bank), now) == [("waiting for partner to bring what was agreed", None)]
    table = agreed.write("p.csv", "partner_id,email,age,job\nP1,a@x.example,1,cook\n")
    sealing.seal(partner, partner.agreement(), "people", table, folder=tmp_path)
    submitting.everything(partner, as_gateway(memory), partner.agreement())
    assert told(bank, looking(memory, bank), now) == [("everything is there for a run", "sealroom run")]


@pytest.mark.parametrize(
    ("state", "waiting", "command"),
    [
        ("waiting-for-challenges", ("bank",), "sealroom broker"),
        ("waiting-for-consent", ("bank",), "sealroom broker"),
        ("waiting-for-grants", ("partner",), None),
        ("queued", (), None),
        ("failed", (), "sealroom results cccccccccccc"),
        ("done", (), "sealroom results cccccccccccc"),
    ],
)
def test_next_says_what_a_run_waits_for(
    agreed: Players, state: Any, waiting: tuple[str, ...], command: str | None
) -> None:
    bank = agreed.home("bank")
    run = RunEntry("c" * 64, state, waiting, NOW)
    seen = next_steps.Seen(registered=True, runs=[run])
    assert told(bank, seen)[-1][1] == command


def test_next_tells_of_an_end_and_of_an_approval_that_ends_soon(agreed: Players) -> None:
    bank = agreed.home("bank")
    approving.approve(bank, bank.agreement().id, MEASUREMENT, days=1)
    assert "ends at" in told(bank, next_steps.Seen(), int(time.time()))[0][0]
    after = bank.agreement().agreement.not_after + 1
    assert told(bank, next_steps.Seen(), after) == [
        (f"Small test ({bank.agreement().id[:12]}) has ended", f"sealroom agreement amend {bank.agreement().id[:12]}")
    ]


def test_an_agreement_that_this_party_signed_is_fetched_and_pinned(players: Players, memory: MemoryGateway) -> None:
    envelope = players.signed(draft_for(players))
    operator, bank = players.home("operator"), players.home("bank")
    pinned = operator.save_agreement(envelope)
    submitting.agreement(operator, as_gateway(memory), pinned)
    assert [p.version for p in choosing.fetch(bank, as_gateway(memory))] == [envelope.digest]
    assert choosing.fetch(bank, as_gateway(memory)) == []
