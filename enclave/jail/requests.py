"""What the gate may ask of a zygote, decoded strictly.

Runs in: zygote, jail.   Believes: nothing.   Spec: §9.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from sealroom.protocol import schema
from sealroom.protocol.agreement import Dataset
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import Coordinate
from sealroom.protocol.schema import ColumnName, Int, Label, Many, Name

MOST_TABLES = 14
MOST_BLOCKS = 7
"""Blocks that are seen at the same time: as many as one message has descriptors for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Memory beyond code and inputs in bytes, processor time and wall-clock time in seconds."""

    memory_bytes: Annotated[int, Int(1 << 20, 1 << 40)]
    cpu_seconds: Annotated[int, Int(1, 86_400)]
    wall_seconds: Annotated[int, Int(1, 86_400)]


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What a job is to point at or give: see docs/JOBS.md."""

    kind: Literal["rows", "scores"]
    table: Name
    size: Annotated[int, Int(0, 50_000_000)]
    label: ColumnName | None
    positive: Label | None


@dataclasses.dataclass(frozen=True, slots=True)
class JobSpec:
    """Names of the tables, in the order of their descriptors; the question; the seed of the usual generators."""

    tables: Annotated[tuple[Name, ...], Many(0, MOST_TABLES)]
    ask: Ask
    seed: Annotated[int, Int()]


@dataclasses.dataclass(frozen=True, slots=True)
class BlockSpec:
    """The name of each block's one table, the vector that is asked for, the seed, and how long a block is seen."""

    table: Name
    coordinates: Annotated[tuple[Coordinate, ...], Many(1, 32)]
    seed: Annotated[int, Int()]
    milliseconds: Annotated[int, Int(1, 86_400_000)]


@dataclasses.dataclass(frozen=True, slots=True)
class ReaderSpec:
    """The dataset as the agreement declares it, and the file format its owner sealed."""

    dataset: Dataset
    format: Literal["csv", "parquet", "arrow"]


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of a jail, or of one jail for each of some blocks."""

    limits: Limits
    spec: ReaderSpec | JobSpec | BlockSpec

    @property
    def fds(self) -> tuple[int, ...]:
        """How many descriptors may come with it: input, output, a job's tables; or a bundle, outputs and blocks."""
        if isinstance(self.spec, BlockSpec):
            return tuple(1 + 2 * blocks for blocks in range(1, MOST_BLOCKS + 1))
        return (2 + (len(self.spec.tables) if isinstance(self.spec, JobSpec) else 0),)


def parse(message: dict[str, Any], fd_count: int) -> Run:
    """The run that a message asks for.

    Raises:
        Malformed: the message is not exactly of that form, or has another number of descriptors.
    """
    if set(message) != {"op", "kind", "limits", "spec"} or message["op"] != "run":
        raise Malformed("unknown-message", "the zygote runs jails, and nothing else")
    kinds: dict[object, type[ReaderSpec | JobSpec | BlockSpec]] = {
        "reader": ReaderSpec, "job": JobSpec, "blocks": BlockSpec,
    }  # fmt: skip
    if message["kind"] not in ("reader", "job", "blocks"):
        raise Malformed("unknown-kind", "a jail is a reader, a job or one of some blocks")
    spec = schema.decode(kinds[message["kind"]], message["spec"], "spec")
    run = Run(schema.decode(Limits, message["limits"], "limits"), spec)
    if fd_count not in run.fds:
        raise Malformed("wrong-fds", f"the run needs other descriptors than {fd_count}")
    if isinstance(spec, JobSpec) and (spec.ask.table not in spec.tables or len(set(spec.tables)) != len(spec.tables)):
        raise Malformed("wrong-table", "the job is asked about a table it does not get, or gets one twice")
    return run
