"""Runs vectors of witness files."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sealroom.client import witness
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.witness import WitnessFile
from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import Refused
from tests.vectors import cases
from tests.vectors.cases import Vector

Ending = tuple[str, str]
STAGES = {
    "E3.other-agreement": "party", "E3.not-another-party": "party", "E2.stranger": "signature",
    "E2.signature": "signature", "E3.other-challenge": "challenge", "E2.other-statements": "statements",
}  # fmt: skip


@functools.cache
def _pinned() -> PinnedAgreement:
    """The agreement, as a party that signed it has pinned it."""
    (value,) = cases.shared("receipt-bundle")["agreement"]
    signed = envelope.parse(canonical.encode(value))
    return PinnedAgreement(signed, envelope.unverified(signed, Agreement), signed.digest, signed.digest)


def a_witness(vector: Vector) -> Ending:
    try:
        file = schema.decode(WitnessFile, canonical.decode(vector.body, most=1 << 20))
    except Refused as error:
        return error.code, "decode"
    asked = {name: vector.headers[name] for name in ("subject", "challenge")}
    try:
        witness.check(file, _pinned(), **asked)
    except Refused as error:
        return error.code, STAGES[error.code]
    return cases.OK, "statements"


RUNNERS: dict[str, Callable[[Vector], Ending]] = {"witness": a_witness}
