"""A session as a function: what a host may do to it, and what every end leaves behind."""

from __future__ import annotations

import itertools
import socket

import pytest

from sealroom.attestation import binding
from sealroom.enclave.gate import main
from sealroom.enclave.gate.compute import Result
from sealroom.enclave.gate.phases import ACCEPTS, DESCRIPTORS, FIELDS, Phase, accept
from sealroom.enclave.gate.receipts import REASON_BYTES
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed, NotAcceptable, NotReleased, UsageError
from sealroom.protocol.keys import SEAL_OVERHEAD, from_text
from tests.gate import world

MESSAGES = ("assign", "grant", "object", "stop", "evidence", "receipt", "nonsense", None, 7)


@pytest.fixture(scope="module")
def played() -> world.Play:
    return world.play()


def plain_message(kind: object) -> dict[str, object]:
    return {"type": kind, **dict.fromkeys(FIELDS.get(kind, ()) if isinstance(kind, str) else ())}


@pytest.mark.parametrize(("phase", "kind"), list(itertools.product(Phase, MESSAGES)))
def test_each_phase_takes_its_own_messages_and_no_other(phase: Phase, kind: object):
    fds = DESCRIPTORS.get(kind, 0) if isinstance(kind, str) else 0
    if kind in ACCEPTS[phase]:
        assert accept(phase, plain_message(kind), fds) == kind
    else:
        with pytest.raises(Malformed) as caught:
            accept(phase, plain_message(kind), fds)
        assert caught.value.code == "E1.untimely"


def test_the_phase_table_is_the_specified_one():
    table = {phase.value: set(kinds) for phase, kinds in ACCEPTS.items()}
    assert table == {
        "idle": {"assign", "stop"},
        "granting": {"grant", "object", "stop"},
        "computing": {"stop"},
        "ended": set(),
    }


@pytest.mark.parametrize("kind", FIELDS)
def test_a_message_has_its_fields_and_descriptors_and_no_more(kind: str):
    phase = next(phase for phase, kinds in ACCEPTS.items() if kind in kinds)
    for broken in ({**plain_message(kind), "more": 1}, {"type": kind} if FIELDS[kind] else {"type": kind, "x": 1}):
        with pytest.raises(Malformed) as caught:
            accept(phase, broken, DESCRIPTORS[kind])
        assert caught.value.code == "E1.wrong-fields"
    for count in {0, 1, 2} - {DESCRIPTORS[kind]}:
        with pytest.raises(Malformed) as caught:
            accept(phase, plain_message(kind), count)
        assert caught.value.code == "E1.wrong-descriptors"


def test_a_whole_run_gives_progress_offers_and_one_receipt(played: world.Play):
    host = world.Host()
    receipt = host.finish(played)
    assert [m["type"] for m in host.messages] == [
        "evidence", "progress", "progress", "progress", "offer", "receipt",
    ]  # fmt: skip
    assert [m["phase"] for m in host.of_type("progress")] == ["granted", "computing", "sealing"]
    assert receipt.status == "completed"
    assert receipt.layers == world.LAYERS
    assert [r.outcome for r in receipt.results] == ["offered"]
    assert [run.request_digest for run in host.prepared] == [played.request.digest]
    assert host.session.phase is Phase.ENDED
    assert host.payloads["customers"].startswith(world.CANARY)


def test_evidence_binds_keys_nonces_and_request_into_the_report(played: world.Play):
    host = world.Host()
    evidence = host.start(played)
    expected = binding.report_data(
        nonces=played.nonces,
        gate_sealing_key=from_text(evidence.gate_sealing_key),
        gate_signing_key=from_text(evidence.gate_signing_key),
        agreement_id=played.id,
        agreement_version=played.signed.digest,
        request=played.request.digest,
        checkpoint=world.CHECKPOINT,
    )
    assert host.reports == [expected]
    assert set(evidence.nonces) == set(played.owners)


def test_nonces_of_strangers_are_left_out_of_the_evidence(played: world.Play):
    host = world.Host()
    host.tell(played.assign(nonces={**played.nonces, "operator": "99" * 32, "nobody": "88" * 32}))
    assert set(host.evidence.nonces) == {"bank", "partner"}


@pytest.mark.parametrize("kind", ["stop", "grant", "object", "nonsense"])
def test_an_end_before_evidence_leaves_no_receipt_and_says_so(played: world.Play, kind: str):
    host = world.Host()
    fds = [world.file_of(b"x")] if kind == "object" else []
    with pytest.raises((Malformed, NotAcceptable)) as caught:
        host.tell(plain_message(kind), *fds)
    assert caught.value.code == ("E3.stopped" if kind == "stop" else "E1.untimely")
    assert host.messages == []
    assert host.session.phase is Phase.ENDED
    assert not any(map(world.is_open, fds))


def test_a_refused_assignment_asks_for_no_evidence(played: world.Play):
    host = world.Host()
    with pytest.raises(NotAcceptable):
        host.tell(played.assign(nonces={"bank": "00" * 32, "partner": "01" * 32}))
    assert (host.messages, host.reports) == ([], [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"agreement": {}}, "E1.wrong-type"),
        ({"agreement": [7]}, "E1.wrong-type"),
        ({"agreement": [{}] * 65}, "E1.wrong-type"),
        ({"agreement": []}, "E1.bad-chain"),
        ({"request": None}, "E1.wrong-type"),
        ({"request": 1.5}, "E1.float"),
        ({"nonces": {}}, "E1.bad-length"),
        ({"nonces": {"bank": "00"}}, "E1.bad-text"),
        ({"checkpoint": "C0" * 32}, "E1.wrong-type"),
        ({"checkpoint": None}, "E1.wrong-type"),
    ],
)
def test_an_assignment_of_another_shape_is_refused(played: world.Play, change: dict, code: str):
    with pytest.raises(Malformed) as caught:
        world.Host().tell(played.assign(**change))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "stop"}, "E3.stopped"),
        ({"type": "assign"}, "E1.untimely"),
        ({"type": "grant", "grant": {"payload": "x"}}, "E1.missing-field"),
        ({"type": "nonsense"}, "E1.untimely"),
    ],
)
def test_every_refusal_after_evidence_leaves_a_receipt_with_a_reason_for_owners_only(
    played: world.Play, message: dict, code: str
):
    host = world.Host()
    host.start(played)
    host.tell(message)
    receipt = host.receipt()
    assert receipt.status == "refused"
    assert [r.outcome for r in receipt.results] == ["withheld"]
    assert set(receipt.reasons) == {"bank", "partner"}
    for owner in ("bank", "partner"):
        assert world.reasons_for(receipt, played.members[owner]) == {"*": code}
    assert code.encode() not in host.everything_seen()
    with pytest.raises(Exception, match="cannot be opened"):
        played.members["operator"].sealing.open(from_text(receipt.reasons["bank"]), info=b"")


def test_sealed_reasons_have_one_size_however_many_rules_are_withheld():
    rules = ("overlap", "by-segment", "quality", "audience")
    sizes = set()
    for reason in ("too-few", "job-out-of-memory", None):
        results = [Result(rule, None if reason else b"{}", reason) for rule in rules]
        receipt = world.Host(results).finish(world.play(rules))
        sizes |= {len(from_text(sealed)) for sealed in receipt.reasons.values()}
    assert sizes == {REASON_BYTES + SEAL_OVERHEAD}
    assert 64 * (63 + 40 + len('"":"",')) + 2 <= REASON_BYTES


def test_withheld_rules_carry_their_own_reason_and_the_others_go_out():
    played = world.play(("overlap", "by-segment"))
    host = world.Host([Result("overlap", b"{}", None), Result("by-segment", None, "bad-query")])
    receipt = host.finish(played)
    assert [(r.rule, r.outcome, len(r.offers)) for r in receipt.results] == [
        ("overlap", "offered", 1),
        ("by-segment", "withheld", 0),
    ]
    assert world.reasons_for(receipt, played.members["partner"]) == {"by-segment": "bad-query"}


def test_a_second_grant_for_one_object_ends_the_run(played: world.Play):
    host = world.Host()
    grant = played.grant("customers", host.start(played))
    host.give(grant)
    host.give(grant)
    assert world.reasons_for(host.receipt(), played.members["bank"]) == {"*": "E3.second-grant"}


def test_the_same_object_twice_ends_the_run_and_closes_its_files(played: world.Play):
    host = world.Host()
    host.start(played)
    host.hand_over("customers", played)
    second = world.file_of(b"x")
    host.tell({"type": "object", "manifest": played.objects["customers"].envelope.digest}, second)
    assert world.reasons_for(host.receipt(), played.members["bank"]) == {"*": "E3.unknown-object"}
    assert not world.is_open(second)


@pytest.mark.parametrize("manifest", ["00" * 32, None, ["x"], 7])
def test_an_object_of_no_run_is_refused(played: world.Play, manifest: object):
    host = world.Host()
    host.start(played)
    host.tell({"type": "object", "manifest": manifest}, world.file_of(b"x"))
    assert world.reasons_for(host.receipt(), played.members["bank"]) == {"*": "E3.unknown-object"}


@pytest.mark.parametrize("how", ["cut", "flipped", "swapped", "empty"])
def test_a_ciphertext_that_the_host_changed_is_refused_and_nothing_is_computed(played: world.Play, how: str):
    host = world.Host()
    evidence = host.start(played)
    for name in played.names:
        host.give(played.grant(name, evidence))
    data = bytearray(played.objects["prospects"].ciphertext)
    data[3] ^= how == "flipped"
    wrong = {"cut": bytes(data[:-1]), "swapped": played.objects["customers"].ciphertext, "empty": b""}
    host.hand_over("customers", played)
    host.hand_over("prospects", played, wrong.get(how, bytes(data)))
    assert world.reasons_for(host.receipt(), played.members["partner"]) == {"*": "E4.cannot-open"}
    assert (host.payloads, host.of_type("offer")) == ({}, [])


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (NotReleased("reader-error", "x"), "refused", "E5.reader-error"),
        (Malformed("engine", "x"), "refused", "E1.engine"),
        (EOFError(), "failed", "failed"),
        (TimeoutError(), "failed", "failed"),
        (OSError(9, "x"), "failed", "failed"),
        (UsageError("a bug of ours"), "failed", "failed"),
        (KeyError(world.CANARY.decode()), "failed", "failed"),
        (RecursionError(), "failed", "failed"),
    ],
)
def test_whatever_goes_wrong_in_the_computation_leaves_a_receipt(
    played: world.Play, error: Exception, status: str, reason: str
):
    host = world.Host(error=error)
    receipt = host.finish(played)
    assert receipt.status == status
    assert receipt.layers == world.LAYERS
    assert world.reasons_for(receipt, played.members["partner"]) == {"*": reason}
    assert world.CANARY not in host.everything_seen()


def test_a_session_ends_once(played: world.Play):
    host = world.Host()
    host.finish(played)
    fd = world.file_of(b"x")
    with pytest.raises(Malformed) as caught:
        host.tell({"type": "object", "manifest": "00" * 32}, fd)
    assert caught.value.code == "E1.untimely"
    assert len(host.of_type("receipt")) == 1
    assert not world.is_open(fd)


def test_a_host_that_is_gone_ends_the_session_quietly(played: world.Play):
    host = world.Host()
    host.start(played)
    host.broken = True
    host.tell({"type": "stop"})
    assert host.session.phase is Phase.ENDED
    assert host.of_type("receipt") == []


def test_a_platform_that_gives_no_report_ends_the_session_without_evidence(played: world.Play):
    host = world.Host()

    def no_report(_: bytes) -> None:
        raise OSError(5, "no report")

    object.__setattr__(host.session._world, "quoter", no_report)
    with pytest.raises(OSError, match="no report"):
        host.tell(played.assign())
    assert (host.messages, host.session.phase) == ([], Phase.ENDED)


def test_grants_and_files_may_come_in_any_order(played: world.Play):
    steps = [("grant", n) for n in played.names] + [("object", n) for n in played.names]
    for order in list(itertools.permutations(steps))[::5]:
        host = world.Host()
        evidence = host.start(played)
        for what, name in order:
            host.give(played.grant(name, evidence)) if what == "grant" else host.hand_over(name, played)
        assert host.receipt().status == "completed"


def test_three_data_owners_each_grant_and_each_is_asked():
    played = world.three_data_parties()
    assert played.owners == ("bank", "partner", "second")
    host = world.Host()
    receipt = host.finish(played)
    assert set(receipt.reasons) == {"bank", "partner", "second"}
    assert len(receipt.grants) == 3
    affected = {(o.rule, o.recipient): o.affected for o, _ in host.offers()}
    assert affected == {
        ("overlap", "bank"): ("partner",),
        ("overlap-second", "bank"): ("second",),
        ("overlap-second", "partner"): ("bank", "second"),
    }
    assert schema.decode(type(receipt), schema.encode(receipt)) == receipt


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\0\0\0\2{]", "E1.not-json"),
        (b"\0\0\0\2[]", "E1.not-object"),
        (b"\xff\xff\xff\xff", "E1.too-large"),
    ],
)
def test_a_host_that_breaks_the_framing_is_refused_with_a_receipt(played: world.Play, frame: bytes, code: str):
    host = world.Host()
    host.start(played)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame)
        assert main._serve(ours, host.session) == 0
    receipt = host.receipt()
    assert receipt.status == "refused"
    assert world.reasons_for(receipt, played.members["bank"]) == {"*": code}


def test_a_host_that_leaves_gets_no_receipt(played: world.Play):
    host = world.Host()
    host.start(played)
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert main._serve(ours, host.session) == 1
    assert not host.of_type("receipt")


class Ready:
    """A child that reports these layers; it is never asked for anything else."""

    def __init__(self, *layers: str) -> None:
        self.layers: tuple[str, ...] = ()
        self._later = layers

    def wait_ready(self) -> None:
        self.layers = self._later


def test_a_layer_that_is_missing_in_a_child_refuses_and_those_confirmed_stay_known():
    compute = main._Compute(Ready("seccomp"), Ready("seccomp"), ["jail:seccomp", "engine:seccomp", "jail:landlock"])
    assert compute.in_force() == ()
    with pytest.raises(NotAcceptable) as caught:
        compute(None, {})
    assert caught.value.code == "E3.missing-layer"
    assert compute.in_force() == ("jail:seccomp",)


def test_a_run_that_ended_before_it_needed_layers_lists_none(played: world.Play):
    host = world.Host()
    host.start(played)
    host.session.expire()
    assert (host.receipt().status, host.receipt().layers) == ("refused", ())


def test_a_layer_that_is_required_of_nobody_is_missing(played: world.Play):
    compute = main._Compute(None, None, ["engine:seccomp", "gaol:seccomp"])
    with pytest.raises(NotAcceptable) as caught:
        compute(None, {})
    assert caught.value.code == "E3.missing-layer"
