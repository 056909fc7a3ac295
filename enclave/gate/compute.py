"""Directs readers, engine and jail through one run: who gets which memory, in which order.

Runs in: the gate (TCB).   Believes: nothing that they say beyond its form.   Spec: §9.3, §9.4.

The gate never looks into a table. It hands each payload to a reader of its own, the reader's flat table to the
engine, the engine's views to the jail, and the jail's output back to the engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sealroom.enclave import memory
from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.children import Child, close_all
from sealroom.protocol import bundle as archives
from sealroom.protocol import digest, schema, terms
from sealroom.protocol.agreement import Agreement, Dataset
from sealroom.protocol.errors import Malformed, NotReleased
from sealroom.protocol.rules import AudienceToOwner, Metrics, VectorEstimate

ENGINE_SECONDS = 3600.0
MOST_CANONICAL = 64 << 20
MOST_JOB_OUTPUT = 1 << 30
MOST_BLOCK_OUTPUT = 4096
_GRACE = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Payload:
    """One opened object: frozen memory and the SHA-256 of what is in it."""

    fd: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What the engine made of one rule: canonical bytes, or the closed reason why it is withheld."""

    rule: str
    canonical: bytes | None
    reason: str | None


class Computation:
    """One run through its readers, the engine and the jail."""

    def __init__(self, run: AdmittedRun, payloads: Mapping[str, Payload], *, zygote: Child, engine: Child) -> None:
        """Keep what the run needs; nothing starts yet."""
        self._run, self._payloads = run, payloads
        self._zygote, self._engine = zygote, engine
        self._agreement: Agreement = run.agreed.agreement
        limits = self._agreement.limits
        self._limits = {
            "memory_bytes": limits.memory,
            "cpu_seconds": limits.processor_time,
            "wall_seconds": limits.wall_time,
        }

    def results(self) -> list[Result]:
        """Run everything; one result per requested rule, in the request's order.

        Raises:
            NotReleased: a dataset could not be read or loaded; the code says which step.
            Malformed: a child broke the protocol.
            EOFError, TimeoutError, OSError: a child is gone.
        """
        for dataset in self._agreement.datasets:
            if dataset.name in self._payloads:
                self._load(dataset)
        self._engine.send(self._order())
        found = self._serve_engine()
        if set(found) != set(self._run.request.rules):
            raise Malformed("engine", "the engine did not answer every rule")
        return [found[name] for name in self._run.request.rules]

    def _load(self, dataset: Dataset) -> None:
        payload = self._payloads[dataset.name]
        media = self._run.manifests[dataset.name].media
        output = memory.fixed_output(flat_bound(dataset, self._run.manifests[dataset.name].plaintext_size))
        try:
            spec = {"dataset": schema.encode(dataset), "format": media}
            outcome = self._jail("reader", spec, [payload.fd, output])
            if outcome != "ok":
                raise NotReleased(f"reader-{outcome}", f"the dataset {dataset.name} could not be read")
            message = {"op": "load", "dataset": dataset.name, "schema": schema.encode(dataset)}
            answer = self._engine.call(message, [output], timeout=ENGINE_SECONDS)
        finally:
            close_all([output])
        if answer.get("ok") is not True:
            raise NotReleased(f"load-{_reason(answer.get('refused'))}", f"the dataset {dataset.name} was refused")

    def _order(self) -> dict[str, Any]:
        """What the engine is to do. The run key orders views by content, so that equal inputs give equal audiences."""
        contents = sorted((name, payload.sha256) for name, payload in self._payloads.items())
        return {
            "op": "run",
            "agreement": schema.encode(self._agreement),
            "rules": list(self._run.request.rules),
            "columns": {name: list(columns) for name, columns in self._run.request.columns.items()},
            "query": self._queries(),
            "run_key": digest.sha256("run-key/v1", *(f"{n}={d}".encode() for n, d in contents)),
        }

    def _queries(self) -> dict[str, str]:
        """Texts of query bundles. Their archives are read here: strict, bounded, and by our own reader."""
        texts = {}
        for bundle in self._agreement.bundles:
            if bundle.lane == "query" and bundle.name in self._payloads:
                size = self._run.manifests[bundle.name].plaintext_size
                view = memory.map_readonly(self._payloads[bundle.name].fd)
                found = archives.read(view[:size])
                if found.manifest.lane != "query":
                    raise NotReleased("bundle-lane", f"the bundle {bundle.name} is not a query bundle")
                texts[bundle.name] = found.files[archives.QUERY].decode("utf-8", "strict")
        return texts

    def _serve_engine(self) -> dict[str, Result]:
        found: dict[str, Result] = {}
        ran: list[object] = []
        seen: dict[str, int] = {}
        while True:
            message, fds = self._engine.receive(ENGINE_SECONDS)
            with contextlib.ExitStack() as stack:
                stack.callback(close_all, fds)
                if message.get("done") is True:
                    return found
                if message.get("need") == "job":
                    # What a grant charges for the time of hidden code counts on one job for each rule.
                    if message.get("rule") in ran:
                        raise Malformed("engine", "the engine asks for a second job of one rule")
                    ran.append(message.get("rule"))
                    self._run_job(message, fds)
                    continue
                if message.get("need") == "blocks":
                    self._run_blocks(message, fds, seen)
                    continue
                result = _result(message, fds)
                if result.rule in found or result.rule not in self._run.request.rules:
                    raise Malformed("engine", "the engine answered a rule that was not asked for")
                found[result.rule] = result

    def _run_job(self, message: Mapping[str, Any], tables: Sequence[int]) -> None:
        name = message.get("rule")
        rule = self._agreement.rule(name) if name in self._run.request.rules else None
        if not isinstance(rule, (Metrics, AudienceToOwner)):
            raise Malformed("engine", "the engine asks for a job that no requested rule runs")
        size = message.get("output_bytes")
        if type(size) is not int or not 0 < size <= MOST_JOB_OUTPUT:
            raise Malformed("engine", "the engine asks for an output of no allowed size")
        output = memory.fixed_output(size)
        try:
            spec = {"tables": message.get("tables"), "ask": message.get("ask"), "seed": message.get("seed", 0)}
            outcome = self._jail("job", spec, [self._payloads[rule.bundle].fd, output, *tables])
            self._engine.send({"outcome": outcome}, [output] if outcome == "ok" else [])
        finally:
            close_all([output])

    def _run_blocks(self, message: Mapping[str, Any], tables: Sequence[int], seen: dict[str, int]) -> None:
        """One wave. The engine gets every output and no outcome; no rule's code sees more blocks than agreed."""
        name = message.get("rule")
        rule = self._agreement.rule(name) if name in self._run.request.rules else None
        if not isinstance(rule, VectorEstimate) or not 1 <= len(tables) <= rule.at_once:
            raise Malformed("engine", "the engine asks for blocks that no requested rule has")
        seen[rule.name] = seen.get(rule.name, 0) + len(tables)
        size = message.get("output_bytes")
        if seen[rule.name] > rule.blocks or type(size) is not int or not 0 < size <= MOST_BLOCK_OUTPUT:
            raise Malformed("engine", "the engine asks for more blocks or larger outputs than allowed")
        with contextlib.ExitStack() as stack:
            outputs: list[int] = []
            stack.callback(close_all, outputs)
            outputs.extend(memory.fixed_output(size) for _ in tables)
            pairs = [fd for pair in zip(outputs, tables, strict=True) for fd in pair]
            limits = {**self._limits, "memory_bytes": self._limits["memory_bytes"] // len(tables)}
            fds = [self._payloads[rule.bundle].fd, *pairs]
            if self._jail("blocks", message.get("spec"), fds, limits) != "ok":
                raise Malformed("engine", "blocks end in one way")
            self._engine.send({"outcome": "ok"}, outputs)

    def _jail(self, kind: str, spec: object, fds: Sequence[int], limits: Mapping[str, int] | None = None) -> str:
        message = {"op": "run", "kind": kind, "limits": limits or self._limits, "spec": spec}
        answer = self._zygote.call(message, fds, timeout=self._limits["wall_seconds"] + _GRACE)
        return _reason(answer.get("outcome"))


def needs_jobs(run: AdmittedRun) -> bool:
    """Whether a rule that was asked for runs hidden code."""
    return any(terms.is_opaque(run.agreed.agreement.rule(name)) for name in run.request.rules)


def flat_bound(dataset: Dataset, payload_size: int) -> int:
    """Bytes that a dataset's flat table can need at most: its header, cells and offsets, and the text that was sealed.

    Compressed formats may hold far more text than bytes; they get a factor of 16, and more is refused as too large.
    """
    cells = dataset.most_rows * len(dataset.columns)
    return (9 << 20) + 18 * min(cells, 16 * payload_size + 1024) + 16 * payload_size


def _result(message: Mapping[str, Any], fds: Sequence[int]) -> Result:
    if "withheld" in message:
        return Result(str(message["withheld"]), None, _reason(message.get("reason")))
    if "release" not in message:
        raise Malformed("engine", "the engine sent a message of no known kind")
    if message.get("canonical_fd") is True and len(fds) == 1:
        memory.require_seals(fds[0], memory.FIXED)  # a file that shrinks under our feet would end this process
        data = bytes(memory.map_readonly(fds[0])[:MOST_CANONICAL])
    else:
        text = message.get("canonical")
        if not isinstance(text, str):
            raise Malformed("engine", "the engine sent a release without content")
        data = text.encode()
    return Result(str(message["release"]), data, None)


def _reason(value: object) -> str:
    """A closed reason: letters, digits and dashes, short; anything else becomes `other`."""
    text = value if isinstance(value, str) else ""
    clean = text.isascii() and 0 < len(text) <= 40 and text.replace("-", "").isalnum()
    return text if clean else "other"
