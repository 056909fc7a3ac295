"""Opening objects, and directing children that may say anything."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import pytest

from sealroom.enclave import memory
from sealroom.enclave.gate import compute
from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_request
from sealroom.enclave.gate.compute import Computation, Payload, Result, flat_bound
from sealroom.enclave.gate.vault import open_object
from sealroom.protocol import bundle, canonical
from sealroom.protocol.errors import CannotOpen, Malformed, NotReleased, Refused
from tests.gate import world

RULES = ("overlap", "by-segment", "quality")
ASK = {"kind": "scores", "table": "candidates", "size": 3, "label": "outcome", "positive": None}
NEED = {"need": "job", "rule": "quality", "call": "evaluate", "tables": [], "ask": ASK, "seed": 1, "output_bytes": 48}
QUERY = bundle.build(
    {
        "bundle.json": b'{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}',
        "query.json": b'{"format":"sealroom/query/v1","segments":[]}',
    }
)


@pytest.fixture(scope="module")
def run() -> AdmittedRun:
    played = world.play(RULES)
    agreed = admit_agreement(played.chain)
    return admit_request(agreed, played.request, played.manifests, nonces=played.nonces, checkpoint=world.CHECKPOINT)


class Told:
    """A child that answers from a list and remembers what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.got = list(answers), []

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        self.got.append((message, len(fds)))

    def receive(self, timeout: float) -> tuple[dict[str, Any], list[int]]:
        if not self.answers:
            raise EOFError
        answer = self.answers.pop(0)
        return answer if isinstance(answer, tuple) else (answer, [])

    def call(self, message: dict[str, Any], fds: Sequence[int] = (), *, timeout: float) -> dict[str, Any]:
        self.send(message, fds)
        return self.receive(timeout)[0]


def opened(run: AdmittedRun, query: bytes = QUERY, sha256: str = "00") -> tuple[AdmittedRun, dict[str, Payload]]:
    """The run with payloads in memory; the query bundle's is `query`."""
    contents = {name: query if name == "segments" else b"x" for name in run.manifests}
    payloads = {name: Payload(memory.sealed_copy(name, [data]), sha256) for name, data in contents.items()}
    manifests = {n: dataclasses.replace(m, plaintext_size=len(contents[n])) for n, m in run.manifests.items()}
    return dataclasses.replace(run, manifests=manifests), payloads


def results(
    run: AdmittedRun, *engine: Any, zygote: Sequence[Any] = ({"outcome": "ok"},) * 9, query: bytes = QUERY
) -> list[Result]:
    """The results of a computation in which both tables load and the engine then says these things."""
    run, payloads = opened(run, query)
    told = Told({"ok": True, "rows": 3}, {"ok": True, "rows": 3}, *engine)
    try:
        return Computation(run, payloads, zygote=Told(*zygote), engine=told).results()
    finally:
        compute.close_all([p.fd for p in payloads.values()])


def released(rule: str, text: str = "{}") -> dict[str, Any]:
    return {"release": rule, "canonical": text, "detail": {}}


ALL = tuple(released(rule) for rule in RULES)


def test_one_result_per_rule_in_the_requests_order(run: AdmittedRun):
    found = results(run, *reversed(ALL), {"done": True})
    assert [(r.rule, r.canonical, r.reason) for r in found] == [(rule, b"{}", None) for rule in RULES]


def test_a_long_release_comes_in_a_memory_file(run: AdmittedRun):
    long = ({"release": "overlap", "canonical_fd": True, "detail": {}}, [memory.sealed_copy("release", [b"long"])])
    assert results(run, long, *ALL[1:], {"done": True})[0].canonical == b"long"


def test_a_memory_file_that_could_shrink_is_refused(run: AdmittedRun):
    loose = ({"release": "overlap", "canonical_fd": True, "detail": {}}, [world.file_of(b"long")])
    with pytest.raises(Malformed):
        results(run, loose, *ALL[1:], {"done": True})


@pytest.mark.parametrize(
    "said",
    [
        [{"done": True}],
        [*ALL, released("overlap"), {"done": True}],
        [released("everything"), {"done": True}],
        [released("audience"), {"done": True}],
        [{"release": "overlap", "canonical": 7}],
        [{"release": "overlap", "canonical_fd": True}],
        [{"release": "overlap"}],
        [{"refused": "bad-message"}],
        [{}],
        [{**NEED, "rule": "overlap"}],
        [{**NEED, "rule": "audience"}],
        [{**NEED, "rule": "unheard-of"}],
        [{**NEED, "rule": None}],
        [{**NEED, "output_bytes": 0}],
        [{**NEED, "output_bytes": True}],
        [{**NEED, "output_bytes": 2 << 30}],
        [NEED, NEED],
    ],
)
def test_an_engine_that_breaks_the_protocol_ends_the_run(run: AdmittedRun, said: list):
    with pytest.raises(Malformed) as caught:
        results(run, *said, zygote=[{"outcome": "ok"}] * 20)
    assert caught.value.code == "E1.engine"


def test_an_engine_that_dies_ends_the_run(run: AdmittedRun):
    with pytest.raises(EOFError):
        results(run)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("too-few", "too-few"),
        ("x" * 41, "other"),
        ("", "other"),
        ("-", "other"),
        ("name of a person", "other"),
        ("é", "other"),
        (None, "other"),
        ({"a": 1}, "other"),
    ],
)
def test_reasons_are_short_codes_and_never_text(run: AdmittedRun, said: object, reason: str):
    assert results(run, {"withheld": "overlap", "reason": said}, *ALL[1:], {"done": True})[0].reason == reason


@pytest.mark.parametrize("outcome", ["error", "out-of-memory", "killed"])
def test_a_dataset_that_cannot_be_read_ends_the_run(run: AdmittedRun, outcome: str):
    with pytest.raises(NotReleased) as caught:
        results(run, zygote=[{"outcome": outcome}])
    assert caught.value.code == f"E5.reader-{outcome}"


def test_a_table_that_the_engine_refuses_ends_the_run(run: AdmittedRun):
    run, payloads = opened(run)
    engine = Told({"refused": "duplicate-entity"})
    with pytest.raises(NotReleased) as caught:
        Computation(run, payloads, zygote=Told({"outcome": "ok"}), engine=engine).results()
    assert caught.value.code == "E5.load-duplicate-entity"
    compute.close_all([p.fd for p in payloads.values()])


def test_a_bundle_that_is_no_query_bundle_is_refused(run: AdmittedRun):
    whole = bundle.build(
        {
            "bundle.json": b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}',
            "job.py": b"def run(): ...",
        }
    )
    with pytest.raises(Refused) as caught:
        results(run, query=whole)
    assert caught.value.code == "E5.bundle-lane"


def test_a_job_gets_its_bundle_an_output_and_the_engines_tables(run: AdmittedRun):
    tables = [memory.sealed_copy("t", [b"t"]), memory.sealed_copy("u", [b"u"])]
    zygote = Told(*[{"outcome": "ok"}] * 3)
    run, payloads = opened(run)
    engine = Told(
        {"ok": True}, {"ok": True}, ({**NEED, "tables": ["labelled", "candidates"]}, tables), *ALL, {"done": True}
    )
    Computation(run, payloads, zygote=zygote, engine=engine).results()
    message, fds = zygote.got[-1]
    assert (message["kind"], fds) == ("job", 4)
    assert message["spec"] == {"tables": ["labelled", "candidates"], "ask": ASK, "seed": 1}
    assert engine.got[-1] == ({"outcome": "ok"}, 1)
    assert not any(map(world.is_open, tables))
    compute.close_all([p.fd for p in payloads.values()])


def test_a_run_needs_jobs_only_if_a_rule_that_was_asked_for_runs_hidden_code(run: AdmittedRun):
    def asking(*rules: str) -> AdmittedRun:
        return dataclasses.replace(run, request=dataclasses.replace(run.request, rules=rules))

    assert compute.needs_jobs(run)
    assert compute.needs_jobs(asking("quality"))
    assert not compute.needs_jobs(asking("overlap", "by-segment"))


def test_the_run_key_follows_from_contents_alone(run: AdmittedRun):
    def order(sha256: str) -> Any:
        ready, payloads = opened(run, sha256=sha256)
        found = Computation(ready, payloads, zygote=Told(), engine=Told())._order()
        compute.close_all([p.fd for p in payloads.values()])
        return found

    assert order("00")["run_key"] == order("00")["run_key"] != order("01")["run_key"]
    assert order("00")["query"] == {"segments": '{"format":"sealroom/query/v1","segments":[]}'}
    assert canonical.encode(order("00"))


def test_a_flat_table_has_room_for_what_was_sealed(run: AdmittedRun):
    dataset = run.agreed.agreement.dataset("prospects")
    assert flat_bound(dataset, 1) > 8 << 20
    assert flat_bound(dataset, 1 << 20) > flat_bound(dataset, 1)


def test_an_opened_object_is_frozen_and_named_by_its_plaintext():
    played = world.play()
    made = played.objects["customers"]
    file = world.file_of(made.ciphertext + b"what follows is not read")
    fd, sha256 = open_object(made.key, made.manifest, file)
    data = os.pread(fd, 1 << 16, 0)
    assert data.startswith(world.CANARY)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert memory.require_seals(fd) == len(data)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    compute.close_all([fd, file])


def test_another_key_opens_nothing_and_leaves_no_memory_behind():
    played = world.play()
    made = played.objects["customers"]
    file = world.file_of(made.ciphertext)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(CannotOpen):
        open_object(bytes(32), made.manifest, file)
    assert set(os.listdir("/proc/self/fd")) == before
    os.close(file)
