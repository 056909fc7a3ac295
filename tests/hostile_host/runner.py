"""Plays every case of the malicious host, and its unmanipulated twin.

    python -m tests.hostile_host.runner [--write] [NAME...]

Prints one line per case and ends with `N passed, N failed`. `--write` takes what was seen for what is expected, to be
read before it is committed, and renews docs/HOSTILE_HOST.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor

from tests.hostile_host import page, table
from tests.hostile_host.case import Case, codes, judge, observed

BY_NAME = {case.name: case for case in table.CASES}


def play(name: str) -> tuple[str, str]:
    """One case against what is expected of it: its name and `ok`, or what went wrong."""
    case = BY_NAME[name]
    try:
        judge(case, *table.expected()[name])
    except Exception as error:  # noqa: BLE001 -- one broken case must not hide the others
        detail = "" if isinstance(error, AssertionError) else f"\n{traceback.format_exc()}"
        return name, f"FAILED: {error}{detail}"
    return name, "ok"


def look(name: str) -> tuple[str, tuple[str, list[str]] | str]:
    """One case, and what came of it."""
    case = BY_NAME[name]
    try:
        seen = observed(case)
    except Exception as error:  # noqa: BLE001 -- as above
        return name, f"FAILED: {error}"
    return name, (seen.ends, _written(case, codes(seen)))


def _written(case: Case, found: set[str]) -> list[str]:
    return sorted({code.split(".")[0] for code in found} if case.is_loose else found)


def main() -> int:
    """Play all cases, or those whose names hold one of the words."""
    parser = argparse.ArgumentParser(description="play the malicious host")
    parser.add_argument("--write", action="store_true", help="expect from now on what is seen now")
    parser.add_argument("names", nargs="*", help="only cases whose names hold one of these words")
    arguments = parser.parse_args()
    names = [n for n in BY_NAME if not arguments.names or any(word in n for word in arguments.names)]
    fresh = multiprocessing.get_context("spawn")  # each has a past of its own
    with ProcessPoolExecutor(max_workers=min(8, os.cpu_count() or 1), mp_context=fresh) as pool:
        if arguments.write:
            return write(dict(_told(pool.map(look, names))))
        results = dict(_told(pool.map(play, names)))
    failed = sum(text != "ok" for text in results.values())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _told(results):
    for name, result in results:
        print(f"{name}: {result}", flush=True)
        yield name, result


def write(seen: dict[str, tuple[str, list[str]] | str]) -> int:
    """Keep what was seen for what is expected, for the cases that there are."""
    failed = [name for name, result in seen.items() if isinstance(result, str)]
    known = json.loads(table.EXPECTED.read_text("utf-8")) if table.EXPECTED.exists() else {}
    known |= {name: result for name, result in seen.items() if not isinstance(result, str)}
    lines = [f"  {json.dumps(name)}: {json.dumps(known[name])}" for name in BY_NAME if name in known]
    table.EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    table.expected.cache_clear()
    if not failed:
        page.PAGE.write_text(page.render(), "utf-8")
    print(f"{len(seen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
