"""`python -m bench`: measure everything, print a table, write build/bench/results.json.

BENCH_SMALL=1 measures small sizes in few rounds, to see that it runs; BENCH_IMAGE names another image folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import linkage, machine, objects, processes, statements
from bench.timing import Measured, Pair, measure

ROOT = Path(__file__).resolve().parent.parent
FORMAT = "sealroom/bench/v1"


def main() -> int:
    small = os.environ.get("BENCH_SMALL", "") not in ("", "0")
    image = Path(os.environ.get("BENCH_IMAGE", ROOT / "build" / "image"))
    target = Path(os.environ.get("BENCH_OUT", ROOT / "build" / "bench" / "results.json"))
    before, skipped = machine.load(), []
    if not (image / "launch.json").is_file():
        skipped.append({"name": "cold", "reason": "there is no image; build it with `make image`"})
    found = []
    for rounds, pair in _pairs(None if skipped else image, small=small):
        result = measure(pair, rounds=2 if small else rounds)
        sys.stdout.write(_line(result) + "\n")
        sys.stdout.flush()
        found.append(result.document())
    for item in skipped:
        sys.stdout.write(f"{item['name']:<10} skipped: {item['reason']}\n")
    document = {
        "format": FORMAT, "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "small": small,
        "machine": machine.described(), "load_before": before, "load_after": machine.load(),
        "results": found, "skipped": skipped,
    }  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    sys.stdout.write(
        f"{machine.described()['processor']}, {os.cpu_count()} cores, load {before[0]} to {machine.load()[0]}\n"
    )
    sys.stdout.write(f"written to {target}\n")
    return 0


def _pairs(image: Path | None, *, small: bool) -> Iterator[tuple[int, Pair]]:
    for source in (objects, statements, linkage):
        for pair in source.pairs(small=small):
            yield 9, pair
    with processes.jail(small=small) as pair:
        yield 9, pair
    if image is not None:
        for pair in processes.cold(image.resolve()):
            yield 5, pair


def _line(found: Measured) -> str:
    verdict = {True: "met", False: "MISSED", None: "-"}[found.met]
    spread = f"({found.ratio_least:.2f}-{found.ratio_most:.2f})"
    times = f"{found.ours_seconds * 1e3:>10.3f} ms {found.bare_seconds * 1e3:>10.3f} ms {found.clock:<8}"
    return f"{found.name:<10} {found.ratio:>6.2f} x {spread:<14} {times} goal {verdict:<6} {found.ours}"


if __name__ == "__main__":
    sys.exit(main())
