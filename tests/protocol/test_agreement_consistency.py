"""Every consistency rule of an agreement, broken alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sealroom.protocol import consistency, schema
from sealroom.protocol.agreement import Agreement, affected_owners, objects_of
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.keys import to_text
from tests import parties

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    return parties.agreement_json(members)


def rule(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(r for r in document["rules"] if r["name"] == name)


def column(document: dict[str, Any], dataset: int, name: str) -> dict[str, Any]:
    return next(c for c in document["datasets"][dataset]["columns"] if c["name"] == name)


def put(place: Callable[[dict[str, Any]], dict[str, Any]], **changes: Any) -> Edit:
    return lambda document: place(document).update(changes)


def top(document: dict[str, Any]) -> dict[str, Any]:
    return document


def at(key: str, index: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: document[key][index]


def named(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: rule(document, name)


def of(dataset: int, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: column(document, dataset, name)


def again(key: str, index: int) -> Edit:
    return lambda document: document[key].append(copy.deepcopy(document[key][index]))


def consent(**changes: Any) -> Edit:
    return lambda document: document["parties"][0]["consent"].update(changes)


def other_class(document: dict[str, Any]) -> None:
    document["platforms"].append({**document["platforms"][0], "platform_class": "confidential-hardware"})


def same_key(field: str) -> Edit:
    return lambda document: document["parties"][1].update({field: document["parties"][0][field]})


OFFICER = to_text(bytes(32))
SUM = {"dataset": "customers", "column": "balance", "lower": 0, "upper": 9}
JOB = {"dataset": "prospects", "column": "job"}
AUC = {"metric": "auc", "at_percent": 100, "least": 500, "most": 1000, "step": 10}

BROKEN: list[tuple[str, Edit, str]] = [
    ("1 party twice", lambda d: d["parties"].append({**parties.Member.make("bank").card()}), "parties are not unique"),
    ("1 dataset and bundle of one name", put(at("bundles", 0), name="customers"), "objects are not unique"),
    ("1 link twice", again("links", 0), "links are not unique"),
    ("1 rule twice", again("rules", 0), "rules are not unique"),
    ("2 operator", put(top, operator="nobody"), "operator names 'nobody'"),
    ("2 requester", put(top, requesters=["nobody"]), "requesters names"),
    ("2 mandatory approver", put(top, approvals={"threshold": 1, "mandatory": ["nobody"]}), "mandatory names"),
    ("2 covert channel", put(top, accepts_covert_channel=["nobody"]), "accepts_covert_channel names"),
    ("2 recipient", put(named("overlap"), recipients=["nobody"]), "rule overlap names"),
    ("2 dataset owner", put(at("datasets", 0), owner="nobody"), "owner names"),
    ("2 bundle owner", put(at("bundles", 0), owner="nobody"), "owner names"),
    ("2 purse owner", put(at("purses", 0), owner="nobody"), "owner names"),
    ("2 one signing key for two", same_key("signing_key"), "signing keys are not unique"),
    ("2 one sealing key for two", same_key("sealing_key"), "sealing keys are not unique"),
    ("2 short signing key", put(at("parties", 0), signing_key=to_text(bytes(31))), "signing key is not 32 bytes"),
    ("2 odd signing key", put(at("parties", 0), signing_key="A" * 42 + "B"), "signing key is not 32 bytes"),
    ("2 signing key of no length", put(at("parties", 0), signing_key="A"), "signing key is not 32 bytes"),
    ("2 short sealing key", put(at("parties", 0), sealing_key=to_text(bytes(32))), "sealing key is not 1216 bytes"),
    ("2 short officer key", consent(officers=["AA"]), "officer's key is not 32 bytes"),
    ("2 officer twice", consent(officers=[OFFICER, OFFICER]), "officers of bank are not unique"),
    ("2 too few officers", consent(mode="manual", officers=[OFFICER], threshold=2), "more officers must agree"),
    ("2 two of nobody", consent(mode="manual", officers=[], threshold=2), "more officers must agree"),
    ("3 version 2 without a first", put(top, sequence=2), "sequence and chain disagree"),
    ("3 version 1 with a first", put(top, first="00" * 32, previous="00" * 32), "sequence and chain disagree"),
    ("3 first without previous", put(top, sequence=2, first="00" * 32), "sequence and chain disagree"),
    ("3 ends before it begins", put(top, not_after=0, not_before=0), "ends before it begins"),
    ("4 column twice", lambda d: d["datasets"][0]["columns"].append(column(d, 0, "balance")), "columns of customers"),
    ("4 category without values", put(of(0, "y"), values=None), "a category, and only a category"),
    ("4 values of a number", put(of(0, "balance"), values=["1"]), "a category, and only a category"),
    ("4 value twice", put(of(0, "y"), values=["yes", "yes"]), "values of customers.y are not unique"),
    ("4 identifier that is a number", put(of(0, "balance"), identifier="postcode"), "identifiers are text"),
    ("4 two e-mail columns", put(of(0, "phone"), identifier="email"), "identifier kinds of customers"),
    ("4 no entity column", put(at("datasets", 0), entity="nowhere"), "entity column must be"),
    ("4 entity that is a number", put(at("datasets", 0), entity="balance"), "entity column must be"),
    ("4 entity that identifies", put(at("datasets", 0), entity="email"), "entity column must be"),
    ("5 too many approvals", put(top, approvals={"threshold": 4, "mandatory": []}), "more approvals needed"),
    ("5 purse twice", again("purses", 0), "purses are not unique"),
    ("5 no purse for a dataset", put(at("datasets", 0), population="others"), "no purse for bank/others"),
    ("5 no purse for a bundle", put(at("bundles", 0), name="other"), "no purse for the bundle bank/other"),
    ("6 link to nothing", put(at("links", 0), left="nowhere"), "'nowhere' is not declared"),
    ("6 link to itself", put(at("links", 0), right="customers"), "joins two owners' datasets"),
    ("6 link within one owner", put(at("datasets", 1), owner="bank"), "joins two owners' datasets|no purse"),
    ("6 link by what is not there", put(at("links", 0), keys=[["national_id"]]), "declares no national_id"),
    ("6 rule without a link", put(named("overlap"), link="nowhere"), "'nowhere' is not declared"),
    ("6 recipient twice", put(named("overlap"), recipients=["bank", "bank"]), "recipients of overlap"),
    ("6 release too large", put(at("datasets", 1), most_rows=50_000_000), "may be too large to seal"),
    ("6 cell twice", put(named("by-segment"), by=[JOB, JOB]), "cells of by-segment"),
    ("6 cell of a third table", put(named("by-segment"), by=[{**JOB, "dataset": "model"}]), "not a side of the link"),
    ("6 cell of no column", put(named("by-segment"), by=[{**JOB, "column": "x"}]), "declares no column"),
    ("6 cell of numbers", put(named("by-segment"), by=[{**JOB, "column": "age"}]), "age is not a category"),
    (
        "6 too many cells",
        lambda d: (
            put(of(1, "job"), values=[f"v{i}" for i in range(501)])(d),
            put(named("by-segment"), by=[JOB])(d),
        ),
        "more than 1000 cells",
    ),
    (
        "6 segments of no bundle",
        put(named("by-segment"), segments={"bundle": "nowhere", "labels": ["a"]}),
        "not declared",
    ),
    (
        "6 segments by opaque code",
        put(named("by-segment"), segments={"bundle": "model", "labels": ["a"]}),
        "not sound for the lane 'whole'",
    ),
    (
        "6 label twice",
        put(named("by-segment"), segments={"bundle": "segments", "labels": ["a", "a"]}),
        "labels of by-segment",
    ),
    ("6 sum twice", put(named("by-segment"), sums=[SUM, SUM]), "sums of by-segment"),
    ("6 sum of words", put(named("by-segment"), sums=[{**SUM, "column": "y"}]), "cannot be summed"),
    ("6 sum without room", put(named("by-segment"), sums=[{**SUM, "upper": 0}]), "cannot be summed"),
    ("6 code of no bundle", put(named("quality"), bundle="nowhere"), "not declared"),
    ("6 code of lane query", put(named("quality"), bundle="segments"), "not sound for the lane 'query'"),
    ("6 candidates elsewhere", put(named("quality"), candidates="model"), "one side of the link"),
    (
        "6 outcome of the candidates",
        put(named("quality"), outcome={"dataset": "prospects", "column": "job", "positive": "admin"}),
        "the outcome is a column of the other side",
    ),
    (
        "6 outcome of no category",
        put(named("quality"), outcome={"dataset": "customers", "column": "balance", "positive": "1"}),
        "must be a category that declares",
    ),
    (
        "6 outcome not declared",
        put(named("quality"), outcome={"dataset": "customers", "column": "y", "positive": "maybe"}),
        "must be a category that declares 'maybe'",
    ),
    ("6 metric twice", put(named("quality"), values=[AUC, {**AUC, "at_percent": 5}]), "values of quality"),
    ("6 empty grid", put(named("quality"), values=[{**AUC, "most": 500}]), "empty or too fine"),
    ("6 fine grid", put(named("quality"), values=[{**AUC, "most": 20_000, "step": 1}]), "empty or too fine"),
    ("6 rows to another", put(named("audience"), recipients=["operator"]), "the recipient must own the candidates"),
    (
        "6 rows to the author",
        lambda d: (put(at("bundles", 0), owner="partner")(d), put(at("purses", 1), owner="partner")(d)),
        "may not go to the author of the code",
    ),
    ("7 two classes", other_class, "of different classes"),
    ("8 the operator's own opaque code", put(top, operator="bank"), "must accept the covert channel"),
]


def check(document: dict[str, Any]) -> Agreement:
    return consistency.check(schema.decode(Agreement, document))


def test_the_base_is_consistent(base: dict[str, Any]):
    assert check(base).platform_class == "simulated"


@pytest.mark.parametrize(("edit", "match"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_contradiction_is_refused(base: dict[str, Any], edit: Edit, match: str):
    document = copy.deepcopy(base)
    edit(document)
    with pytest.raises(Malformed, match=match) as caught:
        check(document)
    assert caught.value.code == "E1.inconsistent"


@pytest.mark.parametrize(
    "edit",
    [
        put(top, operator="bank", accepts_covert_channel=["partner"]),
        put(top, operator="partner"),
        lambda d: (put(top, operator="bank")(d), d.update(bundles=d["bundles"][1:], rules=d["rules"][:2])),
        consent(mode="manual", officers=[], threshold=1),
        consent(mode="manual", officers=[OFFICER], threshold=1),
        put(top, sequence=2, first="00" * 32, previous="00" * 32),
        again("platforms", 0),
        put(named("by-segment"), by=[JOB], sums=[SUM]),
    ],
)
def test_what_only_looks_odd_is_allowed(base: dict[str, Any], edit: Edit):
    document = copy.deepcopy(base)
    edit(document)
    assert check(document)


def test_names_that_are_not_there_are_a_callers_mistake(base: dict[str, Any]):
    agreement = check(base)
    for look in (
        agreement.party,
        agreement.dataset,
        agreement.bundle,
        agreement.link,
        agreement.rule,
        agreement.owner_of,
    ):
        with pytest.raises(UsageError, match="nowhere"):
            look("nowhere")
    with pytest.raises(UsageError, match="nowhere"):
        agreement.dataset("customers").column("nowhere")


@pytest.mark.parametrize(
    ("name", "recipient", "objects", "owners"),
    [
        ("overlap", "bank", {"customers", "prospects"}, ("partner",)),
        ("overlap", "operator", {"customers", "prospects"}, ("bank", "partner")),
        ("by-segment", "bank", {"customers", "prospects", "segments"}, ("partner",)),
        ("quality", "bank", {"customers", "prospects", "model"}, ("partner",)),
        ("audience", "partner", {"customers", "prospects", "model"}, ("bank",)),
    ],
)
def test_affected_are_the_owners_of_all_ancestors_but_the_recipient(
    base: dict[str, Any], name: str, recipient: str, objects: set, owners: tuple
):
    agreement = check(base)
    assert set(objects_of(agreement, agreement.rule(name))) == objects
    assert affected_owners(agreement, agreement.rule(name), recipient) == owners
