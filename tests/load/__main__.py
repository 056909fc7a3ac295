"""`python -m tests.load --runs 50 --store sqlite`: many whole runs at once; what was counted goes to build/load/."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.crash.programs import IMAGE, ROOT
from tests.load import checks, play
from tests.load.play import Load
from tests.postgres import BOTH, MISSING, Server, binaries

RESULTS = ROOT / "build" / "load" / "results.json"


def run(folder: Path, count: int, store: str, server: Server | None = None) -> dict[str, Any]:
    """Play `count` runs and check everything; what was counted, with what was wrong."""
    with play.prepared(folder, count, store, server) as scene:
        load = Load(scene, count, patience=300)
        seconds = load.play()
        turned = play.turned_away(scene)
        wrong = sorted(set(checks.wrong(load, count)))
    failed = {name for name, _ in wrong if any(one.run == name for one in load.played)}
    return {
        "store": store, "runs": count, "requesters": play.REQUESTERS, "processors": os.cpu_count(),
        "seconds": round(seconds, 1), "runs_per_minute": round(60 * count / seconds, 2),
        "last_tenth_over_first": play.by_tenths(load.played),
        "asked_again": dict(load.turned_away), "turned_away": dict(turned),
        "failed": len(failed) or int(bool(wrong)), "wrong": wrong[:100],
    }  # fmt: skip


def main() -> int:
    """Play, write down, and add up; 0 if nothing was lost, doubled or wrongly charged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--store", choices=BOTH, default=BOTH[0])
    given = parser.parse_args()
    if given.store == "postgresql" and binaries() is None:
        print(MISSING, file=sys.stderr)
        return 2
    if not (IMAGE / "launch.json").is_file():
        print("there is no image: run `make image` first", file=sys.stderr)
        return 2
    server = Server() if given.store == "postgresql" else None
    try:
        if server is not None:
            server.start()
        with tempfile.TemporaryDirectory(prefix="sealroom-load-") as folder:
            found = run(Path(folder), given.runs, given.store, server)
    finally:
        if server is not None:
            server.close()
    keep(found)
    print(json.dumps(found, indent=2))
    print(f"{given.runs - found['failed']} passed, {found['failed']} failed")
    return int(found["failed"] > 0)


def keep(found: dict[str, Any]) -> None:
    """One result for each store and number of runs, the newest one."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else []
    same = (found["store"], found["runs"])
    results = [one for one in known if (one["store"], one["runs"]) != same]
    RESULTS.write_text(json.dumps([*results, found], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
