"""Every numbered admission check, broken alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealroom.enclave.gate.admit import AdmittedRun, admit_agreement, admit_grant, admit_request
from sealroom.protocol import envelope, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine, Refused
from sealroom.protocol.keys import SealingKey, to_text
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Grant, Request
from tests import parties
from tests.gate import world

EVIDENCE = "e1" * 32


@pytest.fixture(scope="module")
def played() -> world.Play:
    return world.play(("overlap", "quality"))


def admit(played: world.Play, **changes: Any) -> AdmittedRun:
    """Admit the play's request; `changes` replace one input."""
    given = {"request": played.request, "manifests": played.manifests, "nonces": played.nonces, **changes}
    agreed = admit_agreement(given.get("chain", played.chain))
    return admit_request(
        agreed, given["request"], given["manifests"], nonces=given["nonces"], checkpoint=world.CHECKPOINT
    )


def refused(call: Callable[..., Any], *args: Any, **changes: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **changes)
    return caught.value.code


def document(played: world.Play, **changes: Any) -> dict[str, Any]:
    return {**schema.encode(played.agreement), **changes}


def second_version(played: world.Play, *signers: str, **changes: Any) -> Envelope:
    """Version 2 of the play's agreement, unchanged but for its place in the chain."""
    value = document(played, **{"sequence": 2, "first": played.id, "previous": played.id, **changes})
    names = signers or tuple(played.members)
    return envelope.sign(schema.decode(Agreement, value), [played.members[name].signing for name in names])


def asked(played: world.Play, **changes: Any) -> Envelope:
    return world.resigned(played.request, Request, played.members["bank"], **changes)


def test_a_request_that_breaks_nothing_is_admitted(played: world.Play):
    run = admit(played)
    assert run.nonces == played.nonces
    assert run.checkpoint == world.CHECKPOINT
    assert run.owners == ("bank", "partner")
    assert set(run.manifests) == {"customers", "prospects", "model"}


# (1)


@pytest.mark.parametrize("length", [0, 65])
def test_1_a_chain_has_1_to_64_versions(played: world.Play, length: int):
    assert refused(admit_agreement, [played.signed] * length) == "E1.bad-chain"


# (2)


@pytest.mark.parametrize("missing", ["bank", "partner", "operator"])
def test_2_every_party_must_have_signed(played: world.Play, missing: str):
    signers = [m.signing for name, m in played.members.items() if name != missing]
    assert refused(admit_agreement, [envelope.sign(played.agreement, signers)]) == "E2.too-few-signatures"


def test_2_a_stranger_may_not_sign(played: world.Play):
    stranger = envelope.cosign(played.signed, [world.Member.make("stranger").signing])
    assert refused(admit_agreement, [stranger]) == "E2.stranger"


def test_2_a_party_that_leaves_must_sign_the_version_that_leaves_it_out():
    members = world.people("bank", "partner", "operator", "second")
    first = world.play(("overlap",), members)
    without = [p for p in schema.encode(first.agreement)["parties"] if p["name"] != "second"]
    silent = second_version(first, "bank", "partner", "operator", parties=without)
    assert refused(admit_agreement, [first.signed, silent]) == "E2.too-few-signatures"
    agreed = second_version(first, *members, parties=without)
    assert admit_agreement([first.signed, agreed]).agreement.sequence == 2


def test_2_another_statement_is_no_agreement(played: world.Play):
    assert refused(admit_agreement, [played.request]) == "E2.wrong-type"


# (3)


@pytest.mark.parametrize(
    "changes", [{"sequence": 3}, {"first": "00" * 32}, {"previous": "00" * 32}, {"sequence": 1, "first": None}]
)
def test_3_versions_follow_from_one_another(played: world.Play, changes: dict):
    broken = second_version(played, **changes)
    assert refused(admit_agreement, [played.signed, broken]) == "E2.broken-chain"


def test_3_a_later_version_alone_is_no_chain(played: world.Play):
    assert refused(admit_agreement, [second_version(played)]) == "E2.broken-chain"


def test_3_the_id_stays_and_the_version_moves(played: world.Play):
    second = second_version(played)
    agreed = admit_agreement([played.signed, second])
    assert (agreed.id, agreed.version) == (played.id, second.digest)


# (4)


def test_4_an_agreement_that_contradicts_itself_is_refused(played: world.Play):
    broken = schema.decode(Agreement, document(played, operator="nobody"))
    signed = envelope.sign(broken, [m.signing for m in played.members.values()])
    assert refused(admit_agreement, [signed]) == "E1.inconsistent"


@pytest.mark.parametrize("raw", [bytes(1216), b"\xff" * 1216])
def test_4_a_sealing_key_that_nothing_can_be_sealed_to_is_refused(played: world.Play, raw: bytes):
    cards = schema.encode(played.agreement)["parties"]
    cards[1]["sealing_key"] = to_text(raw)
    broken = schema.decode(Agreement, document(played, parties=cards))
    signed = envelope.sign(broken, [m.signing for m in played.members.values()])
    assert refused(admit_agreement, [signed]) == "E1.bad-key"


# (5)


def test_5_only_requesters_may_request(played: world.Play):
    request = world.resigned(played.request, Request, played.members["partner"], requester="partner")
    assert refused(admit, played, request=request) == "E3.requester"


def test_5_the_requester_itself_must_have_signed(played: world.Play):
    request = world.resigned(played.request, Request, played.members["partner"])
    assert refused(admit, played, request=request) == "E2.stranger"


# (6)


@pytest.mark.parametrize("field", ["agreement", "version"])
def test_6_the_request_is_for_this_agreement_and_version(played: world.Play, field: str):
    assert refused(admit, played, request=asked(played, **{field: "00" * 32})) == "E3.other-agreement"


def test_6_a_request_for_the_version_before_is_refused(played: world.Play):
    assert refused(admit, played, chain=[played.signed, second_version(played)]) == "E3.other-agreement"


# (7)


def test_7_rules_are_asked_for_once(played: world.Play):
    assert refused(admit, played, request=asked(played, rules=("overlap", "quality", "overlap"))) == "E1.repeated-rule"


def test_7_rules_are_the_agreements(played: world.Play):
    assert refused(admit, played, request=asked(played, rules=("overlap", "everything"))) == "E3.unknown-rule"


# (8)


def test_8_an_object_that_a_rule_reads_must_be_there(played: world.Play):
    objects = dict(envelope.unverified(played.request, Request).objects)
    del objects["model"]
    assert refused(admit, played, request=asked(played, objects=objects)) == "E3.objects"


def test_8_an_object_that_no_rule_reads_must_not(played: world.Play):
    objects = {
        **envelope.unverified(played.request, Request).objects,
        "segments": played.objects["segments"].envelope.digest,
    }
    assert refused(admit, played, request=asked(played, objects=objects)) == "E3.objects"


# (9)


@pytest.mark.parametrize(
    "columns",
    [
        {"customers": ("y",)},
        {"customers": ("y",), "prospects": ("age",), "segments": ("age",)},
        {"customers": ("y",), "prospects": ("age", "age")},
        {"customers": ("y",), "prospects": ("income",)},
        {"customers": ("y",), "prospects": ("email",)},
        {"customers": ("y",), "prospects": ("partner_id",)},
        {"customers": ("balance",), "prospects": ("age",)},
        {"customers": (), "prospects": ("age",)},
    ],
    ids=["left-out", "no-dataset", "twice", "undeclared", "identifier", "entity", "outcome-missing", "none"],
)
def test_9_columns_are_declared_features_and_those_that_rules_need(played: world.Play, columns: dict):
    assert refused(admit, played, request=asked(played, columns=columns)) == "E3.columns"


def test_9_cells_need_their_columns():
    played = world.play(("by-segment",))
    columns = {"customers": (), "prospects": ("age",)}
    assert refused(admit, played, request=asked(played, columns=columns)) == "E3.columns"


def test_9_an_overlap_reads_no_column_at_all():
    played = world.play(("overlap",))
    assert admit(played, request=asked(played, columns={"customers": (), "prospects": ()}))


# (10)


def test_10_a_manifest_too_few_too_many_twice_or_another(played: world.Play):
    other = played.objects["segments"].envelope
    one, two, three = played.manifests
    for manifests in ([one, two], [one, two, three, other], [one, two, three, three], [one, two, other]):
        assert refused(admit, played, manifests=manifests) == "E3.manifests"


def with_manifest(played: world.Play, name: str, signer: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A request that names an altered manifest, with it among the manifests."""
    altered = world.resigned(played.objects[name].envelope, Manifest, played.members[signer], **changes)
    objects = {**envelope.unverified(played.request, Request).objects, name: altered.digest}
    others = [played.objects[other].envelope for other in objects if other != name]
    return {"request": asked(played, objects=objects), "manifests": [*others, altered]}


def test_10_a_manifest_is_signed_by_the_owner(played: world.Play):
    assert refused(admit, played, **with_manifest(played, "prospects", "bank", {"plaintext_size": 9})) == "E2.stranger"


@pytest.mark.parametrize(
    "changes", [{"agreement": "00" * 32}, {"kind": "bundle"}, {"name": "model"}, {"owner": "bank"}]
)
def test_10_a_manifest_is_bound_to_agreement_kind_name_and_owner(played: world.Play, changes: dict):
    assert refused(admit, played, **with_manifest(played, "prospects", "partner", changes)) == "E3.manifest-context"


@pytest.mark.parametrize(
    ("name", "owner", "media"),
    [("prospects", "partner", "bundle"), ("model", "bank", "csv"), ("model", "bank", "arrow")],
)
def test_10_a_bundle_is_a_bundle_and_a_dataset_is_not(played: world.Play, name: str, owner: str, media: str):
    assert refused(admit, played, **with_manifest(played, name, owner, {"media": media})) == "E3.manifest-media"


def test_10_one_manifest_cannot_stand_for_two_objects(played: world.Play):
    objects = dict(envelope.unverified(played.request, Request).objects)
    objects["prospects"] = objects["customers"]
    manifests = [played.objects["customers"].envelope, played.objects["model"].envelope]
    assert refused(admit, played, request=asked(played, objects=objects), manifests=manifests).startswith("E")


# (11)


@pytest.mark.parametrize("nonces", [{"bank": "01" * 32}, {"bank": "01" * 32, "partner": "00" * 32}, {}])
def test_11_each_owner_has_given_a_nonce(played: world.Play, nonces: dict):
    assert refused(admit, played, nonces=nonces) == "E3.nonce"


# (12) to (14)


@pytest.fixture(scope="module")
def gate() -> SealingKey:
    return SealingKey.generate()


def grant(played: world.Play, gate: SealingKey, name: str = "prospects", **changes: Any) -> Envelope:
    owner = played.members[played.agreement.owner_of(name)]
    made_for = {
        "agreement": played.id,
        "version": played.signed.digest,
        "request": played.request.digest,
        "evidence": EVIDENCE,
        "gate": gate.public,
    }
    return parties.make_grant(owner, played.objects[name], **{**made_for, **changes})


def test_a_grant_that_breaks_nothing_gives_the_object_key(played: world.Play, gate: SealingKey):
    found = admit_grant(admit(played), grant(played, gate), evidence=EVIDENCE, key=gate)
    assert found == ("prospects", played.objects["prospects"].key)


def test_12_a_grant_for_an_object_of_another_run_is_refused(played: world.Play, gate: SealingKey):
    given = grant(played, gate, "segments")
    assert refused(admit_grant, admit(played), given, evidence=EVIDENCE, key=gate) == "E3.grant-object"


def test_12_a_grant_by_another_party_than_the_owner_is_refused(played: world.Play, gate: SealingKey):
    given = world.resigned(grant(played, gate), Grant, played.members["bank"], party="bank")
    assert refused(admit_grant, admit(played), given, evidence=EVIDENCE, key=gate) == "E3.grant-object"


def test_12_a_grant_in_the_owners_name_by_another_key_is_refused(played: world.Play, gate: SealingKey):
    given = world.resigned(grant(played, gate), Grant, played.members["bank"])
    assert refused(admit_grant, admit(played), given, evidence=EVIDENCE, key=gate) == "E2.stranger"


@pytest.mark.parametrize("field", ["agreement", "version", "request", "evidence"])
def test_13_a_grant_for_another_run_or_evidence_is_refused(played: world.Play, gate: SealingKey, field: str):
    given = grant(played, gate, **{field: "00" * 32})
    assert refused(admit_grant, admit(played), given, evidence=EVIDENCE, key=gate) == "E3.grant-context"


@pytest.mark.parametrize("field", ["agreement", "version", "request", "evidence"])
def test_14_relabelling_a_grant_does_not_open_it(played: world.Play, gate: SealingKey, field: str):
    made_elsewhere = grant(played, gate, **{field: "00" * 32})
    right = {
        "agreement": played.id,
        "version": played.signed.digest,
        "request": played.request.digest,
        "evidence": EVIDENCE,
    }
    given = world.resigned(made_elsewhere, Grant, played.members["partner"], **{field: right[field]})
    with pytest.raises(CannotOpen):
        admit_grant(admit(played), given, evidence=EVIDENCE, key=gate)


def test_14_sealed_keys_swapped_between_objects_of_one_owner_do_not_open(played: world.Play, gate: SealingKey):
    other = envelope.unverified(grant(played, gate, "model"), Grant)
    given = world.resigned(grant(played, gate, "customers"), Grant, played.members["bank"], sealed_key=other.sealed_key)
    with pytest.raises(CannotOpen):
        admit_grant(admit(played), given, evidence=EVIDENCE, key=gate)


def test_14_a_grant_to_another_gate_does_not_open(played: world.Play, gate: SealingKey):
    with pytest.raises(CannotOpen):
        admit_grant(admit(played), grant(played, gate), evidence=EVIDENCE, key=SealingKey.generate())


def test_14_a_sealed_key_that_is_no_base64url_is_refused(played: world.Play, gate: SealingKey):
    given = world.resigned(grant(played, gate), Grant, played.members["partner"], sealed_key="A")
    assert refused(admit_grant, admit(played), given, evidence=EVIDENCE, key=gate) == "E1.not-base64"


def test_refusals_are_of_the_families_they_belong_to():
    assert {kind.family for kind in (Malformed, NotGenuine, NotAcceptable, CannotOpen)} == {"E1", "E2", "E3", "E4"}
