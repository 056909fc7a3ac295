"""The gate hands out blocks: only those of a rule that has them, no more than agreed, and never how they ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from sealroom.enclave import flat, memory
from sealroom.enclave.gate import compute
from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_request
from sealroom.enclave.gate.compute import Computation, Result
from sealroom.protocol.errors import Malformed, NotAcceptable
from tests import parties
from tests.gate import world
from tests.gate.test_admit import asked
from tests.gate.test_vault_and_compute import opened, released

SPEC = {"table": "block", "coordinates": [], "seed": 1, "milliseconds": 150}
NEED = {"need": "blocks", "rule": "drivers", "spec": SPEC, "output_bytes": 40}


def admitted(at_once: int = 2, **columns: Any) -> AdmittedRun:
    members = world.people("bank", "partner", "operator")
    document = parties.with_estimate(parties.agreement_json(members), at_once=at_once)
    changes = {key: document[key] for key in ("bundles", "purses", "rules")}
    played = world.play(("drivers", "quality", "overlap"), members, **changes)
    agreed = admit_agreement(played.chain)
    return admit_request(agreed, played.request, played.manifests, nonces=played.nonces, checkpoint=world.CHECKPOINT)


@pytest.fixture(scope="module")
def run() -> AdmittedRun:
    return admitted()


class Told:
    """A child that answers from a list and keeps what it was sent, with the number and seals of its descriptors."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.got = list(answers), []

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        self.got.append((message, [memory.require_seals(fd, memory.FIXED) for fd in fds]))

    def receive(self, timeout: float) -> tuple[dict[str, Any], list[int]]:
        answer = self.answers.pop(0)
        return answer() if callable(answer) else (answer, [])

    def call(self, message: dict[str, Any], fds: Sequence[int] = (), *, timeout: float) -> dict[str, Any]:
        self.send(message, fds)
        return self.receive(timeout)[0]


def wave(blocks: int, **changes: Any) -> Any:
    def made() -> tuple[dict[str, Any], list[int]]:
        tables = [flat.to_memfd("block", [flat.int_column("n", np.arange(3))]) for _ in range(blocks)]
        return {**NEED, **changes}, tables

    return made


@contextlib.contextmanager
def computing(run: AdmittedRun, *engine: Any, outcome: str = "ok") -> Iterator[tuple[list[Result], Told, Told]]:
    run, payloads = opened(run)
    loaded = [{"ok": True, "rows": 3}] * 2
    zygote, told = Told(*[{"outcome": "ok"}] * 2, *[{"outcome": outcome}] * 300), Told(*loaded, *engine)
    try:
        yield Computation(run, payloads, zygote=zygote, engine=told).results(), zygote, told  # type: ignore[arg-type]
    finally:
        compute.close_all([p.fd for p in payloads.values()])


ALL = [released(rule) for rule in ("drivers", "quality", "overlap")]


def test_a_wave_goes_to_fresh_jails_and_its_outputs_to_the_engine(run: AdmittedRun):
    with computing(run, wave(2), wave(1), *ALL, {"done": True}) as (results, zygote, engine):
        assert [result.canonical for result in results] == [b"{}"] * 3
    (first, fds), (second, fewer) = zygote.got[2:]
    assert first["kind"] == "blocks"
    assert first["spec"] == SPEC
    assert [fds[1], fds[3]] == [40, 40]
    assert (len(fds), len(fewer)) == (5, 3)
    assert first["limits"]["memory_bytes"] == second["limits"]["memory_bytes"] // 2 == 1 << 29
    assert [message for message, _ in engine.got[3:]] == [{"outcome": "ok"}] * 2
    assert [sizes for _, sizes in engine.got[3:]] == [[40, 40], [40]]


@pytest.mark.parametrize(
    "said",
    [
        [wave(1, rule="overlap")], [wave(1, rule="quality")], [wave(1, rule="audience")], [wave(1, rule=None)],
        [wave(0)], [wave(3)], [wave(1, output_bytes=0)], [wave(1, output_bytes=4097)], [wave(1, output_bytes=True)],
        [wave(2)] * 101, [{**NEED, "need": "job"}],
    ],
    ids=["a-count", "a-job-rule", "not-requested", "no-rule", "no-block", "too-many-at-once", "no-output",
         "large-output", "no-number", "more-than-agreed", "a-job-for-blocks"],
)  # fmt: skip
def test_an_engine_that_asks_for_other_blocks_ends_the_run(run: AdmittedRun, said: list[Any]):
    with pytest.raises(Malformed) as caught, computing(run, *said):
        pass
    assert caught.value.code == "E1.engine"


def test_exactly_the_agreed_blocks_are_served(run: AdmittedRun):
    with computing(run, *[wave(2)] * 100, *ALL, {"done": True}) as (results, zygote, _):
        assert len(results) == 3
        assert len(zygote.got) == 102


def test_a_zygote_that_tells_how_blocks_ended_ends_the_run(run: AdmittedRun):
    with pytest.raises(Malformed), computing(run, wave(1), outcome="error"):
        pass


def test_a_request_that_leaves_out_a_column_that_blocks_show_is_refused():
    members = world.people("bank", "partner", "operator")
    document = parties.with_estimate(parties.agreement_json(members))
    played = world.play(("drivers",), members, **{key: document[key] for key in ("bundles", "purses", "rules")})
    agreed = admit_agreement(played.chain)
    request = asked(played, columns={"customers": ("balance",), "prospects": ("age",)})
    with pytest.raises(NotAcceptable) as caught:
        admit_request(agreed, request, played.manifests, nonces=played.nonces, checkpoint=world.CHECKPOINT)
    assert caught.value.code == "E3.columns"
