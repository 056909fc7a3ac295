"""The one answer of an appraisal: every check that was made, and a verdict only if all of them hold.

Runs in: parties and gate.   Believes: nothing.   Spec: §6.

A failure is an error of the common tree that carries the checks made up to it. There is no verdict that says no.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, NoReturn, TypeVar

from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine, Refused, UsageError
from sealroom.protocol.platform import PlatformClass

Outcome = Literal["pass", "fail", "waived"]
"""`waived`: it does not hold, and the policy says `any` about it."""
Source = Literal["report", "certificate", "revocation list", "caller"]
"""Where the checked value came from."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One question that was asked: `value` as found in `source`, what was expected, and how it ended.

    `reason` is the stable code under which a failure of this check is reported; a check that passes has it too.
    """

    name: str
    value: str
    expectation: str
    outcome: Outcome
    reason: str
    source: Source


class WithChecks(Refused):
    """A refusal that carries the checks made up to it; the failed ones say why."""

    def __init__(self, code: str, message: str, *, checks: tuple[Check, ...], hint: str = "") -> None:
        """Build the refusal; `checks` are in the order in which they were made."""
        super().__init__(code, message, hint=hint)
        self.checks = checks


class MalformedEvidence(WithChecks, Malformed):
    """The evidence or its collateral could not be read."""


class EvidenceNotGenuine(WithChecks, NotGenuine):
    """No trusted root vouches for this evidence."""


class EvidenceNotAcceptable(WithChecks, NotAcceptable):
    """Genuine evidence of a machine or program that was not agreed on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Evidence that is genuine and acceptable, with all that was looked at; `appraisal.appraise` alone makes these.

    `evidence` is the digest of the signed bytes and names this evidence for ever: a second signature over the same
    bytes has the same name. Digests and identities are lower-case hex; `at` is in seconds since 1970.
    """

    platform: str
    platform_class: PlatformClass
    evidence: str
    root: str
    family: str
    measurement: str
    host_data: str
    report_data: str
    chip_id: str
    launch_configuration: bytes | None
    at: int
    fields: Mapping[str, str | int | bool]
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        """Refuse to exist beside a failed check.

        Raises:
            UsageError: a check is missing or failed.
        """
        if not self.checks or any(check.outcome == "fail" for check in self.checks):
            raise UsageError("a verdict needs checks, and none of them may have failed")

    def as_document(self) -> dict[str, object]:
        """The verdict as a JSON value without floats, for receipts, reports and `--json`."""
        names = ("platform", "platform_class", "evidence", "root", "family", "measurement", "host_data", "report_data")
        document: dict[str, object] = {name: getattr(self, name) for name in (*names, "chip_id", "at")}
        document["fields"] = dict(self.fields)
        document["checks"] = [dataclasses.asdict(check) for check in self.checks]
        return document


class Record:
    """The checks of one appraisal, in order. It can only grow."""

    def __init__(self, checks: tuple[Check, ...] = ()) -> None:
        """Continue after `checks`."""
        self._checks = list(checks)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything noted so far."""
        return tuple(self._checks)

    def note(self, check: Check) -> None:
        """Keep `check`, whatever its outcome."""
        self._checks.append(check)

    def require(self, name: str, value: object, expectation: str, *, holds: bool, reason: str, source: Source) -> None:
        """Note a check on which everything after it depends.

        Raises:
            EvidenceNotGenuine: it does not hold.
        """
        if not holds:
            self.fail(Check(name, str(value), expectation, "fail", reason, source))
        self.note(Check(name, str(value), expectation, "pass", reason, source))

    def attempt(self, name: str, expectation: str, by: Callable[[], T], *, reason: str, source: Source) -> T:
        """What `by` returns, unless it raises NotGenuine; noted as a check on which everything after it depends.

        Raises:
            EvidenceNotGenuine: it does not hold.
        """
        try:
            value = by()
        except NotGenuine as error:
            self.fail(Check(name, error.message, expectation, "fail", reason, source))
        self.note(Check(name, "as expected", expectation, "pass", reason, source))
        return value

    def fail(self, check: Check) -> NoReturn:
        """Note a failed check and give up.

        Raises:
            EvidenceNotGenuine: always.
        """
        self.note(check)
        message = f"{check.name}: {check.value}; expected: {check.expectation}"
        raise EvidenceNotGenuine(check.reason, message, checks=self.checks)

    def read(self, name: str, source: Source, parse: Callable[[], T]) -> T:
        """What `parse` makes of a part, noted as a check.

        Raises:
            MalformedEvidence: `parse` refused the part.
        """
        expect = "readable, and nothing else in it"
        try:
            value = parse()
        except Malformed as error:
            reason = error.code.partition(".")[2]
            self.note(Check(name, error.message, expect, "fail", reason, source))
            raise MalformedEvidence(reason, f"{name}: {error.message}", checks=self.checks) from error
        self.note(Check(name, "readable", expect, "pass", "malformed", source))
        return value
