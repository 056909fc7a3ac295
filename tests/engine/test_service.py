"""The engine's protocol, spoken by a gate in the test."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.engine import service
from sealroom.enclave.jail import output
from sealroom.protocol import schema
from tests.engine import direct, small

RULES = (small.overlap(), small.audience(), small.grouped())


class Gate:
    """The other end: sends what the test says, answers jobs with `job`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.needs: list[dict[str, Any]] = []
        self.tables: list[list[flat.FlatTable]] = []

    def call(self, message: dict[str, Any], *fds: int) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # an engine that refuses is gone at once; its answer is there
            frames.send(self.sock, message, fds)
        answer, got = frames.receive(self.sock, timeout=60)
        frames.close_all([*got, *fds])
        return answer

    def load(self, dataset: Any, rows: Any, **changed: Any) -> dict[str, Any]:
        data = direct.flat_of(dataset, rows)
        fd = memory.fixed_output(len(data))
        memory.map_writable(fd)[:] = data
        return self.call({"op": "load", "dataset": dataset.name, "schema": schema.encode(dataset), **changed}, fd)

    def load_both(self) -> None:
        assert self.load(small.BANK, small.bank_rows()) == {"ok": True, "rows": 60}
        assert self.load(small.PARTNER, small.partner_rows()) == {"ok": True, "rows": 60}

    def run(self, job: Any = None, **changed: Any) -> list[dict[str, Any]]:
        terms = direct.agreement([small.BANK, small.PARTNER], [["email"]], RULES, bundles=small.BUNDLES)
        order = {
            "op": "run",
            "agreement": schema.encode(terms),
            "rules": ["overlap"],
            "columns": direct.every_column(terms),
            "query": {},
            "run_key": "00" * 32,
            **changed,
        }
        with contextlib.suppress(BrokenPipeError):
            frames.send(self.sock, order)
        found = []
        while True:
            message, fds = frames.receive(self.sock, timeout=60)
            if "need" in message:
                self.needs.append(message)
                self.tables.append([flat.validate(memory.map_readonly(fd)) for fd in fds])
                frames.close_all(fds)
                job(self, message)
                continue
            if message.get("canonical_fd"):
                message["canonical"] = bytes(memory.map_readonly(fds[0])).decode()
            frames.close_all(fds)
            found.append(message)
            if message.get("done") or "refused" in message:
                return found


def point(gate: Gate, message: dict[str, Any]) -> None:
    size = message["ask"]["size"]
    fd = memory.fixed_output(message["output_bytes"])
    output.write(memory.map_writable(fd), output.ROWS, np.arange(size))
    frames.send(gate.sock, {"outcome": "ok"}, [fd])
    os.close(fd)


def say(outcome: Any, **more: Any) -> Any:
    return lambda gate, message: frames.send(gate.sock, {"outcome": outcome, **more})


@pytest.fixture
def gate() -> Iterator[Gate]:
    ours, theirs = socket.socketpair()
    engine = service.Engine(theirs)
    engine.warm_up()

    def serve() -> None:
        with contextlib.suppress(OSError), theirs:
            engine.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        yield Gate(ours)
    thread.join(60)
    assert not thread.is_alive()


def test_a_run_answers_each_rule_once_and_says_when_it_is_done(gate: Gate) -> None:
    gate.load_both()
    found = gate.run(rules=["overlap", "cells"])
    assert [item.get("release") for item in found] == ["overlap", "cells", None]
    assert found[-1] == {"done": True}
    assert set(json.loads(found[0]["canonical"])) == {"count", "epsilon_millionths", "interval_95"}
    assert found[0]["detail"] == {"sensitivity": 1, "epsilon_millionths": 10**7}


def test_a_job_is_asked_for_with_its_tables_and_its_answer_used(gate: Gate) -> None:
    gate.load_both()
    found = gate.run(point, rules=["audience"], columns={"prospects": ["age"]})
    assert found[0]["canonical"].startswith("pid\nP")
    assert len(found[0]["canonical"].splitlines()) == 7
    [need] = gate.needs
    assert set(need) == {"need", "rule", "call", "tables", "ask", "seed", "output_bytes"}
    assert (need["rule"], need["call"], need["tables"]) == ("audience", "release", ["labelled", "candidates"])
    assert need["output_bytes"] == output.size_of(6)
    assert [table.names for table in gate.tables[0]] == [("age", "outcome"), ("age",)]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("error", "job-error"), ("out-of-memory", "job-out-of-memory"), ("killed", "job-killed"), ("why", "engine-error")],
)
def test_an_outcome_becomes_a_closed_reason(gate: Gate, outcome: str, reason: str) -> None:
    gate.load_both()
    found = gate.run(say(outcome), rules=["audience", "overlap"])
    assert found[0] == {"withheld": "audience", "reason": reason}
    assert found[1]["release"] == "overlap"


def test_an_output_of_another_size_is_a_bad_output(gate: Gate) -> None:
    def short(gate: Gate, message: dict[str, Any]) -> None:
        fd = memory.fixed_output(8)
        frames.send(gate.sock, {"outcome": "ok"}, [fd])
        os.close(fd)

    gate.load_both()
    assert gate.run(short, rules=["audience"])[0] == {"withheld": "audience", "reason": "job-bad-output"}


@pytest.mark.parametrize(
    "answer", [say("ok"), say("error", text="x"), say(None)], ids=["no-output", "more", "no-outcome"]
)
def test_an_answer_that_breaks_the_protocol_ends_the_service(gate: Gate, answer: Any) -> None:
    gate.load_both()
    with pytest.raises((EOFError, ConnectionError)):
        gate.run(answer, rules=["audience"])


def test_a_gate_that_goes_away_ends_the_service(gate: Gate) -> None:
    gate.load_both()

    def leave(gate: Gate, message: dict[str, Any]) -> None:
        gate.sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(EOFError):
        gate.run(leave, rules=["audience"])


def test_a_long_release_travels_in_a_memory_file(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_INLINE", 16)
    gate.load_both()
    [found, _] = gate.run()
    assert found["canonical_fd"] is True
    assert json.loads(found["canonical"])["epsilon_millionths"] == 10**7


def test_a_table_that_is_refused_says_why_by_code(gate: Gate) -> None:
    rows = [*small.bank_rows(), small.bank_rows()[0]]
    assert gate.load(small.BANK, rows) == {"refused": "duplicate-entity"}
    assert gate.load(small.BANK, small.bank_rows()) == {"ok": True, "rows": 60}


def test_rules_whose_datasets_were_not_loaded_are_withheld(gate: Gate) -> None:
    gate.load(small.BANK, small.bank_rows())
    assert gate.run()[0] == {"withheld": "overlap", "reason": "bad-rule"}


def test_a_table_loaded_under_another_schema_does_not_count_as_the_agreed_one(gate: Gate) -> None:
    other = direct.dataset("customers", "bank", "bank_id", [direct.column("mail", identifier="phone")])
    gate.load(other, small.bank_rows())
    gate.load(small.PARTNER, small.partner_rows())
    assert gate.run()[0] == {"withheld": "overlap", "reason": "bad-rule"}


def test_a_table_may_be_loaded_with_some_of_the_agreed_columns(gate: Gate) -> None:
    some = direct.dataset("customers", "bank", "bank_id", small.BANK.columns[1:2])
    gate.load(some, small.bank_rows())
    gate.load(small.PARTNER, small.partner_rows())
    assert [item.get("release") for item in gate.run()] == ["overlap", None]


def test_a_rule_that_reads_a_column_that_was_not_loaded_is_withheld(gate: Gate) -> None:
    some = direct.dataset("customers", "bank", "bank_id", small.BANK.columns[1:3])
    gate.load(some, small.bank_rows())
    gate.load(small.PARTNER, small.partner_rows())
    reasons = [item.get("reason") for item in gate.run(rules=["cells", "audience"])]
    assert reasons == ["bad-rule", "bad-rule", None]


BAD = [
    {"op": "dance"},
    {},
    {"op": "run"},
    {"op": "run", "agreement": {}, "rules": ["overlap"], "columns": {}, "query": {}, "run_key": "00" * 32},
]


@pytest.mark.parametrize("message", BAD)
def test_a_message_outside_the_protocol_ends_the_service(gate: Gate, message: dict[str, Any]) -> None:
    assert gate.call(message) == {"refused": "bad-message"}
    with pytest.raises(EOFError):
        frames.receive(gate.sock, timeout=60)


@pytest.mark.parametrize(
    "changed",
    [
        {"rules": []},
        {"rules": ["nowhere"]},
        {"run_key": "00"},
        {"query": {"cut": 7}},
        {"more": 1},
        {"columns": {"t": [""]}},
    ],
    ids=["no-rules", "unknown-rule", "short-key", "query-not-text", "unknown-field", "no-column"],
)
def test_an_order_outside_the_protocol_ends_the_service(gate: Gate, changed: dict[str, Any]) -> None:
    assert gate.run(**changed) == [{"refused": "bad-message"}]


def test_a_table_under_another_name_or_twice_ends_the_service(gate: Gate) -> None:
    gate.load(small.PARTNER, small.partner_rows())
    assert gate.load(small.PARTNER, small.partner_rows()) == {"refused": "bad-message"}


def test_a_table_whose_size_could_still_change_ends_the_service(gate: Gate) -> None:
    fd = os.memfd_create("open", os.MFD_CLOEXEC)
    message = {"op": "load", "dataset": "customers", "schema": schema.encode(small.BANK)}
    assert gate.call(message, fd) == {"refused": "bad-message"}


def test_a_broken_frame_ends_the_service(gate: Gate) -> None:
    gate.sock.sendall(b"\x00\x00\x00\x02[]")
    assert frames.receive(gate.sock, timeout=60)[0] == {"refused": "bad-message"}


BLOCKS = (small.estimate(),)


def answer_blocks(gate: Gate, message: dict[str, Any], *, spare: int = 0) -> None:
    made = [memory.fixed_output(message["output_bytes"] + spare) for _ in gate.tables[-1]]
    for fd in made if not spare else ():
        output.write(memory.map_writable(fd), output.VECTOR, np.array([0.5]))
    frames.send(gate.sock, {"outcome": "ok"}, made)
    frames.close_all(made)


def blocks_run(gate: Gate, job: Any) -> list[dict[str, Any]]:
    gate.load_both()
    terms = direct.agreement([small.BANK, small.PARTNER], [["email"]], BLOCKS, bundles=small.BUNDLES)
    return gate.run(job, agreement=schema.encode(terms), rules=["vector"])


def test_blocks_are_asked_for_in_waves_and_only_their_outputs_count(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    found = blocks_run(gate, answer_blocks)
    assert abs(json.loads(found[0]["canonical"])["estimate"][0]["millionths"] - 500_000) < 100_000
    assert found[0]["detail"] == {"blocks": 200, "sensitivity": 2 << 20, "epsilon_millionths": 20_000_000}
    assert len(gate.needs) == 100
    assert all(set(need) == {"need", "rule", "spec", "output_bytes"} for need in gate.needs)
    assert all(need["spec"] == gate.needs[0]["spec"] for need in gate.needs)
    assert gate.needs[0]["output_bytes"] == output.size_of(1)
    assert {table.names for tables in gate.tables for table in tables} == {("customers.money", "prospects.town")}


@pytest.mark.parametrize(
    "answer",
    [say("error"), say("ok"), lambda gate, message: answer_blocks(gate, message, spare=8)],
    ids=["an-outcome", "no-outputs", "other-size"],
)
def test_an_answer_about_blocks_that_breaks_the_protocol_ends_the_service(gate: Gate, answer: Any) -> None:
    with pytest.raises((EOFError, ConnectionError)):
        blocks_run(gate, answer)
