"""Fuzzes every decoder for a while: `python -m tests.fuzz --seconds 600 [--executions N] [--record] [TARGET ...]`.

The time is divided among the targets, those with the fewest executions first; with `--executions`, a target that has as
many on record is done, and the time that it leaves goes to the others. A corpus grows under build/fuzz and is used
again; `--record` adds this session's counts to tests/fuzz/results.json and keeps a small corpus beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import corpus, registry, results
from tests.fuzz.results import Result
from tests.fuzz.target import Target

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "fuzz"
TIMEOUT, MEMORY_MB, GRACE = 60, 2048, 600
"""Seconds and MiB that one input, or the process, may take; seconds beyond its share until a process is ended."""
_EDGES = re.compile(r"cov: (\d+)")
_STAT = re.compile(r"stat::(\w+):\s+(\d+)")


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    known = results.load()
    chosen = [(family, t) for family, t in registry.targets() if not options.targets or t.name in options.targets]
    chosen.sort(key=lambda pair: _missing(known.get(pair[1].name, Result()), options.executions))
    left, failed = float(options.seconds), 0
    for done, (family, target) in enumerate(chosen):
        total = known.setdefault(target.name, Result())
        start = time.monotonic()
        limit = Limit(seconds=max(1, int(left / (len(chosen) - done))), executions=options.executions)
        good = fuzz(family, target, limit, total)
        left -= time.monotonic() - start
        failed += not good
        sys.stdout.write(
            f"{'ok  ' if good else 'FAIL'} {target.name}: {total.executions} executions so far, "
            f"{total.corpus} inputs, {total.edges} edges\n"
        )
        sys.stdout.flush()
        if options.record:
            corpus.keep(target.name, _folder(target, "corpus"))
            results.save(known)
    sys.stdout.write(f"{len(chosen) - failed} passed, {failed} failed\n")
    return 1 if failed or not chosen else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """How long a session may take, and how many executions a target should have on record after it (0: no matter)."""

    seconds: int
    executions: int

    def options(self, so_far: int) -> list[str]:
        """The same for libFuzzer."""
        runs = [f"-runs={self.executions - so_far}"] if self.executions else []
        return [f"-max_total_time={self.seconds}", *runs]


def fuzz(family: str, target: Target, limit: Limit, total: Result) -> bool:
    """One session of one target in a process of its own; adds to `total`. False if an input broke it."""
    if 0 < limit.executions <= total.executions:
        return True
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    inputs, seeds, artifacts = (_folder(target, name) for name in ("corpus", "seeds", "artifacts"))
    _write_seeds(target, seeds)
    command = [
        sys.executable, "-m", "tests.fuzz.driver", family, target.name, "--", str(inputs), str(seeds),
        *limit.options(total.executions), f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={target.most}", f"-artifact_prefix={artifacts}/", "-print_final_stats=1", "-verbosity=1",
        "-reload=0", "-len_control=0",
    ]  # fmt: skip
    log = _folder(target, "") / "log"
    with log.open("wb") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=out, cwd=ROOT, timeout=limit.seconds + GRACE, check=False)
            ended = code.returncode
        except subprocess.TimeoutExpired:
            ended = -1
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = log.read_text("utf-8", "replace")
    _count(total, text, inputs, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if ended:
        total.findings += 1
        sys.stdout.write(f"{target.name} ended with {ended}; see {log} and {artifacts}\n{text[-2000:]}\n")
    return ended == 0


def _count(total: Result, text: str, inputs: Path, seconds: float) -> None:
    stats = {name: int(number) for name, number in _STAT.findall(text)}
    today = dt.datetime.now(dt.UTC).date().isoformat()
    files = list(inputs.iterdir())
    total.executions += stats.get("number_of_executed_units", 0)
    total.seconds += round(seconds)
    total.first, total.last = total.first or today, today
    total.corpus, total.corpus_bytes = len(files), sum(path.stat().st_size for path in files)
    total.edges = max([total.edges, *map(int, _EDGES.findall(text))])
    total.most_memory_mb = max(total.most_memory_mb, stats.get("peak_rss_mb", 0))


def _write_seeds(target: Target, folder: Path) -> None:
    from tests.fuzz import seeds  # noqa: PLC0415 (a target's own seeds may need keys; asked for once per session)

    given = [
        *target.seeds(),
        *seeds.hostile(target.shape),
        *corpus.small(target.name),
        *corpus.found(target.name).values(),
    ]
    for number, data in enumerate(given):
        (folder / f"{number:04}").write_bytes(data)


def _folder(target: Target, name: str) -> Path:
    folder = WORK / target.name / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _missing(so_far: Result, executions: int) -> float:
    """What the targets are ordered by: those first that need the least time, or else that had the least."""
    if not executions:
        return so_far.executions
    return (executions - so_far.executions) * max(1, so_far.seconds) / max(1, so_far.executions)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=600, help="in all, divided among the targets")
    parser.add_argument("--executions", type=int, default=0, help="a target with as many on record is done")
    parser.add_argument("--record", action="store_true", help="add to tests/fuzz/results.json")
    parser.add_argument("targets", nargs="*", help="names of targets; all, if none is given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
