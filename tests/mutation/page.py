"""docs/MUTATION.md, from the committed results and the reasons written beside them."""

from __future__ import annotations

import re
from typing import Any

from tests.mutation import results
from tests.mutation.units import UNITS

HEAD = """# Mutation testing

Generated: `python -m tests.documents --write`. `make mutation` lets mutmut make one small change at a time to the code
that admits, grants, consents and keeps the ledger, and runs the tests of that module. A change that no test notices
survives. Changes of messages and hints alone are what a person reads; they are counted apart, and the score is of all
other changes. Decorated functions (properties, context managers) and class bodies are not changed by mutmut.

At least {wanted:.0f} % is wanted of each module. `make mutation ARGS='--record client/grants.py'` measures one again.
"""


def render(found: dict[str, Any] | None = None, reasons: list[tuple[str, str]] | None = None) -> str:
    """The page."""
    found = results.load() if found is None else found
    reasons = results.reasons() if reasons is None else reasons
    lines = [HEAD.format(wanted=100 * results.WANTED)]
    lines += ["| module | date | changes | noticed | words only | score |", "|---|---|---:|---:|---:|---:|"]
    for unit in UNITS:
        got = found.get(unit.module)
        if got is None:
            lines.append(f"| `{unit.module}` | not measured yet | | | | |")
            continue
        worded = sum(1 for survivor in got["survivors"] if survivor["words"])
        lines.append(
            f"| `{unit.module}` | {got['date']} | {got['mutants']} | {got['killed']} | {worded} |"
            f" {100 * results.score(got):.1f} % |"
        )
    for unit in UNITS:
        lines += _survivors(unit.module, found.get(unit.module), reasons)
    return "\n".join(lines) + "\n"


def _survivors(module: str, got: dict[str, Any] | None, reasons: list[tuple[str, str]]) -> list[str]:
    shown = [s for s in (got or {"survivors": []})["survivors"] if not s["words"]]
    if not shown:
        return []
    lines = [f"\n## Survivors in `{module}`\n", "| function | change | why it is no hole |", "|---|---|---|"]
    for survivor in shown:
        change = survivor["change"].replace("|", "\\|").replace("`", "'")
        reason = next((why for pattern, why in reasons if re.search(pattern, key(module, survivor))), "")
        reason = reason or ("no test of the module reaches it" if survivor["untested"] else "open")
        lines.append(f"| `{survivor['function']}` | `{change}` | {reason} |")
    return lines


def key(module: str, survivor: dict[str, Any]) -> str:
    """How a reason names its survivor."""
    return f"{module} {survivor['function']}: {survivor['change']}"
