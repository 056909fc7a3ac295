"""The real zygote as an enclave starts it, and forks of one whose jails go without some layers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.jail import kernel, output, zygote
from sealroom.protocol import bundle
from tests.redteam.contracts import CANARY
from tests.redteam.world import World

BUNDLES = Path(__file__).resolve().parent / "bundles"
MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
ROWS = 4
_LIMITS = {"memory_bytes": 256 << 20, "cpu_seconds": 2, "wall_seconds": 10}


class Zygote:
    """The gate's side of one zygote."""

    def __init__(self, control: socket.socket) -> None:
        """Wait until it is ready."""
        self.control = control
        self.layers = frames.receive(control, timeout=120)[0]["layers"]

    def run(self, archive: bytes, ask: str, *, wall: int = 60, text: str = "") -> tuple[dict[str, Any], bytes]:
        """The answer as it came over the socket, and the output's bytes; `text` stands in the table's other column."""
        columns = [flat.int_column("n", np.arange(ROWS)), flat.text_column("w", [text] * ROWS)]
        table = flat.to_memfd("t", columns)
        size = output.size_of(2 if ask == "rows" else ROWS)
        fds = [memory.sealed_copy("archive", [archive]), memory.fixed_output(size), table]
        question = {"kind": ask, "table": "t", "size": 2, "label": None, "positive": None}
        spec = {"tables": ["t"], "ask": question, "seed": 1}
        limits = _LIMITS | {"wall_seconds": wall}
        frames.send(self.control, {"op": "run", "kind": "job", "limits": limits, "spec": spec}, fds)
        answer, _ = frames.receive(self.control, timeout=120)
        written = bytes(memory.map_readonly(fds[1]))
        frames.close_all(fds)
        return answer, written


def archive_of(name: str, world: World) -> bytes:
    """The bundle as its author would pack it, with a module that says where everything is."""
    files = {
        "bundle.json": MANIFEST,
        "job.py": (BUNDLES / name / "job.py").read_bytes(),
        "tools.py": (BUNDLES / "tools.py").read_bytes(),
        "target.py": world.target(),
    }
    return bundle.build(files)


@contextlib.contextmanager
def real_zygote(world: World, boot: Path) -> Iterator[Zygote]:
    """The zygote as the gate starts it: from the image, isolated, without site; only its output goes somewhere."""
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(boot), "zygote", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdout=world.stdout,
        stderr=world.stdout,
        env={"SEALROOM_SECRET": CANARY.decode()},
        start_new_session=True,
    )
    theirs.close()
    with ours:
        yield Zygote(ours)
    child.wait(30)


@contextlib.contextmanager
def forked_zygote(world: World, without: tuple[str, ...]) -> Iterator[Zygote]:
    """A zygote forked from this process, whose jails go without some layers."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        for standard in (1, 2):
            os.dup2(world.stdout, standard)
        # Nothing of this process but the socket, or a job without that layer would find the other zygote's, too.
        os.closerange(3, theirs.fileno())
        kernel.close_from(theirs.fileno() + 1)
        os.environ["SEALROOM_SECRET"] = CANARY.decode()
        with contextlib.suppress(BaseException):
            zygote.serve(theirs, without=frozenset(without))
        os._exit(0)
    theirs.close()
    try:
        with ours:
            yield Zygote(ours)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
