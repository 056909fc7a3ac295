"""Which statements a broker knows: what the gateway lists, the log holds, came as files, or was ever seen.

Runs in: an owner's broker.   Believes: only statements signed by the party that they name.   Spec: §5.1, §13.4.

A gateway can leave a statement out of its lists or out of the log, and is found out either way: what the log holds
counts although it is not listed, and what is listed must be in the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from sealroom.client import memory, outbox, received, refusing, standing
from sealroom.client.desk import Desk
from sealroom.client.gateway import StatementKind
from sealroom.client.logged_entry import LoggedEntry
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.standing import Standing
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, Refused
from sealroom.protocol.logged import Refusal
from sealroom.protocol.statements import Request

KINDS: Final[tuple[StatementKind, ...]] = ("approval", "revocation", "stop")


def listed(desk: Desk, pinned: PinnedAgreement) -> list[Envelope]:
    """Statements that the gateway lists and that hold; each is kept for ever."""
    shown = [statement for kind in KINDS for statement in desk.gateway.statements(pinned.id, kind)]
    return _keep(desk, pinned, shown)[0]


def take(desk: Desk, pinned: PinnedAgreement, entries: Sequence[LoggedEntry]) -> bool:
    """Keep statements, and refusals of runs, that the log holds; whether one was not known before."""
    genuine, new = _keep(desk, pinned, [e.statement for e in entries if e.kind in KINDS and e.statement is not None])
    for signed in genuine:
        desk.ledger.mark_sent(logged(signed))
    refusals = [e.statement for e in entries if e.kind == "refusal" and e.statement is not None]
    fresh = [signed for signed in refusals if _keep_refusal(desk, pinned.id, signed)]
    return bool(fresh or new)


def standing_now(desk: Desk, pinned: PinnedAgreement) -> Standing:
    """All that stands: what was ever seen, this party's own, and what came as files."""
    own = [*outbox.waiting(desk.home, pinned.id), *outbox.sent(desk.home, pinned.id)]
    _keep(desk, pinned, [*own, *received.kept(desk.home, pinned.id)])
    return standing.read(pinned.agreement, pinned.id, memory.statements(desk.ledger, pinned.id))


def require_not_refused(desk: Desk, pinned: PinnedAgreement, run: str, request: Request) -> None:
    """Return if the log holds no owner's refusal of this run.

    Raises:
        NotAcceptable: it holds one: the run has ended, whatever its state is said to be.
    """
    for body in desk.ledger.kept_under(_refused(run)).values():
        with contextlib.suppress(Refused):  # what no owner signed for this run ends nothing
            said = refusing.verify(envelopes.parse(body), pinned, request, run)
            break
    else:
        return
    raise NotAcceptable("run-refused", f"{said.party} has refused this run: the log says so",
                        hint="ask for a new run once what was refused is mended")  # fmt: skip


def logged(statement: Envelope) -> str:
    """Under which name a broker marks what it found in the log."""
    return f"logged/{statement.digest}"


def _keep(desk: Desk, pinned: PinnedAgreement, found: list[Envelope]) -> tuple[list[Envelope], list[Envelope]]:
    """Which of them hold, all kept now; and which of those were not known before."""
    genuine = list(_genuine(standing.read(pinned.agreement, pinned.id, found)))
    return genuine, memory.keep_statements(desk.ledger, pinned.id, genuine)


def _genuine(found: Standing) -> Iterator[Envelope]:
    for group in (found.approvals, found.revocations, found.stops):
        yield from (signed for signed, _ in group.values())


def _keep_refusal(desk: Desk, agreement: str, signed: Envelope) -> bool:
    """Keep it until its run is looked at, whose request says who may sign one; whether it is new, and not one's own."""
    with contextlib.suppress(Refused):
        run = envelopes.unverified(signed, Refusal).request
        own = desk.ledger.kept(refusing.kept_name(agreement, run))
        if desk.ledger.kept(_refused(run) + signed.digest) is None:
            desk.ledger.keep(_refused(run) + signed.digest, signed.to_bytes())
            return own != signed.to_bytes()
    return False


def _refused(run: str) -> str:
    return f"refused/{run}/"
