"""Vectors of receipts with everything embedded, and of code bundles that are too many or too much."""

from __future__ import annotations

import dataclasses
from typing import Any

from sealroom.protocol import bundle as archives
from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.keys import to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Request, RuleResult
from tests.vectors import cases, make_logged, platform
from tests.vectors.cases import Produced, vector
from tests.vectors.make_documents import WHOLE
from tests.vectors.make_history import (
    LAUNCH,
    NOW,
    History,
    attested,
    bundle,
    consent,
    cosignature,
    history,
    name_of,
    receipt,
    sign,
)

Edits = list[list[Any]]


def produce() -> Produced:
    whole = schema.encode(bundle())
    yield "shared/receipt-bundle.json", whole
    root = platform.processor().root
    for name, expect, stage, comment, edits in _receipts(history(), whole):
        named = "" if name == "2-root-not-named" else root
        final = "no" if name in NOT_FINAL else "yes"
        yield (
            f"receipt-bundle/{name}",
            vector(expect, stage, comment, canonical.encode(edits), roots=named or "00" * 32, final=final),
        )
    yield from _sizes()


NOT_FINAL = ("valid-waiting", "valid-not-cosigned")


def _receipts(made: History, whole: dict[str, Any]) -> list[tuple[str, str, str, str, Edits]]:
    return [
        ("valid", "ok", "8", "nothing is changed", []),
        ("valid-refusal", "ok", "8", "an owner refused, without share and charge", _refused(made)),
        ("valid-waiting", "ok", "8", "an owner has not answered", [
            [["consents", 2]], [["log", "entries", len(bundle().offers) + 3]]]),
        ("valid-not-cosigned", "ok", "8", "nobody has cosigned", [[["cosignatures"], []]]),
        *_decoded(whole), *_chain(made, whole), *_evidence(made), *_grants(made), *_by_gate(made), *_terms(made),
        *_consents(made), *_cosigned(made), *_logged(made),
    ]  # fmt: skip


def _refused(made: History) -> Edits:
    """One consent is a refusal, and the log holds that one."""
    whole, nothing = bundle(), Cost(epsilon=0, bits=0)
    said = consent(made, "bank", "operator", decision="refuse", share=None, ledger=None, charged=nothing)
    answers = list(whole.consents)
    answers[1] = sign(said, "bank")
    proof = make_logged.proved(made.id, make_logged.end_of(whole.offers, whole.receipt, answers))
    return [[["consents", 1], schema.encode(answers[1])], [["log"], schema.encode(proof)]]


def _logged(made: History) -> list[tuple[str, str, str, str, Edits]]:
    whole = bundle()
    assert whole.log is not None
    end = make_logged.end_of(whole.offers, whole.receipt, whole.consents)
    return make_logged.vectors(made.id, whole.log, end)


def _decoded(whole: dict[str, Any]) -> list[tuple[str, str, str, str, Edits]]:
    again = {"repeat": whole["approvals"][0], "times": 4097}
    versions = {"repeat": whole["agreement"][0], "times": 65}
    return [
        ("decode-unknown-field", "E1.unknown-field", "decode", "a field more", [[["comment"], "trust me"]]),
        ("decode-missing-field", "E1.missing-field", "decode", "no revocations, not even none", [[["revocations"]]]),
        ("decode-another-format", "E1.not-allowed", "decode", "another format",
         [[["format"], "sealroom/receipt-bundle/v3"]]),
        ("decode-no-version", "E1.bad-length", "decode", "no agreement", [[["agreement"], []]]),
        ("decode-many-versions", "E1.bad-length", "decode", "65 versions", [[["agreement"], versions]]),
        ("decode-many-approvals", "E1.bad-length", "decode", "4097 approvals", [[["approvals"], again]]),
        ("decode-too-large", "E1.too-large", "decode", "more than 64 MiB",
         [[["receipt", "payload"], {"repeat": "A" * 64, "times": 1 << 20}]]),
    ]  # fmt: skip


def _chain(made: History, whole: dict[str, Any]) -> list[tuple[str, str, str, str, Edits]]:
    request = made.setting.request
    return [
        ("1-version-unsigned", "E2.too-few-signatures", "1", "a party's signature is missing",
         [[["agreement", 0, "signatures", 0]]]),
        ("1-version-twice", "E2.broken-chain", "1", "a version twice", [[["agreement", 1], whole["agreement"][0]]]),
        ("1-request-forged", "E2.stranger", "1", "the request in the bank's name by the partner",
         [[["request"], _signed(_payload(request), "partner")]]),
        ("1-manifest-missing", "E3.other-objects", "1", "a manifest less", [[["manifests", 1]]]),
        ("1-manifest-forged", "E2.stranger", "1", "the bank's manifest signed by the partner",
         [[["manifests", 0], _signed(_payload(made.setting.manifests["customers"]), "partner")]]),
    ]  # fmt: skip


def _evidence(made: History) -> list[tuple[str, str, str, str, Edits]]:
    """Evidence is named by grants, offers and receipt, so that another one changes all of them."""
    layers = canonical.decode(LAUNCH, most=1 << 16)["layers"]
    open_ = canonical.encode({"launcher": "process", "layers": layers[1:]})
    bare = canonical.encode({"launcher": "bare", "layers": layers})
    none: Any = []
    return [
        ("2-another-program", "E3.measurement", "2", "a program that nobody approved",
         _under(made, attested(made.setting, measurement="c2" * 48))),
        ("2-not-approved", "E3.measurement", "2", "one approval of two", [[["approvals", 0]]]),
        ("2-another-launcher", "E3.launcher", "2", "a launcher that was not agreed",
         _under(made, attested(made.setting, launch=bare))),
        ("2-layer-missing", "E3.missing-layer", "2", "started without a required layer",
         _under(made, attested(made.setting, launch=open_))),
        ("2-another-gate", "E3.report-data", "2", "the report binds another gate's key", _under(
            made, dataclasses.replace(made.evidence, gate_signing_key=cases.signing("mallory").public.text))),
        ("2-another-checkpoint", "E3.report-data", "2", "the report binds another checkpoint",
         _under(made, dataclasses.replace(made.evidence, checkpoint="77" * 32))),
        ("2-another-owner", "E3.other-owners", "2", "a nonce of one who owns nothing", _under(
            made, dataclasses.replace(made.evidence, nonces={**made.evidence.nonces, "operator": "03" * 32}))),
        ("2-root-not-named", "E3.root-not-named", "2", "a root that the reader did not name", none),
    ]  # fmt: skip


def _under(made: History, evidence: Any) -> Edits:
    """The bundle with other evidence, and everything that names it made anew."""
    name = name_of(evidence)
    grants = tuple(dataclasses.replace(grant, evidence=name) for grant in made.grants)
    offers = {to: dataclasses.replace(offer, evidence=name) for to, offer in made.offers.items()}
    other = dataclasses.replace(made, evidence=evidence, grants=grants, offers=offers)
    asked = (("partner", "bank"), ("bank", "operator"), ("partner", "operator"))
    return [
        [["evidence"], schema.encode(evidence)],
        [["grants"], [_signed(grant, grant.party) for grant in grants]],
        [["offers"], [_signed(offer, "gate") for offer in offers.values()]],
        [["consents"], [_signed(consent(other, party, to), party) for party, to in asked]],
        [["receipt"], _signed(receipt(other), "gate")],
        [["cosignatures"], [_signed(cosignature(other, party), party) for party in ("bank", "partner")]],
    ]


def _grants(made: History) -> list[tuple[str, str, str, str, Edits]]:
    bank, _ = made.grants

    def changed(signer: str = "bank", **changes: Any) -> Edits:
        return [[["grants", 0], _signed(dataclasses.replace(bank, **changes), signer)]]

    return [
        ("3-missing", "E3.other-grants", "3", "a grant that the receipt names is missing", [[["grants", 1]]]),
        ("3-forged", "E2.stranger", "3", "in the bank's name by the partner", changed("partner")),
        ("3-another-request", "E3.other-run", "3", "for another request", changed(request="00" * 32)),
        ("3-another-evidence", "E3.other-run", "3", "for other evidence", changed(evidence="00" * 32)),
        ("3-not-the-owner", "E3.other-object", "3", "of another owner's object", changed(object=made.grants[1].object)),
        ("3-charged-less", "E3.other-cost", "3", "charged less than agreed", changed(charged=Cost(epsilon=0, bits=0))),
        ("3-too-late", "E3.grant-time", "3", "made after the request's deadline", changed(created=NOW + 3600)),
        ("3-too-early", "E3.grant-time", "3", "made before the request", changed(created=NOW - 1000)),
    ]  # fmt: skip


def _by_gate(made: History) -> list[tuple[str, str, str, str, Edits]]:
    said = receipt(made)
    (result,) = said.results

    def changed(signer: str = "gate", **changes: Any) -> Edits:
        return [[["receipt"], _signed(dataclasses.replace(said, **changes), signer)]]

    first, second = (_signed(offer, "gate") for offer in made.offers.values())
    withheld = RuleResult(rule="overlap", outcome="withheld", offers=result.offers)
    stray = _signed(dataclasses.replace(made.offers["bank"], size=1), "gate")
    return [
        ("4-receipt-forged", "E2.stranger", "4", "a receipt by another key", changed("mallory")),
        ("4-another-run", "E3.other-run", "4", "a receipt of another request", changed(request="00" * 32)),
        ("4-claims-hardware", "E3.other-platform", "4", "a simulated run that claims hardware",
         changed(platform_class="confidential-hardware")),
        ("4-another-rule", "E3.other-rules", "4", "a receipt about another rule",
         changed(results=(dataclasses.replace(result, rule="quality"),))),
        ("4-withheld-and-offered", "E3.contradiction", "4", "withheld, and yet offered", changed(results=(withheld,))),
        ("4-failed-and-offered", "E3.contradiction", "4", "failed, and yet offered", changed(status="failed")),
        ("4-offer-missing", "E3.missing-offer", "4", "an offer that the receipt lists is missing", [[["offers", 1]]]),
        ("4-offer-forged", "E2.stranger", "4", "an offer by another key",
         [[["offers"], [first, _signed(made.offers["operator"], "mallory")]]]),
        ("4-offer-not-listed", "E3.not-in-receipt", "4", "an offer that the receipt does not list",
         [[["offers"], [first, second, stray]]]),
    ]  # fmt: skip


def _terms(made: History) -> list[tuple[str, str, str, str, Edits]]:
    def changed(**changes: Any) -> Edits:
        offers = {**made.offers, "operator": dataclasses.replace(made.offers["operator"], **changes)}
        return _offering(dataclasses.replace(made, offers=offers))

    offer = made.offers["operator"]
    short = {"bank": offer.share_commitments["bank"]}
    twice = dataclasses.replace(
        made, offers={**made.offers, "again": dataclasses.replace(offer, ciphertext_sha256="0" * 64)}
    )
    return [
        ("5-cost", "E3.other-cost", "5", "cheaper than agreed", changed(cost=Cost(epsilon=1, bits=0))),
        ("5-guarantee", "E3.other-guarantee", "5", "another guarantee", changed(guarantee="C")),
        ("5-rule-type", "E3.other-rule-type", "5", "another rule's type", changed(rule_type="metrics")),
        ("5-recipient", "E3.other-recipient", "5", "to one who is no recipient",
         changed(recipient="partner", affected=("bank",))),
        ("5-affected", "E3.other-affected-owners", "5", "an owner is not asked", changed(affected=("bank",))),
        ("5-size", "E3.other-size", "5", "larger than agreed", changed(size=offer.size + 1)),
        ("5-platform-class", "E3.other-platform-class", "5", "claims hardware",
         changed(platform_class="confidential-hardware")),
        ("5-shares", "E3.other-shares", "5", "no commitment to an owner's share", changed(share_commitments=short)),
        ("5-offered-twice", "E3.offered-twice", "5", "one rule twice to one recipient", _offering(twice)),
    ]  # fmt: skip


def _offering(made: History) -> Edits:
    """Other offers, listed by the receipt; nobody has answered them."""
    return [
        [["offers"], [_signed(offer, "gate") for offer in made.offers.values()]],
        [["receipt"], _signed(receipt(made), "gate")],
        [["consents"], []],
        [["cosignatures"], []],
    ]


def _consented(made: History, at: int, party: str, to: str, signer: str = "", **changes: Any) -> list[Any]:
    return [["consents", at], _signed(consent(made, party, to, **changes), signer or party)]


def _consents(made: History) -> list[tuple[str, str, str, str, Edits]]:
    def changed(signer: str = "", **changes: Any) -> Edits:
        return [_consented(made, 1, "bank", "operator", signer, **changes)]

    bank, partner = consent(made, "bank", "operator"), to_text(made.shares["operator"]["partner"])
    again = _signed(consent(made, "bank", "operator", remark="again"), "bank")
    return [
        ("6-forged", "E2.stranger", "6", "in the bank's name by the partner", changed("partner")),
        ("6-not-asked", "E3.stray-consent", "6", "by a party that is not affected",
         [[["consents", 1], _signed(dataclasses.replace(bank, party="operator"), "operator")]]),
        ("6-another-release", "E3.stray-consent", "6", "for another release", changed(release="00" * 32)),
        ("6-another-agreement", "E3.stray-consent", "6", "for another agreement", changed(agreement="00" * 32)),
        ("6-twice", "E3.second-consent", "6", "one party answers twice", [[["consents", 3], again]]),
        ("6-another-share", "E3.other-share", "6", "another owner's share", changed(share=partner)),
        ("6-no-share", "E3.uncharged", "6", "a yes without a share", changed(share=None)),
        ("6-no-charge", "E3.uncharged", "6", "a yes without a place in a ledger", changed(ledger=None)),
        ("6-charged-less", "E3.uncharged", "6", "charged less than the offer says",
         changed(charged=Cost(epsilon=0, bits=0))),
        ("6-refused-with-share", "E3.refused-with-share", "6", "a no that carries a share", changed(decision="refuse")),
    ]  # fmt: skip


def _cosigned(made: History) -> list[tuple[str, str, str, str, Edits]]:
    def changed(signer: str, **changes: Any) -> Edits:
        return [[["cosignatures", 0], _signed(dataclasses.replace(cosignature(made, "bank"), **changes), signer)]]

    return [
        ("7-forged", "E2.stranger", "7", "in the bank's name by the partner", changed("partner")),
        ("7-stranger", "E2.stranger", "7", "by one who is no party", changed("mallory", party="mallory")),
        ("7-another-receipt", "E3.other-receipt", "7", "of another receipt", changed("bank", receipt="00" * 32)),
    ]


def _signed(document: object, *names: str) -> Any:
    return schema.encode(sign(document, *names))


def _payload(signed: Any) -> Any:
    """The document in an envelope, to be signed by somebody else."""
    kind = next(kind for kind in (Request, Manifest) if envelope.media_type(kind) == signed.payloadType)
    return envelope.unverified(signed, kind)


def _sizes() -> Produced:
    manifest = {"name": "bundle.json", "text": WHOLE["bundle.json"].decode()}
    job = {"name": "job.py", "text": WHOLE["job.py"].decode()}
    named = len(WHOLE["bundle.json"]) + len(WHOLE["job.py"])
    room = archives.MOST_BYTES - named
    deep = '{"entry":' + "[" * 30_000 + "]" * 30_000 + "}"
    full = archives.MOST_FILES - 2

    def many(times: int, size: int = 0) -> dict[str, Any]:
        return {"name": "notes/n#.txt", "byte": 32, "size": size, "times": times}

    table: list[tuple[str, str, str, str, list[dict[str, Any]]]] = [
        ("valid-most-files", "ok", "manifest", "512 files", [manifest, job, many(full)]),
        ("valid-most-bytes", "ok", "manifest", "16 MiB of content", [manifest, job, many(1, room)]),
        ("valid-largest-manifest", "ok", "manifest", "bundle.json of 64 KiB",
         [{**manifest, "text": manifest["text"].ljust(archives.MOST_MANIFEST)}, job]),
        ("too-many-files", "E1.too-large", "size", "513 files", [manifest, job, many(full + 1)]),
        ("one-byte-too-much", "E1.too-large", "size", "16 MiB and one byte", [manifest, job, many(1, room + 1)]),
        ("claims-8-gib", "E1.too-large", "size", "a header that claims all that octal digits can say",
         [manifest, {**job, "claims": 8**11 - 1}]),
        ("larger-than-any", "E1.too-large", "size", "more bytes than any bundle has",
         [manifest, job, many(2, 9 << 20)]),
        ("manifest-too-large", "E1.no-manifest", "manifest", "bundle.json of 64 KiB and one byte",
         [{**manifest, "text": manifest["text"].ljust(archives.MOST_MANIFEST + 1)}, job]),
        ("manifest-too-deep", "E1.not-json", "manifest", "bundle.json nested 30 000 deep",
         [{**manifest, "text": deep}, job]),
    ]  # fmt: skip
    for name, expect, stage, comment, files in table:
        yield f"bundle-size/{name}", vector(expect, stage, comment, canonical.encode(files))
