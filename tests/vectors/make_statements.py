"""Vectors of statements: each kind decoded strictly, approvals together, officers' decisions, chains of versions."""

from __future__ import annotations

import dataclasses
from typing import Any

from sealroom.protocol import canonical, schema
from sealroom.protocol.agreement import Consent as ConsentTerms
from sealroom.protocol.agreement import Party
from sealroom.protocol.decisions import Decision
from sealroom.protocol.envelope import Envelope, unverified
from sealroom.protocol.sealed import Manifest
from sealroom.protocol.statements import Request, Revocation, Stop
from tests.vectors import cases
from tests.vectors.cases import Produced, vector
from tests.vectors.make_history import MEASUREMENT, NOW, approval, consent, cosignature, history, receipt, sign
from tests.vectors.make_run import PARTIES, version_of

Case = tuple[str, str, str, list[Any]]
LONG = "x" * 501


def produce() -> Produced:
    made = _statements()
    yield "shared/statements.json", made
    for kind, document in made.items():
        last = max(document)
        table: list[Case] = [
            ("valid", "ok", "nothing is changed", []),
            ("unknown-field", "E1.unknown-field", "a field more", [[["more"], 1]]),
            ("missing-field", "E1.missing-field", f"no {last}", [[[last]]]),
            ("another-format", "E1.not-allowed", "another format", [[["format"], f"sealroom/{kind}/v2"]]),
            *CASES[kind],
        ]
        for name, expect, comment, edits in table:
            yield f"statement/{kind}-{name}", vector(expect, "schema", comment, canonical.encode(edits), kind=kind)
    yield from _standing()
    yield from _decisions()
    yield from _chains()


def _statements() -> dict[str, Any]:
    made = history()
    approved = made.approvals[0].digest
    revocation = Revocation(
        format="sealroom/revocation/v1", party="bank", agreement=made.id, approval=approved, created=NOW, remark="flaw"
    )
    stop = Stop(format="sealroom/stop/v1", party="bank", agreement=made.id, created=NOW, remark="enough")
    documents = {
        "approval": approval("bank", made.id), "revocation": revocation, "stop": stop,
        "manifest": unverified(made.setting.manifests["customers"], Manifest),
        "request": unverified(made.setting.request, Request), "evidence": made.evidence, "grant": made.grants[0],
        "offer": made.offers["operator"], "consent": consent(made, "bank", "operator"), "decision": _decision(),
        "receipt": receipt(made), "cosignature": cosignature(made, "bank"),
    }  # fmt: skip
    return {kind: schema.encode(document) for kind, document in documents.items()}


def _many(value: Any, count: int) -> dict[str, Any]:
    return {f"p{number}": value for number in range(count)}


CASES: dict[str, list[Case]] = {
    "approval": [
        ("short-measurement", "E1.bad-text", "a measurement of 32 bytes", [[["measurement"], "c1" * 32]]),
        ("never-ends", "E1.wrong-type", "an approval without an end", [[["not_after"], None]]),
        ("no-words", "E1.bad-text", "an empty remark", [[["remark"], ""]]),
        ("many-words", "E1.bad-text", "a remark of 501 characters", [[["remark"], LONG]]),
        ("upper-case-digest", "E1.bad-text", "a digest in upper case", [[["agreement"], "AB" * 32]]),
    ],
    "revocation": [
        ("names-a-measurement", "E1.bad-text", "48 bytes where an approval's digest is due",
         [[["approval"], MEASUREMENT]]),
        ("bool-as-time", "E1.wrong-type", "true is no time", [[["created"], True]]),
    ],
    "stop": [
        ("before-1970", "E1.out-of-range", "a negative time", [[["created"], -1]]),
        ("reordered-words", "E1.bad-text", "a remark that changes its direction", [[["remark"], "ok\u202eno"]]),
        ("no-party", "E1.wrong-type", "nobody", [[["party"], None]]),
    ],
    "manifest": [
        ("chunk-size", "E1.not-allowed", "chunks of another size", [[["chunk_size"], 4096]]),
        ("no-chunk", "E1.out-of-range", "no chunk", [[["chunks"], 0]]),
        ("too-many-chunks", "E1.out-of-range", "2^20 + 1 chunks", [[["chunks"], (1 << 20) + 1]]),
        ("media", "E1.not-allowed", "a media type that is none", [[["media"], "pickle"]]),
        ("size-as-text", "E1.wrong-type", "a size as text", [[["plaintext_size"], "17"]]),
    ],
    "request": [
        ("no-rule", "E1.bad-length", "no rule", [[["rules"], []]]),
        ("too-many-rules", "E1.bad-length", "65 rules", [[["rules"], ["overlap"] * 65]]),
        ("no-object", "E1.bad-length", "no object", [[["objects"], {}]]),
        ("too-many-objects", "E1.bad-length", "33 objects", [[["objects"], _many("00" * 32, 33)]]),
        ("too-many-columns", "E1.bad-length", "513 columns", [[["columns", "customers"], ["age"] * 513]]),
        ("column-name", "E1.bad-text", "a column with a quote", [[["columns", "customers"], ['a"b']]]),
    ],
    "evidence": [
        ("no-nonce", "E1.bad-length", "no nonce", [[["nonces"], {}]]),
        ("short-nonce", "E1.bad-text", "a nonce of 16 bytes", [[["nonces", "bank"], "01" * 16]]),
        ("too-many-nonces", "E1.bad-length", "17 nonces", [[["nonces"], _many("01" * 32, 17)]]),
        ("platform", "E1.not-allowed", "a platform that version 1 does not have", [[["platform"], "tdx"]]),
        ("attestation-as-object", "E1.wrong-type", "evidence that is not packed", [[["attestation"], {}]]),
        ("padded-key", "E1.bad-text", "a key in padded base64", [[["gate_signing_key"], "AAAA="]]),
    ],
    "grant": [
        ("another-suite", "E1.not-allowed", "a suite that is not the one", [[["suite"], "X25519/AES-128-GCM"]]),
        ("ledger-from-zero", "E1.out-of-range", "ledgers count from 1", [[["ledger", "sequence"], 0]]),
        ("free", "E1.wrong-type", "a grant without a charge", [[["charged"], None]]),
        ("negative-charge", "E1.out-of-range", "a charge below nothing", [[["charged", "bits"], -1]]),
    ],
    "offer": [
        ("guarantee", "E1.not-allowed", "a guarantee that is none", [[["guarantee"], "A"]]),
        ("negative-size", "E1.out-of-range", "a size below nothing", [[["size"], -1]]),
        ("too-many-owners", "E1.bad-length", "17 affected owners", [[["affected"], [f"p{n}" for n in range(17)]]]),
        ("short-commitment", "E1.bad-text", "a commitment of 16 bytes", [[["share_commitments", "bank"], "00" * 16]]),
        ("platform-class", "E1.not-allowed", "a class that is none", [[["platform_class"], "hardware"]]),
    ],
    "consent": [
        ("perhaps", "E1.not-allowed", "neither yes nor no", [[["decision"], "perhaps"]]),
        ("share-left-out", "E1.missing-field", "null is said, not left out", [[["share"]]]),
        ("ledger-from-zero", "E1.out-of-range", "ledgers count from 1", [[["ledger", "sequence"], 0]]),
        ("release-by-name", "E1.bad-text", "a rule's name where a release's id is due", [[["release"], "overlap"]]),
    ],
    "decision": [
        ("perhaps", "E1.not-allowed", "neither yes nor no", [[["decision"], "perhaps"]]),
        ("truth-value", "E1.not-allowed", "true is no decision", [[["decision"], True]]),
    ],
    "receipt": [
        ("status", "E1.not-allowed", "a status that is none", [[["status"], "partial"]]),
        ("outcome", "E1.not-allowed", "an outcome that is none", [[["results", 0, "outcome"], "released"]]),
        ("too-many-grants", "E1.bad-length", "65 grants", [[["grants"], ["00" * 32] * 65]]),
        ("too-many-layers", "E1.bad-length", "65 layers", [[["layers"], ["seccomp"] * 65]]),
        ("layer-of-two-lines", "E1.bad-text", "a layer with a line feed", [[["layers", 0], "jail:\nseccomp"]]),
        ("reason-in-clear", "E1.bad-text", "a reason that is not sealed", [[["reasons"], {"bank": "below floor"}]]),
        ("too-many-offers", "E1.bad-length", "17 offers of one rule", [[["results", 0, "offers"], ["00" * 32] * 17]]),
    ],
    "cosignature": [
        ("no-receipt", "E1.wrong-type", "a cosignature of nothing", [[["receipt"], None]]),
        ("time-as-text", "E1.wrong-type", "a time as text", [[["created"], "now"]]),
    ],
}  # fmt: skip


def _standing() -> Produced:
    made = history()
    id_ = made.id

    def said(party: str, by: str = "", **changes: Any) -> Envelope:
        return sign(approval(party, changes.pop("agreement", id_), **changes), by or party)

    def revoked(party: str, what: Envelope, created: int = NOW, by: str = "") -> Envelope:
        statement = Revocation(
            format="sealroom/revocation/v1", party=party, agreement=id_, approval=what.digest, created=created,
            remark="a flaw",
        )  # fmt: skip
        return sign(statement, by or party)

    bank, partner, operator = (said(name) for name in PARTIES)
    new = said("partner", nonce="78" * 32)
    old = [said(name, measurement="d2" * 48) for name in PARTIES]
    short, early = said("bank", not_after=NOW + 100), said("bank", created=NOW + 301)
    no = "E3.measurement"
    table: list[tuple[str, str, str, list[Envelope], int, bool]] = [
        ("valid", "ok", "two of three, the mandatory one among them", [bank, partner], NOW, False),
        ("valid-other-two", "ok", "two others of three, the mandatory one among them", [operator, partner], NOW, False),
        ("valid-upgrade", "ok", "another measurement is approved too", [*old, bank, partner], NOW, False),
        ("valid-until-the-end", "ok", "the second before an approval ends", [short, partner], NOW + 99, False),
        ("valid-revoked-by-another", "ok", "somebody revokes another's approval",
         [bank, partner, revoked("operator", bank)], NOW, False),
        ("valid-approved-again", "ok", "an approval was revoked, and another one given",
         [bank, partner, new, revoked("partner", partner)], NOW, False),
        ("valid-in-the-past", "ok", "it was revoked later than the moment that is judged",
         [bank, partner, revoked("bank", bank, NOW + 5000)], NOW, True),
        ("one-too-few", no, "the mandatory party alone", [partner], NOW, False),
        ("nobody", no, "no approval", [], NOW, False),
        ("one-party-twice", no, "one party's two approvals count once", [partner, new], NOW, False),
        ("mandatory-missing", no, "two of three, but not the mandatory one", [bank, operator], NOW, False),
        ("expired", no, "the second at which an approval ends", [short, partner], NOW + 100, False),
        ("not-yet", no, "an approval made more than 300 s from now", [early, partner], NOW, False),
        ("revoked", no, "an approval was revoked", [bank, partner, revoked("bank", bank)], NOW, False),
        ("revoked-in-the-future", no, "a revocation counts once seen, whatever time it says",
         [bank, partner, revoked("bank", bank, NOW + 5000)], NOW, False),
        ("revoked-before", no, "it was revoked at the moment that is judged",
         [bank, partner, revoked("bank", bank)], NOW, True),
        ("forged", no, "an approval in the bank's name by the operator", [said("bank", "operator"), partner], NOW,
         False),
        ("another-agreement", no, "an approval for another agreement", [said("bank", agreement="00" * 32), partner],
         NOW, False),
        ("another-measurement", no, "approvals of two measurements do not add up", [old[0], partner], NOW, False),
    ]  # fmt: skip
    for name, expect, comment, statements, now, past in table:
        body = {"statements": [schema.encode(e) for e in statements], "now": now, "past": past}
        yield f"standing/{name}", vector(expect, "approved", comment, canonical.encode(body))


RELEASE = "5e" * 32


def _decision(**changes: Any) -> Decision:
    said = Decision(
        format="sealroom/decision/v1", party="partner", agreement=history().id, release=RELEASE, decision="release",
        created=NOW, remark="looked at it",
    )  # fmt: skip
    return dataclasses.replace(said, **changes)


def _decisions() -> Produced:
    officers = tuple(cases.signing(name).public.text for name in ("alice", "bob"))
    plain = history().setting.agreement.party("partner")
    manual = ConsentTerms(mode="manual", threshold=1, officers=officers, deadline=3600)
    named = dataclasses.replace(plain, consent=manual)
    alone = dataclasses.replace(plain, consent=dataclasses.replace(manual, officers=()))
    table: list[tuple[str, str, str, str, Envelope, Party]] = [
        ("valid", "ok", "about", "an officer decides", sign(_decision(), "alice"), named),
        ("valid-refusal", "ok", "about", "an officer refuses", sign(_decision(decision="refuse"), "bob"), named),
        ("valid-alone", "ok", "about", "a party without officers decides itself", sign(_decision(), "partner"), alone),
        ("stranger", "E2.stranger", "officer", "somebody who is no officer", sign(_decision(), "carol"), named),
        ("the-party-itself", "E2.stranger", "officer", "the party, which has officers",
         sign(_decision(), "partner"), named),
        ("two-officers", "E2.not-one-officer", "officer", "two officers in one decision",
         sign(_decision(), "alice", "bob"), named),
        ("another-type", "E2.wrong-type", "officer", "a consent in its place",
         sign(consent(history(), "partner", "bank"), "alice"), named),
        ("another-release", "E2.other-release", "about", "about another release",
         sign(_decision(release="00" * 32), "alice"), named),
        ("another-agreement", "E2.other-release", "about", "about another agreement",
         sign(_decision(agreement="00" * 32), "alice"), named),
        ("another-party", "E2.other-release", "about", "for another party", sign(_decision(party="bank"), "alice"),
         named),
    ]  # fmt: skip
    for name, expect, stage, comment, signed, party in table:
        body = {
            "decision": schema.encode(signed), "party": schema.encode(party), "agreement": history().id,
            "release": RELEASE,
        }  # fmt: skip
        yield f"decision/{name}", vector(expect, stage, comment, canonical.encode(body))


def _chains() -> Produced:
    agreement = history().setting.agreement
    first = sign(agreement, *PARTIES)
    fourth = Party(
        name="auditor", signing_key=cases.signing("auditor").public.text,
        sealing_key=cases.sealing("another gate").public.text, consent=agreement.parties[0].consent,
    )  # fmt: skip
    four = version_of(agreement, first, 2, *PARTIES, "auditor", parties=(*agreement.parties, fourth))
    leaves = version_of(agreement, first, 3, *PARTIES, "auditor", previous=four.digest)
    second = version_of(agreement, first, 2, *PARTIES)
    third = version_of(agreement, first, 3, *PARTIES, previous=second.digest)
    unsigned = version_of(agreement, first, 2, *PARTIES, parties=(*agreement.parties, fourth))
    silent = version_of(agreement, first, 3, *PARTIES, previous=four.digest)
    bad = version_of(agreement, first, 2, *PARTIES, operator="nobody")
    wrong = version_of(agreement, first, 3, *PARTIES, previous=first.digest)
    strange = version_of(agreement, first, 2, *PARTIES, "stranger")
    other = version_of(agreement, first, 2, *PARTIES, first="00" * 32)
    table: list[tuple[str, str, str, str, list[Envelope]]] = [
        ("valid", "ok", "4", "one version", [first]),
        ("valid-three", "ok", "4", "three versions", [first, second, third]),
        ("valid-join-and-leave", "ok", "4", "a party joins and leaves, and signs both", [first, four, leaves]),
        ("empty", "E1.bad-chain", "1", "no version", []),
        ("too-long", "E1.bad-chain", "1", "65 versions", [first] * 65),
        ("joined-unsigned", "E2.too-few-signatures", "2", "a new party did not sign", [first, unsigned]),
        ("left-unsigned", "E2.too-few-signatures", "2", "a party that leaves did not sign", [first, four, silent]),
        ("stranger", "E2.stranger", "2", "somebody else signed too", [first, strange]),
        ("skipped", "E2.broken-chain", "3", "a version is missing", [first, third]),
        ("repeated", "E2.broken-chain", "3", "a version twice", [first, first]),
        ("reversed", "E2.broken-chain", "3", "the later version first", [second, first]),
        ("without-the-first", "E2.broken-chain", "3", "the first version is missing", [second, third]),
        ("another-previous", "E2.broken-chain", "3", "it follows another version", [first, second, wrong]),
        ("another-first", "E2.broken-chain", "3", "it is of another agreement", [first, other]),
        ("inconsistent", "E1.inconsistent", "4", "its operator is no party", [first, bad]),
    ]  # fmt: skip
    signed = [schema.encode(first)]
    yield "shared/chain-start.json", signed[0]
    for name, expect, stage, comment, chain in table:
        body = ["@chain-start" if link == first else schema.encode(link) for link in chain]
        yield f"agreement-chain/{name}", vector(expect, stage, comment, canonical.encode(body))
