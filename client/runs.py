"""Asks for runs: which objects, which columns, at what cost.

Runs in: a requester.   Believes: the pinned agreement; manifests after checking their owners' signatures.   Spec: §5.3.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sealroom.client import admission, asked, files, purses
from sealroom.client.entries import Amount
from sealroom.client.errors import NotAuthorized, Unreachable, Waiting
from sealroom.client.gateway import Gateway, ObjectEntry
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.transport import GatewayRefused
from sealroom.protocol import envelope, terms, wire
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, UsageError
from sealroom.protocol.statements import Request

DEADLINE: Final = 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A signed request, and what it costs each owner at most, by purse.

    `kept` is where it lies from its first sending until the gateway has said that it has it; `again` says that it lay
    there already.
    """

    pinned: PinnedAgreement
    request: Envelope
    rules: tuple[str, ...]
    costs: Mapping[str, Mapping[str, Amount]]
    kept: Path
    again: bool

    @property
    def run(self) -> str:
        """The id that the run will have."""
        return self.request.digest


def prepare(
    home: Home,
    gateway: Gateway,
    *,
    rules: Sequence[str] = (),
    agreement: str | None = None,
    objects: Mapping[str, str] | None = None,
    deadline: int = DEADLINE,
) -> Prepared:
    """A signed request for `rules` (all of the agreement's, if none are named), to be sent by `send`.

    `objects` chooses, by name, among several sealed objects of that name (digest or its beginning). The run must be
    granted within `deadline` seconds. Columns are all that a run may read. Whoever asks the same again after a request
    that the gateway never acknowledged gets that very request: it is one run, charged once, however often it is sent.
    A request that another program is sending at this moment is that program's own run.

    Raises:
        UsageError: a rule or object does not exist, or a choice is needed.
        NotAcceptable: this party may not ask for runs.
        Waiting: an object that the rules read is not at the gateway yet.
    """
    pinned = home.agreement(agreement)
    agreed = pinned.agreement
    if home.config.party not in agreed.requesters:
        raise NotAcceptable("requester", f"the agreement does not let {home.config.party} ask for runs")
    wanted = tuple(rules) or tuple(rule.name for rule in agreed.rules)
    needed = terms.required_objects(agreed, wanted)
    chosen = _choose(home, gateway, pinned, needed, objects or {})
    now = int(time.time())
    request = Request(
        format="sealroom/request/v1", requester=home.config.party, agreement=pinned.id, version=pinned.version,
        objects=chosen, columns=_columns(agreed, needed), rules=wanted, created=now, deadline=now + deadline,
        nonce=os.urandom(32).hex(),
    )  # fmt: skip
    known = _unacknowledged(home, request)
    signed = known or envelope.sign(request, [home.signing_key()])
    admission.admit(signed, pinned, now=now)
    kept = files.private_folder(home.root / asked.FOLDER) / f"{signed.digest}.json"
    owners = sorted({agreed.owner_of(name) for name in needed})
    costs = {owner: purses.all_charges(agreed, owner, wanted) for owner in owners}
    return Prepared(pinned, signed, wanted, costs, kept, known is not None)


def send(gateway: Gateway, prepared: Prepared) -> str:
    """Post a prepared request; the run's state. Sending it again changes nothing.

    Raises:
        Unreachable: nobody knows whether the gateway has it; it stays kept, and asking the same again sends it again.
        NotAuthorized, GatewayRefused: the gateway does not want it.
        Waiting: another program is sending this very request.
    """
    with asked.sending(prepared.kept, prepared.request.to_bytes()):
        return _sent(gateway, prepared)


def _sent(gateway: Gateway, prepared: Prepared) -> str:
    try:
        state = gateway.post_run(prepared.request)
    except Unreachable as error:
        raise Unreachable(error.message, hint="ask the same again: that sends this very request again") from error
    except (GatewayRefused, NotAuthorized):
        prepared.kept.unlink(missing_ok=True)
        raise
    prepared.kept.unlink(missing_ok=True)
    return state


def _unacknowledged(home: Home, wanted: Request) -> Envelope | None:
    """A request that asks the same, was sent, and may or may not have reached the gateway; it can still be granted."""
    for path in asked.left_behind(home.root / asked.FOLDER):
        kept = envelope.parse(files.read(path, most=envelope.MOST_BYTES))
        sent = envelope.unverified(kept, Request)
        same = dataclasses.replace(wanted, created=sent.created, deadline=sent.deadline, nonce=sent.nonce)
        if same == sent and sent.deadline > wanted.created:
            return kept
        if sent.deadline <= wanted.created:
            path.unlink(missing_ok=True)
    return None


def find(home: Home, gateway: Gateway, prefix: str, *, agreement: str | None = None) -> str:
    """The id of the one run that starts with `prefix`.

    Raises:
        UsageError: there is none, or more than one.
    """
    pinned = [home.agreement(agreement)] if agreement else home.agreements()
    if len(prefix) == 64 and set(prefix) <= set("0123456789abcdef"):
        return prefix
    found = [entry.run for item in pinned for entry in gateway.runs(item.id) if entry.run.startswith(prefix)]
    if len(found) != 1:
        raise UsageError(f"{len(found) or 'no'} runs begin with {prefix!r}", hint="list them: `sealroom watch`")
    return found[0]


def newest_ended(home: Home, gateway: Gateway, *, agreement: str | None = None) -> str:
    """The id of the run that was asked for last, among those that have ended.

    Raises:
        Waiting: none has.
    """
    pinned = [home.agreement(agreement)] if agreement else home.agreements()
    entries = [entry for item in pinned for entry in gateway.runs(item.id) if entry.state in wire.RUN_FINAL_STATES]
    if not entries:
        raise Waiting("no run has ended yet", hint="list them: `sealroom watch`")
    return max(entries, key=lambda entry: (entry.created, entry.run)).run


def _choose(
    home: Home, gateway: Gateway, pinned: PinnedAgreement, needed: Sequence[str], choices: Mapping[str, str]
) -> dict[str, str]:
    """Manifest digests by object name, each manifest signed by its owner; of its own, a party means the newest."""
    if stray := sorted(set(choices) - set(needed)):
        raise UsageError(f"the rules do not read an object called {stray[0]!r}")
    entries = gateway.objects(pinned.id)
    own = {kept.verify(home.public_keys().signing).name: kept.digest for kept in home.objects()}
    complete = {entry.digest for entry in entries if entry.complete}
    newest = {name: digest for name, digest in own.items() if digest in complete}
    chosen = {name: _only(entries, name, choices.get(name, newest.get(name, ""))) for name in needed}
    for name, digest in chosen.items():
        manifest = gateway.manifest(digest)
        if manifest is None or manifest.digest != digest:
            raise NotAcceptable("other-object", f"the gateway shows another manifest for {name}")
        admission.check_manifest(manifest, name, pinned)
    return chosen


def _only(entries: Sequence[ObjectEntry], name: str, prefix: str) -> str:
    found = [entry for entry in entries if entry.name == name and entry.complete and entry.digest.startswith(prefix)]
    if not found:
        raise Waiting(f"{name} is not at the gateway yet", hint="its owner sends it with `sealroom submit`")
    if len(found) > 1:
        digests = ", ".join(entry.digest[:12] for entry in found)
        raise UsageError(f"{name} was sealed more than once: {digests}",
                         hint=f"choose one: `--object {name}={found[-1].digest[:12]}`")  # fmt: skip
    return found[0].digest


def _columns(agreement: Agreement, needed: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {d.name: admission.readable_columns(d) for d in agreement.datasets if d.name in needed}
