"""Checks that are taken out, one at a time: what each of them stops is accepted then, and the table would say so."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from sealroom.attestation.snp import abi
from sealroom.client import answering, appraise, consent, following, known, posted, proving, standing
from sealroom.client.logbook import Logbook
from sealroom.enclave.gate import session
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import from_text
from sealroom.protocol.statements import LedgerHead

Patch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knocked:
    """A check, a case that it stops, and what then goes wrong: text of the broken invariant, or the other ending."""

    check: str
    case: str
    without: tuple[Patch, ...]
    wrong: str = ""
    ends: str = ""


def nothing(target: Any, name: str) -> Patch:
    """A check that returns nothing and raises nothing."""
    return lambda: mock.patch.object(target, name, return_value=None)


@contextlib.contextmanager
def any_report_data() -> Iterator[None]:
    """The verdict is made on the report data that the report has, whatever keys stand beside it."""
    real = appraise.appraisal.appraise

    def lenient(evidence: Any, **asked: Any) -> Any:
        return real(evidence, **{**asked, "report_data": evidence_report_data(evidence)})

    with mock.patch.object(appraise.appraisal, "appraise", lenient):
        yield


def evidence_report_data(evidence: Any) -> bytes:
    return abi.parse(from_text(evidence.report)).report_data


@contextlib.contextmanager
def any_measurement() -> Iterator[None]:
    """Whatever the report says was launched counts as approved."""
    real = appraise.appraisal.appraise

    def lenient(evidence: Any, **asked: Any) -> Any:
        launched = abi.parse(from_text(evidence.report)).measurement.hex()
        return real(evidence, **{**asked, "measurements": frozenset({launched})})

    approved = standing.Standing.approved

    def anything(self: Any, *args: Any, **options: Any) -> Any:
        found = approved(self, *args, **options)
        return _Any(next(iter(found.values())))

    with (
        mock.patch.object(appraise.appraisal, "appraise", lenient),
        mock.patch.object(standing.Standing, "approved", anything),
    ):
        yield


class _Any(dict):  # type: ignore[type-arg]
    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, _: str) -> Any:
        return self._value

    def __contains__(self, _: object) -> bool:
        return True


def only_listed() -> contextlib.AbstractContextManager[Any]:
    """A broker knows what the gateway lists now, and nothing else."""

    def now(desk: Any, pinned: Any) -> Any:
        shown = [said for kind in known.KINDS for said in desk.gateway.statements(pinned.id, kind)]
        return standing.read(pinned.agreement, pinned.id, shown)

    return mock.patch.object(known, "standing_now", now)


def plain_reasons() -> contextlib.AbstractContextManager[Any]:
    """The gate writes reasons beside the receipt's status, for all to read."""

    real = session.Session._end

    def loud(self: Any, ending: Any) -> None:
        real(self, ending)
        self._world.send({"type": "progress", "phase": str(dict(ending.reasons))}, ())

    return mock.patch.object(session.Session, "_end", loud)


def uncharged() -> contextlib.AbstractContextManager[Any]:
    """Shares are posted before anything is written."""
    real = answering._commit

    def early(desk: Any, terms: Any, ended: Any, offer: Any, choice: Any) -> Any:
        if choice.answer == "release":
            head = LedgerHead(sequence=10**6, previous="00" * 32)
            said = consent.yes(desk.home, ended.request.pinned, offer, choice.remark, head, now=desk.now())
            with contextlib.suppress(Refused):
                desk.gateway.put_consent(ended.run, offer.digest, desk.party, said)
        return real(desk, terms, ended, offer, choice)

    return mock.patch.object(answering, "_commit", early)


def only_gathered() -> contextlib.AbstractContextManager[Any]:
    """Who collects takes approvals and revocations from what the gateway lists, whatever the log holds."""
    return mock.patch.object(proving, "complete", lambda bundle, *_: bundle)


KNOCKED = (
    Knocked(check="report data (§6.2)", case="evidence/this-gate's-report-for-the-host's-keys/grant/all",
            without=(any_report_data,), wrong="no approved gate"),
    Knocked(check="approved measurement (§5.1)", case="evidence/of-another-program,-for-the-host's-keys/grant/all",
            without=(any_measurement,), wrong="no approved gate"),
    Knocked(check="own nonce (§5.4)", case="assign/one-nonce-of-the-host's-own/launch/gate",
            without=(nothing(appraise, "_require_nonces"),), ends="released"),
    Knocked(check="no consent after a late receipt (§5.4)",
            case="receipt/held-back-past-the-grant's-deadline/consent/all",
            without=(nothing(answering, "_require_standing"),), ends="released"),
    Knocked(check="no consent under a replaced version (§5.4)",
            case="agreement/changed-between-grant-and-consent/consent/all",
            without=(nothing(answering, "_require_standing"),), ends="released"),
    Knocked(check="no grant and no consent after a stop (§5.1)",
            case="stop/by-the-vendor-logged-and-not-listed/challenge/all",
            without=(nothing(standing.Standing, "require_in_force"),), ends="released"),
    Knocked(check="no consent after a revocation (§5.1)",
            case="revocation/by-the-vendor-logged-and-not-listed/consent/all",
            without=(nothing(answering, "_require_standing"), only_gathered), ends="released"),
    Knocked(check="statements are remembered (§5.1)",
            case="approvals/old-ones-of-a-withdrawn-image-shown-again/grant/all",
            without=(only_listed,), wrong="no approved gate"),
    Knocked(check="new entries of the log are read (§13.4)",
            case="stop/by-the-auditor-logged-and-not-listed/challenge/all",
            without=(lambda: mock.patch.object(following, "follow", return_value=False),), ends="released"),
    Knocked(check="what is listed is logged (§13.4)", case="approval/listed-and-not-logged/grant/all",
            without=(nothing(posted, "require_logged"), only_gathered), ends="released"),
    Knocked(check="entries are the tree's (§13.4)", case="entries/statement-replaced/every phase/partner",
            without=(nothing(following, "_require_part"), nothing(following, "_require_continued")),
            ends="released"),
    Knocked(check="a run that was refused gets no key (§13.4)",
            case="refusal/by-the-partner-logged,-and-the-run-goes-on/grant/all",
            without=(nothing(known, "require_not_refused"),), ends="released"),
    Knocked(check="evidence binds this log (§13.4)",
            case="log/another-one-for-the-partner,-cosignatures-kept-apart/challenge/all",
            without=(nothing(Logbook, "require_assigned"),), ends="released"),
    Knocked(check="what others cosigned continues (§13.4)",
            case="log/another-one-for-the-partner,-cosignatures-passed-on/consent/all",
            without=(nothing(Logbook, "_compare"),), ends="released"),
    Knocked(check="who collects finds the run's end in the log (§7.5)", case="inclusion/dropped/collect/auditor",
            without=(lambda: mock.patch.object(proving, "prove", lambda bundle, _: bundle),), ends="released"),
    Knocked(check="reasons go to owners only (§5.7)", case="grant/signature-bent/handover/gate",
            without=(plain_reasons,), wrong="the host was told"),
    Knocked(check="charged before it leaves (§5.6)", case="cosignature/acknowledged-and-thrown-away/consent/partner",
            without=(uncharged,), wrong="before it was charged"),
)  # fmt: skip
