"""Every reason for which the engine gives nothing, as a closed list of codes.

Runs in: engine.   Believes: nothing.   Spec: §7.6.

A reason is all that leaves the engine about a failure: no message, no value, no name. Refused: the run cannot go on.
Withheld: one rule gives no release, the others go on. With `released` these are 16 outcomes per rule: four bits, which
every grant is charged in advance.

    reason                refused/withheld  what it says
    bad-message           refused   the gate's message is not as the protocol says
    bad-table             refused   the table is not a valid flat table, or not the declared columns
    duplicate-entity      refused   an entity id is missing, empty or there twice
    too-many-rows         refused   more rows than the agreement allows
    no-stability-proof    withheld  no proven constant for this linkage scheme
    bad-rule              withheld  it reads what was not loaded, splits its epsilon to nothing, or outgrows its size
    bad-query             withheld  the query bundle is missing, not as its format says, or names what it may not see
    undeclared-label      withheld  the query bundle names a label that the agreement does not declare
    no-columns            withheld  no column is left that the job may see
    too-few               withheld  too few positive or negative entities to measure anything
    seed-too-small        withheld  fewer linked positive entities than the agreement demands
    below-floor           withheld  fewer ids than the agreement's floor
    job-error             withheld  the job raised an exception
    job-import-error      withheld  the job could not be loaded
    job-bad-output        withheld  the job did not give what was asked
    job-out-of-memory     withheld  the job needed more memory than its limit
    job-out-of-time       withheld  the job needed more time than its limit
    job-killed            withheld  the job did something forbidden
    engine-error          withheld  the engine failed; a defect of ours
"""

from __future__ import annotations

from typing import Literal, get_args

from sealroom.protocol.errors import NotAcceptable, NotReleased

RefusedReason = Literal["bad-message", "bad-table", "duplicate-entity", "too-many-rows"]
WithheldReason = Literal[
    "no-stability-proof",
    "bad-rule",
    "bad-query",
    "undeclared-label",
    "no-columns",
    "too-few",
    "seed-too-small",
    "below-floor",
    "job-error",
    "job-import-error",
    "job-bad-output",
    "job-out-of-memory",
    "job-out-of-time",
    "job-killed",
    "engine-error",
]
REFUSED: frozenset[str] = frozenset(get_args(RefusedReason))
WITHHELD: frozenset[str] = frozenset(get_args(WithheldReason))


def refused(reason: RefusedReason) -> NotAcceptable:
    """The error that ends a run with this reason."""
    return NotAcceptable(reason, "the engine cannot go on")


def withheld(reason: WithheldReason) -> NotReleased:
    """The error that ends one rule with this reason."""
    return NotReleased(reason, "the rule gives no release")


def job_failed(outcome: str) -> NotReleased:
    """The reason for a jail's outcome; an outcome outside the jail's list counts as a defect of ours."""
    code = f"job-{outcome}"
    return NotReleased(code if code in WITHHELD else "engine-error", "the job gave no result")


def code_of(error: NotAcceptable | NotReleased) -> str:
    """The reason within an error's code."""
    return error.code.partition(".")[2]
