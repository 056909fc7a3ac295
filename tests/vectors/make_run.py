"""Vectors of one run: a request and its grants."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any

from sealroom.protocol import canonical, envelope, schema, sealed, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SUITE_NAME, from_text, to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Grant, LedgerHead, Request, grant_info
from tests.vectors import cases
from tests.vectors.cases import Produced, vector

NOW = 1_790_000_000
RULES = ("overlap", "quality")
NONCES = {"bank": "01" * 32, "partner": "02" * 32}
PARTIES = ("bank", "partner", "operator")


@dataclasses.dataclass(frozen=True)
class Setting:
    """An agreement, its sealed objects and a request for two rules."""

    agreement: Agreement
    signed: Envelope
    keys: Mapping[str, bytes]
    manifests: Mapping[str, Envelope]
    request: Envelope


def produce() -> Produced:
    setting = make_setting()
    yield "shared/agreement.json", schema.encode(setting.signed)
    yield "shared/request.json", schema.encode(setting.request)
    for name, manifest in setting.manifests.items():
        yield f"shared/{name}.json", schema.encode(manifest)
    yield "shared/run.json", _assigned()
    yield from _requests(setting)
    yield from _grants(setting)


def _sign(document: object, *names: str) -> Envelope:
    return envelope.sign(document, [cases.signing(name) for name in names])


def make_setting(document: Any = None, rules: tuple[str, ...] = RULES) -> Setting:
    agreement = schema.decode(Agreement, document or cases.shared("agreement-document"))
    signed = _sign(agreement, *PARTIES)
    keys, manifests = {}, {}
    for item in (*agreement.datasets, *agreement.bundles):
        kind, media = ("dataset", "csv") if item in agreement.datasets else ("bundle", "bundle")
        plain = f"{item.name} of {item.owner}".encode()
        context = sealed.Context(
            agreement=signed.digest, kind=kind, name=item.name, owner=item.owner, media=media, size=len(plain)
        )
        keys[item.name], manifest = sealed.seal(io.BytesIO(plain), io.BytesIO(), context)
        manifests[item.name] = _sign(manifest, item.owner)
    request = Request(
        format="sealroom/request/v1",
        requester="bank",
        agreement=signed.digest,
        version=signed.digest,
        objects={name: manifests[name].digest for name in terms.required_objects(agreement, rules)},
        columns={"customers": ("balance", "y"), "prospects": ("age", "job")},
        rules=rules,
        created=NOW,
        deadline=NOW + 3600,
        nonce="5a" * 32,
    )
    return Setting(agreement, signed, keys, manifests, _sign(request, "bank"))


def _assigned(**changes: Any) -> dict[str, Any]:
    given = {
        "agreement": ["@agreement"],
        "request": "@request",
        "manifests": ["@customers", "@prospects", "@model"],
        "nonces": NONCES,
        "checkpoint": cases.CHECKPOINT,
    }
    return {**given, **changes}


def version_of(agreement: Agreement, start: Envelope, number: int, *names: str, **changes: Any) -> Envelope:
    """A later version that follows the first at once, unless `changes` say otherwise, signed by these parties."""
    given = {"sequence": number, "first": start.digest, "previous": start.digest, **changes}
    return _sign(dataclasses.replace(agreement, **given), *names)


def _requests(setting: Setting) -> Produced:
    request = envelope.unverified(setting.request, Request)
    bank = cases.signing("bank")

    def asked(**changes: Any) -> Any:
        return schema.encode(envelope.sign(dataclasses.replace(request, **changes), [bank]))

    def version(number: int, *names: str, **changes: Any) -> Any:
        return schema.encode(version_of(setting.agreement, setting.signed, number, *names, **changes))

    def with_manifest(signer: str, **changes: Any) -> dict[str, Any]:
        manifest = envelope.unverified(setting.manifests["prospects"], Manifest)
        altered = _sign(dataclasses.replace(manifest, **changes), signer)
        objects = {**request.objects, "prospects": altered.digest}
        return {"request": asked(objects=objects), "manifests": ["@customers", schema.encode(altered), "@model"]}

    without = {name: d for name, d in request.objects.items() if name != "model"}
    more = {**request.objects, "segments": setting.manifests["segments"].digest}
    twice = {**request.objects, "prospects": request.objects["customers"]}
    partly = schema.encode(_sign(setting.agreement, "bank", "operator"))
    strange = schema.encode(_sign(setting.agreement, *PARTIES, "stranger"))
    second = version(2, *PARTIES)
    broken = schema.encode(_sign(dataclasses.replace(setting.agreement, operator="nobody"), *PARTIES))
    low = to_text(bytes(1216))
    parties = (*setting.agreement.parties[:2], dataclasses.replace(setting.agreement.parties[2], sealing_key=low))
    unusable = schema.encode(_sign(dataclasses.replace(setting.agreement, parties=parties), *PARTIES))
    forged = schema.encode(_sign(request, "partner"))
    by_partner = schema.encode(_sign(dataclasses.replace(request, requester="partner"), "partner"))
    columns = dict(request.columns)
    table: list[tuple[str, str, str, dict[str, Any]]] = [
        ("valid", "ok", "everything is as agreed", {}),
        ("1-no-version", "E1.bad-chain", "no agreement at all", {"agreement": []}),
        ("2-party-missing", "E2.too-few-signatures", "the partner did not sign", {"agreement": [partly]}),
        ("2-stranger", "E2.stranger", "somebody else signed too", {"agreement": [strange]}),
        ("2-not-an-agreement", "E2.wrong-type", "a request in its place", {"agreement": ["@request"]}),
        ("3-version-2-alone", "E2.broken-chain", "the first version is missing", {"agreement": [second]}),
        ("3-version-skipped", "E2.broken-chain", "version 3 behind version 1",
         {"agreement": ["@agreement", version(3, *PARTIES)]}),
        ("3-another-first", "E2.broken-chain", "another agreement's version",
         {"agreement": ["@agreement", version(2, *PARTIES, first="00" * 32)]}),
        ("4-inconsistent", "E1.inconsistent", "its operator is no party", {"agreement": [broken]}),
        ("4-sealing-key", "E1.bad-key", "a sealing key of zeros", {"agreement": [unusable]}),
        ("5-not-a-requester", "E3.requester", "the partner may not request", {"request": by_partner}),
        ("5-forged", "E2.stranger", "in the bank's name by the partner", {"request": forged}),
        ("6-another-agreement", "E3.other-agreement", "for another agreement",
         {"request": asked(agreement="00" * 32)}),
        ("6-older-version", "E3.other-agreement", "for the version before", {"agreement": ["@agreement", second]}),
        ("7-rule-twice", "E1.repeated-rule", "a rule twice", {"request": asked(rules=(*RULES, "overlap"))}),
        ("7-unknown-rule", "E3.unknown-rule", "a rule that was not agreed", {"request": asked(rules=("all",))}),
        ("8-object-missing", "E3.objects", "no code for a code rule", {"request": asked(objects=without)}),
        ("8-object-too-many", "E3.objects", "a bundle that no rule reads", {"request": asked(objects=more)}),
        ("9-identifier", "E3.columns", "an identifier among the columns",
         {"request": asked(columns={**columns, "prospects": ("age", "email")})}),
        ("9-entity", "E3.columns", "the entity column among the columns",
         {"request": asked(columns={**columns, "prospects": ("partner_id",)})}),
        ("9-undeclared", "E3.columns", "a column that is not declared",
         {"request": asked(columns={**columns, "prospects": ("income",)})}),
        ("9-column-twice", "E3.columns", "a column twice",
         {"request": asked(columns={**columns, "prospects": ("age", "age")})}),
        ("9-dataset-missing", "E3.columns", "a dataset without columns",
         {"request": asked(columns={"customers": ("y",)})}),
        ("9-outcome-missing", "E3.columns", "the outcome is left out",
         {"request": asked(columns={**columns, "customers": ("balance",)})}),
        ("10-manifest-missing", "E3.manifests", "a manifest less", {"manifests": ["@customers", "@prospects"]}),
        ("10-manifest-too-many", "E3.manifests", "a manifest more",
         {"manifests": ["@customers", "@prospects", "@model", "@segments"]}),
        ("10-manifest-of-another", "E3.manifests", "another object's manifest",
         {"manifests": ["@customers", "@prospects", "@segments"]}),
        ("10-one-for-two", "E2.stranger", "one manifest for two objects",
         {"request": asked(objects=twice), "manifests": ["@customers", "@model"]}),
        ("10-signer", "E2.stranger", "the partner's manifest by the bank", with_manifest("bank", plaintext_size=9)),
        ("10-another-agreement", "E3.manifest-context", "sealed for another agreement",
         with_manifest("partner", agreement="00" * 32)),
        ("10-another-name", "E3.manifest-context", "sealed under another name", with_manifest("partner", name="model")),
        ("10-another-kind", "E3.manifest-context", "sealed as a bundle", with_manifest("partner", kind="bundle")),
        ("10-media", "E3.manifest-media", "a dataset that holds a bundle", with_manifest("partner", media="bundle")),
        ("11-no-nonce", "E3.nonce", "the partner gave none", {"nonces": {"bank": NONCES["bank"]}}),
        ("11-zero-nonce", "E3.nonce", "a nonce of zeros", {"nonces": {**NONCES, "partner": "00" * 32}}),
    ]  # fmt: skip
    for name, expect, comment, changes in table:
        stage = "11" if expect == "ok" else name.split("-")[0]
        yield f"request-admission/{name}", vector(expect, stage, comment, canonical.encode(_assigned(**changes)))


def made_grant(
    setting: Setting, name: str = "prospects", owner: str = "partner", to: str = "gate", **changes: str
) -> Grant:
    """A grant as its owner makes it; `changes` replace what it is made for."""
    made_for = {
        "agreement": setting.signed.digest,
        "version": setting.signed.digest,
        "request": setting.request.digest,
        "evidence": cases.EVIDENCE,
        **changes,
    }
    info = grant_info(
        owner_key=cases.signing(owner).public.raw, object_digest=setting.manifests[name].digest, **made_for
    )
    return Grant(
        format="sealroom/grant/v1",
        party=owner,
        object=setting.manifests[name].digest,
        suite=SUITE_NAME,
        sealed_key=to_text(cases.sealing(to).public.seal(setting.keys[name], info=info)),
        ledger=LedgerHead(sequence=1, previous="00" * 32),
        charged=Cost(epsilon=0, bits=5585),
        created=NOW,
        deadline=NOW + 3600,
        **made_for,
    )


def _grants(setting: Setting) -> Iterator[tuple[str, Any]]:
    valid = made_grant(setting)
    customers, model = made_grant(setting, "customers", "bank"), made_grant(setting, "model", "bank")
    right = {f: getattr(valid, f) for f in ("agreement", "version", "request", "evidence")}
    table: list[tuple[str, str, str, Grant, str]] = [
        ("valid", "ok", "the partner's object for this run", valid, "partner"),
        ("valid-bank", "ok", "the bank's object for this run", customers, "bank"),
        ("12-another-object", "E3.grant-object", "an object that this run does not read",
         made_grant(setting, "segments", "bank"), "bank"),
        ("12-not-the-owner", "E3.grant-object", "the bank grants the partner's object",
         made_grant(setting, "prospects", "bank"), "bank"),
        ("12-forged", "E2.stranger", "in the partner's name by the bank", valid, "bank"),
        *((f"13-another-{field}", "E3.grant-context", f"made for another {field}",
           made_grant(setting, **{field: "00" * 32}), "partner") for field in right),
        *((f"14-relabelled-{field}", "E4.cannot-open", f"made for another {field}, then relabelled and signed again",
           dataclasses.replace(made_grant(setting, **{field: "00" * 32}), **{field: value}), "partner")
          for field, value in right.items()),
        ("14-swapped", "E4.cannot-open", "the sealed key of another object of the same owner",
         dataclasses.replace(customers, sealed_key=model.sealed_key), "bank"),
        ("14-another-gate", "E4.cannot-open", "sealed to another gate",
         made_grant(setting, to="another gate"), "partner"),
        ("14-cut", "E4.cannot-open", "a sealed key that is too short",
         dataclasses.replace(valid, sealed_key=to_text(from_text(valid.sealed_key)[:-1])), "partner"),
        ("14-not-base64", "E1.not-base64", "a sealed key that is no base64url",
         dataclasses.replace(valid, sealed_key="A"), "partner"),
    ]  # fmt: skip
    for name, expect, comment, grant, signer in table:
        stage = "14" if expect == "ok" else name.split("-")[0]
        yield f"grant/{name}", vector(expect, stage, comment, canonical.encode(schema.encode(_sign(grant, signer))))
