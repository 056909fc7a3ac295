"""Computes the requested rules one after another; a rule that fails takes no other with it.

Runs in: engine.   Believes: the gate.   Spec: §9.4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from sealroom.enclave.engine import audience, estimate, grouped, metrics, overlap, reasons
from sealroom.enclave.engine.context import Release, Run
from sealroom.protocol import terms
from sealroom.protocol.errors import NotReleased
from sealroom.protocol.rules import AudienceToOwner, GroupedAggregates, Metrics, OverlapCount, Rule

_LENGTH_BYTES = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Withheld:
    """A rule that gives nothing, and the closed reason."""

    rule: str
    reason: str


class GateLostError(Exception):
    """The gate is gone or broke the protocol: the whole run ends, not one rule."""


def compute(run: Run, rules: Sequence[str]) -> Iterator[Release | Withheld]:
    """One answer per rule, in the order asked for."""
    for name in rules:
        yield answer(run, run.agreement.rule(name))


def answer(run: Run, rule: Rule) -> Release | Withheld:
    """The release of one rule, or why there is none. Whatever goes wrong inside is a reason, never a text."""
    try:
        found = _fitting(run, rule, _release(run, rule))
    except NotReleased as error:
        return Withheld(rule.name, reasons.code_of(error))
    except GateLostError:
        raise
    except Exception:  # noqa: BLE001  an error's text could carry data
        return Withheld(rule.name, "engine-error")
    return found


def _release(run: Run, rule: Rule) -> Release:
    if isinstance(rule, OverlapCount):
        return overlap.release(run, rule)
    if isinstance(rule, GroupedAggregates):
        return grouped.release(run, rule)
    if isinstance(rule, Metrics):
        return metrics.release(run, rule)
    if isinstance(rule, AudienceToOwner):
        return audience.release(run, rule)
    return estimate.release(run, rule)


def _fitting(run: Run, rule: Rule, found: Release) -> Release:
    """Refuse what does not fit the size that every release of the rule is padded to."""
    if len(found.canonical.encode()) + _LENGTH_BYTES > terms.padded_size(run.agreement, rule):
        raise reasons.withheld("bad-rule")
    return found
