"""What every rule computes with: the agreement, loaded tables, links, and a way to ask for a job.

Runs in: engine.   Believes: the gate.   Spec: §9.4.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sealroom.enclave.engine import identify, link, reasons
from sealroom.enclave.engine.tables import Table
from sealroom.enclave.engine.views import View
from sealroom.enclave.flat_columns import Column
from sealroom.enclave.jail import output
from sealroom.protocol.agreement import Agreement, Dataset
from sealroom.protocol.agreement import Link as LinkTerms
from sealroom.protocol.rules import VectorEstimate


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """The one form in which a rule's result leaves; `detail` holds only what follows from the agreement."""

    rule: str
    canonical: str
    detail: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One job run: the views it may see, and exactly what it is asked for about the last of them."""

    rule: str
    call: Literal["evaluate", "release"]
    views: tuple[View, ...]
    kind: Literal["rows", "scores"]
    size: int
    label: str

    @property
    def ask(self) -> dict[str, Any]:
        """What the job is told. `positive` is null: the label's column holds truth values."""
        return {
            "kind": self.kind,
            "table": self.views[-1].name,
            "size": self.size,
            "label": self.label,
            "positive": None,
        }

    @property
    def output_bytes(self) -> int:
        """Room that the answer needs, to the byte."""
        return output.size_of(self.size)

    @property
    def seed(self) -> int:
        """A 31-bit seed from the rule's name alone, so that the same inputs give the same release."""
        return int.from_bytes(hashlib.blake2b(f"{self.rule} {self.call}".encode(), digest_size=4).digest()) >> 1


Ask = Callable[[Call], memoryview]
"""Runs a job and gives its output, or raises NotReleased with a `job-` reason."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """Some blocks that fresh jails see at the same time: the columns of each, with the name of their table."""

    rule: VectorEstimate
    table: str
    blocks: tuple[tuple[Column, ...], ...]

    @property
    def spec(self) -> dict[str, Any]:
        """What each of the jobs is told; the same for all blocks."""
        name = f"{self.rule.name} vector".encode()
        return {
            "table": self.table,
            "coordinates": [dataclasses.asdict(item) for item in self.rule.coordinates],
            "seed": int.from_bytes(hashlib.blake2b(name, digest_size=4).digest()) >> 1,
            "milliseconds": self.rule.block_milliseconds,
        }

    @property
    def output_bytes(self) -> int:
        """Room that each answer needs, to the byte."""
        return output.size_of(len(self.rule.coordinates))


AskBlocks = Callable[[Wave], Sequence[memoryview]]
"""Has each block of a wave seen by a jail of its own and gives one output per block, whatever became of it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One request. `requested` lists, by dataset, the columns that code may see; rules read what they name.

    `run_key` follows from the inputs. `block_key` is fresh: what noise protects must not decide how it is cut up.
    """

    agreement: Agreement
    tables: Mapping[str, Table]
    queries: Mapping[str, str]
    requested: Mapping[str, tuple[str, ...]]
    run_key: bytes
    connection: Any
    ask: Ask
    ask_blocks: AskBlocks
    block_key: bytes = dataclasses.field(default_factory=lambda: os.urandom(32))
    _links: dict[str, link.Links] = dataclasses.field(default_factory=dict)

    def table(self, name: str) -> Table:
        """A loaded table.

        Raises:
            NotReleased: reason `bad-rule`; it was not loaded, or as another table than this agreement declares.
        """
        table = self.tables.get(name)
        if table is None or not _declares(self.agreement.dataset(name), table.dataset):
            raise reasons.withheld("bad-rule")
        return table

    def links(self, name: str) -> link.Links:
        """The pairs of a link, computed once per run."""
        if name not in self._links:
            terms = self.agreement.link(name)
            self._links[name] = link.waterfall(
                self.connection, *(self._side(terms, s) for s in (terms.left, terms.right))
            )
        return self._links[name]

    def _side(self, terms: LinkTerms, dataset: str) -> link.Side:
        table = self.table(dataset)
        return link.Side(table.rank, [identify.keys(table, kinds, self.run_key) for kinds in terms.keys])


def canonical_json(value: Any) -> str:
    """RFC 8785 form of a value of objects, lists, nulls, integers up to 2^53-1 and printable ASCII."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _declares(agreed: Dataset, loaded: Dataset) -> bool:
    """Whether a loaded table is the agreed one, with all or only some of its columns."""
    same = dataclasses.replace(loaded, columns=agreed.columns) == agreed
    return same and all(column in agreed.columns for column in loaded.columns)
