"""The revocation list of a root: which intermediates it has taken back, and until when the list counts (RFC 5280 §5).

Runs in: parties.   Believes: nothing.   Spec: §6.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from sealroom.attestation import der
from sealroom.attestation.snp import certificates
from sealroom.attestation.snp.certificates import Certificate
from sealroom.attestation.verdict import Check, Record
from sealroom.protocol.errors import Malformed
from sealroom.protocol.platform import Require

MOST_BYTES = 1 << 16
MOST_ENTRIES = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class RevocationList:
    """A list as read: raw issuer name, times in seconds since 1970, serial numbers that no longer count."""

    tbs: bytes
    signature: bytes
    issuer: bytes
    this_update: int
    next_update: int
    serials: frozenset[int]


def parse(data: bytes) -> RevocationList:
    """The fields of a DER revocation list (version 2).

    Raises:
        Malformed: not DER, too long, another version or algorithm, no nextUpdate, or any critical extension (those
            change what a list covers).
    """
    if len(data) > MOST_BYTES:
        raise Malformed("too-large", f"the revocation list has {len(data)} bytes, {MOST_BYTES} are allowed")
    outer = der.Reader(der.whole(data, der.SEQUENCE))
    tbs = outer.element(der.SEQUENCE)
    certificates.read_algorithm(outer)
    signature = der.octets(outer.element(der.BIT_STRING).content)
    outer.end()
    fields = der.Reader(tbs.content)
    if der.integer(fields.element(der.INTEGER).content) != 1:
        raise Malformed("revocation-list", "the revocation list is not version 2")
    certificates.read_algorithm(fields)
    issuer = fields.element(der.SEQUENCE).raw
    this_update, next_update = der.moment(fields), der.moment(fields)
    listed = fields.optional(der.SEQUENCE)
    if (extensions := fields.optional(der.context(0))) is not None:
        certificates.read_extensions(der.Reader(extensions.content), frozenset())
    fields.end()
    serials = _serials(der.Reader(listed.content)) if listed else frozenset()
    return RevocationList(tbs.raw, signature, issuer, this_update, next_update, serials)


def check(
    record: Record,
    found: RevocationList | None,
    *,
    root: Certificate,
    intermediate: Certificate | None,
    now: int,
    require: Require,
    most_age: int | Literal["any"],
) -> None:
    """Refuse an intermediate that its root has revoked, or a list that is missing, forged or out of date.

    With `require="any"` a list may be missing or out of date, but one that is there must be the root's, and what it
    revokes is revoked.

    Raises:
        EvidenceNotGenuine: reasons `revocation-missing`, `revocation`, `revoked`, `revocation-freshness`.
    """
    if found is None:
        _check_missing(record, require=require, most_age=most_age)
        return
    _check_origin(record, found, root)
    if intermediate is not None:
        record.require(
            "intermediate",
            f"serial 0x{intermediate.serial:x}",
            "not on the revocation list",
            holds=intermediate.serial not in found.serials,
            reason="revoked",
            source="revocation list",
        )
    _check_freshness(record, found, now=now, require=require, most_age=most_age)


def _check_missing(record: Record, *, require: Require, most_age: int | Literal["any"]) -> None:
    name, value, reason = "revocation list", "none was sent", "revocation-missing"
    if require == "require" or most_age != "any":
        record.fail(Check(name, value, "a list", "fail", reason, "caller"))
    record.note(Check(name, value, "any", "waived", reason, "caller"))


def _check_origin(record: Record, found: RevocationList, root: Certificate) -> None:
    name, expect = "revocation list origin", f"named and signed by {root.common_name}"
    named = found.issuer == root.subject and certificates.authority(root).may_sign_lists
    if not named:
        value = "names another issuer, or one that may not sign lists"
        record.fail(Check(name, value, expect, "fail", "revocation", "revocation list"))
    record.attempt(
        name,
        expect,
        lambda: certificates.verify_signature(root, signature=found.signature, over=found.tbs),
        reason="revocation",
        source="revocation list",
    )


def _check_freshness(
    record: Record, found: RevocationList, *, now: int, require: Require, most_age: int | Literal["any"]
) -> None:
    fresh = found.this_update <= now <= found.next_update
    young = most_age == "any" or now - found.this_update <= most_age
    name, value = "revocation list age", f"valid {found.this_update}..{found.next_update}, asked at {now}"
    if require == "any" and young and not fresh:
        record.note(Check(name, value, "any", "waived", "revocation-freshness", "revocation list"))
        return
    expect = "valid now" if most_age == "any" else f"valid now and at most {most_age} seconds old"
    holds = fresh and young
    record.require(name, value, expect, holds=holds, reason="revocation-freshness", source="revocation list")


def _serials(listed: der.Reader) -> frozenset[int]:
    serials: list[int] = []
    while listed.peek() is not None:
        if len(serials) == MOST_ENTRIES:
            raise Malformed("too-large", f"the revocation list has more than {MOST_ENTRIES} entries")
        entry = listed.inside()
        serials.append(der.integer(entry.element(der.INTEGER).content))
        der.moment(entry)
        if (extensions := entry.optional(der.SEQUENCE)) is not None:
            certificates.read_extensions(der.Reader(extensions.raw), frozenset())
        entry.end()
    return frozenset(serials)
