"""The gate's side of a real zygote, for tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.jail import output
from sealroom.protocol import bundle

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
LIMITS = {"memory_bytes": 512 << 20, "cpu_seconds": 30, "wall_seconds": 60}


class Zygote:
    """A zygote in its own interpreter; `ready` is its first message."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.control = control
        self.process = process
        self.ready = frames.receive(control, timeout=120)[0]

    def ask(self, message: dict[str, Any], fds: Sequence[int]) -> Any:
        frames.send(self.control, message, fds)
        answer, _ = frames.receive(self.control, timeout=120)
        assert set(answer) == {"outcome"}
        return answer["outcome"]

    def job(
        self,
        source: str | dict[str, bytes],
        *,
        kind: str = "rows",
        size: int = 2,
        limits: dict[str, int] | None = None,
        columns: Sequence[flat.Column] | None = None,
        count: int | None = None,
    ) -> tuple[str, bytes]:
        """Outcome and output of a job on a table `t`; `count` items fit into the output."""
        files = {"job.py": source.encode()} if isinstance(source, str) else source
        archive = bundle.build({"bundle.json": MANIFEST} | files)
        columns = columns if columns is not None else [flat.int_column("n", np.arange(10))]
        room = size if count is None else count
        fds = [
            memory.sealed_copy("a", [archive]),
            memory.fixed_output(output.size_of(room)),
            flat.to_memfd("t", columns),
        ]
        ask = {"kind": kind, "table": "t", "size": size, "label": "n", "positive": "1"}
        spec = {"tables": ["t"], "ask": ask, "seed": 7}
        outcome = self.ask({"op": "run", "kind": "job", "limits": LIMITS | (limits or {}), "spec": spec}, fds)
        data = bytes(memory.map_readonly(fds[1]))
        frames.close_all(fds)
        return outcome, data

    def blocks(
        self,
        source: str | dict[str, bytes],
        tables: Sequence[Sequence[flat.Column]],
        *,
        bounds: Sequence[tuple[int, int]] = ((-1000, 1000), (0, 2000)),
        milliseconds: int = 1500,
        limits: dict[str, int] | None = None,
        lane: bytes = b"blocks",
    ) -> list[bytes]:
        """Outputs of a wave: one jail for each table, asked for a vector within `bounds` (thousandths)."""
        files = {"job.py": source.encode()} if isinstance(source, str) else source
        archive = bundle.build({"bundle.json": MANIFEST.replace(b"whole", lane)} | files)
        outputs = [memory.fixed_output(output.size_of(len(bounds))) for _ in tables]
        views = [flat.to_memfd("block", columns) for columns in tables]
        fds = [memory.sealed_copy("a", [archive]), *(fd for pair in zip(outputs, views, strict=True) for fd in pair)]
        names = [{"name": f"c{i}", "least": least, "most": most} for i, (least, most) in enumerate(bounds)]
        spec = {"table": "block", "coordinates": names, "seed": 7, "milliseconds": milliseconds}
        message = {"op": "run", "kind": "blocks", "limits": LIMITS | (limits or {}), "spec": spec}
        assert self.ask(message, fds) == "ok"
        data = [bytes(memory.map_readonly(fd)) for fd in outputs]
        frames.close_all(fds)
        return data

    def read(self, dataset: dict[str, Any], payload: bytes, form: str, *, room: int = 1 << 20) -> tuple[str, bytes]:
        """Outcome and output of a reader."""
        fds = [memory.sealed_copy("p", [payload]), memory.fixed_output(room)]
        spec = {"dataset": dataset, "format": form}
        outcome = self.ask({"op": "run", "kind": "reader", "limits": LIMITS, "spec": spec}, fds)
        data = bytes(memory.map_readonly(fds[1]))
        frames.close_all(fds)
        return outcome, data


@contextlib.contextmanager
def zygote() -> Iterator[Zygote]:
    ours, theirs = socket.socketpair()
    packages = os.path.dirname(os.path.dirname(np.__file__))
    start = f"import sys; sys.path[:0] = {[str(ROOT), packages]!r}; from sealroom.enclave.jail import zygote; "
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", f"{start}zygote.main({theirs.fileno()})"],
        pass_fds=[theirs.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    with ours:
        yield Zygote(ours, process)
    process.wait(30)
