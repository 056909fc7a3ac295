"""Handing an object's key to one attested gate: what it charges, and the signed grants that carry the keys.

Runs in: an owner's broker.   Believes: accepted evidence, the pinned agreement, its own home.   Spec: §5.4.
"""

from __future__ import annotations

from typing import Final, Literal

from sealroom.client import purses
from sealroom.client.admission import AdmittedRequest, check_manifest
from sealroom.client.appraise import Accepted
from sealroom.client.entries import Draft
from sealroom.client.home import Home
from sealroom.protocol import envelope, terms, wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable
from sealroom.protocol.keys import to_text
from sealroom.protocol.statements import Grant, LedgerHead, grant_info

End = Literal["settled", "unresolved"]
_SUITE: Final = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"


def matter(run: str) -> str:
    """What the ledger settles once: this run gets keys for one evidence, ever."""
    return f"grant/{run}"


def end_matter(run: str) -> str:
    """What the ledger settles once: how a run ended that got keys."""
    return f"end/{run}"


def draft(home: Home, request: AdmittedRequest, accepted: Accepted, *, now: int) -> Draft:
    """The ledger's entry: one run, and the bits of its closed outcomes, debited in advance."""
    charges = purses.run_charges(request.pinned.agreement, home.config.party, request.request.rules)
    return Draft(
        format="sealroom/ledger-entry/v1", kind="grant", once=matter(request.digest), name=accepted.digest,
        agreement=request.pinned.id, remark=accepted.verdict.evidence, charges=charges, created=now,
        deadline=min(request.request.deadline, now + wire.GRANT_WAIT),
    )  # fmt: skip


def own_objects(home: Home, request: AdmittedRequest) -> dict[str, bytes]:
    """The keys of this party's objects in the request, by manifest digest.

    Raises:
        NotAcceptable: the request names an object that this home did not seal under that name for this agreement.
    """
    kept = {item.digest: item for item in home.objects()}
    keys = {}
    for name, digest in request.objects_of(home.config.party).items():
        if digest not in kept:
            raise NotAcceptable("not-mine", f"the request names a {name} that this home did not seal",
                                hint="answer from the home that sealed it, or seal and submit it here")  # fmt: skip
        check_manifest(kept[digest].manifest, name, request.pinned)
        keys[digest] = home.object_key(digest)
    return keys


def make(
    home: Home, request: AdmittedRequest, accepted: Accepted, entry: Draft, head: LedgerHead
) -> dict[str, Envelope]:
    """One signed grant per own object, by manifest digest; all stand on the same ledger entry."""
    keys = own_objects(home, request)
    return {digest: _grant(home, request, accepted, entry, (digest, key), head) for digest, key in keys.items()}


def _grant(
    home: Home, request: AdmittedRequest, accepted: Accepted, entry: Draft, item: tuple[str, bytes], head: LedgerHead
) -> Envelope:
    digest, key = item
    signing, pinned = home.signing_key(), request.pinned
    info = grant_info(
        owner_key=signing.public.raw, version=pinned.version, evidence=accepted.digest, agreement=pinned.id,
        request=request.digest, object_digest=digest,
    )  # fmt: skip
    grant = Grant(
        format="sealroom/grant/v1", party=home.config.party, agreement=pinned.id, version=pinned.version,
        request=request.digest, evidence=accepted.digest, object=digest, suite=_SUITE,
        sealed_key=to_text(accepted.gate_sealing_key.seal(key, info=info)), ledger=head,
        charged=terms.status_cost(pinned.agreement, request.request.rules), created=entry.created,
        deadline=entry.deadline,
    )  # fmt: skip
    return envelope.sign(grant, [signing])
