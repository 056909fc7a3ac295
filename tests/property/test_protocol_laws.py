"""Laws that hold for every input: round trips, no second spelling, no way to bend what was signed or sealed."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sealroom.protocol import bundle, canonical, digest, envelope, keys, release, schema, sealed, terms
from sealroom.protocol.errors import CannotOpen, Malformed, NotGenuine, Refused, UsageError
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Request, Stop

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=150)
FEW = settings(LAW, max_examples=40)

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
STOPS = st.builds(
    Stop,
    format=st.just("sealroom/stop/v1"),
    party=NAMES,
    agreement=HEX,
    created=st.integers(0, 2**40),
    remark=st.from_regex(r"[ -~ä-ü€]{1,40}", fullmatch=True),
)
REQUESTS = st.builds(
    Request,
    format=st.just("sealroom/request/v1"),
    requester=NAMES,
    agreement=HEX,
    version=HEX,
    objects=st.dictionaries(NAMES, HEX, min_size=1, max_size=4),
    columns=st.dictionaries(NAMES, st.lists(NAMES, max_size=3).map(tuple), min_size=1, max_size=4),
    rules=st.lists(NAMES, min_size=1, max_size=4).map(tuple),
    created=st.integers(0, 2**40),
    deadline=st.integers(0, 2**40),
    nonce=HEX,
)
KEY = SigningKey(b"k" * 32)
SIGNED = envelope.sign(
    Stop(format="sealroom/stop/v1", party="bank", agreement="ab" * 32, created=7, remark="für heute"), [KEY]
)


@LAW
@given(VALUES)
def test_every_value_has_one_canonical_spelling(value: Any):
    data = canonical.encode(value)
    assert canonical.decode(data, most=1 << 20) == value
    for other in (
        json.dumps(value, ensure_ascii=False, indent=1).encode(),
        json.dumps(value, separators=(",", ":")).encode(),
        data + b" ",
        b" " + data,
    ):
        if other != data:
            with pytest.raises(Malformed):
                canonical.decode(other, most=1 << 20)


@LAW
@given(st.binary(max_size=60))
def test_reading_any_bytes_gives_a_value_of_these_bytes_or_malformed(data: bytes):
    try:
        value = canonical.decode(data, most=1 << 10)
    except Malformed:
        return
    assert canonical.encode(value) == data


@LAW
@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_two_lists_of_parts_never_share_a_preimage(one: list[bytes], other: list[bytes]):
    assert (digest.preimage("x/v1", *one) == digest.preimage("x/v1", *other)) == (one == other)


@LAW
@given(st.one_of(STOPS, REQUESTS))
def test_documents_come_back_from_their_bytes(document: Any):
    data = canonical.encode(schema.encode(document))
    assert schema.decode(type(document), canonical.decode(data, most=1 << 20)) == document


@LAW
@given(REQUESTS, st.data())
def test_a_document_with_any_field_gone_added_or_of_another_type_is_refused(document: Request, data: Any):
    value = schema.encode(document)
    name = data.draw(st.sampled_from(sorted(value)))
    wrong = data.draw(st.sampled_from([None, True, False, 1.5, float("nan"), "", [], {}, [[]], -1, 2**60, "\n"]))
    assume(not (wrong == value[name] and type(wrong) is type(value[name])))
    for broken in ({k: v for k, v in value.items() if k != name}, {**value, name + "x": 1}, {**value, name: wrong}):
        with pytest.raises(Malformed):
            schema.decode(Request, broken)


@LAW
@given(st.data())
def test_no_byte_of_an_envelope_can_be_changed(data: Any):
    raw = bytearray(SIGNED.to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Malformed, NotGenuine)):
        envelope.verify(envelope.parse(bytes(raw)), Stop, {"bank": KEY.public})


@LAW
@given(st.data())
def test_no_envelope_survives_cutting_or_growing(data: Any):
    raw = SIGNED.to_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    more = data.draw(st.binary(min_size=1, max_size=4))
    for broken in (raw[:place], raw[:place] + raw[place + 1 :], raw[:place] + more + raw[place:], raw + more):
        with pytest.raises((Malformed, NotGenuine)):
            envelope.verify(envelope.parse(broken), Stop, {"bank": KEY.public})


@LAW
@given(st.binary(max_size=200))
def test_key_texts_round_trip_and_have_one_spelling(data: bytes):
    text = keys.to_text(data)
    assert keys.from_text(text) == data
    for other in (text + "=", text + "A" * 4, text.swapcase(), text[:-1], text + "\n"):
        if other != text:
            try:
                assert keys.from_text(other) != data
            except Malformed:
                continue


@FEW
@given(st.binary(min_size=1, max_size=300), st.data())
def test_no_byte_of_a_sealed_object_or_its_manifest_can_be_changed(plain: bytes, data: Any):
    context = sealed.Context(
        agreement="ab" * 32, kind="dataset", name="customers", owner="bank", media="csv", size=len(plain)
    )
    out = io.BytesIO()
    key, manifest = sealed.seal(io.BytesIO(plain), out, context)
    raw = bytearray(out.getvalue())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotOpen):
        sealed.Opener(key, manifest).chunk(lambda offset, size: bytes(raw[offset : offset + size]), 0)
    field = data.draw(st.sampled_from(["agreement", "name", "owner", "salt", "commitment", "plaintext_size"]))
    old = getattr(manifest, field)
    new = old + 1 if isinstance(old, int) else old[:-1] + ("0" if old[-1] != "0" else "1")
    with pytest.raises(CannotOpen):
        sealed.Opener(key, dataclasses.replace(manifest, **{field: new}))


FILES = st.dictionaries(
    st.from_regex(r"[a-z0-9_]{1,8}/[a-z0-9_]{1,8}\.(py|sql|txt)", fullmatch=True), st.binary(max_size=700), max_size=4
)
MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'


@FEW
@given(FILES, st.data())
def test_an_archive_has_one_spelling(files: dict[str, bytes], data: Any):
    files = {**files, "bundle.json": MANIFEST, "job.py": b""}
    archive = bundle.build(files)
    read = bundle.read(archive)
    assert dict(read.files) == files
    assert bundle.build(read.files) == archive
    place = data.draw(st.integers(0, len(archive) - 1))
    flipped = bytearray(archive)
    flipped[place] ^= data.draw(st.integers(1, 255))
    try:
        assert dict(bundle.read(bytes(flipped)).files) != files
    except Refused:
        return
    assert bundle.build(bundle.read(bytes(flipped)).files) == bytes(flipped)


@LAW
@given(st.binary(max_size=300), st.integers(0, 400))
def test_padding_hides_the_length_and_comes_off_exactly(text: bytes, size: int):
    if len(text) + 8 > size:
        with pytest.raises(UsageError):
            release.pad(text, size)
        return
    padded = release.pad(text, size)
    assert len(padded) == size
    assert release.unpad(padded) == text


@FEW
@given(st.binary(min_size=32, max_size=32), st.integers(1, 6), st.data())
def test_all_shares_give_the_key_and_no_fewer_do(key: bytes, count: int, data: Any):
    owners = tuple(f"owner{number}" for number in range(count))
    shares = release.split(key, owners)
    assert set(shares) == set(owners)
    assert release._xor(list(shares.values())) == key
    missing = data.draw(st.sampled_from(owners))
    rest = [share for owner, share in shares.items() if owner != missing]
    if count > 1:
        assert release._xor(rest) != key
        assert key not in shares.values()


@LAW
@given(st.integers(1, 50_000_000), st.integers(1, 30))
def test_pointing_at_rows_never_costs_less_than_the_list_can_carry(rows: int, percent: int):
    longest = terms.rules.log2_choose(rows, rows * percent // 100)
    rule = dataclasses.replace(AUDIENCE, percent=percent)
    cost = terms.rules.cost(rule, rows)
    assert cost.bits % 1000 == 0
    assert longest <= cost.bits / 1000 - 1 + 1e-3 <= longest + 1.01


AUDIENCE = terms.AudienceToOwner(
    type="audience_to_owner",
    name="audience",
    link="people",
    bundle="model",
    outcome=terms.rules.Outcome(dataset="customers", column="y", positive="yes"),
    candidates="prospects",
    percent=10,
    floor=0,
    least_seed=0,
    recipients=("partner",),
)
