"""A party's own program that holds its keys and decides when to let one go; it calls out, nothing calls in.

Runs in: an owner.   Believes: its home, its ledger, and what it verified; never the gateway.   Spec: §10.5.

One step looks at every run once and does all that can be done: challenge, grant, answer offers, cosign. Whatever is
posted was kept before, in the transaction that charged for it; a broker that was killed anywhere goes on with the same
bytes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator

from sealroom.client import (
    admission,
    answering,
    appraise,
    grants,
    known,
    memory,
    posted,
    purses,
    refusing,
    witness,
)
from sealroom.client.admission import AdmittedRequest
from sealroom.client.appraise import Accepted, Question
from sealroom.client.desk import Desk, Event, Terms
from sealroom.client.entries import Draft, Entry
from sealroom.client.gateway import Gateway, RunEntry
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.client.listing import Lists
from sealroom.client.logbook import Logbook
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine, Refused, UsageError
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.statements import LedgerHead, evidence_digest

_BEFORE_GRANT = ("queued", "launching", "waiting-for-challenges")
_GIVING = ("waiting-for-grants", "waiting-for-consent")
"""States in which owners post grants and answers."""


class Broker:
    """One party's broker. `step` does all that can be done now; the caller decides when to call it again."""

    def __init__(self, home: Home, gateway: Gateway, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        """Work for the party of `home`; `ledger` is its ledger, opened for writing."""
        self._desk = Desk(home, gateway, ledger, clock)
        self._looked_at: set[tuple[str, str]] = set()
        self._logged: set[int] = set()
        self._lists: dict[str, Lists] = {}

    def step(self) -> list[Event]:
        """Look at every run of every pinned agreement once.

        Raises:
            NotAcceptable: the ledger is frozen, or the clock behind it; nothing was done.
            Unreachable, NotAuthorized: the gateway did not answer, or not to this party.
        """
        self._desk.ledger.require_live()
        self._desk.now()
        events: list[Event] = []
        work: list[tuple[PinnedAgreement, list[RunEntry]]] = []
        for pinned in self._desk.home.agreements():
            try:
                work.append((pinned, self._desk.gateway.runs(pinned.id)))
            except Refused as error:  # it may not be registered there; the other agreements go on
                events.append(Event("no", pinned.id, error.message, error))
        for pinned, runs in work:
            self._look_at_ledgers(pinned, runs)
        for pinned, runs in work:
            try:
                events += self._agreement(pinned, runs)
            except Refused as error:
                events.append(Event("no", pinned.id, error.message, error))
        return events

    def _agreement(self, pinned: PinnedAgreement, runs: list[RunEntry]) -> list[Event]:
        events: list[Event] = []
        lists = self._lists.setdefault(pinned.id, Lists())
        log = self._logbook(pinned, lists)
        try:
            log.look()
            posted.require_logged(self._desk, log, lists.ask(self._desk, log), self._logged)
            lists.found(log)
        except Refused as error:  # nothing is given under a log that is not what it was
            return [Event("no", pinned.id, error.message, error), *self._overdue(pinned)]
        terms = Terms(pinned, known.standing_now(self._desk, pinned), log)
        for entry in runs:
            if not self._desk.ledger.sent(_closed(entry.run)):
                events += self._guarded(terms, entry)
        return [*events, *self._overdue(pinned)]

    def _guarded(self, terms: Terms, entry: RunEntry) -> list[Event]:
        """One run; what is refused in it stops nothing else."""
        events: list[Event] = []
        try:
            events.extend(self._run(terms, entry))
        except (Refused, UsageError) as error:
            events.append(Event("no", entry.run, error.message, error))
        return events

    def _run(self, terms: Terms, entry: RunEntry) -> Iterator[Event]:
        desk = self._desk
        if self._nothing_now(entry):
            return
        status = desk.gateway.run(entry.run)
        if status.request.digest != entry.run:
            raise NotGenuine("other-run", "the gateway shows another request under this run's name")
        if status.state in _BEFORE_GRANT:
            if desk.party in status.waiting_for:
                yield from self._or_refuse(terms, status.request, None, self._challenge)
        elif status.state == "waiting-for-grants":
            data = desk.gateway.evidence(entry.run)
            if data is not None:
                grant = functools.partial(self._grant, data=data)
                yield from self._or_refuse(terms, status.request, data, grant)
        else:
            yield from answering.finish(desk, terms, entry.run, status.request)
            if status.state in wire.RUN_FINAL_STATES and self._nothing_left(entry.run, receipt=status.receipt):
                desk.ledger.mark_sent(_closed(entry.run))

    def _or_refuse(
        self, terms: Terms, signed: Envelope, data: bytes | None, give: Callable[[Terms, Envelope], Iterator[Event]]
    ) -> Iterator[Event]:
        """Give, or sign for the record that this run gets no key."""
        try:
            yield from give(terms, signed)
        except Refused as error:
            yield from refusing.refuse(self._desk, terms, signed, data, error)
            raise

    def _challenge(self, terms: Terms, signed: Envelope) -> Iterator[Event]:
        """Post this party's nonce for a run that it could pay for and is willing to look at."""
        desk = self._desk
        terms.log.require("request", signed.digest)
        request = admission.admit(signed, terms.pinned, now=desk.now())
        terms.standing.require_in_force(terms.pinned.agreement, now=desk.now())
        known.require_not_refused(desk, terms.pinned, request.digest, request.request)
        grants.own_objects(desk.home, request)
        self._require_means(request)
        drawn = memory.challenge(desk.ledger, request.digest, until=desk.now() + wire.CHALLENGE_WAIT)
        try:
            desk.gateway.put_challenge(request.digest, desk.party, drawn.nonce)
        except GatewayRefused as error:
            if error.code != "E3.gateway-already-there":
                raise
            raise NotAcceptable(
                "second-broker",
                "the gateway has another nonce of this party for this run",
                hint="if another broker runs on a copy of this home, stop one of them",
            ) from error
        yield Event("challenged", request.digest, "waiting for the enclave's evidence")

    def _grant(self, terms: Terms, signed: Envelope, *, data: bytes) -> Iterator[Event]:
        """Appraise, charge, then grant each own object; what was granted before is posted again if it was not taken."""
        desk = self._desk
        run = signed.digest
        request = admission.admit(signed, terms.pinned, now=desk.now())
        if desk.party not in request.owners:
            return
        known.require_not_refused(desk, terms.pinned, run, request.request)
        terms.log.require("evidence", evidence_digest(data))  # first: what is not logged is not worth a refusal
        accepted = self._appraise(terms, request, data)
        terms.log.require_assigned(run, accepted.evidence.checkpoint)
        entry = self._charge(request, accepted, data)
        if entry.draft.name != accepted.digest:
            raise NotAcceptable("second-evidence", "this run was granted to another evidence; there is only one, ever")
        for name in desk.ledger.kept_under(_grants(run)):
            digest = name.removeprefix(_grants(run))
            if desk.post(name, functools.partial(desk.gateway.put_grant, run, digest)):
                yield Event("granted", run, f"object {digest[:12]} to measurement {accepted.verdict.measurement[:12]}")

    def _appraise(self, terms: Terms, request: AdmittedRequest, data: bytes) -> Accepted:
        desk = self._desk
        drawn = memory.known_challenge(desk.ledger, request.digest)
        if drawn is None or desk.now() >= drawn.until:
            raise NotAcceptable("no-challenge", "this broker gave no nonce for this run, or it is too old")
        question = Question(
            request=request, standing=terms.standing, nonces={desk.party: drawn.nonce}, own=desk.party, now=desk.now(),
            seen=memory.seen_elsewhere(desk.ledger, request.digest),
        )  # fmt: skip
        return appraise.appraise(data, question)

    def _charge(self, request: AdmittedRequest, accepted: Accepted, data: bytes) -> Entry:
        """Debit the run once; the grants are kept in the same transaction."""
        desk, run = self._desk, request.digest
        if found := desk.ledger.find(grants.matter(run)):
            return found
        self._require_means(request)
        draft = grants.draft(desk.home, request, accepted, now=desk.now())

        def keep(head: LedgerHead) -> dict[str, bytes]:
            made = grants.make(desk.home, request, accepted, draft, head)
            kept = {_grants(run) + digest: grant.to_bytes() for digest, grant in made.items()}
            return kept | memory.acceptance(run, data, accepted)

        return desk.ledger.append(draft, limits=purses.limits(request.pinned.agreement, desk.party), keep=keep)

    def _require_means(self, request: AdmittedRequest) -> None:
        """Refuse a run whose releases could not be paid for, before it starts."""
        desk, agreement = self._desk, request.pinned.agreement
        if desk.ledger.find(grants.matter(request.digest)) is None:
            charges = purses.all_charges(agreement, desk.party, request.request.rules)
            desk.ledger.require_budget(charges, limits=purses.limits(agreement, desk.party))

    def _overdue(self, pinned: PinnedAgreement) -> Iterator[Event]:
        """Grants whose deadline passed without a receipt: charged for good, and never answered afterwards."""
        desk = self._desk
        entries = desk.ledger.entries()
        settled = {entry.draft.once for entry in entries}
        for entry in entries:
            draft = entry.draft
            run = draft.once.removeprefix("grant/")
            if draft.kind != "grant" or draft.agreement != pinned.id or desk.now() < draft.deadline:
                continue
            if grants.end_matter(run) not in settled:
                ending = Draft(
                    format=draft.format, kind="unresolved", once=grants.end_matter(run), name=run, agreement=pinned.id,
                    remark="no receipt before the deadline", charges={}, created=desk.now(), deadline=0,
                )  # fmt: skip
                desk.ledger.append(ending, limits={})
                yield Event("unresolved", run, "no receipt before the grant's deadline; it stays charged in full")

    def _nothing_left(self, run: str, *, receipt: bool) -> bool:
        """Whether a run that the gateway calls final needs no further look."""
        ledger = self._desk.ledger
        if ledger.find(grants.matter(run)) is None:
            return True
        return ledger.sent(f"cosignature/{run}") or (not receipt and ledger.find(grants.end_matter(run)) is not None)

    def _nothing_now(self, entry: RunEntry) -> bool:
        """Whether this party has done its part in a run for as long as it is in this state.

        A gateway that says so falsely gets as much as one that does not show the run.
        """
        ledger, run = self._desk.ledger, entry.run
        if entry.state in _BEFORE_GRANT:
            return self._desk.party not in entry.waiting_for
        if entry.state == "waiting-for-grants":
            kept = ledger.kept_under(_grants(run))
            return bool(kept) and all(map(ledger.sent, kept)) and self._desk.party not in entry.waiting_for
        return False

    def _logbook(self, pinned: PinnedAgreement, lists: Lists) -> Logbook:
        desk = self._desk
        take = functools.partial(known.take, desk, pinned)
        return Logbook(desk.home, desk.gateway, pinned, desk.now(), take, read=lists.read, said=lists.key)

    def _look_at_ledgers(self, pinned: PinnedAgreement, runs: list[RunEntry]) -> None:
        """Freeze if the gateway shows something under this party's signature that its ledger did not write.

        What others let go is kept for them. A run that this copy of the ledger has closed needs no look: closing came
        after all of its entries. One that has ended needs one look, as does one in a state in which no gateway takes
        grants or answers.
        """
        desk, own = self._desk, self._desk.home.public_keys().signing
        for entry in runs:
            if (entry.run, entry.state) in self._looked_at or desk.ledger.sent(_closed(entry.run)):
                continue
            shown = witness.shown(desk.gateway, entry.run)
            if strange := witness.unknown(desk.ledger, witness.paid(shown, desk.party, own)):
                remark = f"run {entry.run[:12]} holds a {strange[0].name.partition('/')[0]} that it did not write"
                desk.ledger.freeze("forked", remark)
                desk.ledger.require_live()
            for member in pinned.agreement.parties:
                if member.name != desk.party:
                    theirs = witness.paid(shown, member.name, VerifyingKey.parse(member.signing_key))
                    memory.note_others(desk.ledger, [one.envelope for one in theirs])
            if entry.state not in _GIVING:
                self._looked_at.add((entry.run, entry.state))


def _grants(run: str) -> str:
    return f"grant/{run}/"


def _closed(run: str) -> str:
    return f"closed/{run}"
