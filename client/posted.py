"""What this party's broker posted must be in the log: a gateway cannot take a statement and leave it out.

Runs in: an owner's broker.   Believes: its own ledger and outbox.   Spec: §13.4.
"""

from __future__ import annotations

from collections.abc import Iterator

from sealroom.client import outbox
from sealroom.client.desk import Desk, Terms
from sealroom.client.entries import Draft
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.logged import Refusal
from sealroom.protocol.statements import Approval, Consent, Cosignature, Grant, Revocation, Stop

_KINDS = {
    envelopes.media_type(kind): name
    for kind, name in (
        (Approval, "approval"), (Revocation, "revocation"), (Stop, "stop"), (Grant, "grant"), (Consent, "consent"),
        (Cosignature, "cosignature"), (Refusal, "refusal"),
    )
}  # fmt: skip


def require_logged(desk: Desk, terms: Terms, done: set[int]) -> None:
    """Return if the log holds all that this party posted under the agreement; what was found once needs no other look.

    `done` are numbers of entries with nothing left to post and all of it found; those that are so now are added.

    Raises:
        NotGenuine: a statement of this party is missing there.
    """
    agreement = terms.pinned.id
    for signed in (*outbox.sent(desk.home, agreement), *_taken(desk, f"refusal/{agreement}/")):
        _require(desk, terms, signed)
    for entry in desk.ledger.entries():
        if entry.sequence in done or entry.draft.agreement != agreement:
            continue
        complete = _is_complete(desk, entry.draft)
        for signed in _posted(desk, entry.draft):
            _require(desk, terms, signed)
        if complete:
            done.add(entry.sequence)


def _require(desk: Desk, terms: Terms, signed: envelopes.Envelope) -> None:
    mark = f"logged/{signed.digest}"
    if not desk.ledger.sent(mark):
        terms.log.require(_KINDS[signed.payloadType], signed.digest)
        desk.ledger.mark_sent(mark)


def _is_complete(desk: Desk, draft: Draft) -> bool:
    """Whether nothing more will be posted for this entry: its run is closed, or its one answer went."""
    if draft.kind == "grant":
        return desk.ledger.sent(f"closed/{draft.once.removeprefix('grant/')}")
    return draft.kind not in ("release", "refusal") or desk.ledger.sent(f"consent/{draft.name}")


def _posted(desk: Desk, draft: Draft) -> Iterator[envelopes.Envelope]:
    """What the ledger kept for an entry, and the gateway took."""
    if draft.kind == "grant":
        run = draft.once.removeprefix("grant/")
        yield from _taken(desk, f"grant/{run}/")
        yield from _taken(desk, f"cosignature/{run}")
    elif draft.kind in ("release", "refusal"):
        yield from _taken(desk, f"consent/{draft.name}")


def _taken(desk: Desk, prefix: str) -> Iterator[envelopes.Envelope]:
    for name, body in desk.ledger.kept_under(prefix).items():
        if desk.ledger.sent(name):
            yield envelopes.parse(body)
