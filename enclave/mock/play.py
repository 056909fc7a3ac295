"""Plays every rule of an agreement that a bundle serves: the engine's own code, on made-up rows, with a mock jail.

Runs in: an author's machine.   Believes: the engine's verdict on each rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.engine import context, link, query, reasons, run, tables
from sealroom.enclave.engine.context import Call, Release, Wave
from sealroom.enclave.mock import made_up, queries, trials, words
from sealroom.enclave.mock.orders import Order
from sealroom.protocol import bundle, terms
from sealroom.protocol.agreement import Agreement, objects_of
from sealroom.protocol.rules import AudienceToOwner, GroupedAggregates, Rule, VectorEstimate

FORMAT = "sealroom/mock-report/v1"
_RUN_KEY = bytes(range(32))
_MOST_SHOWN = 2000


def play(order: Order, jails: trials.Jails) -> dict[str, Any]:
    """The report on every rule that runs the bundle, in the agreement's order.

    Raises:
        Malformed: the bundle is none.
        NotAcceptable: this machine cannot confine a jail.
    """
    code = order.code()
    rules = [rule for rule in order.agreement.rules if order.bundle in objects_of(order.agreement, rule)]
    relaxed = _relaxed(order.agreement)
    player = _Player(order, code, relaxed, jails)
    listed = [player.rule(relaxed.rule(rule.name), rule) for rule in rules]
    return {
        "format": FORMAT,
        "bundle": order.bundle,
        "lane": bundle.read(code).manifest.lane,
        "rows": {name: table.rows for name, table in player.tables.items()},
        "most_rows": {dataset.name: dataset.most_rows for dataset in order.agreement.datasets},
        "seed": order.seed,
        "layers": jails.layers() if any(item["job"] for item in listed) else [],
        "rules": listed,
        "fine": all(item["released"] and not item["empty"] for item in listed),
    }


class _Player:
    """Made-up tables in the engine's form, and the jail that the engine's jobs are run in."""

    def __init__(self, order: Order, code: bytes, agreement: Agreement, jails: trials.Jails) -> None:
        self._agreement, self._code, self._jails = agreement, code, jails
        read = bundle.read(code)
        self._query = read.files[bundle.QUERY].decode("utf-8", "replace") if read.manifest.lane == "query" else None
        made = made_up.tables(agreement, rows=order.rows, seed=order.seed)
        self.tables = {name: tables.load(agreement.dataset(name), data) for name, data in made.items()}
        self._trial: trials.Trial | None = None
        self._asked: dict[str, Any] | None = None
        self._missed = 0
        self._run = context.Run(
            agreement=agreement,
            tables=self.tables,
            queries={} if self._query is None else {order.bundle: self._query},
            requested={dataset.name: tuple(c.name for c in dataset.columns) for dataset in agreement.datasets},
            run_key=_RUN_KEY,
            connection=link.connect(),
            ask=self._ask,
            ask_blocks=self._ask_blocks,
        )

    def rule(self, rule: Rule, agreed: Rule) -> dict[str, Any]:
        """What would happen to one rule; `rule` is `agreed` without floors that made-up rows cannot meet."""
        self._trial = self._asked = None
        self._missed = 0
        found = run.answer(self._run, rule)
        released = isinstance(found, Release)
        reason = None if isinstance(found, Release) else found.reason
        trial = self._trial
        return {
            "rule": rule.name,
            "type": rule.type,
            "recipients": list(rule.recipients),
            "released": released,
            "reason": reason,
            "because": self._because(rule, reason),
            "change": words.change(reason),
            "release": _release(self._agreement, rule, found.canonical) if isinstance(found, Release) else None,
            "ask": self._asked,
            "job": None if trial is None else dataclasses.asdict(trial),
            "notes": words.notes(agreed, self._missed),
            "empty": isinstance(rule, VectorEstimate) and self._missed == rule.blocks,
        }

    def _because(self, rule: Rule, reason: str | None) -> str | None:
        if reason in ("bad-query", "undeclared-label") and isinstance(rule, GroupedAggregates) and rule.segments:
            link_terms = self._agreement.link(rule.link)
            columns = _readable(self._agreement, (link_terms.left, link_terms.right))
            told = queries.explain(self._query or "", columns, rule.segments.labels)
            return told or words.because(reason)
        return words.because(reason)

    def _ask(self, call: Call) -> memoryview:
        """What gate and zygote do for the engine, in one process.

        Raises:
            NotReleased: the job gave no result; the reason is the jail's outcome.
        """
        spec = {"tables": [view.name for view in call.views], "ask": call.ask, "seed": call.seed}
        self._asked = _asked(call)
        self._trial, output = self._try("job", spec, call.output_bytes, [(v.name, v.columns) for v in call.views])
        if self._trial.outcome != "ok":
            raise reasons.job_failed(self._trial.outcome)
        return output

    def _ask_blocks(self, wave: Wave) -> list[memoryview]:
        """What gate and zygote do for the engine with blocks, but one after another and without waiting for the clock.

        The first block that gave no vector is shown; if there is none, the first block.
        """
        outputs = []
        for columns in wave.blocks:
            trial, output = self._try("blocks", wave.spec, wave.output_bytes, [(wave.table, columns)])
            if self._trial is None or (trial.outcome != "ok" and not self._missed):
                self._trial, self._asked = trial, _asked_blocks(wave, columns)
            self._missed += trial.outcome != "ok"
            outputs.append(output)
        return outputs

    def _try(
        self, kind: str, spec: dict[str, Any], room: int, views: Sequence[tuple[str, Sequence[flat.Column]]]
    ) -> tuple[trials.Trial, memoryview]:
        limits = self._agreement.limits
        given = {
            "memory_bytes": limits.memory,
            "cpu_seconds": limits.processor_time,
            "wall_seconds": limits.wall_time,
        }
        fds = [memory.sealed_copy("bundle", [self._code]), memory.fixed_output(room)]
        try:
            fds.extend(flat.to_memfd(name, columns, columns[0].rows) for name, columns in views)
            trial = self._jails.run({"op": "run", "kind": kind, "limits": given, "spec": spec}, fds)
            return trial, memory.map_readonly(fds[1])
        finally:
            frames.close_all(fds)


def _relaxed(agreement: Agreement) -> Agreement:
    """The agreement without floors on how many people there are: that is for real rows to meet."""
    rules = [
        dataclasses.replace(rule, floor=0, least_seed=0) if isinstance(rule, AudienceToOwner) else rule
        for rule in agreement.rules
    ]
    return dataclasses.replace(agreement, rules=tuple(rules))


def _readable(agreement: Agreement, sides: tuple[str, str]) -> query.Columns:
    """Columns by `dataset.column` that a query may name."""
    return {
        f"{side}.{column.name}": column
        for side in sides
        for column in agreement.dataset(side).columns
        if column.identifier is None and column.name != agreement.dataset(side).entity
    }


def _release(agreement: Agreement, rule: Rule, canonical: str) -> dict[str, Any]:
    return {
        "bytes": len(canonical.encode()),
        "padded_bytes": terms.padded_size(agreement, rule),
        "made_up": canonical[:_MOST_SHOWN],
        "what": words.released(agreement, rule, canonical),
    }


def _asked(call: Call) -> dict[str, Any]:
    shown = [
        {"name": view.name, "rows": len(view.rows), "columns": [column.name for column in view.columns]}
        for view in call.views
    ]
    return {**call.ask, "call": call.call, "seed": call.seed, "tables": shown}


def _asked_blocks(wave: Wave, columns: Sequence[flat.Column]) -> dict[str, Any]:
    shown = {"name": wave.table, "rows": columns[0].rows, "columns": [column.name for column in columns]}
    return {
        "kind": "vector", "table": wave.table, "size": len(wave.rule.coordinates), "label": None, "positive": None,
        "call": "vector", "seed": wave.spec["seed"], "tables": [shown], "blocks": wave.rule.blocks,
        "milliseconds": wave.rule.block_milliseconds,
    }  # fmt: skip
