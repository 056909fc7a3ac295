"""Whether a run request may be answered at all, before any evidence.

Runs in: a party.   Believes: the pinned agreement.   Spec: §5.3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sealroom.client.pinning import PinnedAgreement
from sealroom.client.standing import SKEW
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import terms
from sealroom.protocol.agreement import Agreement, Dataset
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, UsageError
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.rules import Rule
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Request


@dataclasses.dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that the agreement allows; `digest` is the run's id."""

    pinned: PinnedAgreement
    envelope: Envelope
    request: Request

    @property
    def digest(self) -> str:
        """The run's id."""
        return self.envelope.digest

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that it asks for."""
        return tuple(self.pinned.agreement.rule(name) for name in self.request.rules)

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners of the objects that it reads, sorted."""
        return tuple(sorted({self.pinned.agreement.owner_of(name) for name in self.request.objects}))

    def objects_of(self, party: str) -> dict[str, str]:
        """The party's own objects in it: manifest digests by name."""
        owner_of = self.pinned.agreement.owner_of
        return {name: digest for name, digest in self.request.objects.items() if owner_of(name) == party}


def admit(request: Envelope, pinned: PinnedAgreement, *, now: int) -> AdmittedRequest:
    """Check a request against the pinned agreement.

    Steps: (1) a requester that the agreement names signed it; (2) it is for this agreement and its pinned version; (3)
    it is not from the future, and its deadline has not passed; (4) its rules exist, once each; (5) it brings exactly
    the objects that they read; (6) it names columns of exactly those datasets, each declared, none an identifier.

    Raises:
        NotGenuine: step 1.
        NotAcceptable: any other step.
        Malformed: it cannot be read.
    """
    agreement = pinned.agreement
    unverified_request = envelopes.unverified(request, Request)
    if unverified_request.requester not in agreement.requesters:  # (1)
        raise NotAcceptable("requester", f"{unverified_request.requester} may not ask for runs")
    key = VerifyingKey.parse(agreement.party(unverified_request.requester).signing_key)
    asked = envelopes.verify(request, Request, {"requester": key})
    if asked.agreement != pinned.id:  # (2)
        raise NotAcceptable("other-agreement", "the request is for another agreement")
    if asked.version != pinned.version:
        raise NotAcceptable("other-version", "the request is for another version of the agreement than the pinned one",
                            hint="pin the newest version, and ask again")  # fmt: skip
    if asked.created > now + SKEW or now >= asked.deadline:  # (3)
        raise NotAcceptable("request-expired", "the request is from the future, or its deadline has passed")
    _check_rules(agreement, asked)  # (4) (5)
    _check_columns(agreement, asked)  # (6)
    return AdmittedRequest(pinned, request, asked)


def check_manifest(manifest: Envelope, name: str, pinned: PinnedAgreement) -> Manifest:
    """The manifest of the object `name`, signed by its owner for this agreement.

    Raises:
        NotGenuine: somebody else signed it.
        NotAcceptable: it is of another object or agreement.
    """
    owner = pinned.agreement.owner_of(name)
    key = VerifyingKey.parse(pinned.agreement.party(owner).signing_key)
    said = envelopes.verify(manifest, Manifest, {"owner": key})
    kind = "dataset" if any(d.name == name for d in pinned.agreement.datasets) else "bundle"
    if (said.agreement, said.kind, said.name, said.owner) != (pinned.id, kind, name, owner):
        raise NotAcceptable("other-object", f"the manifest is not of {name} in this agreement")
    return said


def readable_columns(dataset: Dataset) -> tuple[str, ...]:
    """What a run may read of a dataset beside the identifiers that link it."""
    return tuple(c.name for c in dataset.columns if c.identifier is None and c.name != dataset.entity)


def _check_rules(agreement: Agreement, asked: Request) -> None:
    known = {rule.name for rule in agreement.rules}
    if len(set(asked.rules)) != len(asked.rules) or not set(asked.rules) <= known:
        raise NotAcceptable("unknown-rule", "the request names a rule twice, or one that the agreement does not have")
    if set(asked.objects) != set(terms.required_objects(agreement, asked.rules)):
        raise NotAcceptable("other-objects", "the request does not bring exactly the objects that its rules read")


def _check_columns(agreement: Agreement, asked: Request) -> None:
    datasets: Mapping[str, Dataset] = {d.name: d for d in agreement.datasets if d.name in asked.objects}
    if set(asked.columns) != set(datasets):
        raise NotAcceptable("other-columns", "the request must name columns of exactly the datasets that it reads")
    for name, columns in asked.columns.items():
        if len(set(columns)) != len(columns) or not set(columns) <= set(readable_columns(datasets[name])):
            raise NotAcceptable("other-columns", f"the request names columns of {name} that no run may read")


def pinned_rule(pinned: PinnedAgreement, name: str) -> Rule:
    """The rule of that name.

    Raises:
        NotAcceptable: there is none.
    """
    try:
        return pinned.agreement.rule(name)
    except UsageError as error:
        raise NotAcceptable("unknown-rule", f"the agreement has no rule {name!r}") from error
