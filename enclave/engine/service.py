"""The engine's side of its protocol with the gate: load tables, run rules, ask for jobs, hand over releases.

Runs in: engine.   Believes: the gate.   Spec: §9.4.

    {"op": "load", "dataset", "schema"} + [table]    -> {"ok": true, "rows"} or {"refused": reason}
    {"op": "run", "agreement", "rules", "columns", "query", "run_key"}
        -> {"need": "job", "rule", "call", "tables", "ask", "seed", "output_bytes"} + [tables]
           <- {"outcome"} + [output, if "ok"]
        -> {"need": "blocks", "rule", "spec", "output_bytes"} + [a table per block]
           <- {"outcome": "ok"} + [an output per block]
        -> {"release", "canonical", "detail"} or {"release", "canonical_fd": true, "detail"} + [text]
           or {"withheld", "reason"}; once per rule
        -> {"done": true}

`query` holds the texts of query bundles by name, `columns` the request's columns by dataset, `run_key` 64 hex digits.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.engine import context, identify, link, noise, reasons, run, tables, views
from sealroom.protocol import consistency, schema
from sealroom.protocol.agreement import Agreement, Dataset
from sealroom.protocol.errors import Malformed, NotAcceptable, Refused, UsageError
from sealroom.protocol.schema import ColumnName, Hex32, Many, Name, Text

MOST_INLINE = 512 << 10
"""Bytes of a release that travel inside a message; a longer one travels in a memory file."""

_Text = Annotated[str, Text(r"(?s:.*)", 1 << 20)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    op: Literal["load"]
    dataset: Name
    schema: Dataset


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    op: Literal["run"]
    agreement: Agreement
    rules: Annotated[tuple[Name, ...], Many(1, 64)]
    columns: dict[Name, Annotated[tuple[ColumnName, ...], Many(0, 512)]]
    query: dict[Name, _Text]
    run_key: Hex32


class Engine:
    """One run's tables and connection, and the socket to the gate."""

    def __init__(self, control: socket.socket) -> None:
        """Open the join engine before the process is confined: it reads the machine's limits from files."""
        self._control = control
        self._connection = link.connect()
        self._tables: dict[str, tables.Table] = {}

    def warm_up(self) -> None:
        """Do a little of everything on made-up rows, so that nothing is imported or set up late."""
        words = np.arange(4, dtype=np.uint64).reshape(2, 2)
        side = link.Side(np.arange(2), [(words, np.ones(2, dtype=bool))])
        link.waterfall(self._connection, side, side)
        for kind in identify.KINDS:
            identify.normalise(kind, pa.array(["A\u00e9@b.c", "2001-02-03", None], pa.large_utf8()))
        noise.laplace(sensitivity=1, epsilon_millionths=1_000_000).add([0])
        columns = [flat.int_column("n", np.arange(2)), flat.text_column("t", ["a", None])]
        views.hashed([tables.take(column, np.arange(2)) for column in columns], "warm-up")

    def serve(self) -> None:
        """Answer messages until the gate closes the stream; a message that breaks the protocol ends the service."""
        try:
            while True:
                message, fds = frames.receive(self._control, timeout=None)
                try:
                    self._handle(message, fds)
                finally:
                    frames.close_all(fds)
        except (Malformed, UsageError):
            frames.send(self._control, {"refused": "bad-message"})
        except (EOFError, run.GateLostError):
            return

    def _handle(self, message: dict[str, Any], fds: list[int]) -> None:
        if message.get("op") == "load" and len(fds) == 1:
            frames.send(self._control, self._load(schema.decode(_Load, message), fds[0]))
        elif message.get("op") == "run" and not fds:
            self._run(schema.decode(_Order, message))
        else:
            raise Malformed("unknown-message", "no message of the engine protocol")

    def _load(self, message: _Load, fd: int) -> dict[str, Any]:
        if message.dataset != message.schema.name or message.dataset in self._tables:
            raise Malformed("dataset", "a dataset is loaded once, under its own name")
        try:
            memory.require_seals(fd, memory.FIXED)
            table = tables.load(message.schema, memory.map_readonly(fd))
        except NotAcceptable as error:
            return {"refused": reasons.code_of(error)}
        self._tables[message.dataset] = table
        return {"ok": True, "rows": table.rows}

    def _run(self, order: _Order) -> None:
        work = context.Run(
            agreement=consistency.check(order.agreement),
            tables=self._tables,
            queries=order.query,
            requested=order.columns,
            run_key=bytes.fromhex(order.run_key),
            connection=self._connection,
            ask=self._ask,
            ask_blocks=self._ask_blocks,
        )
        for found in run.compute(work, order.rules):
            self._answer(found)
        frames.send(self._control, {"done": True})

    def _answer(self, found: context.Release | run.Withheld) -> None:
        if isinstance(found, run.Withheld):
            frames.send(self._control, {"withheld": found.rule, "reason": found.reason})
            return
        head = {"release": found.rule, "detail": dict(found.detail)}
        # As JSON text a release can be longer than its own bytes.
        if len(json.dumps(found.canonical, ensure_ascii=False).encode()) <= MOST_INLINE:
            frames.send(self._control, {**head, "canonical": found.canonical})
            return
        fd = memory.sealed_copy("release", [found.canonical.encode()])
        try:
            frames.send(self._control, {**head, "canonical_fd": True}, [fd])
        finally:
            frames.close_all([fd])

    def _ask(self, call: context.Call) -> memoryview:
        """Have the gate run a job.

        Raises:
            NotReleased: the job gave no result; the reason is the jail's outcome.
            GateLostError: the gate is gone or broke the protocol.
        """
        answer, fds = self._exchange(_need(call), [(view.name, view.columns) for view in call.views])
        try:
            return _output(answer, fds, call)
        finally:
            frames.close_all(fds)

    def _ask_blocks(self, wave: context.Wave) -> list[memoryview]:
        """Have the gate run a job for each of some blocks; how they ended is nobody's to know.

        Raises:
            GateLostError: the gate is gone or broke the protocol.
        """
        need = {"need": "blocks", "rule": wave.rule.name, "spec": wave.spec, "output_bytes": wave.output_bytes}
        answer, fds = self._exchange(need, [(wave.table, columns) for columns in wave.blocks])
        try:
            if answer != {"outcome": "ok"} or len(fds) != len(wave.blocks):
                raise run.GateLostError
            if any(memory.require_seals(fd, memory.FIXED) != wave.output_bytes for fd in fds):
                raise run.GateLostError
            return [memory.map_readonly(fd) for fd in fds]
        finally:
            frames.close_all(fds)

    def _exchange(
        self, need: dict[str, Any], views: Sequence[tuple[str, Sequence[flat.Column]]]
    ) -> tuple[dict[str, Any], list[int]]:
        made: list[int] = []
        try:
            made.extend(flat.to_memfd(name, columns, columns[0].rows) for name, columns in views)
            frames.send(self._control, need, made)
            return frames.receive(self._control, timeout=None)
        except (EOFError, OSError, Refused) as error:
            raise run.GateLostError from error
        finally:
            frames.close_all(made)


def _need(call: context.Call) -> dict[str, Any]:
    return {
        "need": "job",
        "rule": call.rule,
        "call": call.call,
        "tables": [view.name for view in call.views],
        "ask": call.ask,
        "seed": call.seed,
        "output_bytes": call.output_bytes,
    }


def _output(answer: dict[str, Any], fds: list[int], call: context.Call) -> memoryview:
    outcome = answer.get("outcome")
    if not isinstance(outcome, str) or set(answer) != {"outcome"} or len(fds) != (1 if outcome == "ok" else 0):
        raise run.GateLostError
    if outcome != "ok":
        raise reasons.job_failed(outcome)
    if memory.require_seals(fds[0], memory.FIXED) != call.output_bytes:
        raise reasons.job_failed("bad-output")
    return memory.map_readonly(fds[0])
