"""Kills at random points of whole runs: `python -m tests.crash.random_kills --seed 1 --kills 200 --jobs 2`.

A seed and a batch's number decide what is killed, at which of its points, how much later, and what is asked for. Each
kill has a run of its own; a batch shares one gateway and one pair of ledgers, which are checked after its last run.
What passed is written to build/crash/random-<seed>.jsonl and not played again; `--anew` plays everything again.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.crash import batch
from tests.crash.programs import ROOT
from tests.crash.setting import Scene
from tests.crash.template import Template

SIZE = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """One batch: its number, its kills, and what was wrong with it, if anything."""

    number: int
    kills: list[dict[str, Any]]
    wrong: str


def main() -> int:
    """Share the batches among workers, then add up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything that was started is ended
    record = ROOT / "build" / "crash" / f"random-{given.seed}.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True)
    if given.worker is not None:
        work(given, record)
        return 0
    if given.anew:
        record.unlink(missing_ok=True)
    arguments = ["--seed", given.seed, "--kills", str(given.kills), "--jobs", str(given.jobs)]
    command = [sys.executable, "-m", "tests.crash.random_kills", *arguments]
    workers = [subprocess.Popen([*command, "--worker", str(n)], cwd=ROOT) for n in range(given.jobs)]
    try:
        ended = [worker.wait() for worker in workers]
    except (KeyboardInterrupt, SystemExit):
        for worker in workers:
            worker.terminate()
        raise
    return tell(given.kills, read(record)) or any(ended)


def sizes(kills: int) -> dict[int, int]:
    """How many kills each batch has."""
    return {n: min(SIZE, kills - n * SIZE) for n in range(-(-kills // SIZE))}


def read(record: Path) -> dict[int, Played]:
    """Every batch's last result."""
    found: dict[int, Played] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in record.read_text("utf-8").splitlines():
            played = Played(**json.loads(line))
            found[played.number] = played
    return found


def work(given: argparse.Namespace, record: Path) -> None:
    """Play every `jobs`th batch that has not passed before."""
    mine = [n for n in sizes(given.kills) if n % given.jobs == given.worker]
    known = read(record)
    mine = [n for n in mine if n not in known or known[n].wrong or len(known[n].kills) < sizes(given.kills)[n]]
    if not mine:
        return
    with tempfile.TemporaryDirectory(prefix="sealroom-crash-") as folder:
        template = Template(Path(folder) / "template")
        with template.processor():
            for number in mine:
                played = play(
                    template, Path(folder) / f"batch-{number}", given.seed, (number, sizes(given.kills)[number])
                )
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(played)) + "\n")


def play(template: Template, folder: Path, seed: str, which: tuple[int, int]) -> Played:
    """One batch; whatever does not hold is told and kept, and its folder stays to be looked at."""
    number, size = which
    scene, kills, wrong = Scene(template, folder), list[dict[str, Any]](), ""
    try:
        batch.play(scene, random.Random(f"{seed}/{number}"), size, kills)
    except Exception:  # noqa: BLE001 (told, kept, and counted)
        wrong = traceback.format_exc()
        kept = ROOT / "build" / "crash" / f"failed-{seed}-{number}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, ignore_dangling_symlinks=True, ignore=shutil.ignore_patterns("*.sock", "tsm"))
        print(f"batch {number}: FAILED, see {kept}\n{wrong}", flush=True)
    finally:
        scene.close()
    for kill in kills:
        print(f"batch {number}: {kill['victim']} at {kill['point']}: {kill['state']}", flush=True)
    return Played(number, kills, wrong)


def tell(kills: int, found: dict[int, Played]) -> int:
    """Sum up; a kill counts as passed if everything held in its batch, and as failed if it was played and did not."""
    wanted = sizes(kills)
    failed = sum(size for n, size in wanted.items() if n in found and found[n].wrong)
    passed = sum(len(found[n].kills) for n in wanted if n in found and not found[n].wrong)
    by_victim = Counter(kill["victim"] for n in wanted if n in found for kill in found[n].kills)
    by_state = Counter(kill["state"] for n in wanted if n in found for kill in found[n].kills)
    print("victims: " + ", ".join(f"{name} {count}" for name, count in sorted(by_victim.items())))
    print("runs: " + ", ".join(f"{name} {count}" for name, count in sorted(by_state.items())))
    print(f"not played: {kills - passed - failed}")
    print(f"{passed} passed, {failed} failed")
    return int(passed != kills)


if __name__ == "__main__":
    sys.exit(main())
