"""What a report's 64 free bytes must say: they bind the enclave's keys to one request of one agreement.

Runs in: gate (to ask) and parties (to recompute).   Believes: nothing.   Spec: §6.2.

A party computes this from what it expects, never from what the evidence or the host claims.
"""

from __future__ import annotations

from collections.abc import Mapping

from sealroom.protocol import digest
from sealroom.protocol.errors import UsageError

LABEL = "report-data/v1"
NONCE_BYTES = 32


def report_data(
    *,
    nonces: Mapping[str, str],
    gate_sealing_key: bytes,
    gate_signing_key: bytes,
    agreement_id: str,
    agreement_version: str,
    request: str,
    checkpoint: str,
) -> bytes:
    """REPORT_DATA (64 bytes) of an enclave that holds these keys and answers these challenges.

    Nonces are 32 bytes as hex, by the name of the party that drew them. The four digests are 32 bytes as hex. The
    pre-image is in fixed order: count of nonces, party and nonce of each by name, sealing key, signing key, agreement
    id, agreement version, request, checkpoint, each behind its length.

    Raises:
        UsageError: no nonce, a nonce that is all zero, or a part of another shape.
    """
    if not nonces:
        raise UsageError("report data without a nonce could be replayed")
    if not gate_sealing_key or not gate_signing_key:
        raise UsageError("report data binds two keys; one is empty")
    parts = [len(nonces).to_bytes(8, "big")]
    for party in sorted(nonces):
        parts += [_name(party), _nonce(party, nonces[party])]
    parts += [gate_sealing_key, gate_signing_key]
    names = {"agreement_id": agreement_id, "agreement_version": agreement_version}
    parts += [_bytes32(name, text) for name, text in {**names, "request": request, "checkpoint": checkpoint}.items()]
    return bytes.fromhex(digest.sha512(LABEL, *parts))


def _name(party: str) -> bytes:
    if not party:
        raise UsageError("a nonce belongs to a named party")
    return party.encode()


def _nonce(party: str, text: str) -> bytes:
    data = _bytes32(f"nonce of {party}", text)
    if not any(data):
        raise UsageError(f"nonce of {party}: all zero, so it was never drawn")
    return data


def _bytes32(name: str, text: str) -> bytes:
    if len(text) != 2 * NONCE_BYTES or not set(text) <= set("0123456789abcdef"):
        raise UsageError(f"{name}: expected 32 bytes as 64 lower-case hex digits")
    return bytes.fromhex(text)
