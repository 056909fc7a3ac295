"""Fetches a run's end: reads the log, verifies the receipt, finds it there, then opens what was released to this party.

Runs in: any party of the agreement.   Believes: the agreement and roots that it pinned.   Spec: §7.5.

Nothing is opened, and no receipt is kept, before it has been verified and found in the agreement's log.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from sealroom.client import bundle as bundles
from sealroom.client import files, proving, receipt, received, refusing, results
from sealroom.client.bundle import Bundle
from sealroom.client.errors import Waiting
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.receipt import ReleaseFate, Verified
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import release, wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotReleased
from sealroom.protocol.statements import Request


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A release that lies opened in a file."""

    rule: str
    path: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
    """What a run brought: the verified receipt, its file, this party's releases that are open or not."""

    verified: Verified
    bundle: Path
    opened: tuple[Opened, ...]
    waiting: tuple[str, ...]
    refused: tuple[str, ...]


def collect(home: Home, gateway: Gateway, run: str) -> Collected:
    """Read the log, verify a run's receipt, find it there, keep it, and open all to this party that owners let go.

    Raises:
        Waiting: the run has not ended, or its slot is still to come.
        NotReleased: the run ended without a receipt, as the gateway says.
        NotAcceptable: the gateway contradicts itself.
        Refused: the receipt, or a release, is not what it must be.
    """
    status = gateway.run(run)
    gathered = bundles.gather(home, gateway, run) if status.receipt else None
    if gathered is None:
        if status.state == "done":
            raise NotAcceptable("contradiction", "the gateway says that the run is done, and shows no receipt",
                                hint="ask the operator; another party can send you the receipt as a file")  # fmt: skip
        if status.state in wire.RUN_FINAL_STATES:
            files.write(home.run_folder(run) / "ended", status.state.encode() + b"\n", overwrite=True)
            if said := _refusals(home, gateway, run, status.request):
                raise NotReleased("run-refused", f"the run is {status.state}: {'; '.join(said)}",
                                  hint="mend what was refused, then ask for a new run")  # fmt: skip
            raise NotReleased("no-receipt", f"the run is {status.state}, it left no receipt, and nothing was released",
                              hint="nobody knows why; ask the operator, then ask for a new run")  # fmt: skip
        raise Waiting(f"the run is {status.state}", hint=f"follow it: `sealroom watch {run[:12]}`")
    gathered, found = _verified(home, gateway, gathered)
    folder = home.run_folder(run)
    path = bundles.save(folder, gathered)
    mine = [item for item in found.releases if item.offer.offer.recipient == home.config.party]
    opened = tuple(_open(home, gateway, run, item, folder) for item in mine if item.fate == "released")
    by_fate = {fate: tuple(i.offer.rule.name for i in mine if i.fate == fate) for fate in ("waiting", "refused")}
    return Collected(found, path, opened, by_fate["waiting"], by_fate["refused"])


def _verified(home: Home, gateway: Gateway, gathered: Bundle) -> tuple[Bundle, Verified]:
    """What was gathered with all that the log says of it, and what it amounts to.

    Approvals and revocations count that the log holds, whatever the gateway lists; a receipt counts that it holds.
    """
    agreement = envelopes.unverified(gathered.request, Request).agreement
    book = proving.look(home, gateway, agreement, now=int(time.time()))
    if book is not None:
        came = {signed.digest for signed in received.kept(home, agreement)}
        listed = [one for one in (*gathered.approvals, *gathered.revocations) if one.digest not in came]
        gathered = proving.complete(gathered, book, listed)
    found = receipt.verify(gathered, roots=pinned_roots(home, agreement))
    if book is not None:
        gathered = proving.prove(gathered, book)
        found = dataclasses.replace(found, logged=proving.check_logged(gathered, found.agreement))
    return gathered, found


def _refusals(home: Home, gateway: Gateway, run: str, request: Envelope) -> tuple[str, ...]:
    """Which owners refused the run and, as far as this party may read it, why."""
    about = envelopes.unverified(request, Request).agreement
    pinned = next((item for item in home.agreements() if item.id == about), None)
    return () if pinned is None else refusing.told(home, gateway, pinned, run)


def pinned_roots(home: Home, agreement: str) -> frozenset[str]:
    """Roots that this party named by signing the agreement; none if it has not pinned it."""
    pinned = [item for item in home.agreements() if item.id == agreement]
    return frozenset(root for item in pinned for policy in item.agreement.platforms for root in policy.roots)


def _open(home: Home, gateway: Gateway, run: str, item: ReleaseFate, folder: Path) -> Opened:
    offer = item.offer.offer
    ciphertext = gateway.ciphertext(run, item.offer.digest, most=offer.size)
    text = release.open_release(offer, ciphertext, item.shares, home.sealing_key())
    return Opened(offer.rule, results.write(folder, offer.rule, text))
