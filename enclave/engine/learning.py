"""What rules with a bundle have in common: linked entities with an outcome, and reading what a job gave.

Runs in: engine.   Believes: nothing that the job says.   Spec: §7.1.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave.engine import reasons, views
from sealroom.enclave.engine.context import Run
from sealroom.enclave.engine.tables import Table, equals
from sealroom.enclave.jail import output
from sealroom.protocol.errors import Refused
from sealroom.protocol.rules import AudienceToOwner, Metrics


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Linked entities whose outcome is known: rows of the candidates' table, and whether the outcome is positive."""

    table: Table
    names: tuple[str, ...]
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]


def linked(run: Run, rule: Metrics | AudienceToOwner) -> Known:
    """Everything that a bundle may learn from; entities with a missing outcome are left out.

    Raises:
        NotReleased: `bad-rule`, `no-columns`.
    """
    terms, pairs = run.agreement.link(rule.link), run.links(rule.link)
    table, source = run.table(rule.candidates), run.table(rule.outcome.dataset)
    if not source.has(rule.outcome.column):
        raise reasons.withheld("bad-rule")
    names = views.features(table.dataset, run.requested.get(rule.candidates, ()))
    mine, theirs = (pairs.left, pairs.right) if rule.candidates == terms.left else (pairs.right, pairs.left)
    column = source.column(rule.outcome.column)
    known = column.validity.astype(bool)[theirs]
    positive = equals(column, rule.outcome.positive)[theirs]
    return Known(table, names, mine[known], positive[known])


def rows_of(unverified_output: memoryview, size: int, rows: int) -> NDArray[np.int64]:
    """The positions that a job chose: exactly `size` different ones of a table of `rows`.

    Raises:
        NotReleased: reason `job-bad-output`.
    """
    try:
        return output.read_rows(unverified_output, size, rows)
    except Refused as error:
        raise reasons.job_failed("bad-output") from error


def scores_of(unverified_output: memoryview, rows: int) -> NDArray[np.float64]:
    """The scores that a job gave: one finite number for each of `rows`.

    Raises:
        NotReleased: reason `job-bad-output`.
    """
    try:
        return output.read_scores(unverified_output, rows)
    except Refused as error:
        raise reasons.job_failed("bad-output") from error
