"""A bank, a partner, an operator, a second partner, and everything they sign: real keys and envelopes, no platform."""

from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Mapping
from typing import Any

from sealroom.protocol import canonical, confinement, consistency, envelope, schema, sealed, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SealingKey, SealingPublicKey, SigningKey, to_text
from sealroom.protocol.platform import simulated_policy
from sealroom.protocol.rules import Cost
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Grant, LedgerHead, Request, grant_info

NOW = 1_790_000_000
ROOT_DIGEST = "ab" * 32
LAUNCH = canonical.encode({"launcher": "process", "layers": sorted(confinement.REQUIRED["process"])})
"""A launch configuration with every layer that a process needs."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One party's private keys."""

    name: str
    signing: SigningKey
    sealing: SealingKey

    @classmethod
    def make(cls, name: str) -> Member:
        return cls(name, SigningKey.generate(), SealingKey.generate())

    def card(self, **consent: Any) -> dict[str, Any]:
        wanted = {"mode": "auto", "threshold": 0, "officers": [], "deadline": 86400, **consent}
        return {
            "name": self.name,
            "signing_key": self.signing.public.text,
            "sealing_key": self.sealing.public.text,
            "consent": wanted,
        }


@dataclasses.dataclass(frozen=True)
class SealedObject:
    """An object as its owner made it: ciphertext, object key, signed manifest."""

    ciphertext: bytes
    key: bytes
    envelope: Envelope
    manifest: Manifest


def column(name: str, kind: str, *, identifier: str | None = None, values: list[str] | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "identifier": identifier, "values": values}


def dataset(name: str, owner: str, entity: str, columns: list[dict[str, Any]], most_rows: int = 1000) -> dict[str, Any]:
    identifiers = [
        column("first_name", "text", identifier="given_name"),
        column("last_name", "text", identifier="family_name"),
        column("email", "text", identifier="email"),
        column("phone", "text", identifier="phone"),
    ]
    return {
        "name": name,
        "owner": owner,
        "population": name,
        "entity": entity,
        "most_rows": most_rows,
        "columns": [column(entity, "text"), *identifiers, *columns],
    }


def agreement_json(members: Mapping[str, Member], **changes: Any) -> dict[str, Any]:
    """The JSON of a version 1 between bank, partner and operator (and any other members); `changes` replace fields."""
    link = {
        "name": "people",
        "left": "customers",
        "right": "prospects",
        "scheme": "waterfall/v1",
        "keys": [["email"], ["given_name", "family_name", "phone"]],
    }
    outcome = {"dataset": "customers", "column": "y", "positive": "yes"}
    grid = {"metric": "auc", "at_percent": 100, "least": 500, "most": 1000, "step": 10}
    document = {
        "format": "sealroom/agreement/v1",
        "title": "Look-alike audience",
        "purpose": "Find prospects that resemble customers who bought",
        "sequence": 1,
        "first": None,
        "previous": None,
        "not_before": NOW - 1000,
        "not_after": NOW + 10_000_000,
        "parties": [member.card() for member in members.values()],
        "operator": "operator",
        "accepts_covert_channel": [],
        "requesters": ["bank"],
        "platforms": [schema.encode(simulated_policy(ROOT_DIGEST))],
        "launchers": ["process", "docker"],
        "approvals": {"threshold": 2, "mandatory": ["bank", "partner"]},
        "datasets": [
            dataset(
                "customers",
                "bank",
                "bank_id",
                [column("balance", "int"), column("y", "category", values=["no", "yes"])],
            ),
            dataset(
                "prospects",
                "partner",
                "partner_id",
                [column("age", "int"), column("job", "category", values=["admin", "retired", "student"])],
            ),
        ],
        "bundles": [
            {"name": "model", "owner": "bank", "lane": "whole"},
            {"name": "segments", "owner": "bank", "lane": "query"},
        ],
        "links": [link],
        "rules": [
            {
                "type": "overlap_count",
                "name": "overlap",
                "link": "people",
                "epsilon": 500_000,
                "floor": 10,
                "round_to": 1,
                "recipients": ["bank"],
            },
            {
                "type": "grouped_aggregates",
                "name": "by-segment",
                "link": "people",
                "by": [{"dataset": "prospects", "column": "job"}],
                "segments": {"bundle": "segments", "labels": ["rich", "other"]},
                "sums": [],
                "epsilon": 1_000_000,
                "floor": 10,
                "recipients": ["bank"],
            },
            {
                "type": "metrics",
                "name": "quality",
                "link": "people",
                "bundle": "model",
                "outcome": outcome,
                "candidates": "prospects",
                "holdout_percent": 30,
                "values": [grid],
                "recipients": ["bank"],
            },
            {
                "type": "audience_to_owner",
                "name": "audience",
                "link": "people",
                "bundle": "model",
                "outcome": outcome,
                "candidates": "prospects",
                "percent": 10,
                "floor": 5,
                "least_seed": 5,
                "recipients": ["partner"],
            },
        ],
        "purses": [
            {"owner": "bank", "population": "customers", "epsilon": 4_000_000, "bits": 10**8, "runs": 10},
            {"owner": "bank", "population": "model", "epsilon": 4_000_000, "bits": 10**8, "runs": 10},
            {"owner": "bank", "population": "segments", "epsilon": 4_000_000, "bits": 10**8, "runs": 10},
            {"owner": "partner", "population": "prospects", "epsilon": 4_000_000, "bits": 10**8, "runs": 10},
        ],
        "slots": {"query": 0, "opaque": 5},
        "limits": {"memory": 1 << 30, "processor_time": 60, "wall_time": 60},
    }
    return {**document, **changes}


def sign_agreement(members: Mapping[str, Member], document: dict[str, Any]) -> tuple[Agreement, Envelope]:
    agreement = consistency.check(schema.decode(Agreement, document))
    return agreement, envelope.sign(agreement, [m.signing for m in members.values()])


def seal_object(owner: Member, name: str, kind: str, media: str, plaintext: bytes, agreement_id: str) -> SealedObject:
    context = sealed.Context(
        agreement=agreement_id, kind=kind, name=name, owner=owner.name, media=media, size=len(plaintext)
    )
    out = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(plaintext), out, context)
    return SealedObject(out.getvalue(), key, envelope.sign(manifest, [owner.signing]), manifest)


def make_request(
    requester: Member,
    agreement: Agreement,
    signed: Envelope,
    objects: Mapping[str, SealedObject],
    rules: tuple[str, ...],
) -> Envelope:
    """A request for `rules` that reads every column that is no identifier and no entity."""
    needed = terms.required_objects(agreement, rules)
    columns = {
        d.name: tuple(c.name for c in d.columns if c.identifier is None and c.name != d.entity)
        for d in agreement.datasets
        if d.name in needed
    }
    request = Request(
        format="sealroom/request/v1",
        requester=requester.name,
        agreement=agreement.first or signed.digest,
        version=signed.digest,
        objects={name: objects[name].envelope.digest for name in needed},
        columns=columns,
        rules=rules,
        created=NOW,
        deadline=NOW + 3600,
        nonce="5a" * 32,
    )
    return envelope.sign(request, [requester.signing])


def make_grant(
    owner: Member,
    granted: SealedObject,
    *,
    agreement: str,
    version: str,
    request: str,
    evidence: str,
    gate: SealingPublicKey,
) -> Envelope:
    """A grant of one object's key to a gate, charging nothing."""
    info = grant_info(
        owner_key=owner.signing.public.raw,
        version=version,
        evidence=evidence,
        agreement=agreement,
        request=request,
        object_digest=granted.envelope.digest,
    )
    grant = Grant(
        format="sealroom/grant/v1",
        party=owner.name,
        agreement=agreement,
        version=version,
        request=request,
        evidence=evidence,
        object=granted.envelope.digest,
        suite="MLKEM768-X25519/HKDF-SHA256/AES-256-GCM",
        sealed_key=to_text(gate.seal(granted.key, info=info)),
        ledger=LedgerHead(sequence=1, previous="00" * 32),
        charged=Cost(epsilon=0, bits=0),
        created=NOW,
        deadline=NOW + 3600,
    )
    return envelope.sign(grant, [owner.signing])


def with_estimate(document: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A document with one rule more, `drivers`: the mean over blocks of what the bank's bundle `fit` says of them."""
    found: dict[str, Any] = copy.deepcopy(dict(document))
    rule = {
        "type": "vector_estimate",
        "name": "drivers",
        "link": "people",
        "bundle": "fit",
        "columns": [{"dataset": "customers", "column": "y"}, {"dataset": "prospects", "column": "age"}],
        "coordinates": [{"name": "age", "least": -200, "most": 400}, {"name": "level", "least": 0, "most": 1000}],
        "blocks": 200,
        "block_milliseconds": 150,
        "at_once": 1,
        "epsilon": 1_000_000,
        "recipients": ["bank"],
        **changes,
    }
    found["bundles"].append({"name": "fit", "owner": "bank", "lane": "blocks"})
    found["purses"].append({"owner": "bank", "population": "fit", "epsilon": 4_000_000, "bits": 10**8, "runs": 10})
    found["rules"].append(rule)
    return found
