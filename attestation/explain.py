"""A verdict, or its refusal, in words for a person.

Runs in: parties.   Believes: nothing.   Spec: §6.

The first line of an acceptance says on which class of platform it rests: a simulated one never looks like a real one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sealroom.attestation.verdict import Check, Verdict, WithChecks
from sealroom.protocol.errors import Malformed, NotGenuine

_SIMULATED = (
    "SIMULATED PLATFORM: software signed this evidence, under a root made for one installation.",
    "  whoever operates that machine can read and forge everything; it proves nothing about hardware",
)
_HARDWARE = (
    "confidential hardware: AMD vouches for the processor that signed this evidence.",
    "  the operator cannot read or forge it, short of opening the machine or extracting a root key",
)
_ADVICE = {
    "root": "compare the root's fingerprint with its owner, and not through the gateway; a policy has to name it",
    "platform-class": "a policy names the class and a root of that class; a simulated root never counts as hardware",
    "validity": "check the clock, or fetch the certificate anew from the vendor",
    "revoked": "do not use this machine: its vendor has taken the key back",
    "revocation-missing": "ask the operator to send the vendor's current revocation list with the evidence",
    "revocation-freshness": "ask the operator to fetch the vendor's current revocation list",
    "chip-binding": "the certificate belongs to another chip, or the operator masks chip identities",
    "tcb-binding": "the operator has to fetch the certificate for the firmware that the machine now reports",
    "signature": "the report was changed on its way, or another machine signed it",
    "measurement": "another program was launched than any that was approved; measure the image, then approve it or not",
    "host-data": "the program was launched with another configuration than was agreed",
    "launch-configuration": "the launch configuration that was sent is not the one that the report vouches for",
    "report-data": "the report answers another challenge, request or agreement version, or other keys",
    "replayed": "this evidence was used before; each run needs its own",
    "debug-allowed": "the host may read the memory of a guest that allows debugging",
    "provisional-firmware": "the operator can still go back to older firmware; it has to commit the update",
    "alias-check-incomplete": "firmware older than the answer to BadRAM, or the check did not run",
}


def explain(answer: Verdict | WithChecks) -> tuple[str, ...]:
    """Lines of plain text about an appraisal, most important first; `checks` gives every check one line."""
    if isinstance(answer, Verdict):
        return _accepted(answer)
    return _refused(answer)


def checks(answer: Verdict | WithChecks) -> tuple[str, ...]:
    """One line for each check that was made, in order."""
    words = {"pass": "ok    ", "fail": "FAILED", "waived": "waived"}
    return tuple(f"{words[c.outcome]} {c.name}: {c.value}; expected: {c.expectation}" for c in answer.checks)


def _accepted(verdict: Verdict) -> tuple[str, ...]:
    waived = [check for check in verdict.checks if check.outcome == "waived"]
    return (
        *(_HARDWARE if verdict.platform_class == "confidential-hardware" else _SIMULATED),
        f"accepted: {verdict.platform} ({verdict.family}), evidence {verdict.evidence}",
        f"  root: {verdict.root}",
        f"  program measured as: {verdict.measurement}",
        f"  launch configuration: {verdict.host_data}",
        f"  chip: {verdict.chip_id}",
        f"  {len(verdict.checks)} checks were made, none failed; the policy waives {len(waived)} that do not hold",
        *(f"  waived: {check.name}: {check.value}" for check in waived),
    )


def _refused(error: WithChecks) -> tuple[str, ...]:
    if isinstance(error, Malformed):
        opening = "refused: the evidence cannot be read"
    elif isinstance(error, NotGenuine):
        opening = "refused: the evidence is not genuine, so nothing it says counts"
    else:
        opening = "refused: the evidence is genuine, but not of what was agreed"
    lines = [f"{opening} [{error.code}]"]
    for check in _failed(error.checks):
        lines.append(f"  {check.name}: {check.value}; expected: {check.expectation}")
        lines += [f"    {_ADVICE[check.reason]}"] if check.reason in _ADVICE else []
    if len(lines) == 1:
        lines.append(f"  {error.message}")
    return tuple(lines)


def _failed(made: Iterable[Check]) -> list[Check]:
    return [check for check in made if check.outcome == "fail"]
