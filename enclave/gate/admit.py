"""Every check that must hold before a key is used, numbered as in the specification.

Runs in: the gate (TCB).   Believes: signatures by the agreement's own parties, after checking them.   Spec: §6.1.

The gate decides nothing by its own clock, which is the host's: owners' brokers check expiry, revocation and version
before they grant and again before they consent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sealroom.protocol import consistency, envelope, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine, UsageError
from sealroom.protocol.keys import SUITE_NAME, SealingKey, SealingPublicKey, VerifyingKey, from_text
from sealroom.protocol.rules import AudienceToOwner, GroupedAggregates, Metrics, Rule, VectorEstimate
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Grant, Request, grant_info

MOST_VERSIONS = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedAgreement:
    """An agreement that all its parties signed, with its id and the digest of this version."""

    agreement: Agreement
    id: str
    version: str

    def key_of(self, party: str) -> VerifyingKey:
        """The signing key of a party."""
        return VerifyingKey.parse(self.agreement.party(party).signing_key)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRun:
    """A request that may run once its grants are there: `manifests` by object name, with the manifests' digests."""

    agreed: AdmittedAgreement
    request: Request
    request_digest: str
    manifests: Mapping[str, Manifest]
    nonces: Mapping[str, str]
    checkpoint: str

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners of the objects that this run reads, sorted."""
        return tuple(sorted({m.owner for m in self.manifests.values()}))


def admit_agreement(chain: Sequence[Envelope]) -> AdmittedAgreement:
    """Check a chain of agreement versions from the first to the one in force.

    (1) There are 1..64 versions. (2) Each is signed by all parties of itself and of the version before it. (3) Sequence
    numbers, first and previous digests chain. (4) Each is consistent in itself, and its parties' keys can be sealed to.

    Raises:
        Malformed, NotGenuine: any of these does not hold.
    """
    if not 1 <= len(chain) <= MOST_VERSIONS:  # (1)
        raise Malformed("bad-chain", f"an agreement has 1..{MOST_VERSIONS} versions")
    current: Agreement | None = None
    for number, link in enumerate(chain, start=1):
        draft = envelope.unverified(link, Agreement)
        signers = {p.signing_key for p in (*draft.parties, *(current.parties if current else ()))}
        current = envelope.verify(link, Agreement, {key: VerifyingKey.parse(key) for key in signers})  # (2)
        expected = (number, chain[0].digest if number > 1 else None, chain[number - 2].digest if number > 1 else None)
        if (current.sequence, current.first, current.previous) != expected:  # (3)
            raise NotGenuine("broken-chain", f"version {number} does not follow from the one before it")
        for party in consistency.check(current).parties:  # (4)
            # A key that cannot be sealed to would otherwise show when the receipt is due, and there would be none.
            SealingPublicKey.parse(party.sealing_key).seal(b"", info=b"")
    assert current is not None  # noqa: S101 (1) leaves no other way
    return AdmittedAgreement(agreement=current, id=chain[0].digest, version=chain[-1].digest)


def admit_request(
    agreed: AdmittedAgreement,
    request_envelope: Envelope,
    manifest_envelopes: Sequence[Envelope],
    *,
    nonces: Mapping[str, str],
    checkpoint: str,
) -> AdmittedRun:
    """Check a request and the manifests it names against the agreement.

    (5) Signed by a requester that the agreement allows. (6) Made for this agreement and version. (7) Its rules exist,
    once each. (8) It brings exactly the objects that its rules read. (9) It names columns that are declared, none that
    identifies a person, and those that its rules need. (10) Each manifest is signed by the object's owner, bound to
    this agreement, and the one that the request names. (11) Each owner has given a nonce that is not zero.

    Raises:
        Malformed, NotGenuine, NotAcceptable: any of these does not hold.
    """
    unverified = envelope.unverified(request_envelope, Request)
    agreement = agreed.agreement
    if unverified.requester not in agreement.requesters:  # (5)
        raise NotAcceptable("requester", f"{unverified.requester} may not request runs")
    request = envelope.verify(request_envelope, Request, {"requester": agreed.key_of(unverified.requester)})
    if (request.agreement, request.version) != (agreed.id, agreed.version):  # (6)
        raise NotAcceptable("other-agreement", "the request is for another agreement or version")
    if len(set(request.rules)) != len(request.rules):  # (7)
        raise Malformed("repeated-rule", "the request names a rule twice")
    rules = tuple(_rule(agreement, name) for name in request.rules)
    if set(request.objects) != set(terms.required_objects(agreement, request.rules)):  # (8)
        raise NotAcceptable("objects", "the request does not bring exactly the objects that its rules read")
    _admit_columns(agreement, request, rules)  # (9)
    manifests = _admit_manifests(agreed, request, manifest_envelopes)  # (10)
    for owner in {m.owner for m in manifests.values()}:  # (11)
        if not set(nonces.get(owner, "")) - {"0"}:
            raise NotAcceptable("nonce", f"{owner} has given no nonce")
    return AdmittedRun(
        agreed=agreed,
        request=request,
        request_digest=request_envelope.digest,
        manifests=manifests,
        nonces=dict(nonces),
        checkpoint=checkpoint,
    )


def admit_grant(run: AdmittedRun, grant_envelope: Envelope, *, evidence: str, key: SealingKey) -> tuple[str, bytes]:
    """Open one grant: (object name, object key).

    (12) Signed by the owner of an object of this run. (13) Made for this agreement, version, request and evidence, in
    the one suite. (14) The sealed key opens under the context that it was granted for.

    Raises:
        NotGenuine, NotAcceptable, CannotOpen: any of these does not hold.
    """
    unverified = envelope.unverified(grant_envelope, Grant)
    by_digest = {run.request.objects[name]: name for name in run.manifests}
    name = by_digest.get(unverified.object)
    if name is None or unverified.party != run.manifests[name].owner:  # (12)
        raise NotAcceptable("grant-object", "the grant is for an object that is not its owner's or not of this run")
    owner_key = run.agreed.key_of(unverified.party)
    grant = envelope.verify(grant_envelope, Grant, {"owner": owner_key})
    made_for = (grant.agreement, grant.version, grant.request, grant.evidence, grant.suite)
    if made_for != (run.agreed.id, run.agreed.version, run.request_digest, evidence, SUITE_NAME):  # (13)
        raise NotAcceptable("grant-context", "the grant was made for another run")
    info = grant_info(
        owner_key=owner_key.raw,
        version=grant.version,
        evidence=evidence,
        agreement=grant.agreement,
        request=grant.request,
        object_digest=grant.object,
    )
    return name, key.open(from_text(grant.sealed_key), info=info)  # (14)


def _rule(agreement: Agreement, name: str) -> Rule:
    try:
        return agreement.rule(name)
    except UsageError as error:
        raise NotAcceptable("unknown-rule", f"the agreement has no rule {name!r}") from error


def _admit_columns(agreement: Agreement, request: Request, rules: Sequence[Rule]) -> None:
    datasets = {d.name: d for d in agreement.datasets if d.name in request.objects}
    if set(request.columns) != set(datasets):
        raise NotAcceptable("columns", "the request must name columns for exactly the datasets that it reads")
    for name, columns in request.columns.items():
        readable = {c.name for c in datasets[name].columns if c.identifier is None and c.name != datasets[name].entity}
        if len(set(columns)) != len(columns) or not set(columns) <= readable:
            raise NotAcceptable("columns", f"the request names columns of {name} that are not declared for reading")
    for needing in rules:
        for dataset, column in _columns_needed(needing):
            if column not in request.columns[dataset]:
                raise NotAcceptable("columns", f"the rule {needing.name} needs {dataset}.{column}, which is left out")


def _columns_needed(rule: Rule) -> list[tuple[str, str]]:
    if isinstance(rule, GroupedAggregates):
        return [(c.dataset, c.column) for c in rule.by] + [(s.dataset, s.column) for s in rule.sums]
    if isinstance(rule, (Metrics, AudienceToOwner)):
        return [(rule.outcome.dataset, rule.outcome.column)]
    if isinstance(rule, VectorEstimate):
        return [(c.dataset, c.column) for c in rule.columns]
    return []


def _admit_manifests(agreed: AdmittedAgreement, request: Request, envelopes: Sequence[Envelope]) -> dict[str, Manifest]:
    by_digest = {e.digest: e for e in envelopes}
    if len(by_digest) != len(envelopes) or set(by_digest) != set(request.objects.values()):
        raise NotAcceptable("manifests", "the manifests are not those that the request names")
    found = {}
    for name, manifest_digest in request.objects.items():
        owner = agreed.agreement.owner_of(name)
        manifest = envelope.verify(by_digest[manifest_digest], Manifest, {"owner": agreed.key_of(owner)})
        kind = "dataset" if any(d.name == name for d in agreed.agreement.datasets) else "bundle"
        if (manifest.agreement, manifest.kind, manifest.name, manifest.owner) != (agreed.id, kind, name, owner):
            raise NotAcceptable("manifest-context", f"the manifest of {name} was made for something else")
        if (manifest.media == "bundle") != (kind == "bundle"):
            raise NotAcceptable("manifest-media", f"{name} is a {kind} and cannot hold {manifest.media}")
        found[name] = manifest
    return found
