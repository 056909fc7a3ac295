"""Targets: canonical JSON, envelopes, every statement, agreement, terms, keys, bundles, sealed objects, releases."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
from typing import Any
from unittest import mock

from sealroom.attestation.measurement import launch
from sealroom.client import bundle as receipt_bundles
from sealroom.client import entries
from sealroom.protocol import bundle, canonical, consistency, envelope, keys, release, schema, sealed, terms
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import from_text
from sealroom.protocol.platform import PlatformPolicy
from sealroom.protocol.statements import Evidence, Offer
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target, canonical_document, round_trip, taken
from tests.vectors import cases


def _check_terms(agreement: Agreement) -> None:
    """What is computed from an agreement that anybody signed must be computable, and bounded."""
    consistency.check(agreement)
    for rule in agreement.rules:
        assert terms.cost_of(agreement, rule).bits >= 0
        assert 0 < terms.padded_size(agreement, rule) <= terms.MOST_PADDED
    assert terms.status_cost(agreement, tuple(rule.name for rule in agreement.rules)).bits > 0


def _statement(document: Any) -> Target:
    kind = type(document)
    more = _check_terms if kind is Agreement else lambda _: None
    return canonical_document(kind.__name__.lower(), kind, lambda: [document], more=more)


def _verified() -> Check:
    """The input is a payload; it is signed here, so that what verification reads behind the signature is reached."""
    kinds = {f"sealroom/{type(d).__name__.lower()}/v1": type(d) for d in seeds.statements()}
    key = cases.signing("bank")

    def check(data: bytes) -> bool:
        try:
            said = json.loads(data)["format"]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            said = None
        kind = kinds.get(said if isinstance(said, str) else "", kinds["sealroom/stop/v1"])
        media = envelope.media_type(kind)
        signed = envelope.cosign(dataclasses.replace(seeds.unsigned("stop", data), payloadType=media), [key])
        held, document = taken(lambda _: envelope.verify(signed, kind, {"bank": key.public}), data)
        assert not held or canonical.encode(schema.encode(document)) == data, "not what was signed"
        return held

    return check


def _archive() -> Check:
    def decode(data: bytes) -> Any:
        return bundle.read(data)

    return round_trip(decode, lambda found: bundle.build(found.files))()


@functools.cache
def _object() -> tuple[bytes, sealed.Manifest, bytes, bytes]:
    plain = b"partner_id,age\np1,44\np2,51\n" * 5
    context = sealed.Context(
        agreement=seeds.A, kind="dataset", name="prospects", owner="partner", media="csv", size=len(plain)
    )
    out = io.BytesIO()
    with mock.patch.object(os, "urandom", side_effect=[seeds.keyed("object"), seeds.keyed("salt")]):
        key, manifest = sealed.seal(io.BytesIO(plain), out, context)
    return key, manifest, out.getvalue(), plain


def _sealed() -> Check:
    """Input: a manifest's JSON, a line feed, ciphertext; under a key that was used for one object."""
    key, _, _, plain = _object()

    def check(data: bytes) -> bool:
        head, _, ciphertext = data.partition(b"\n")

        def decode(_: bytes) -> bytes:
            manifest = schema.decode(sealed.Manifest, canonical.decode(head, most=1 << 16))
            opener = sealed.Opener(key, manifest)
            return b"".join(opener.plaintext(lambda offset, size: ciphertext[offset : offset + size]))

        held, opened = taken(decode, data)
        assert not held or opened == plain, "something opened that was never sealed"
        return held

    return check


def _release() -> Check:
    """Input: an offer's JSON, a line feed, base64url of the ciphertext."""
    shares = {name: _share(seeds.offer(), name) for name in seeds.offer().affected}
    recipient = seeds.offer().recipient
    text = release.open_release(seeds.offer(), from_text(cases.shared("ciphertext")), shares, cases.sealing(recipient))

    def check(data: bytes) -> bool:
        head, _, body = data.partition(b"\n")

        def decode(_: bytes) -> bytes:
            offer = schema.decode(Offer, canonical.decode(head, most=1 << 20))
            return release.open_release(
                offer, from_text(body.decode("ascii", "replace")), shares, cases.sealing(recipient)
            )

        held, opened = taken(decode, data)
        assert not held or opened == text, "a release opened that was never sealed"
        return held

    return check


def _share(offer: Offer, name: str) -> bytes:
    return release.open_share(offer, name, cases.sealing(name))


def _shares() -> Check:
    """Input: an offer's JSON; the bank opens its share of it."""
    real = _share(seeds.offer(), "bank")

    def decode(data: bytes) -> bytes:
        return _share(schema.decode(Offer, canonical.decode(data, most=1 << 20)), "bank")

    def check(data: bytes) -> bool:
        held, share = taken(decode, data)
        assert not held or share == real, "a share opened that was never sealed"
        return held

    return check


def _key_text() -> Check:
    def check(data: bytes) -> bool:
        text = data.decode("latin-1")
        held, raw = taken(lambda _: keys.from_text(text), data)
        assert not held or keys.to_text(raw) == text, "a second spelling was taken"
        if held and len(raw) == keys.SEALING_PUBLIC_BYTES:
            taken(lambda _: keys.SealingPublicKey.parse(text).seal(b"x", info=b""), data)
        if held and len(raw) == 32:
            good, _ = taken(lambda _: keys.VerifyingKey.parse(text).verify(bytes(64), b"x"), data)
            # A key of small order takes this signature, as RFC 8032 says; members check each other's fingerprints.
            assert not good or raw in _SMALL_ORDER, "a signature that nobody made"
        return held

    return check


_SMALL_ORDER = {
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
}


def _decoded(data: bytes) -> Any:
    return canonical.decode(data, most=1 << 20)


def _object_seed() -> bytes:
    _, manifest, ciphertext, _ = _object()
    return canonical.encode(schema.encode(manifest)) + b"\n" + ciphertext


def _bundle_seeds() -> list[bytes]:
    query = {"format": "sealroom/bundle/v1", "lane": "query", "entry": "query.json"}
    made = bundle.build({"bundle.json": json.dumps(query).encode(), "query.json": b"{}"})
    return [made, *seeds.vectors("bundle")]


TARGETS = (
    Target(
        name="canonical-json", decoder="protocol/canonical.py decode", law="encodes to the same bytes",
        prepare=round_trip(_decoded, canonical.encode), shape="json", seeds=lambda: seeds.vectors("canonical-json"),
    ),
    Target(
        name="envelope", decoder="protocol/envelope.py parse", law="encodes to the same bytes", shape="json",
        prepare=round_trip(envelope.parse, Envelope.to_bytes),
        seeds=lambda: [*seeds.vectors("envelope"), *(seeds.signed(s).to_bytes() for s in seeds.statements()[:4])],
    ),
    Target(
        name="signed-payload", decoder="protocol/envelope.py verify", law="says exactly what was signed",
        prepare=_verified, shape="json", most=8192,
        seeds=lambda: [canonical.encode(schema.encode(document)) for document in seeds.statements()],
    ),
    *(_statement(document) for document in seeds.statements()),
    canonical_document("evidence", Evidence, lambda: [seeds.evidence()]),
    canonical_document("platform-policy", PlatformPolicy, lambda: [seeds.policy()]),
    canonical_document("ledger-entry", entries.Draft, lambda: [seeds.ledger_draft()]),
    Target(
        name="launch-spec", decoder="attestation/measurement/launch.py parse", law="encodes to the same bytes",
        prepare=round_trip(launch.parse, lambda spec: canonical.encode(schema.encode(spec))), shape="json",
        seeds=lambda: [canonical.encode(value) for value in _launches()],
    ),
    Target(
        name="receipt-bundle", decoder="client/bundle.py parse", law="encodes to the same bytes", shape="json",
        prepare=round_trip(receipt_bundles.parse, receipt_bundles.Bundle.to_bytes), most=1 << 16,
        seeds=lambda: [canonical.encode(seeds.receipt_bundle())],
    ),
    Target(
        name="bundle-archive", decoder="protocol/bundle.py read", law="builds to the same bytes", prepare=_archive,
        seeds=_bundle_seeds,
    ),
    Target(
        name="sealed-object", decoder="protocol/sealed.py Opener", law="opens to what was sealed, or not at all",
        prepare=_sealed, seeds=lambda: [_object_seed()],
    ),
    Target(
        name="release", decoder="protocol/release.py open_release", law="opens to what was sealed, or not at all",
        prepare=_release, most=1 << 15,
        seeds=lambda: [canonical.encode(cases.shared("offer")) + b"\n" + cases.shared("ciphertext").encode()],
    ),
    Target(
        name="share", decoder="protocol/release.py open_share", law="opens to what was sealed, or not at all",
        prepare=_shares, shape="json", most=8192, seeds=lambda: [canonical.encode(cases.shared("offer"))],
    ),
    Target(
        name="key-text", decoder="protocol/keys.py from_text and keys", law="one spelling; no signature by nobody",
        prepare=_key_text,
        seeds=lambda: [cases.signing("bank").public.text.encode(), cases.sealing("bank").public.text.encode()],
    ),
)  # fmt: skip


def _launches() -> list[Any]:
    process = {
        "format": "sealroom/launch/v1", "kind": "process", "argv": ["{image}/python/bin/python3", "-I", "gate"],
        "env": {"LC_ALL": "C.UTF-8", "SEALROOM_TSM": "tsm/report"}, "layers": ["jail:seccomp"], "user": None,
        "working_dir": None,
    }  # fmt: skip
    container = {"kind": "container", "argv": ["/usr/bin/python3", "{image}/app/boot.py"], "user": "65532:65532"}
    return [process, process | container | {"working_dir": "/run/sealroom"}]
