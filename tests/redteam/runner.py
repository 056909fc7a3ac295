"""Runs every hostile bundle against the real zygote of an image, and again without what stopped it.

Started by `tests.redteam` in the image's own interpreter: as a process, or inside a container. Prints one line per case
and writes the results as JSON; a failure's text begins with `FAILED`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

from sealroom.enclave import flat
from sealroom.enclave.jail import kernel, output, zygote
from sealroom.enclave.jail.outcomes import OUTCOMES
from sealroom.protocol import bundle
from sealroom.protocol.errors import NotReleased
from tests.redteam.cases import CASES, Case
from tests.redteam.contracts import CANARY, CONTRACTS, OPEN, Contract, Open
from tests.redteam.world import EARLIER, World
from tests.redteam.zygotes import MANIFEST, ROWS, Zygote, archive_of, forked_zygote, real_zygote

SUCCEEDS, CONTAINED, MACHINE = "succeeds", "stopped by the container", "stopped by the machine itself"
Any3 = Case | Contract | Open
_HONEST = b'"""' + EARLIER + b'"""\n\n\ndef run(tables, ask):\n    return [0, 1]\n'


class FailedError(Exception):
    """A case did not go as it must."""


def expect(condition: object, words: str) -> None:
    """Fail the case unless the condition holds."""
    if not condition:
        raise FailedError(words)


def stopped(case: Any3, jailer: Zygote, world: World, ends: frozenset[str]) -> bytes:
    """Run a bundle under every layer: a closed outcome, nothing on any channel. Returns the output's bytes."""
    world.settle()
    answer, written = jailer.run(
        archive_of(case.name, world), _ask(case), wall=1 if case.name == "never_waking" else 60
    )
    expect(set(answer) == {"outcome"} and answer["outcome"] in OUTCOMES, f"the answer is not closed: {answer}")
    expect(answer["outcome"] in ends, f"ended in {answer['outcome']}, not {sorted(ends)}")
    expect(not (seen := world.seen()), f"came out by {sorted(seen)}")
    return written


def _ask(case: Any3) -> str:
    return "rows" if isinstance(case, Open) else case.ask


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where cases are run: the real zygote, and one fork for each set of layers that a case goes without."""

    real: Zygote
    world: World
    contained: bool
    forks: contextlib.ExitStack
    others: dict[tuple[str, ...], Zygote]

    def without(self, layers: tuple[str, ...]) -> Zygote:
        """A zygote whose jails go without these layers."""
        if layers not in self.others:
            self.others[layers] = self.forks.enter_context(forked_zygote(self.world, layers))
            expect(not set(layers) & set(self.others[layers].layers), "the layers are still there")
        return self.others[layers]


def check_case(case: Case, place: Place) -> str:
    """Stopped with all layers; without those that stop it, seen to get through."""
    world, contained = place.world, place.contained
    stopped(case, place.real, world, case.ends)
    answer, _ = place.without(case.stopped).run(archive_of(case.name, world), case.ask)
    seen = {"forged"} if answer.get("leak") == CANARY.decode() else set()
    seen |= {"outcome"} if answer["outcome"] == "ok" else set()
    seen |= world.seen("" if case.proof in seen or contained else case.proof)
    if case.proof in seen:
        expect(not (contained and case.contained), "the container's settings do not stop it")
        return SUCCEEDS
    if contained:
        return CONTAINED
    expect(case.outer and case.errno, f"ended in {answer['outcome']}, saw {sorted(seen)}")
    status, text = _plain(case.name, world)
    expect(status == case.errno or f"[Errno {case.errno}]".encode() in text, f"outside a jail: {text.decode()[-200:]}")
    return f"{MACHINE}, {case.outer}"


def check_contract(case: Contract, place: Place) -> str:
    """Stopped by our check; a reader or a parent that does not check would have something."""
    jailer, world = place.real, place.world
    if case.name == "earlier_run":
        answer, _ = jailer.run(
            bundle.build({"bundle.json": MANIFEST, "job.py": _HONEST}), "rows", text=EARLIER.decode()
        )
        expect(answer == {"outcome": "ok"}, f"the run before ended in {answer}")
    written = stopped(case, jailer, world, frozenset({case.ends}))
    if case.clean:
        expect(output.read_rows(written, 2, ROWS).tolist() == [0, 1], "the output is another")
    if case.naive is not None:
        _refused(case, written)
    else:
        _bare(case, place)
    return SUCCEEDS


def check_open(case: Open, place: Place) -> str:
    """It gets through, as we say."""
    began = time.monotonic()
    stopped(case, place.real, place.world, frozenset({"ok"}))
    expect(time.monotonic() - began >= case.seconds, "it was faster than it wanted")
    return SUCCEEDS


def _refused(case: Contract, written: bytes) -> None:
    """The engine refuses what the bundle wrote; a reader without the check would hand it on."""
    try:
        if case.ask == "rows":
            output.read_rows(written, 2, ROWS)
        else:
            output.read_scores(written, ROWS)
    except NotReleased as error:
        expect(error.code == case.code, f"refused as {error.code}, not {case.code}")
    else:
        raise FailedError("the engine accepts it")
    expect(case.naive is not None and case.naive(written), "nothing to be had without the check")


def _bare(case: Contract, place: Place) -> None:
    """Show what a parent would learn that does not keep the contract."""
    world = place.world
    if case.name in ("never_waking", "earlier_run"):  # a fork of this process, which has seen the earlier run
        answer, _ = place.without(()).run(archive_of(case.name, world), "rows")
        expect(answer == {"outcome": "ok" if case.name == "never_waking" else "error"}, f"ended in {answer}")
    elif case.name in ("larger_output", "write_input"):
        expect(CANARY[:16] in _unsealed(case.name, world), "the file did not change")
    else:
        status, text = _plain(case.name, world)
        shown = case.shows in text if case.status is None else status == case.status
        expect(shown, f"nothing to be had without the contract: {status}, {text.decode()[-200:]}")


def _plain(name: str, world: World) -> tuple[int, bytes]:
    """Run a bundle as a script would be run: its exit status, and what it prints."""
    files = bundle.read(archive_of(name, world)).files
    code = f"import sys, types\nsys.path += {sys.path!r}\n"
    for module in ("target", "tools"):
        code += f"m = sys.modules[{module!r}] = types.ModuleType({module!r})\n"
        code += f"exec({files[module + '.py']!r}, m.__dict__)\n"
    code += f"exec({files['job.py']!r})\nprint(repr(run({{}}, None)))\n"
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def _unsealed(name: str, world: World) -> bytes:
    """Run the bundle's function on a memory file that anybody may change or enlarge, in a plain child."""
    files = bundle.read(archive_of(name, world)).files
    fd = os.memfd_create("unsealed")
    os.write(fd, flat.to_bytes([flat.text_column("w", ["x" * 16])]))
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


def check(case: Any3, place: Place) -> str:
    """One case, both ways; returns what to say about the second."""
    if isinstance(case, Case):
        return check_case(case, place)
    return check_contract(case, place) if isinstance(case, Contract) else check_open(case, place)


def run_all(world: World, boot: Path, *, contained: bool, only: list[str]) -> dict[str, str]:
    """Every case; what somebody does late counts against the last one."""
    results: dict[str, str] = {}
    with real_zygote(world, boot) as jailer, contextlib.ExitStack() as forks:
        place = Place(jailer, world, contained, forks, {})
        for case in (*CASES, *CONTRACTS, *OPEN):
            if only and case.name not in only:
                continue
            try:
                results[case.name] = check(case, place)
                if case is OPEN[-1]:
                    expect(not (seen := world.seen(seconds=1)), f"came out late by {sorted(seen)}")
            except Exception as error:  # noqa: BLE001 -- one broken case must not hide the others
                detail = "" if isinstance(error, FailedError) else f"\n{traceback.format_exc()}"
                results[case.name] = f"FAILED: {error}{detail}"
            print(f"{case.name:20} {results[case.name]}", flush=True)
    return results


def main() -> int:
    """Run all cases in this place."""
    parser = argparse.ArgumentParser(description="run the hostile bundles")
    parser.add_argument("--boot", type=Path, required=True, help="boot.py of the image")
    parser.add_argument("--contained", action="store_true", help="this is a container")
    parser.add_argument("--json", type=Path, required=True, help="write the results to this file")
    parser.add_argument("--only", nargs="*", default=[], help="names of cases")
    arguments = parser.parse_args()
    world = World()
    try:
        zygote.prepare()
        zygote.prepare_jobs()
        results = run_all(world, arguments.boot, contained=arguments.contained, only=arguments.only)
    finally:
        world.close()
    arguments.json.write_text(json.dumps(results, indent=1))
    return int(any(text.startswith("FAILED") for text in results.values()))


if __name__ == "__main__":
    sys.exit(main())
