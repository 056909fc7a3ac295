"""docs/FUZZING.md, from the targets and the committed results."""

from __future__ import annotations

import json

from tests.fuzz import corpus, registry, results
from tests.fuzz.results import Result

WANTED = 1_000_000
"""Executions that each decoder should have seen."""
HEAD = """# Fuzzing

Generated: `python -m tests.documents --write`. Every decoder that takes bytes from outside has a target in
`tests/fuzz`: it feeds the decoder under atheris (guided by coverage, and half of the time by mutations that know JSON,
DER or lines), lets only the declared refusals pass, and asserts a law of what is taken. An input may take {seconds}
seconds and the process {memory} MiB; memory and open descriptors may not grow from one block of inputs to the next.

`make fuzz SECONDS=3600` divides the time among the targets, those with the fewest executions first; with
`EXECUTIONS=1000000` a target that has as many is done, and leaves its time to the others. Corpora stay in
`build/fuzz`. With `RECORD=1` the counts add to `tests/fuzz/results.json`, which this page is made of. The ordinary
tests replay valid inputs, hostile ones, a small committed corpus and everything that was ever found.

Counts add up over sessions and over versions of the code. Parsers of owners' files (csv, arrow, parquet) are run here
without the jail that holds them in a run, so that their C++ code is in the target too, but not instrumented.
"""


def render(found: dict[str, Result] | None = None) -> str:
    """The page."""
    from tests.fuzz.__main__ import MEMORY_MB, TIMEOUT  # noqa: PLC0415 (the runner writes what this page reads)

    found = results.load() if found is None else found
    targets = [target for _, target in registry.targets()]
    counts = [found.get(target.name, Result()) for target in targets]
    reached = sum(1 for result in counts if result.executions >= WANTED)
    lines = [HEAD.format(seconds=TIMEOUT, memory=MEMORY_MB)]
    lines.append(
        f"{len(targets)} targets, {sum(r.executions for r in counts):,} executions,"
        f" {sum(r.findings for r in counts)} open findings; {reached} of {len(targets)} targets have {WANTED:,}"
        " executions or more.\n"
    )
    lines.append("| target | decoder | law of what is taken | executions | from | to | corpus | branches | findings |")
    lines.append("|---|---|---|---:|---|---|---:|---:|---:|")
    for target, result in zip(targets, counts, strict=True):
        lines.append(
            f"| `{target.name}` | {target.decoder} | {target.law} | {result.executions:,} | {result.first or '-'} |"
            f" {result.last or '-'} | {result.corpus} | {result.edges} | {result.findings} |"
        )
    lines.append("\n## What was found\n")
    lines.append("Each of these is fixed, and is an input of the ordinary tests.\n")
    lines += [f"- {text}" for text in json.loads((corpus.HERE / "findings.json").read_bytes())]
    return "\n".join(lines) + "\n"
