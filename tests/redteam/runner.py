"""Runs every hostile bundle against the real zygote and jail, and again without the layer that stopped it.

    python -m tests.redteam.runner [--write] [--json FILE]

Prints one line per case and ends with `N passed, N failed`; `--write` renews docs/REDTEAM.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sealroom.enclave import flat, frames, memory  # noqa: E402
from sealroom.enclave.jail import kernel, output, zygote  # noqa: E402
from sealroom.enclave.jail.outcomes import OUTCOMES  # noqa: E402
from sealroom.protocol import bundle  # noqa: E402
from sealroom.protocol.errors import NotReleased  # noqa: E402
from tests.redteam import page  # noqa: E402
from tests.redteam.cases import CASES, CONTRACTS, Case, Contract  # noqa: E402
from tests.redteam.world import CANARY, World  # noqa: E402

BUNDLES = ROOT / "tests" / "redteam" / "bundles"
MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
ROWS = 4
_LIMITS = {"memory_bytes": 256 << 20, "cpu_seconds": 2, "wall_seconds": 10}


class FailedError(Exception):
    """A case did not go as it must."""


class Zygote:
    """The gate's side of one zygote."""

    def __init__(self, control: socket.socket) -> None:
        """Wait until it is ready."""
        self.control = control
        self.layers = frames.receive(control, timeout=120)[0]["layers"]

    def run(self, archive: bytes, ask: str, *, wall: int = 60) -> tuple[dict[str, Any], bytes]:
        """The answer as it came over the socket, and the output's bytes."""
        table = flat.to_memfd("t", [flat.int_column("n", np.arange(ROWS))])
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
def real_zygote(world: World) -> Iterator[Zygote]:
    """The zygote as an enclave starts it: another interpreter, isolated, without site."""
    ours, theirs = socket.socketpair()
    packages = os.path.dirname(os.path.dirname(np.__file__))
    start = f"import sys; sys.path[:0] = {[str(ROOT), packages]!r}; from sealroom.enclave.jail import zygote; "
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", f"{start}zygote.main({theirs.fileno()})"],
        pass_fds=[theirs.fileno()],
        stdout=world.stdout,
        stderr=world.stdout,
        env={"SEALROOM_SECRET": CANARY.decode()},
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


def expect(condition: object, words: str) -> None:
    """Fail the case unless the condition holds."""
    if not condition:
        raise FailedError(words)


def stopped(case: Case | Contract, zygote_: Zygote, world: World) -> bytes:
    """Run a bundle under every layer: a closed outcome, nothing on any channel. Returns the output's bytes."""
    answer, written = zygote_.run(archive_of(case.name, world), case.ask, wall=1 if case.name == "never_waking" else 60)
    expect(set(answer) == {"outcome"} and answer["outcome"] in OUTCOMES, f"the answer is not closed: {answer}")
    expect(answer["outcome"] in case.ends, f"ended in {answer['outcome']}, not {sorted(case.ends)}")
    expect(not (seen := world.seen()), f"came out by {sorted(seen)}")
    return written


def succeeds(case: Case, world: World) -> str:
    """Run a bundle without the layers that stop it; returns how one saw that it got through."""
    with forked_zygote(world, case.stopped) as other:
        expect(not set(case.stopped) & set(other.layers), "the layers are still there")
        answer, _ = other.run(archive_of(case.name, world), case.ask)
    seen = world.seen() | ({"forged"} if answer.get("leak") == CANARY.decode() else set())
    seen |= {"outcome"} if answer["outcome"] == "ok" else set()
    if case.proof in seen:
        return "succeeds"
    expect(case.outer and answer["outcome"] not in case.ends, f"ended in {answer['outcome']}, saw {sorted(seen)}")
    status, text = _plain(case.name, world)
    expect(status == case.errno or f"[Errno {case.errno}]".encode() in text, f"outside a jail: {text.decode()[-200:]}")
    return f"stopped by the machine itself, {case.outer}"


def refused(case: Contract, written: bytes) -> None:
    """The engine refuses what the bundle wrote; a reader without the check would hand it on."""
    read = output.read_rows if case.ask == "rows" else output.read_scores
    sizes = (2, ROWS) if case.ask == "rows" else (ROWS,)
    try:
        read(written, *sizes)
    except NotReleased as error:
        expect(error.code == case.code, f"refused as {error.code}, not {case.code}")
    else:
        raise FailedError("the engine accepts it")
    expect(case.naive is not None and case.naive(written), "nothing to be had without the check")


def succeeds_bare(case: Contract, world: World) -> None:
    """Show what a parent would learn that does not keep the contract."""
    if case.name == "never_waking":
        with forked_zygote(world, ()) as other:
            expect(other.run(archive_of(case.name, world), "rows")[0] == {"outcome": "ok"}, "did not return")
    elif case.name == "larger_output":
        expect(CANARY in _unsealed(world), "the output did not grow")
    else:
        status, text = _plain(case.name, world)
        expect(status == 42 if case.name == "exit_code" else CANARY in text, "nothing to be had without the contract")


def _plain(name: str, world: World) -> tuple[int, bytes]:
    """Run a bundle as a script would be run: its exit status, and what it prints."""
    files = bundle.read(archive_of(name, world)).files
    code = "import sys, types\n"
    for module in ("target", "tools"):
        code += f"m = sys.modules[{module!r}] = types.ModuleType({module!r})\n"
        code += f"exec({files[module + '.py']!r}, m.__dict__)\n"
    code += f"exec({files['job.py']!r})\nprint(run({{}}, None))\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def _unsealed(world: World) -> bytes:
    """Run the bundle's function on an output that anybody may enlarge, in a plain child."""
    files = bundle.read(archive_of("larger_output", world)).files
    fd = os.memfd_create("unsealed")
    os.ftruncate(fd, output.size_of(2))
    pid = os.fork()
    if not pid:
        kernel.close_from(fd + 1)
        os.closerange(3, fd)
        with contextlib.suppress(BaseException):
            from sealroom.enclave.jail import importer  # noqa: PLC0415

            importer.install(files)
            __import__("job").run({}, None)
        os._exit(0)
    os.waitpid(pid, 0)
    data = os.pread(fd, 1 << 20, 0)
    os.close(fd)
    return data


def check(case: Case | Contract, real: Zygote, world: World) -> str:
    """One case, both ways; returns what to say about the second."""
    written = stopped(case, real, world)
    if isinstance(case, Case):
        return succeeds(case, world)
    if case.naive is not None:
        refused(case, written)
    else:
        succeeds_bare(case, world)
    return "succeeds"


def run_all(world: World) -> dict[str, str]:
    """Every case; a failure's text begins with `FAILED`."""
    results: dict[str, str] = {}
    with real_zygote(world) as real:
        for case in (*CASES, *CONTRACTS):
            try:
                results[case.name] = check(case, real, world)
            except Exception as error:  # noqa: BLE001 -- one broken case must not hide the others
                detail = "" if isinstance(error, FailedError) else f"\n{traceback.format_exc()}"
                results[case.name] = f"FAILED: {error}{detail}"
            print(f"{case.name:20} {results[case.name]}", flush=True)
    return results


def main() -> int:
    """Run all cases, print them, and renew the page if asked."""
    parser = argparse.ArgumentParser(description="run the hostile bundles")
    parser.add_argument("--write", action="store_true", help="renew docs/REDTEAM.md")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    if "SEALROOM_SECRET" not in os.environ:  # what /proc shows is the environment that a process was started with
        again = [sys.executable, "-m", "tests.redteam.runner", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"SEALROOM_SECRET": CANARY.decode()})  # noqa: S606
    world = World()
    try:
        zygote.prepare()
        results = run_all(world)
    finally:
        world.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    failed = sum(text.startswith("FAILED") for text in results.values())
    if arguments.write and not failed:
        (ROOT / "docs" / "REDTEAM.md").write_text(page.render())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
