"""Plain words for what a mock run found: why a rule would give nothing, and what to change.

Runs in: an author's machine.   Believes: nothing.
"""

from __future__ import annotations

import json

from sealroom.enclave.jail.outcomes import ADVICE, OUTCOMES
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.rules import AudienceToOwner, Metrics, Rule

_BECAUSE = {
    "bad-query": "the query cannot be used",
    "undeclared-label": "the query names a label that the agreement does not declare",
    "no-columns": "no column is left that code may see",
    "too-few": "there are too few positive or negative people among the made-up rows to measure anything",
    "below-floor": "there are too few made-up rows for even one id",
    "bad-rule": "the rule cannot be computed as the agreement has it",
}
_CHANGE = {
    "bad-query": "Correct query.json as it says above.",
    "undeclared-label": "Use declared labels only, or have the agreement declare this one.",
    "no-columns": "The agreement must declare a column that is no identifier.",
    "too-few": "Nothing in the bundle; make up more rows: `--rows`.",
    "below-floor": "Nothing in the bundle; make up more rows: `--rows`.",
    "bad-rule": "Nothing in the bundle; the agreement's rule has to change.",
    "job-error": "Read what the job said: the traceback's last lines name the place.",
}


def because(reason: str | None) -> str | None:
    """Why the rule gives nothing; None if it gives something."""
    if reason is None:
        return None
    outcome = reason.removeprefix("job-")
    if outcome == "error":
        return "the function raised an exception, or ended its own process"
    for name in OUTCOMES:
        if name == outcome:
            return _as_clause(ADVICE[name][0])
    return _BECAUSE.get(reason, "the engine failed, which is a defect of ours")


def change(reason: str | None) -> str | None:
    """What the author can do about it."""
    if reason is None or reason in _CHANGE:
        return _CHANGE.get(reason or "")
    outcome = reason.removeprefix("job-")
    return next((ADVICE[name][1] for name in OUTCOMES if name == outcome), "Report it with the bundle's shape.")


def released(agreement: Agreement, rule: Rule, canonical: str) -> str:
    """What would leave, and to whom."""
    to = " and ".join(rule.recipients)
    if isinstance(rule, AudienceToOwner):
        count = canonical.count("\n") - 1
        entity = agreement.dataset(rule.candidates).entity
        return f"{count} values of {entity}, sorted, to {to}: {rule.percent} % of the candidates, and no scores"
    if isinstance(rule, Metrics):
        values = ", ".join(f"{name} {value}" for name, value in json.loads(canonical).items())
        return f"{len(rule.values)} numbers on their declared grids to {to} (on made-up rows: {values})"
    cells = json.loads(canonical).get("cells", [])
    empty = sum(1 for cell in cells if cell["count"] is None)
    return f"a table of {len(cells)} cells with noise to {to} (on made-up rows {empty} of them below the floor)"


def notes(rule: Rule) -> list[str]:
    """What a mock run cannot judge."""
    if isinstance(rule, AudienceToOwner):
        floors = f"{rule.floor} ids and {rule.least_seed} positive people in both tables"
        return [f"real runs also need {floors}; made-up rows cannot tell"]
    return []


def _as_clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
