"""A signed no to a whole run: for the record, with its reason sealed to the owners; the host learns only that it ended.

Runs in: an owner's broker, and owners who read why.   Believes: signatures of the agreement's parties.   Spec: §5.10.

A program that is not approved when its evidence comes is refused at once, though an approval may be on its way: the
record is worth more than the wait, which would keep an enclave and the queue behind it. What another moment or home may
take away is not signed, nor what a lying gateway could cause by its log alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Annotated, Final

from sealroom.client.desk import Desk, Event, Terms
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import canonical, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine, Refused, UsageError
from sealroom.protocol.keys import SealingKey, SealingPublicKey, VerifyingKey, from_text, to_text
from sealroom.protocol.logged import Refusal, refusal_info
from sealroom.protocol.schema import Text
from sealroom.protocol.statements import Request, evidence_digest

PADDED: Final = 256
MAY_HEAL: Final = frozenset({
    "E3.no-challenge", "E3.other-nonce", "E3.other-version", "E3.request-expired", "E3.not-yet-valid",
    "E3.agreement-expired", "E3.not-mine", "E3.second-broker", "E3.second-evidence", "E3.log-key", "E2.other-run",
    "E3.log-moved", "E3.run-refused",
})  # fmt: skip
"""Reasons that another statement, another moment or another home can take away, and those that end the run anyway."""
Code = Annotated[str, Text(r"E[1-5]\.[a-z0-9-]{1,60}", 64)]


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """What is sealed: one closed code."""

    code: Code


def is_final(error: Refused) -> bool:
    """Whether a run that was refused for this can never be granted."""
    code = error.code
    return code not in MAY_HEAL and not code.startswith(("E2.log-", "E3.ledger", "E3.clock", "E3.gateway-"))


def refuse(desk: Desk, terms: Terms, request: Envelope, evidence: bytes | None, error: Refused) -> Iterator[Event]:
    """Sign once why this run gets no key, and post it; does nothing if a key was given or the reason may pass."""
    run = request.digest
    if not is_final(error) or desk.ledger.kept_under(f"grant/{run}/"):
        return
    name = kept_name(terms.pinned.id, run)
    if desk.ledger.kept(name) is None:
        desk.ledger.keep(name, _signed(desk, terms.pinned, request, evidence, error.code).to_bytes())
    if desk.post(name, lambda said: desk.gateway.put_refusal(run, desk.party, said)):
        yield Event("declined", run, f"told the gateway that this run gets no key, and the owners why: {error.code}")


def kept_name(agreement: str, run: str) -> str:
    """Under which name a broker keeps its refusal."""
    return f"refusal/{agreement}/{run}"


def verify(signed: Envelope, pinned: PinnedAgreement, request: Request, run: str) -> Refusal:
    """The refusal, if an owner of an object of this run signed it, with reasons for owners only.

    Raises:
        NotGenuine: another signed it.
        NotAcceptable: it is of another run.
    """
    named = envelopes.unverified(signed, Refusal)
    owners = owners_of(pinned.agreement, request)
    if named.party not in owners:
        raise NotGenuine("stranger", "a run was refused by somebody who owns nothing in it")
    key = VerifyingKey.parse(pinned.agreement.party(named.party).signing_key)
    said = envelopes.verify(signed, Refusal, {named.party: key})
    if (said.agreement, said.version, said.request) != (pinned.id, request.version, run):
        raise NotAcceptable("other-run", "the refusal is of another run")
    if set(said.reasons) != owners:
        raise NotAcceptable(
            "other-owners", "the refusal tells its reason to others than the owners of the run's objects"
        )
    return said


def reason(said: Refusal, party: str, key: SealingKey) -> str:
    """The closed code that is sealed to `party`.

    Raises:
        CannotOpen: it is not sealed to this key, run or party.
        Malformed: it is no code.
    """
    if party not in said.reasons:
        raise CannotOpen
    text = key.open(from_text(said.reasons[party]), info=refusal_info(said.request, said.party, party))
    if len(text) != PADDED:
        raise Malformed("bad-length", "the reason of a refusal has another length")
    return schema.decode(Reason, canonical.decode(text.rstrip(b" "), most=PADDED), "reason").code


def told(home: Home, gateway: Gateway, pinned: PinnedAgreement, run: str) -> tuple[str, ...]:
    """Who refused a run and, as far as this party may read it, why: one line each."""
    status, lines = gateway.run(run), []
    if status.request.digest != run:
        raise NotGenuine("other-run", "the gateway shows another request under this run's name")
    request = envelopes.unverified(status.request, Request)
    for signed in gateway.refusals(run):
        with contextlib.suppress(Refused):  # what does not hold was said by nobody
            said = verify(signed, pinned, request, run)
            try:
                why = reason(said, home.config.party, home.sealing_key())
            except (CannotOpen, Malformed):
                why = "the reason is sealed to the owners of what the run reads"
            lines.append(f"{said.party} refused: {why}")
    return tuple(lines)


def owners_of(agreement: Agreement, request: Request) -> frozenset[str]:
    """Owners of those objects of a request that the agreement knows."""
    found = set()
    for name in request.objects:
        with contextlib.suppress(UsageError):
            found.add(agreement.owner_of(name))
    return frozenset(found)


def _signed(desk: Desk, pinned: PinnedAgreement, request: Envelope, evidence: bytes | None, code: str) -> Envelope:
    asked, run = envelopes.unverified(request, Request), request.digest
    text = canonical.encode(schema.encode(Reason(code))).ljust(PADDED)
    sealed = {}
    for owner in sorted(owners_of(pinned.agreement, asked)):
        key = SealingPublicKey.parse(pinned.agreement.party(owner).sealing_key)
        sealed[owner] = to_text(key.seal(text, info=refusal_info(run, desk.party, owner)))
    said = Refusal(
        format="sealroom/refusal/v1", party=desk.party, agreement=pinned.id, version=asked.version, request=run,
        evidence=None if evidence is None else evidence_digest(evidence), reasons=sealed, created=desk.now(),
    )  # fmt: skip
    return envelopes.sign(said, [desk.home.signing_key()])
