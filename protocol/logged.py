"""Statements that only parties read and sign: an owner's refusal of a run, and the operator's word for the log's key.

Runs in: parties.   Believes: nothing.   Spec: §5.10.   Apart from `statements`, so that the gate does not carry them.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sealroom.protocol import digest
from sealroom.protocol.schema import Base64, Hex32, Many, Name, Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An owner will give no key to this run; `reasons` holds a sealed closed code for each owner of its objects.

    `evidence` is what it refused, or null if it had seen none.
    """

    format: Literal["sealroom/refusal/v1"]
    party: Name
    agreement: Hex32
    version: Hex32
    request: Hex32
    evidence: Hex32 | None
    reasons: Annotated[dict[Name, Base64], Many(0, 16)]
    created: Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The operator names the key that signs checkpoints of the agreement's log (Ed25519)."""

    format: Literal["sealroom/log/v1"]
    party: Name
    agreement: Hex32
    key: Base64
    created: Time


def refusal_info(request: str, refuser: str, party: str) -> bytes:
    """HPKE `info` of a refusal's reason: bound to the run, who refuses it, and the party that may read why."""
    return digest.preimage("refusal/v1", request.encode(), refuser.encode(), party.encode())
