"""What one use of a rule costs and how large its release is: fixed by the agreement, never by the data.

Runs in: parties and gate.   Believes: an agreement that was checked.   Spec: §7.2, §7.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from sealroom.protocol import rules
from sealroom.protocol.agreement import Agreement, objects_of
from sealroom.protocol.errors import Malformed
from sealroom.protocol.rules import AudienceToOwner, Cost, GroupedAggregates, Guarantee, Lane, Rule, VectorEstimate

STATUS_CODES = 3
"""`completed`, `refused`, `failed`: what every party may learn of a run besides its releases."""
MOST_PADDED = 64 << 20
"""Bytes of padded text that a release has at most; an agreement whose rule would need more is refused."""
SOUND: Final[Mapping[Guarantee, frozenset[Lane]]] = {
    "F": frozenset({"query", "blocks"}),
    "C": frozenset({"query", "blocks", "whole"}),
}
"""Lanes of code that a guarantee can be kept for; a guarantee that is not here is kept for none."""
_REASONS_PER_RULE = 16
_KIB = 1 << 10
_ID_BYTES = 72
_FRAME_BYTES = 64
_MEMBER_BYTES = 8
_NUMBER_BYTES = 17
"""Of a cell: the text around its members; the marks around a name and its value; the longest integer."""
_COORDINATE_BYTES = 128
"""Of a vector's coordinate without its name: three integers of at most 14 characters, and the marks around them."""


def cost_of(agreement: Agreement, rule: Rule) -> Cost:
    """What one release by `rule` charges each affected owner."""
    most_rows = agreement.dataset(rule.candidates).most_rows if isinstance(rule, AudienceToOwner) else 0
    return rules.cost(rule, most_rows)


def require_sound(agreement: Agreement, rule: Rule) -> None:
    """Refuse a rule that is not sound for one of its ancestors: a bundle of another lane, or a lane of no guarantee.

    Raises:
        Malformed: code `E1.inconsistent`.
    """
    if not set(rule.lanes) <= SOUND.get(rule.guarantee, frozenset()):
        raise Malformed("inconsistent", f"rule {rule.name}: {rule.guarantee} holds for none of {rule.lanes}")
    ancestors = set(objects_of(agreement, rule))
    for bundle in agreement.bundles:
        if bundle.name in ancestors and bundle.lane not in rule.lanes:
            raise Malformed("inconsistent", f"rule {rule.name}: not sound for the lane {bundle.lane!r}")


def is_opaque(rule: Rule) -> bool:
    """Whether it runs code that nobody may read, so that its results show at `slots.opaque`."""
    return any(lane != "query" for lane in rule.lanes)


def status_cost(agreement: Agreement, requested: tuple[str, ...]) -> Cost:
    """What a grant charges in advance: the bits of the closed status and of one closed reason per rule.

    Opaque code may also choose when it ends, and with that the slot in which the run's end shows: one of
    `wall_time // slots.opaque + 2`, for each rule that runs such code.
    """
    bits = math.log2(STATUS_CODES) + sum(math.log2(_REASONS_PER_RULE) for _ in requested)
    opaque = sum(1 for name in requested if is_opaque(agreement.rule(name)))
    ends = agreement.limits.wall_time // agreement.slots.opaque + 2
    return Cost(epsilon=0, bits=math.ceil(1000 * (bits + opaque * math.log2(ends)) - 1e-6))


def padded_size(agreement: Agreement, rule: Rule) -> int:
    """Bytes that every release by `rule` is padded to, whatever it says."""
    if isinstance(rule, AudienceToOwner):
        ids = agreement.dataset(rule.candidates).most_rows * rule.percent // 100
        return _round_up(ids * _ID_BYTES + _KIB, 4 * _KIB)
    if isinstance(rule, GroupedAggregates):
        return _round_up(_cells(agreement, rule) * _cell_bytes(agreement, rule) + _KIB, 4 * _KIB)
    if isinstance(rule, VectorEstimate):
        longest = _longest(tuple(coordinate.name for coordinate in rule.coordinates))
        return _round_up(len(rule.coordinates) * (_COORDINATE_BYTES + longest) + _KIB, 4 * _KIB)
    return 4 * _KIB


def required_objects(agreement: Agreement, requested: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the datasets and bundles that the requested rules read: exactly what a request must bring."""
    names: dict[str, None] = {}
    for name in requested:
        names.update(dict.fromkeys(objects_of(agreement, agreement.rule(name))))
    return tuple(names)


def _cells(agreement: Agreement, rule: GroupedAggregates) -> int:
    cells = len(rule.segments.labels) if rule.segments else 1
    for ref in rule.by:
        cells *= len(agreement.dataset(ref.dataset).column(ref.column).values or ())
    return cells


def _cell_bytes(agreement: Agreement, rule: GroupedAggregates) -> int:
    """The longest text that one cell can have, from names and declared values alone."""
    size = _FRAME_BYTES
    for ref in rule.by:
        values = agreement.dataset(ref.dataset).column(ref.column).values or ()
        size += len(f"{ref.dataset}.{ref.column}") + _longest(values) + _MEMBER_BYTES
    if rule.segments:
        size += len("segment") + _longest(rule.segments.labels) + _MEMBER_BYTES
    return size + sum(len(f"{s.dataset}.{s.column}") + _NUMBER_BYTES + _MEMBER_BYTES for s in rule.sums)


def _longest(values: tuple[str, ...]) -> int:
    """Characters of the longest value in JSON, where a quote or backslash takes two."""
    return max((len(value) + value.count('"') + value.count("\\") for value in values), default=0)


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step
