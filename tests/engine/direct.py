"""Calls the engine outside a deployment: CSV files in, releases out, the job's function in this process.

It shares with a real run: engine, flat tables, the frames a job gets, the binary form of its answer. It leaves out:
encryption, attestation, readers, confinement.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import dataclasses
import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from sealroom.enclave import flat
from sealroom.enclave.engine import context, link, run, tables
from sealroom.enclave.engine.run import Withheld
from sealroom.enclave.jail import harness, output
from sealroom.enclave.jail.requests import BlockSpec
from sealroom.enclave.jail.tables import frame_of
from sealroom.protocol import agreement as ag
from sealroom.protocol import consistency, schema
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.rules import AudienceToOwner, Metrics, MetricValue, Outcome, OverlapCount, Rule

RUN_KEY = bytes(range(32))
Job = Callable[[Mapping[str, Any], Any], Any]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(name: str, kind: str = "text", *, identifier: str | None = None, values: Sequence[str] | None = None) -> Any:
    return ag.Column(name=name, type=kind, identifier=identifier, values=None if values is None else tuple(values))


def dataset(name: str, owner: str, entity: str, columns: Sequence[Any], *, most_rows: int = 1_000_000) -> ag.Dataset:
    declared = (column(entity), *columns)
    return ag.Dataset(name=name, owner=owner, population=name, entity=entity, most_rows=most_rows, columns=declared)


def declared(name: str, owner: str, rows: Sequence[Mapping[str, str]], identifiers: Mapping[str, str]) -> ag.Dataset:
    """Infer a schema: the first column is the entity, numbers are numbers, everything else is a category."""
    entity, *others = rows[0]
    columns = []
    for other in others:
        cells = {row[other] for row in rows} - {""}
        if other in identifiers:
            columns.append(column(other, identifier=identifiers[other]))
        elif all(cell.lstrip("-").isdigit() for cell in cells):
            columns.append(column(other, "int"))
        else:
            columns.append(column(other, "category", values=sorted(cells)))
    return dataset(name, owner, entity, columns)


def flat_of(schema: ag.Dataset, rows: Sequence[Mapping[str, str | None]]) -> bytes:
    """The flat table of rows as text; an empty cell is null."""
    return flat.to_bytes(
        [_cells(item, [row.get(item.name) or None for row in rows]) for item in schema.columns], len(rows)
    )


def _cells(item: ag.Column, cells: list[str | None]) -> flat.Column:
    valid = np.array([cell is not None for cell in cells], dtype=bool)
    if item.type == "text":
        return flat.text_column(item.name, cells)
    if item.type == "category":
        codes = {value: code for code, value in enumerate(item.values or ())}
        return flat.category_column(
            item.name, np.array([codes.get(cell or "", -1) for cell in cells]), item.values or ()
        )
    if item.type == "bool":
        return flat.bool_column(item.name, np.array([cell == "true" for cell in cells], dtype=bool), valid)
    if item.type == "int":
        return flat.int_column(item.name, np.array([int(cell or 0) for cell in cells], dtype=np.int64), valid)
    return flat.float_column(item.name, np.array([float(cell or "nan") for cell in cells]), valid)


def party(name: str) -> ag.Party:
    consent = ag.Consent(mode="auto", threshold=0, officers=(), deadline=60)
    keys = [
        base64.urlsafe_b64encode(hashlib.shake_256(name.encode()).digest(size)).decode().rstrip("=")
        for size in (32, 1216)
    ]
    return ag.Party(name=name, signing_key=keys[0], sealing_key=keys[1], consent=consent)


def agreement(
    datasets: Sequence[ag.Dataset],
    keys: Sequence[Sequence[str]],
    rules: Sequence[Rule],
    *,
    bundles: Sequence[ag.Bundle] = (),
) -> ag.Agreement:
    """An agreement between `bank`, `partner` and an `operator` over two datasets, joined by the link `both`."""
    purses = [*((d.owner, d.population) for d in datasets), *((b.owner, b.name) for b in bundles)]
    document = ag.Agreement(
        format="sealroom/agreement/v1",
        title="test",
        purpose="test",
        sequence=1,
        first=None,
        previous=None,
        not_before=0,
        not_after=1 << 33,
        parties=tuple(party(name) for name in ("bank", "partner", "operator")),
        operator="operator",
        accepts_covert_channel=(),
        requesters=("bank",),
        platforms=(simulated_policy("0" * 64),),
        launchers=("process",),
        approvals=ag.Approvals(threshold=1, mandatory=()),
        datasets=tuple(datasets),
        bundles=tuple(bundles),
        links=(
            ag.Link(
                name="both",
                left=datasets[0].name,
                right=datasets[1].name,
                scheme="waterfall/v1",
                keys=tuple(tuple(key) for key in keys),  # type: ignore[misc]
            ),
        ),
        rules=tuple(rules),
        purses=tuple(
            ag.Purse(owner=o, population=p, epsilon=10**7, bits=10**12, runs=100) for o, p in dict.fromkeys(purses)
        ),
        slots=ag.Slots(query=0, opaque=5),
        limits=ag.Limits(memory=1 << 30, processor_time=60, wall_time=900),
    )
    return consistency.check(document)


def every_column(terms: ag.Agreement) -> dict[str, tuple[str, ...]]:
    """A request's columns: all that any code may see, and the others, which it may not."""
    return {d.name: tuple(c.name for c in d.columns) for d in terms.datasets}


@dataclasses.dataclass
class Direct:
    """An engine with its tables loaded; `job` is called for every job that it asks for, `calls` keeps what it saw."""

    agreement: ag.Agreement
    tables: Mapping[str, bytes]
    job: Job | None = None
    queries: Mapping[str, str] = dataclasses.field(default_factory=dict)
    requested: Mapping[str, tuple[str, ...]] | None = None
    run_key: bytes = RUN_KEY
    seed: int | None = None
    calls: list[context.Call] = dataclasses.field(default_factory=list)
    waves: list[context.Wave] = dataclasses.field(default_factory=list)

    def run(self) -> context.Run:
        connection = link.connect()
        loaded = {name: tables.load(self.agreement.dataset(name), data) for name, data in self.tables.items()}
        return context.Run(
            agreement=self.agreement,
            tables=loaded,
            queries=self.queries,
            requested=every_column(self.agreement) if self.requested is None else self.requested,
            run_key=self.run_key,
            connection=connection,
            ask=self._ask,
            ask_blocks=self._ask_blocks,
        )

    def answers(self, *names: str) -> list[context.Release | Withheld]:
        """Compute the named rules, or all."""
        return list(run.compute(self.run(), names or tuple(rule.name for rule in self.agreement.rules)))

    def _ask(self, call: context.Call) -> memoryview:
        self.calls.append(call)
        assert self.job is not None
        frames = {v.name: frame_of(flat.validate(flat.to_bytes(v.columns, len(v.rows)))) for v in call.views}
        seed = call.seed if self.seed is None else self.seed
        with threadpool_limits(1):  # as in the jail, whose environment says so
            found = self.job(frames, SimpleNamespace(**call.ask, seed=seed))
        kind = output.ROWS if call.kind == "rows" else output.SCORES
        target = bytearray(output.size_of(len(found)))
        output.write(memoryview(target), kind, np.asarray(found))
        return memoryview(target)

    def _ask_blocks(self, wave: context.Wave) -> list[memoryview]:
        self.waves.append(wave)
        return [self._block(wave, columns) for columns in wave.blocks]  # jobs of tests over blocks use no thread pool

    def _block(self, wave: context.Wave, columns: Sequence[flat.Column]) -> memoryview:
        """What a jail does with one block; a job that raises or gives no vector leaves its output empty."""
        assert self.job is not None
        spec = schema.decode(BlockSpec, wave.spec)
        frame = frame_of(flat.validate(flat.to_bytes(columns, columns[0].rows)))
        target = bytearray(wave.output_bytes)
        with contextlib.suppress(ArithmeticError, ValueError):
            ask = harness._vector(spec, spec.seed)
            found = harness.check(self.job({wave.table: frame}, ask), ask, ask.size)
            output.write(memoryview(target), output.VECTOR, found)
        return memoryview(target)


def load_job(path: Path) -> Job:
    """The function `run` of a bundle's `job.py`."""
    spec = importlib.util.spec_from_file_location(f"bundle_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    job: Job = module.run
    return job


BANK_IDENTIFIERS = {"first_name": "given_name", "last_name": "family_name", "email": "email", "phone": "phone"}
KEYS = (("email",), ("given_name", "family_name", "phone"))


def lookalike_pair(folder: Path, rename: Callable[[str], str] = str) -> tuple[list[ag.Dataset], dict[str, bytes]]:
    """The shipped pair as datasets `customers` (bank) and `prospects` (partner), columns renamed."""
    schemas, flats = [], {}
    for name, owner, file in (("customers", "bank", "bank.csv"), ("prospects", "partner", "partner.csv")):
        rows = [{rename(k): v for k, v in row.items()} for row in rows_of(folder / file)]
        schema = declared(name, owner, rows, {rename(k): v for k, v in BANK_IDENTIFIERS.items()})
        schemas.append(schema)
        flats[name] = flat_of(schema, rows)
    return schemas, flats


def lookalike_rules(outcome: str = "y") -> list[Rule]:
    learned = Outcome(dataset="customers", column=outcome, positive="yes")
    grid = [("auc", 500, 1000, 5), ("lift", 0, 10_000, 100)]
    return [
        OverlapCount(
            type="overlap_count", name="overlap", link="both", epsilon=500_000, floor=100, round_to=10,
            recipients=("bank",),
        ),
        Metrics(
            type="metrics", name="quality", link="both", bundle="model", outcome=learned, candidates="prospects",
            holdout_percent=30, recipients=("bank",),
            values=tuple(
                MetricValue(metric=m, at_percent=10, least=a, most=b, step=s)  # type: ignore[arg-type]
                for m, a, b, s in grid
            ),
        ),
        AudienceToOwner(
            type="audience_to_owner", name="audience", link="both", bundle="model", outcome=learned,
            candidates="prospects", percent=10, floor=300, least_seed=300, recipients=("partner",),
        ),
    ]  # fmt: skip


MODEL = ag.Bundle(name="model", owner="bank", lane="whole")


def truth_of(folder: Path) -> tuple[dict[str, str], dict[str, bool], list[str]]:
    """True pairs (bank id to partner id), outcome by partner id, and ids that only the partner has."""
    rows = rows_of(folder / "truth.csv")
    pairs = {row["bank_id"]: row["partner_id"] for row in rows if row["role"] == "both"}
    outcome = {row["partner_id"]: row["y"] == "yes" for row in rows if row["partner_id"]}
    alone = [row["partner_id"] for row in rows if row["role"] == "partner_only"]
    return pairs, outcome, alone


def lift_of(folder: Path, ids: Sequence[str]) -> float:
    """Positive rate of the ids over that of all who are the partner's alone."""
    _, outcome, alone = truth_of(folder)
    return (sum(outcome[i] for i in ids) / len(ids)) / (sum(outcome[i] for i in alone) / len(alone))
