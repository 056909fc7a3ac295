"""The receipt: what ran, on what, under which evidence, and what was offered or refused.

Runs in: the gate (TCB).   Believes: its own session.   Spec: §5.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from sealroom.enclave.gate.admit import AdmittedRun
from sealroom.enclave.gate.identity import Attested, Identity
from sealroom.protocol import canonical, envelope
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingPublicKey, to_text
from sealroom.protocol.statements import Receipt, RuleResult, reason_info

REASON_BYTES = 8192
"""Every sealed reason has this size, so that the host cannot tell one from another: room for 64 rules' reasons."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended: the closed status, offers by rule, and closed reasons by rule (`*` is the whole run).

    `layers` are those that engine and zygote had confirmed by then: none where the run ended before it needed them.
    """

    status: Literal["completed", "refused", "failed"]
    offers: Mapping[str, tuple[str, ...]]
    reasons: Mapping[str, str]
    layers: tuple[str, ...]

    @classmethod
    def completed(
        cls, offers: Mapping[str, tuple[str, ...]], reasons: Mapping[str, str], layers: Sequence[str]
    ) -> Self:
        """Every rule was answered, by an offer or by withholding."""
        return cls("completed", offers, reasons, tuple(layers))

    @classmethod
    def refused(cls, code: str, layers: Sequence[str]) -> Self:
        """A check said no."""
        return cls("refused", {}, {"*": code}, tuple(layers))

    @classmethod
    def failed(cls, layers: Sequence[str]) -> Self:
        """A process of the enclave ended before its time."""
        return cls("failed", {}, {"*": "failed"}, tuple(layers))


def make_receipt(
    run: AdmittedRun, attested: Attested, identity: Identity, grants: Sequence[str], ending: Ending
) -> Envelope:
    """Sign the receipt of one session."""
    results = tuple(
        RuleResult(
            rule=rule,
            outcome="offered" if ending.offers.get(rule) else "withheld",
            offers=ending.offers.get(rule, ()),
        )
        for rule in run.request.rules
    )
    receipt = Receipt(
        format="sealroom/receipt/v1",
        agreement=run.agreed.id,
        version=run.agreed.version,
        request=run.request_digest,
        evidence=attested.digest,
        platform_class=run.agreed.agreement.platform_class,
        gate_key=identity.signing.public.text,
        grants=tuple(sorted(grants)),
        layers=ending.layers,
        status=ending.status,
        results=results,
        reasons=_sealed_reasons(run, ending.reasons),
    )
    return envelope.sign(receipt, [identity.signing])


def _sealed_reasons(run: AdmittedRun, reasons: Mapping[str, str]) -> dict[str, str]:
    """The same reasons for every owner of an object of this run, padded and sealed to each."""
    text = canonical.encode(dict(reasons)).ljust(REASON_BYTES)
    sealed = {}
    for owner in run.owners:
        key = SealingPublicKey.parse(run.agreed.agreement.party(owner).sealing_key)
        sealed[owner] = to_text(key.seal(text, info=reason_info(run.request_digest, owner)))
    return sealed
