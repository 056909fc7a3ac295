"""Vectors of witness files: what another party holds of one whose ledger is frozen, and its word that this is all."""

from __future__ import annotations

from typing import Any

from sealroom.client.witness import Witness, WitnessFile
from sealroom.protocol import canonical, schema
from sealroom.protocol.envelope import Envelope
from tests.vectors.cases import Produced, vector
from tests.vectors.make_history import NOW, consent, history, sign, signed_grants

SUBJECT, CHALLENGE = "bank", "d1" * 32


def produce() -> Produced:
    told, other = _held("bank"), _held("partner")
    good = _file(told)
    table: list[tuple[str, str, str, str, Any]] = [
        ("valid", "ok", "statements", "partner lists a grant and a consent of bank", good),
        ("valid-nothing", "ok", "statements", "partner holds nothing of bank", _file([])),
        ("valid-by-operator", "ok", "statements", "any other party of the agreement", _file(told, party="operator")),
        ("unknown-field", "E1.unknown-field", "decode", "a field more in the file", {**good, "more": 1}),
        ("no-envelope", "E1.wrong-type", "decode", "a statement without its envelope", {**good, "statements": ["x"]}),
        ("other-agreement", "E3.other-agreement", "party", "about another agreement", _file(told, agreement="a9" * 32)),
        ("of-itself", "E3.not-another-party", "party", "bank about bank", _file(told, party="bank")),
        ("stranger", "E3.not-another-party", "party", "no party of the agreement", _file(told, party="somebody")),
        ("signed-by-another", "E2.stranger", "signature", "operator signs for partner", _file(told, by="operator")),
        ("bent", "E2.signature", "signature", "the list was shortened after it was signed",
         {**good, "witness": _bent(good["witness"], _file(told[:1])["witness"])}),
        ("another-subject", "E3.other-challenge", "challenge", "about operator", _file(told, subject="operator")),
        ("before-the-freeze", "E3.other-challenge", "challenge", "it answers an older question",
         _file(told, challenge="d0" * 32)),
        ("left-out", "E2.other-statements", "statements", "signed for two, brings one",
         {**good, "statements": good["statements"][:1]}),
        ("twice", "E2.other-statements", "statements", "brings one of them twice",
         {**good, "statements": [*good["statements"], good["statements"][0]]}),
        ("instead", "E2.other-statements", "statements", "brings another's grant instead",
         {**good, "statements": [good["statements"][0], schema.encode(other[0])]}),
    ]  # fmt: skip
    for name, expect, stage, comment, file in table:
        yield (
            f"witness/{name}",
            vector(expect, stage, comment, canonical.encode(file), subject=SUBJECT, challenge=CHALLENGE),
        )


def _held(party: str) -> list[Envelope]:
    """A grant and a consent with a charge, in the order of their digests."""
    made = history()
    grant = next(signed for signed, grant in zip(signed_grants(made), made.grants, strict=True) if grant.party == party)
    return sorted([grant, sign(consent(made, party, "operator"), party)], key=lambda signed: signed.digest)


def _file(statements: list[Envelope], *, by: str | None = None, **changes: Any) -> dict[str, Any]:
    fields = {"party": "partner", "agreement": history().id, "subject": SUBJECT, "challenge": CHALLENGE} | changes
    said = Witness(
        format="sealroom/witness/v1", statements=tuple(signed.digest for signed in statements), created=NOW + 200,
        **fields,
    )  # fmt: skip
    made = WitnessFile(
        format="sealroom/witness-file/v1", witness=sign(said, by or fields["party"]), statements=tuple(statements)
    )
    document: dict[str, Any] = schema.encode(made)
    return document


def _bent(signed: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The signatures of one statement under the payload of another."""
    return {**signed, "payload": other["payload"]}
