"""What this party's broker posted, and what the gateway lists, must be in the log: nothing is taken and left out.

Runs in: an owner's broker.   Believes: its own ledger and outbox.   Spec: §13.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sealroom.client import known, outbox
from sealroom.client.desk import Desk
from sealroom.client.entries import Draft
from sealroom.client.logbook import Logbook
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.logged import Refusal
from sealroom.protocol.statements import Approval, Consent, Cosignature, Grant, Revocation, Stop

_KINDS = {
    envelopes.media_type(kind): name
    for kind, name in (
        (Approval, "approval"), (Revocation, "revocation"), (Stop, "stop"), (Grant, "grant"), (Consent, "consent"),
        (Cosignature, "cosignature"), (Refusal, "refusal"),
    )
}  # fmt: skip


def require_logged(desk: Desk, log: Logbook, listed: Sequence[Envelope], done: set[int]) -> None:
    """Return if the log holds all that this party posted, and all of `listed`; what was found once is not asked again.

    `done` are numbers of entries with nothing left to post and all of it found; those that are so now are added.

    Raises:
        NotGenuine: a statement is missing there.
    """
    agreement = log.pinned.id
    for signed in (*outbox.sent(desk.home, agreement), *_taken(desk, f"refusal/{agreement}/"), *listed):
        _require(desk, log, signed)
    for entry in desk.ledger.entries():
        if entry.sequence in done or entry.draft.agreement != agreement:
            continue
        complete = _is_complete(desk, entry.draft)
        for signed in _posted(desk, entry.draft):
            _require(desk, log, signed)
        if complete:
            done.add(entry.sequence)


def _require(desk: Desk, log: Logbook, signed: Envelope) -> None:
    if not desk.ledger.sent(known.logged(signed)):
        log.require(_KINDS[signed.payloadType], signed.digest)
        desk.ledger.mark_sent(known.logged(signed))


def _is_complete(desk: Desk, draft: Draft) -> bool:
    """Whether nothing more will be posted for this entry: its run is closed, or its one answer went."""
    if draft.kind == "grant":
        return desk.ledger.sent(f"closed/{draft.once.removeprefix('grant/')}")
    return draft.kind not in ("release", "refusal") or desk.ledger.sent(f"consent/{draft.name}")


def _posted(desk: Desk, draft: Draft) -> Iterator[Envelope]:
    """What the ledger kept for an entry, and the gateway took."""
    if draft.kind == "grant":
        run = draft.once.removeprefix("grant/")
        yield from _taken(desk, f"grant/{run}/")
        yield from _taken(desk, f"cosignature/{run}")
    elif draft.kind in ("release", "refusal"):
        yield from _taken(desk, f"consent/{draft.name}")


def _taken(desk: Desk, prefix: str) -> Iterator[Envelope]:
    for name, body in desk.ledger.kept_under(prefix).items():
        if desk.ledger.sent(name):
            yield envelopes.parse(body)
