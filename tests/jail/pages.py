"""Fills the generated blocks of docs/JOBS.md: `python -m tests.jail.pages --write`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sealroom.protocol import reasons

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "docs" / "JOBS.md"


def table(group: str) -> str:
    """One group of closed reasons, with what to do; codes that share their words share a row."""
    rows: dict[reasons.Advice, list[str]] = {}
    for code, advice in reasons.GROUPS[group].items():
        rows.setdefault(advice, []).append(f"`{code}`")
    lines = [f"| {' '.join(codes)} | {advice.meaning} | {advice.change} |" for advice, codes in rows.items()]
    return "\n".join(["| code | what it means | what to do |", "|---|---|---|", *lines])


def packages() -> str:
    """The pinned packages of the job interpreter, from its lock file."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / "job.txt").read_text("utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==(\S+)(?: ; python_full_version (<|>=) '([0-9.]+)')?", line):
            name, version, sign, python = match.groups()
            when = {None: "", "<": f" (Python before {python})", ">=": f" (Python {python} and later)"}[sign]
            found.setdefault(name, []).append(version + when)
    rows = [f"| {name} | {', '.join(versions)} |" for name, versions in sorted(found.items())]
    return "\n".join(["| package | version |", "|---|---|", *rows])


def fill(text: str) -> str:
    """The page with its generated blocks renewed."""
    for name, block in {
        **{f"reasons-{group}": table(group) for group in reasons.GROUPS},
        "packages": packages(),
    }.items():
        start, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
        head, _, rest = text.partition(start)
        text = f"{head}{start}\n{block}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.jail.pages --write")
    JOBS.write_text(fill(JOBS.read_text("utf-8")), "utf-8")
