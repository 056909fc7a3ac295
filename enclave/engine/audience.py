"""Rule `audience_to_owner`: ids of the recipient's own unlinked entities that a bundle finds most alike.

Runs in: engine.   Believes: nothing that the job says.   Spec: §7.1.   Class C.

CSV with the entity column's name and one id per line, sorted by bytes, so that the order says nothing. The job sees
`labelled` (features of every linked entity with a known outcome, and that outcome) and `candidates` (features of every
unlinked entity) and points at exactly `percent` of the candidates; the engine writes the ids.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from sealroom.enclave.engine import learning, reasons, views
from sealroom.enclave.engine.context import Call, Release, Run
from sealroom.protocol.rules import AudienceToOwner


def release(run: Run, rule: AudienceToOwner) -> Release:
    """Let the bundle choose among the candidates.

    Raises:
        NotReleased: `seed-too-small`, `below-floor`, `no-columns`, `bad-rule`, or a `job-` reason.
    """
    known = learning.linked(run, rule)
    if int(known.positive.sum()) < rule.least_seed:
        raise reasons.withheld("seed-too-small")
    right = rule.candidates == run.agreement.link(rule.link).right
    unlinked = run.links(rule.link).unlinked(known.table.rows, right=right)
    size = len(unlinked) * rule.percent // 100
    if size < max(rule.floor, 1):
        raise reasons.withheld("below-floor")
    labelled = views.build("labelled", known.table, known.names, known.rows, outcome=known.positive)
    candidates = views.build("candidates", known.table, known.names, unlinked)
    call = Call(rule.name, "release", (labelled, candidates), "rows", size, views.label_name(known.names))
    positions = learning.rows_of(run.ask(call), size, len(unlinked))
    rows = views.canonical_rows(candidates, positions)
    ids = pc.take(known.table.ids, pa.array(rows)).to_pylist()
    return Release(rule.name, csv_of(known.table.dataset.entity, ids), {})


def csv_of(header: str, ids: Iterable[str]) -> str:
    """One column of CSV (RFC 4180 quoting, LF line ends), ids sorted by their UTF-8 bytes."""
    lines = [header, *sorted(ids, key=str.encode)]
    return "".join(f"{_quoted(line)}\n" for line in lines)


def _quoted(cell: str) -> str:
    special = any(mark in cell for mark in ',"\r\n') or cell != cell.strip()
    return '"' + cell.replace('"', '""') + '"' if special else cell
