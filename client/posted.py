"""What this party's broker posted must be in the log: a gateway cannot take a statement and leave it out.

Runs in: an owner's broker.   Believes: its own ledger and outbox.   Spec: §13.4.
"""

from __future__ import annotations

from collections.abc import Iterator

from sealroom.client import outbox
from sealroom.client.desk import Desk, Terms
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


def require_logged(desk: Desk, terms: Terms) -> None:
    """Return if the log holds all that this party posted under the agreement; what was found once needs no other look.

    Raises:
        NotGenuine: a statement of this party is missing there.
    """
    for signed in _posted(desk, terms.pinned.id):
        mark = f"logged/{signed.digest}"
        if not desk.ledger.sent(mark):
            terms.log.require(_KINDS[signed.payloadType], signed.digest)
            desk.ledger.mark_sent(mark)


def _posted(desk: Desk, agreement: str) -> Iterator[envelopes.Envelope]:
    """Statements of the outbox that went, and what the ledger kept and the gateway took."""
    yield from outbox.sent(desk.home, agreement)
    for entry in desk.ledger.entries():
        draft = entry.draft
        if draft.agreement == agreement and draft.kind == "grant":
            run = draft.once.removeprefix("grant/")
            yield from _taken(desk, f"grant/{run}/")
            yield from _taken(desk, f"cosignature/{run}")
        elif draft.agreement == agreement and draft.kind in ("release", "refusal"):
            yield from _taken(desk, f"consent/{draft.name}")
    yield from _taken(desk, f"refusal/{agreement}/")


def _taken(desk: Desk, prefix: str) -> Iterator[envelopes.Envelope]:
    for name, body in desk.ledger.kept_under(prefix).items():
        if desk.ledger.sent(name):
            yield envelopes.parse(body)
