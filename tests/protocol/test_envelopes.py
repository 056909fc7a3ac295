"""Envelopes: who signed what, checked in order; and another library's opinion on the same bytes."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope as OracleEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from sealroom.protocol import canonical, envelope, schema
from sealroom.protocol.envelope import Envelope, Signature
from sealroom.protocol.errors import Malformed, NotGenuine, Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Revocation, Stop

KEYS = {name: SigningKey(bytes([number]) * 32) for number, name in enumerate(("bank", "partner", "second"), start=1)}
STOP = Stop(format="sealroom/stop/v1", party="bank", agreement="ab" * 32, created=7, remark="Schluß, für heute ☂")


def public(*names: str) -> dict[str, Any]:
    return {name: KEYS[name].public for name in names}


def refused(call: Any, *args: Any, **named: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **named)
    return caught.value.code


def test_a_statement_comes_back_from_whoever_signed_it():
    signed = envelope.sign(STOP, [KEYS["partner"], KEYS["bank"]])
    read = envelope.parse(signed.to_bytes())
    assert read == signed
    assert envelope.verify(read, Stop, public("bank", "partner")) == STOP


def test_signing_in_any_order_gives_the_same_bytes():
    one = envelope.sign(STOP, [KEYS["partner"], KEYS["bank"]])
    other = envelope.cosign(envelope.sign(STOP, [KEYS["bank"]]), [KEYS["partner"], KEYS["bank"]])
    merged = envelope.merge(envelope.sign(STOP, [KEYS["bank"]]), envelope.sign(STOP, [KEYS["partner"]]))
    assert one.to_bytes() == other.to_bytes() == merged.to_bytes()


def test_the_digest_names_the_statement_and_not_its_signatures():
    one, other = envelope.sign(STOP, [KEYS["bank"]]), envelope.sign(STOP, [KEYS["partner"]])
    assert one.digest == other.digest
    assert one.digest != envelope.sign(dataclasses.replace(STOP, created=8), [KEYS["bank"]]).digest
    assert one.digest != dataclasses.replace(one, payloadType=one.payloadType.replace("stop", "grant")).digest


def test_merging_two_statements_is_refused():
    other = envelope.sign(dataclasses.replace(STOP, created=8), [KEYS["partner"]])
    assert refused(envelope.merge, envelope.sign(STOP, [KEYS["bank"]]), other) == "E2.different-payload"


@pytest.mark.parametrize(
    ("signers", "expected", "threshold", "code"),
    [
        (["bank"], ["bank"], None, None),
        (["bank"], ["bank", "partner"], None, "E2.too-few-signatures"),
        (["bank"], ["bank", "partner"], 1, None),
        (["bank", "partner"], ["bank", "partner", "second"], 2, None),
        (["bank"], ["bank", "partner"], 2, "E2.too-few-signatures"),
        (["bank", "second"], ["bank"], None, "E2.stranger"),
        (["bank", "second"], ["bank"], 1, "E2.stranger"),
        (["bank"], [], None, "E2.stranger"),
        (["bank"], ["bank"], 0, "E2.too-few-signatures"),
    ],
)
def test_enough_of_the_expected_and_no_stranger(signers: list, expected: list, threshold: int | None, code: str | None):
    signed = envelope.sign(STOP, [KEYS[name] for name in signers])
    if code is None:
        assert envelope.verify(signed, Stop, public(*expected), threshold=threshold) == STOP
    else:
        assert refused(envelope.verify, signed, Stop, public(*expected), threshold=threshold) == code


def test_without_any_signature_nothing_verifies_and_nothing_parses():
    empty = dataclasses.replace(envelope.sign(STOP, [KEYS["bank"]]), signatures=())
    assert refused(envelope.verify, empty, Stop, public("bank"), threshold=0) == "E2.too-few-signatures"
    assert refused(envelope.verify, empty, Stop, {}) == "E2.too-few-signatures"
    assert refused(envelope.parse, empty.to_bytes()) == "E1.bad-length"


def test_one_key_under_two_names_counts_once():
    twice = {"bank": KEYS["bank"].public, "also-bank": KEYS["bank"].public}
    assert (
        refused(envelope.verify, envelope.sign(STOP, [KEYS["bank"]]), Stop, twice, threshold=2)
        == "E2.too-few-signatures"
    )


def test_a_signature_moved_to_another_type_does_not_hold():
    signed = envelope.sign(STOP, [KEYS["bank"]])
    assert refused(envelope.verify, signed, Revocation, public("bank")) == "E2.wrong-type"
    assert refused(envelope.unverified, signed, Revocation) == "E2.wrong-type"
    retyped = dataclasses.replace(signed, payloadType=envelope.media_type(Revocation))
    assert refused(envelope.verify, retyped, Revocation, public("bank")) == "E2.signature"


def test_a_genuine_signature_does_not_make_a_bad_payload_good():
    payload = canonical.encode({**schema.encode(STOP), "more": 1})
    media = envelope.media_type(Stop)
    signature = KEYS["bank"].sign(envelope.pre_authentication_encoding(media, payload))
    made = Envelope(
        base64.b64encode(payload).decode(),
        media,
        (Signature(KEYS["bank"].public.text, base64.b64encode(signature).decode()),),
    )
    assert refused(envelope.verify, made, Stop, public("bank")) == "E1.unknown-field"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: {**e, "more": 1}, "E1.unknown-field"),
        (lambda e: {k: v for k, v in e.items() if k != "payload"}, "E1.missing-field"),
        (lambda e: {**e, "payload": ""}, "E1.bad-text"),
        (lambda e: {**e, "payload": e["payload"] + "="}, "E1.not-base64"),
        (lambda e: {**e, "payload": "QR=="}, "E1.not-base64"),
        (lambda e: {**e, "payload": e["payload"] + "\n"}, "E1.bad-text"),
        (lambda e: {**e, "payloadType": "application/json"}, "E1.bad-text"),
        (lambda e: {**e, "signatures": []}, "E1.bad-length"),
        (lambda e: {**e, "signatures": e["signatures"] * 2}, "E1.duplicate-signature"),
        (lambda e: {**e, "signatures": e["signatures"] * 33}, "E1.bad-length"),
        (lambda e: {**e, "signatures": [{**e["signatures"][0], "keyid": "x"}]}, "E1.bad-text"),
        (lambda e: {**e, "signatures": [{**e["signatures"][0], "sig": "AB"}]}, "E1.not-base64"),
        (lambda e: {**e, "signatures": [{**e["signatures"][0], "sig": "AA==", "cert": "x"}]}, "E1.unknown-field"),
    ],
)
def test_an_envelope_of_another_form_is_refused(change: Any, code: str):
    value = schema.encode(envelope.sign(STOP, [KEYS["bank"]]))
    assert refused(envelope.parse, canonical.encode(change(value))) == code


def test_an_envelope_in_another_spelling_is_refused():
    data = envelope.sign(STOP, [KEYS["bank"]]).to_bytes()
    assert refused(envelope.parse, data + b"\n") == "E1.not-canonical"
    assert refused(envelope.parse, json.dumps(json.loads(data), indent=1).encode()) == "E1.not-canonical"
    assert refused(envelope.parse, b" " * (envelope.MOST_BYTES + 1)) == "E1.too-large"


def test_what_is_signed_counts_bytes_and_not_characters():
    assert envelope.pre_authentication_encoding("t/é", "ß".encode()) == b"DSSEv1 4 t/\xc3\xa9 2 \xc3\x9f"


def oracle_key(name: str) -> SSlibKey:
    private = Ed25519PrivateKey.from_private_bytes(KEYS[name].seed)
    return SSlibKey.from_crypto(private.public_key(), keyid=KEYS[name].public.text)


def test_another_library_accepts_our_envelopes():
    signed = envelope.sign(STOP, [KEYS["bank"], KEYS["partner"]])
    read = OracleEnvelope.from_dict(json.loads(signed.to_bytes()))
    assert read.payload == signed.unverified_payload
    assert read.pae() == envelope.pre_authentication_encoding(signed.payloadType, signed.unverified_payload)
    accepted = read.verify([oracle_key("bank"), oracle_key("partner")], 2)
    assert set(accepted) == {KEYS["bank"].public.text, KEYS["partner"].public.text}


def test_we_accept_another_librarys_envelopes():
    payload = canonical.encode(schema.encode(STOP))
    made = OracleEnvelope(payload, envelope.media_type(Stop), {})
    for name in ("bank", "partner"):
        made.sign(CryptoSigner(Ed25519PrivateKey.from_private_bytes(KEYS[name].seed), oracle_key(name)))
    read = envelope.parse(canonical.encode(made.to_dict()))
    assert envelope.verify(read, Stop, public("bank", "partner")) == STOP


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig"])
def test_both_libraries_refuse_the_same_damage(part: str):
    value = json.loads(envelope.sign(STOP, [KEYS["bank"]]).to_bytes())
    if part == "payload":
        value["payload"] = base64.b64encode(canonical.encode({**schema.encode(STOP), "created": 8})).decode()
    elif part == "payloadType":
        value["payloadType"] = envelope.media_type(Revocation)
    else:
        value["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    with pytest.raises(Exception, match=r"[Tt]hreshold|[Vv]erif|signature"):
        OracleEnvelope.from_dict(json.loads(json.dumps(value))).verify([oracle_key("bank")], 1)
    kind = Revocation if part == "payloadType" else Stop
    with pytest.raises((NotGenuine, Malformed)):
        envelope.verify(envelope.parse(canonical.encode(value)), kind, public("bank"))
