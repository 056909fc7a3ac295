"""Plain words for what a mock run found: why a rule would give nothing, and what to change.

Runs in: an author's machine.   Believes: nothing.
"""

from __future__ import annotations

import json

from sealroom.protocol import reasons
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.rules import AudienceToOwner, Metrics, Rule, VectorEstimate

_BECAUSE = {
    "bad-query": "the query cannot be used",
    "too-few": "there are too few positive or negative people among the made-up rows to measure anything",
    "below-floor": "there are too few made-up rows for even one id",
}
_CHANGE = {
    "bad-query": "Correct query.json as it says above.",
    "too-few": "Nothing in the bundle; make up more rows: `--rows`.",
    "below-floor": "Nothing in the bundle; make up more rows: `--rows`.",
    "job-error": "Read what the job said: the traceback's last lines name the place.",
}
"""What differs from a real run's advice, because rows are made up and the author sees everything."""


def because(reason: str | None) -> str | None:
    """Why the rule gives nothing; None if it gives something."""
    if reason is None:
        return None
    return _BECAUSE.get(reason) or _as_clause(reasons.advice(reason).meaning)


def change(reason: str | None) -> str | None:
    """What the author can do about it."""
    if reason is None:
        return None
    return _CHANGE.get(reason) or reasons.advice(reason).change


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
    if isinstance(rule, VectorEstimate):
        values = ", ".join(f"{item['name']} {item['millionths'] / 1e6:g}" for item in json.loads(canonical)["estimate"])
        return f"{len(rule.coordinates)} numbers with noise to {to} (on made-up rows: {values})"
    cells = json.loads(canonical).get("cells", [])
    empty = sum(1 for cell in cells if cell["count"] is None)
    return f"a table of {len(cells)} cells with noise to {to} (on made-up rows {empty} of them below the floor)"


def notes(rule: Rule, missed: int = 0) -> list[str]:
    """What a mock run cannot judge, and of how many blocks (`missed`) the middle of the box was taken."""
    if isinstance(rule, VectorEstimate):
        said = f"{missed} of {rule.blocks} blocks gave no vector and counted as the middle of the box"
        notes = [f"{said}; a real run tells nobody how many, and looks at each for {rule.block_milliseconds} ms"]
        if 2 * missed > rule.blocks:
            notes.append(
                "that is most of them; if blocks are too small, make up as many rows as there will be: `--rows`"
            )
        return notes
    if isinstance(rule, AudienceToOwner):
        floors = f"{rule.floor} ids and {rule.least_seed} positive people in both tables"
        return [f"real runs also need {floors}; made-up rows cannot tell"]
    return []


def _as_clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
