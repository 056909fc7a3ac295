"""Starting the enclave's two workers against bare imports, and a jail against a bare fork: wall-clock time."""

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

from bench.timing import Goal, Pair
from sealroom.enclave import flat, frames, memory
from sealroom.enclave.gate.children import Child
from sealroom.enclave.jail import layers, libraries, output
from sealroom.protocol import bundle

ROOT = Path(__file__).resolve().parent.parent
_MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
_JOB = b"def run(tables, ask): return range(ask.size)\n"
_LIMITS = {"memory_bytes": 1 << 30, "cpu_seconds": 30, "wall_seconds": 60}
_OF_READERS = [name for name in libraries.READERS if not name.startswith("sealroom")]
_OF_ENGINE = [
    "numpy", "pyarrow", "pyarrow.compute", "duckdb", "opendp.accuracy", "opendp.measurements", "anyascii",
]  # fmt: skip


def cold(image: Path) -> Iterator[Pair]:
    """Both workers at once, as a gate starts them, until both are ready: on the wall, and in processor time."""
    start = [str(image / "python/bin/python3"), "-I", "-S", "-B"]

    def ours() -> None:
        with contextlib.ExitStack() as stack:
            children = [
                stack.enter_context(Child([*start, str(image / "app/boot.py"), role])) for role in ("zygote", "engine")
            ]
            for child in children:
                child.wait_ready()

    def bare() -> None:
        with contextlib.ExitStack() as stack:
            started = [
                stack.enter_context(_importing(start, image / "job", names)) for names in (_OF_READERS, _OF_ENGINE)
            ]
            for process in started:
                assert process.stdout is not None  # noqa: S101
                if process.stdout.readline() != b"ready\n":
                    raise AssertionError("the imports failed")
                process.kill()

    what = "start zygote and engine from the image until both are ready"
    imports = "import the same packages in two processes"
    yield Pair(name="cold", ours=what, bare=imports, run_ours=ours, run_bare=bare, clock="wall", goal=Goal(ratio=1.1))
    yield Pair(name="cold-cpu", ours=what, bare=imports, run_ours=ours, run_bare=bare, clock="children",
               goal=Goal(ratio=1.1))  # fmt: skip


def _importing(start: Sequence[str], packages: Path, names: Sequence[str]) -> subprocess.Popen[bytes]:
    script = f"import sys; sys.path.append({str(packages)!r}); import {', '.join(names)}; print('ready', flush=True)"
    # A session of its own, as `Child` has: kernels share the processor out among sessions.
    return subprocess.Popen(
        [*start, "-c", script], stdout=subprocess.PIPE, env={**layers.ENVIRONMENT}, start_new_session=True
    )


@contextlib.contextmanager
def jail(*, small: bool) -> Iterator[Pair]:
    """A job that does nothing on ten rows, from the request's frame to the outcome's."""
    ours, theirs = socket.socketpair()
    packages = os.path.dirname(os.path.dirname(np.__file__))
    path = f"import sys; sys.path[:0] = {[str(ROOT), packages]!r}"
    script = f"{path}; from bench import forker; forker.main({theirs.fileno()})"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-B", "-c", script], pass_fds=[theirs.fileno()])
    theirs.close()
    archive = memory.sealed_copy("bundle", [bundle.build({"bundle.json": _MANIFEST, "job.py": _JOB})])
    table = flat.to_memfd("t", [flat.int_column("n", np.arange(10))])
    ask = {"kind": "rows", "table": "t", "size": 2, "label": None, "positive": None}
    order = {"op": "run", "kind": "job", "limits": _LIMITS, "spec": {"tables": ["t"], "ask": ask, "seed": 1}}

    def call(message: dict[str, Any], fds: Sequence[int]) -> None:
        frames.send(ours, message, fds)
        if frames.receive(ours, timeout=120)[0] != {"outcome": "ok"}:
            raise AssertionError("the jail did not give an answer")

    def job() -> None:
        target = memory.fixed_output(output.size_of(2))
        call(order, [archive, target, table])
        os.close(target)

    try:
        frames.receive(ours, timeout=180)
        yield Pair(name="jail", ours="run a job of one line in a fresh jail, frame to frame",
                   bare="fork and exit of the same process, frame to frame", run_ours=job,
                   run_bare=lambda: call({"op": "fork"}, []), clock="wall", times=3 if small else 20,
                   goal=Goal(seconds=0.02))  # fmt: skip
    finally:
        ours.close()
        frames.close_all([archive, table])
        process.wait(30)
