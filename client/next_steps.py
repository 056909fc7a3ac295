"""What is waiting for this party, and the command that does it.

Runs in: a party.   Believes: its home; what the gateway says only hints at what to do.   Spec: §10.4.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

from sealroom.client import agreeing, approving, choosing, inbox, outbox, plain, submitting
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.gateway import Gateway, ObjectEntry, RunEntry
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused

SOON = 7 * 86_400
_BEGIN = {
    "bank": "sealroom agreement new --template lookalike --spec SPEC.toml --party PARTNER.party.json --operator NAME "
    "--platform-root ROOT.der --sign",
    "partner": "sealroom agreement sign agreement.signed.json --approve IMAGE",
    "recipient": "sealroom agreement sign agreement.signed.json",
    "operator": "sealroom agreement sign agreement.signed.json",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing: `command` does it; without one, somebody else must act first."""

    what: str
    command: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway shows of one agreement; `registered` is None when it could not be asked."""

    registered: bool | None = None
    objects: Sequence[ObjectEntry] = ()
    runs: Sequence[RunEntry] = ()


def steps(home: Home) -> list[Step]:
    """Everything there is to do, most urgent first; asks the gateway if the home names one."""
    found: list[Step] = []
    gateway = Gateway(home) if home.config.gateway is not None else None
    if gateway is None:
        found.append(Step("no gateway is set", "sealroom init --gateway URL --gateway-certificate FILE"))
    else:
        try:
            choosing.fetch(home, gateway)
        except NotAuthorized:
            words = "the gateway does not know your key; its operator registers the agreement that all have signed"
            found.append(Step(words, "sealroom doctor" if home.config.role == "operator" else None))
            gateway = None
        except (Unreachable, Refused) as error:
            found.append(Step(error.message, "sealroom doctor"))
            gateway = None
    pinned, unfinished = home.agreements(), agreeing.signed_and_waiting(home)
    found += [_unfinished(home, envelope) for envelope in unfinished]
    if not pinned and not unfinished:
        found.append(Step("no agreement holds yet", _BEGIN[home.config.role]))
    for agreement in pinned:
        found += of_agreement(home, agreement, _look(gateway, agreement.id), now=int(time.time()))
    return found


def _unfinished(home: Home, envelope: Envelope) -> Step:
    short = envelope.digest[:12]
    missing = [name for name in agreeing.missing(home, envelope) if name != home.config.party]
    if not missing:
        kept = home.root / "signed" / f"{envelope.digest}.json"
        return Step(f"everybody has signed version {short} of an agreement", f"sealroom agreement import {kept}")
    words = f"you signed version {short} of an agreement; still to sign, as far as you know: {plain.names(missing)}"
    return Step(f"{words}. Send them your file; what comes back is pinned by `sealroom agreement import FILE`")


def of_agreement(home: Home, pinned: PinnedAgreement, seen: Seen, *, now: int) -> list[Step]:
    """What one agreement asks of this party, given what the gateway shows."""
    title = f"{pinned.agreement.title} ({pinned.id[:12]})"
    if now > pinned.agreement.not_after:
        return [Step(f"{title} has ended", f"sealroom agreement amend {pinned.id[:12]}")]
    choice = "" if len(home.agreements()) == 1 else f" --agreement {pinned.id[:12]}"
    return [
        *_registering(home, pinned, seen, choice),
        *_approving(home, pinned, choice, now),
        *_sending(home, pinned, seen, choice),
        *_running(home, pinned, seen, choice),
    ]


def _look(gateway: Gateway | None, agreement: str) -> Seen:
    if gateway is None:
        return Seen()
    if agreement not in {entry.agreement for entry in gateway.agreements()}:
        return Seen(registered=False)
    return Seen(registered=True, objects=gateway.objects(agreement), runs=gateway.runs(agreement))


def _registering(home: Home, pinned: PinnedAgreement, seen: Seen, choice: str) -> Iterator[Step]:
    operator = pinned.agreement.operator
    if seen.registered is not False:
        return
    if home.config.party == operator:
        yield Step("the gateway does not know the agreement yet", f"sealroom submit{choice}")
    else:
        yield Step(f"{operator} has not registered the agreement yet; send it the signed file")


def _approving(home: Home, pinned: PinnedAgreement, choice: str, now: int) -> Iterator[Step]:
    if home.config.party not in owners(pinned):
        return
    ends = max((approval.not_after for _, approval in approving.own(home, pinned.id)), default=0)
    command = f"sealroom approve --image IMAGE{choice}"
    if ends <= now:
        yield Step("you have approved no image that is still accepted", command)
    elif ends - now < SOON:
        yield Step(f"your approval ends at {plain.date(ends)}", command)


def _sending(home: Home, pinned: PinnedAgreement, seen: Seen, choice: str) -> Iterator[Step]:
    public, party = home.public_keys().signing, home.config.party
    sealed = {kept.verify(public).name: kept.digest for kept in submitting.ready(home, pinned.id)}
    complete = {entry.digest for entry in seen.objects if entry.complete}
    mine = [name for name, owner in _objects(pinned).items() if owner == party]
    if unsealed := [name for name in mine if name not in sealed]:
        files = " ".join(f"{name}=FILE" for name in unsealed)
        yield Step(f"not sealed yet: {plain.names(unsealed)}", f"sealroom seal {files} --submit{choice}")
    unsent = [name for name in mine if name in sealed and sealed[name] not in complete]
    if seen.registered and (unsent or outbox.waiting(home, pinned.id)):
        yield Step(f"not sent yet: {plain.names(unsent) if unsent else 'approvals'}", f"sealroom submit{choice}")


def _running(home: Home, pinned: PinnedAgreement, seen: Seen, choice: str) -> Iterator[Step]:
    party = home.config.party
    there = {entry.name for entry in seen.objects if entry.complete}
    others = {owner for name, owner in _objects(pinned).items() if name not in there and owner != party}
    if seen.registered and others:
        yield Step(f"waiting for {plain.names(sorted(others))} to bring what was agreed")
    if set(_objects(pinned)) <= there and party in pinned.agreement.requesters and not seen.runs:
        yield Step("everything is there for a run", f"sealroom run{choice}")
    for run in seen.runs:
        yield from _run(home, pinned, run)


def _run(home: Home, pinned: PinnedAgreement, run: RunEntry) -> Iterator[Step]:
    party, short = home.config.party, run.run[:12]
    if run.state == "done":
        if any(party in rule.recipients for rule in pinned.agreement.rules) and not _looked_at(home, run.run):
            yield Step(f"run {short} has results for you", f"sealroom results {short}")
    elif run.state in wire.RUN_FINAL_STATES:
        if not _looked_at(home, run.run):
            yield Step(f"run {short} ended as {run.state}; nothing left it", f"sealroom results {short}")
    elif party not in run.waiting_for:
        whom = f" for {plain.names(run.waiting_for)}" if run.waiting_for else ""
        yield Step(f"run {short} is {run.state}{whom}")
    elif run.state == "waiting-for-consent" and pinned.agreement.party(party).consent.mode == "manual":
        yield _deciding(home, run.run)
    else:
        yield Step(f"run {short} waits for you ({run.state})", "sealroom broker")


def _deciding(home: Home, run: str) -> Step:
    """Whose turn it is where people decide: the broker's to ask, the officers' to decide, the broker's to answer."""
    short, now = run[:12], int(time.time())
    asked = [item for item in inbox.questions(home) if item.question.run == run and item.outcome is None]
    undecided = [
        item for item in asked
        if item.refusal is None and len(item.yes) < item.question.needed and now < item.question.deadline
    ]  # fmt: skip
    if undecided:
        releases = plain.names(item.question.rule for item in undecided)
        return Step(f"run {short} waits for your officers to decide about {releases}", "sealroom inbox")
    if asked:
        return Step(f"run {short}: your officers decided, and your broker has to answer", "sealroom broker")
    return Step(f"run {short} waits for your consent; your broker has to look at the offers first", "sealroom broker")


def _looked_at(home: Home, run: str) -> bool:
    """Whether this party has seen how the run ended: its results and receipt are kept, or that there are none."""
    folder = home.root / "runs" / run
    return folder.is_dir() and any(folder.iterdir())


def _objects(pinned: PinnedAgreement) -> Mapping[str, str]:
    """Owner by object name."""
    datasets = {d.name: d.owner for d in pinned.agreement.datasets}
    return datasets | {b.name: b.owner for b in pinned.agreement.bundles}


def owners(pinned: PinnedAgreement) -> set[str]:
    """Parties whose approval of an image counts: owners of objects, and those whose approval is mandatory."""
    return {*_objects(pinned).values(), *pinned.agreement.approvals.mandatory}
