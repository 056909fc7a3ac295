"""Releases open for their recipient with every owner's share, and for nobody else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealroom.protocol import release
from sealroom.protocol.errors import CannotOpen, UsageError
from sealroom.protocol.keys import SealingKey, to_text
from sealroom.protocol.rules import Cost
from sealroom.protocol.statements import Offer

SIZE = 4096
TEXT = b'{"count":1230}'
KEYS = {name: SealingKey.generate() for name in ("bank", "partner", "registry")}
RECIPIENT, OTHER = SealingKey.generate(), SealingKey.generate()
CONTEXT = release.Context(
    agreement="a1" * 32, version="b2" * 32, request="c3" * 32, rule="overlap", recipient="compliance"
)


def make(context=CONTEXT):
    sealed = release.seal_release(TEXT, SIZE, recipient=RECIPIENT.public, context=context)
    commitments, shares = release.seal_shares(sealed, {n: k.public for n, k in KEYS.items()}, context)
    fields = {f.name: None for f in dataclasses.fields(Offer)} | {
        "format": "sealroom/offer/v1",
        "agreement": context.agreement,
        "version": context.version,
        "request": context.request,
        "rule": context.rule,
        "cost": Cost(epsilon=500_000, bits=0),
        "recipient": context.recipient,
        "affected": tuple(sorted(KEYS)),
        "ciphertext_sha256": sealed.ciphertext_sha256,
        "size": len(sealed.ciphertext),
        "share_commitments": commitments,
        "sealed_shares": shares,
    }
    return Offer(**fields), sealed.ciphertext


def shares_of(offer):
    return {name: release.open_share(offer, name, key) for name, key in KEYS.items()}


def test_the_recipient_reads_the_text_with_every_owners_share():
    offer, ciphertext = make()
    assert release.open_release(offer, ciphertext, shares_of(offer), RECIPIENT) == TEXT


def test_ciphertext_has_the_agreed_size_whatever_the_text():
    sizes = set()
    for text in (b"", TEXT, b"x" * (SIZE - 8)):
        sealed = release.seal_release(text, SIZE, recipient=RECIPIENT.public, context=CONTEXT)
        sizes.add(len(sealed.ciphertext))
    assert sizes == {SIZE + release.LOCK_OVERHEAD}


def swap(values, one, other):
    return {**values, one: values[other], other: values[one]}


def changed_context(field):
    return lambda o, c, s: (dataclasses.replace(o, **{field: "d4" * 32 if len(getattr(o, field)) == 64 else "x"}), c, s)


def without(name):
    return lambda o, c, s: (o, c, {n: v for n, v in s.items() if n != name})


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


MANIPULATIONS = {
    "one owner's share is missing": without("partner"),
    "all shares are missing": lambda o, c, s: (o, c, {}),
    "a share is another owner's": lambda o, c, s: (o, c, swap(s, "bank", "partner")),
    "a share is altered": lambda o, c, s: (o, c, {**s, "bank": flipped(s["bank"], 0)}),
    "a share is short": lambda o, c, s: (o, c, {**s, "bank": s["bank"][:-1]}),
    "a stranger brings a share": lambda o, c, s: (o, c, {**s, "mallory": bytes(32)}),
    "the first byte is altered": lambda o, c, s: (o, flipped(c, 0), s),
    "the last byte is altered": lambda o, c, s: (o, flipped(c, len(c) - 1), s),
    "the ciphertext is cut": lambda o, c, s: (o, c[:-1], s),
    "the ciphertext grows": lambda o, c, s: (o, c + b"\0", s),
    "the offer names nobody affected": lambda o, c, s: (
        dataclasses.replace(o, affected=(), share_commitments={}),
        c,
        {},
    ),
    "the offer forgets an owner": lambda o, c, s: (dataclasses.replace(o, affected=("bank",)), c, {"bank": s["bank"]}),
    **{
        f"the {field} is another": changed_context(field)
        for field in ("agreement", "version", "request", "rule", "recipient")
    },
}


@pytest.mark.parametrize("trick", MANIPULATIONS.values(), ids=MANIPULATIONS)
def test_nothing_opens_when(trick):
    offer, ciphertext = make()
    with pytest.raises(CannotOpen) as caught:
        release.open_release(*trick(offer, ciphertext, shares_of(offer)), RECIPIENT)
    assert caught.value.code == "E4.cannot-open"


def test_all_owners_together_cannot_read_without_the_recipients_key():
    offer, ciphertext = make()
    for key in (*KEYS.values(), OTHER):
        with pytest.raises(CannotOpen):
            release.open_release(offer, ciphertext, shares_of(offer), key)


@pytest.mark.parametrize(
    "change",
    [
        lambda o: dataclasses.replace(o, sealed_shares={}),
        lambda o: dataclasses.replace(o, sealed_shares={**o.sealed_shares, "bank": "not/base64"}),
        lambda o: dataclasses.replace(o, sealed_shares=swap(o.sealed_shares, "bank", "partner")),
        lambda o: dataclasses.replace(o, sealed_shares={**o.sealed_shares, "bank": to_text(bytes(1200))}),
        lambda o: dataclasses.replace(o, ciphertext_sha256="00" * 32),
        lambda o: dataclasses.replace(o, rule="other"),
        lambda o: dataclasses.replace(o, share_commitments={**o.share_commitments, "bank": "00" * 32}),
        lambda o: dataclasses.replace(o, share_commitments={}),
    ],
)
def test_an_owner_gets_no_share_from_an_altered_offer(change):
    offer, _ = make()
    with pytest.raises(CannotOpen):
        release.open_share(change(offer), "bank", KEYS["bank"])


def test_an_owner_cannot_open_another_owners_share():
    offer, _ = make()
    with pytest.raises(CannotOpen):
        release.open_share(offer, "partner", KEYS["bank"])


def test_a_release_that_affects_nobody_is_refused():
    with pytest.raises(UsageError):
        release.split(bytes(32), ())


def test_an_owner_named_twice_or_a_short_key_is_refused():
    for key, owners in ((bytes(32), ("bank", "bank")), (bytes(31), ("bank",))):
        with pytest.raises(UsageError):
            release.split(key, owners)


def test_a_text_that_does_not_fit_is_refused():
    for size in (len(TEXT) + 7, release.MOST_TEXT + 1):
        with pytest.raises(UsageError):
            release.pad(TEXT, size)


@pytest.mark.parametrize(
    "padded",
    [b"", b"\0" * 7, (9).to_bytes(8, "big") + b"\0" * 8, (1).to_bytes(8, "big") + b"x\0\1", b"\xff" * 16],
)
def test_padding_of_any_other_form_is_refused(padded):
    with pytest.raises(CannotOpen):
        release.unpad(padded)


@given(data=st.binary(max_size=200), room=st.integers(0, 300))
def test_unpad_undoes_pad(data, room):
    assert release.unpad(release.pad(data, len(data) + 8 + room)) == data


@settings(max_examples=25)
@given(
    owners=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
    key=st.binary(min_size=32, max_size=32),
)
def test_all_shares_make_the_key_and_no_share_repeats(owners, key):
    shares = release.split(key, tuple(owners))
    assert release._xor(list(shares.values())) == key
    assert len(set(shares.values())) == len(owners)


def test_a_release_id_names_offer_ciphertext_commitments_and_gate():
    base = ("11" * 32, "22" * 32, {"bank": "33" * 32, "partner": "44" * 32}, b"g" * 32)
    ids = {release.release_id(*base)}
    for place, value in enumerate(("99" * 32, "99" * 32, {"bank": "44" * 32, "partner": "33" * 32}, b"h" * 32)):
        ids.add(release.release_id(*base[:place], value, *base[place + 1 :]))
    assert len(ids) == 5
