"""Vectors of encodings: canonical JSON, envelopes, sealed objects."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from typing import Any

from sealroom.protocol import canonical, envelope, schema, sealed
from sealroom.protocol.statements import Revocation, Stop
from tests.vectors import cases
from tests.vectors.cases import Produced, vector

STOP = Stop(format="sealroom/stop/v1", party="bank", agreement="ab" * 32, created=7, remark="Schluß für heute ☂")


def produce() -> Produced:
    yield from canonical_json()
    yield from envelopes()
    yield from sealed_objects()


def canonical_json() -> Produced:
    table: list[tuple[str, str, str, bytes]] = [
        ("valid", "ok", "every kind of value", '{"":null,"a":[true,-1,9007199254740991],"ä":"\\n\\u0001é😀"}'.encode()),
        ("valid-utf16-order", "ok", "keys in the order of UTF-16 units", '{"\U00010000":1,"\uffff":2}'.encode()),
        ("codepoint-order", "E1.not-canonical", "in order of code points", '{"\uffff":2,"\U00010000":1}'.encode()),
        ("empty", "E1.not-json", "nothing", b""),
        ("duplicate-key", "E1.duplicate-key", "a key twice", b'{"a":1,"a":1}'),
        ("duplicate-key-deep", "E1.duplicate-key", "a key twice, further in", b'[{"a":{"b":1,"b":2}}]'),
        ("fraction", "E1.float", "a fraction", b'{"a":1.0}'),
        ("exponent", "E1.float", "an exponent", b'{"a":1e2}'),
        ("nan", "E1.float", "no number", b"NaN"),
        ("infinity", "E1.float", "no number", b"-Infinity"),
        ("large-integer", "E1.not-canonical", "an integer beyond 2^53-1", b"9007199254740992"),
        ("minus-zero", "E1.not-canonical", "zero has no sign", b"-0"),
        ("white-space", "E1.not-canonical", "a space", b'{"a": 1}'),
        ("trailing-newline", "E1.not-canonical", "a newline behind it", b"{}\n"),
        ("trailing-value", "E1.not-json", "a second value behind it", b"{}{}"),
        ("byte-order-mark", "E1.not-json", "a byte-order mark before it", b"\xef\xbb\xbf{}"),
        ("key-order", "E1.not-canonical", "keys out of order", b'{"b":1,"a":2}'),
        ("needless-escape", "E1.not-canonical", "an escape that is not needed", b'"\\u0061"'),
        ("escaped-slash", "E1.not-canonical", "an escape that is not needed", b'"\\/"'),
        ("upper-case-escape", "E1.not-canonical", "an escape in upper case", b'"\\u001F"'),
        ("lone-surrogate", "E1.not-canonical", "half a character", b'"\\ud800"'),
        ("lone-surrogate-key", "E1.not-canonical", "half a character in a key", b'{"\\ud800":1}'),
        ("not-utf-8", "E1.not-json", "a byte that is not UTF-8", b'"\xff"'),
        ("encoded-surrogate", "E1.not-json", "half a character in UTF-8", b'"\xed\xa0\x80"'),
        ("nested-64", "ok", "64 lists inside one another, and one value", b"[" * 64 + b"0" + b"]" * 64),
        ("nested-65", "E1.too-deep", "65 lists inside one another, and one value", b"[" * 65 + b"0" + b"]" * 65),
    ]  # fmt: skip
    for name, expect, comment, body in table:
        yield f"canonical-json/{name}", vector(expect, "decode", comment, body, form="hex")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def envelopes() -> Produced:
    def signed(*names: str) -> dict[str, Any]:
        value: dict[str, Any] = schema.encode(envelope.sign(STOP, [cases.signing(name) for name in names]))
        return value

    def forged(payload: bytes, media: str = envelope.media_type(Stop)) -> dict[str, Any]:
        """Any payload under a genuine signature of the bank's."""
        signature = cases.signing("bank").sign(envelope.pre_authentication_encoding(media, payload))
        keyid = cases.signing("bank").public.text
        return {
            "payload": _text(payload),
            "payloadType": media,
            "signatures": [{"keyid": keyid, "sig": _text(signature)}],
        }

    one, two = signed("bank"), signed("bank", "partner")
    payload = schema.encode(STOP)
    first = one["signatures"][0]
    zero = {**one, "signatures": [{**first, "sig": _text(bytes(64))}]}
    as_partner = {**one, "signatures": [{**first, "keyid": cases.signing("partner").public.text}]}
    other = {**one, "payload": _text(canonical.encode({**payload, "created": 8}))}
    revocation = {**one, "payloadType": envelope.media_type(Revocation)}
    retyped = forged(canonical.encode(payload), envelope.media_type(Revocation))
    table: list[tuple[str, str, str, str, Any, str, str]] = [
        ("valid", "ok", "payload", "signed by the one that must", one, "bank", "all"),
        ("valid-two", "ok", "payload", "signed by both that must", two, "bank partner", "all"),
        ("valid-one-of-two", "ok", "payload", "one of two is enough here", one, "bank partner", "1"),
        ("too-few", "E2.too-few-signatures", "threshold", "one of two that must", one, "bank partner", "all"),
        ("stranger", "E2.stranger", "signatures", "a genuine signature too many", two, "bank", "all"),
        ("stranger-over-threshold", "E2.stranger", "signatures", "enough, and a stranger", two, "bank", "1"),
        ("wrong-signature", "E2.signature", "signatures", "a signature of zeros", zero, "bank", "all"),
        ("another-payload", "E2.signature", "signatures", "signature of another payload", other, "bank", "all"),
        ("another-key", "E2.signature", "signatures", "under another key's name", as_partner, "partner", "all"),
        ("another-type", "E2.wrong-type", "type", "presented as a revocation", revocation, "bank", "all"),
        ("signed-as-another-type", "E2.wrong-type", "type", "signed as a revocation", retyped, "bank", "all"),
        ("duplicate-signature", "E1.duplicate-signature", "parse", "one key twice",
         {**one, "signatures": [first, first]}, "bank", "all"),
        ("no-signature", "E1.bad-length", "parse", "nobody signed", {**one, "signatures": []}, "bank", "all"),
        ("unknown-field", "E1.unknown-field", "parse", "a field more", {**one, "more": 1}, "bank", "all"),
        ("unknown-field-of-signature", "E1.unknown-field", "parse", "a certificate beside the signature",
         {**one, "signatures": [{**first, "cert": "x"}]}, "bank", "all"),
        ("padding-missing", "E1.not-base64", "parse", "signature without its padding",
         {**one, "signatures": [{**first, "sig": first["sig"].rstrip("=")}]}, "bank", "all"),
        ("payload-unknown-field", "E1.unknown-field", "payload", "genuine signature over a field more",
         forged(canonical.encode({**payload, "more": 1})), "bank", "all"),
        ("payload-missing-field", "E1.missing-field", "payload", "genuine signature over a field less",
         forged(canonical.encode({k: v for k, v in payload.items() if k != "remark"})), "bank", "all"),
        ("payload-bool-as-integer", "E1.wrong-type", "payload", "true where an integer is due",
         forged(canonical.encode({**payload, "created": True})), "bank", "all"),
        ("payload-not-canonical", "E1.not-canonical", "payload", "genuine signature over another spelling",
         forged(json.dumps(payload).encode()), "bank", "all"),
        ("payload-direction-override", "E1.bad-text", "payload", "a remark that reads the other way round",
         forged(canonical.encode({**payload, "remark": "pay \u202eeno"})), "bank", "all"),
    ]  # fmt: skip
    for name, expect, stage, comment, value, signers, threshold in table:
        body = canonical.encode(value)
        yield f"envelope/{name}", vector(expect, stage, comment, body, signers=signers, threshold=threshold)
    spaced = json.dumps(one, indent=1).encode()
    yield (
        "envelope/spaced",
        vector("E1.not-canonical", "parse", "another spelling", spaced, signers="bank", threshold="all"),
    )


def _seal(plain: bytes, **changes: Any) -> tuple[bytes, sealed.Manifest, bytes]:
    given = {"agreement": "ab" * 32, "kind": "dataset", "name": "customers", "owner": "bank", "media": "csv", **changes}
    out = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(plain), out, sealed.Context(size=len(plain), **given))
    return key, manifest, out.getvalue()


def _committed(key: bytes, manifest: sealed.Manifest, **changes: Any) -> sealed.Manifest:
    """The manifest with other fields and the commitment that goes with them: all that a hostile owner could sign."""
    altered = dataclasses.replace(manifest, **changes)
    fields = {name: getattr(altered, name) for name in ("agreement", "kind", "name", "owner", "media")}
    context = sealed.Context(size=altered.plaintext_size, **fields)
    _, commitment = sealed._derive(key, bytes.fromhex(altered.salt), context)
    return dataclasses.replace(altered, commitment=commitment.hex())


def sealed_objects() -> Produced:
    key, manifest, data = _seal(b"name,age\nAda,36\n")
    other_key, _, _ = _seal(b"name,age\nAda,36\n")
    flipped = bytes([data[0] ^ 1]) + data[1:]

    def one(
        name: str, expect: str, stage: str, comment: str, said: Any, *, use: bytes = key, text: bytes = data
    ) -> Any:
        said = schema.encode(said) if dataclasses.is_dataclass(said) else said
        body = canonical.encode({"key": use.hex(), "manifest": said, "ciphertext": text.hex()})
        return f"sealed-object/{name}", vector(expect, stage, comment, body)

    cannot = "E4.cannot-open"
    yield one("valid", "ok", "chunk", "one short chunk", manifest)
    yield one("trailing-bytes", "ok", "chunk", "bytes behind the last chunk are not read", manifest, text=data + b"x")
    yield one("wrong-key", cannot, "commitment", "the key of another object", manifest, use=other_key)
    yield one("short-key", cannot, "commitment", "a key of 31 bytes", manifest, use=key[:31])
    yield one("flipped-bit", cannot, "chunk", "one bit of the first byte", manifest, text=flipped)
    yield one("cut", cannot, "chunk", "the last byte is missing", manifest, text=data[:-1])
    yield one("empty", cannot, "chunk", "nothing is there", manifest, text=b"")
    for field, value in {
        "agreement": "cd" * 32, "kind": "bundle", "name": "prospects", "owner": "partner", "media": "arrow",
        "salt": "00" * 32, "plaintext_size": 17, "commitment": "00" * 32,
    }.items():  # fmt: skip
        changed = dataclasses.replace(manifest, **{field: value})
        yield one(f"other-{field}", cannot, "commitment", f"the manifest says another {field}", changed)
        if field not in ("commitment", "salt"):
            said = _committed(key, manifest, **{field: value})
            yield one(f"recommitted-{field}", cannot, "chunk", f"another {field}, with its own commitment", said)
    yield one(
        "chunks-disagree", "E1.bad-sizes", "sizes", "two chunks for 16 bytes", dataclasses.replace(manifest, chunks=2)
    )
    value = schema.encode(manifest)
    yield one("unknown-field", "E1.unknown-field", "manifest", "a field more", {**value, "more": 1})
    yield one("chunk-size", "E1.not-allowed", "manifest", "chunks of another size", {**value, "chunk_size": 65536})
    yield one("no-chunk", "E1.out-of-range", "manifest", "no chunk at all", {**value, "chunks": 0})
    yield from _long_objects()


def _long_objects() -> Produced:
    size = 2 * sealed.CHUNK + 5
    key, manifest, _ = _seal(b"a" * size)
    table = [
        ("long-valid", "ok", "three chunks in order", [0, 1, 2]),
        ("long-swapped", "E4.cannot-open", "the first two chunks change places", [1, 0, 2]),
        ("long-repeated", "E4.cannot-open", "the first chunk twice", [0, 0, 2]),
        ("long-first-gone", "E4.cannot-open", "the first chunk is missing", [1, 2]),
        ("long-last-gone", "E4.cannot-open", "the last chunk is missing", [0, 1]),
        ("long-last-first", "E4.cannot-open", "the last chunk comes first", [2, 0, 1]),
    ]
    for name, expect, comment, order in table:
        recipe = {"byte": ord("a"), "size": size, "order": order}
        body = canonical.encode({"key": key.hex(), "manifest": schema.encode(manifest), "recipe": recipe})
        yield f"sealed-object/{name}", vector(expect, "chunk", comment, body)
