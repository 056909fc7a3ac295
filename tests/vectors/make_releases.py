"""Vectors of one release: its shares, and how it opens."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealroom.protocol import canonical, release, schema, terms
from sealroom.protocol.agreement import affected_owners
from sealroom.protocol.keys import to_text
from sealroom.protocol.statements import Offer
from tests.vectors import cases
from tests.vectors.cases import Produced, vector
from tests.vectors.make_run import Setting, make_setting


@dataclasses.dataclass(frozen=True)
class Made:
    """An offer with its ciphertext and its owners' shares."""

    offer: Offer
    ciphertext: bytes
    shares: dict[str, bytes]


def made_release(setting: Setting, text: bytes, recipient: str = "operator", padded: bytes | None = None) -> Made:
    """A release to a party that owns nothing, so that two owners are affected; `padded` bypasses the padding."""
    rule = setting.agreement.rule("overlap")
    version = setting.signed.digest
    context = release.Context(
        agreement=version, version=version, request=setting.request.digest, rule=rule.name, recipient=recipient
    )
    owners = affected_owners(setting.agreement, rule, recipient)
    size = terms.padded_size(setting.agreement, rule)
    key = cases.sealing(recipient).public
    if padded is None:
        locked = release.seal_release(text, size, recipient=key, context=context)
    else:
        inner = key.seal(padded, info=context.encoded())
        release_key = os.urandom(release.SHARE)
        locked = release.SealedRelease(AESGCM(release_key).encrypt(bytes(12), inner, context.encoded()), release_key)
    shares = release.split(locked.release_key, owners)
    with_shares = {name: release.commitment(context, name, share) for name, share in shares.items()}
    info = {name: release.share_info(context, locked.ciphertext_sha256, name) for name in owners}
    offer = Offer(
        format="sealroom/offer/v1",
        agreement=version,
        version=version,
        request=setting.request.digest,
        evidence=cases.EVIDENCE,
        platform_class="simulated",
        rule=rule.name,
        rule_type=rule.type,
        guarantee=rule.guarantee,
        cost=terms.cost_of(setting.agreement, rule),
        recipient=recipient,
        affected=owners,
        ciphertext_sha256=locked.ciphertext_sha256,
        size=len(locked.ciphertext),
        share_commitments=with_shares,
        sealed_shares={n: to_text(cases.sealing(n).public.seal(shares[n], info=info[n])) for n in owners},
    )
    return Made(offer, locked.ciphertext, shares)


def produce() -> Produced:
    setting = make_setting()
    text = '{"count":7000,"epsilon_millionths":500000,"interval_95":[6988,7012]}'
    made, other = made_release(setting, text.encode()), made_release(setting, b"{}")
    yield "shared/offer.json", schema.encode(made.offer)
    yield "shared/ciphertext.json", to_text(made.ciphertext)
    yield from _shares(made.offer, other.offer)

    def one(name: str, expect: str, stage: str, comment: str, item: Made = made, **changes: Any) -> Any:
        value = {
            "offer": "@offer" if item.offer == made.offer else schema.encode(item.offer),
            "ciphertext": "@ciphertext" if item.ciphertext == made.ciphertext else to_text(item.ciphertext),
            "shares": {n: to_text(share) for n, share in item.shares.items()},
            "recipient": "operator",
            "text": text,
            **changes,
        }
        return f"release/{name}", vector(expect, stage, comment, canonical.encode(value))

    cannot = "E4.cannot-open"
    bank, partner = (to_text(made.shares[name]) for name in ("bank", "partner"))
    yield one("valid", "ok", "padding", "both owners consented")
    altered = bytes([made.ciphertext[0] ^ 1]) + made.ciphertext[1:]
    yield one("altered-ciphertext", cannot, "ciphertext", "one bit", ciphertext=to_text(altered))
    yield one(
        "cut-ciphertext", cannot, "ciphertext", "the last byte is missing", ciphertext=to_text(made.ciphertext[:-1])
    )
    yield one("share-missing", cannot, "shares", "the partner did not consent", shares={"bank": bank})
    yield one(
        "share-of-another",
        cannot,
        "shares",
        "shares under each other's names",
        shares={"bank": partner, "partner": bank},
    )
    more = {"bank": bank, "partner": partner, "operator": bank}
    yield one("share-too-many", cannot, "shares", "a share by one who is not affected", shares=more)
    elsewhere = {"bank": to_text(other.shares["bank"]), "partner": partner}
    yield one("share-of-another-offer", cannot, "shares", "the bank's share of another offer", shares=elsewhere)
    nobody = dataclasses.replace(
        made, offer=dataclasses.replace(made.offer, affected=(), share_commitments={}), shares={}
    )
    yield one("nobody-affected", cannot, "shares", "an offer that needs no consent", nobody)
    yield one("another-context", cannot, "outer", "an offer that says another rule", _relabelled(made, rule="quality"))
    yield one("another-recipient", cannot, "inner", "an owner tries to read it", recipient="bank")
    size = terms.padded_size(setting.agreement, setting.agreement.rule("overlap"))
    dirty = made_release(setting, b"", padded=bytes(size - 1) + b"x")
    yield one("dirty-padding", cannot, "padding", "something behind the text", dirty)
    long = made_release(setting, b"", padded=size.to_bytes(8, "big") + bytes(size - 8))
    yield one("impossible-length", cannot, "padding", "a length beyond the padded text", long)


def _relabelled(made: Made, **changes: str) -> Made:
    """The offer with other words and the commitments that go with them: what a broken gate could sign."""
    offer = dataclasses.replace(made.offer, **changes)
    context = release.context_of(offer)
    said = {name: release.commitment(context, name, share) for name, share in made.shares.items()}
    return dataclasses.replace(made, offer=dataclasses.replace(offer, share_commitments=said))


def _shares(offer: Offer, other: Offer) -> Produced:
    moved = {**offer.sealed_shares, "bank": other.sealed_shares["bank"]}
    said = {**offer.share_commitments, "bank": offer.share_commitments["partner"]}
    table: list[tuple[str, str, str, Offer, str]] = [
        ("valid", "ok", "the bank opens its share", offer, "bank"),
        ("valid-partner", "ok", "the partner opens its share", offer, "partner"),
        ("not-affected", "E4.cannot-open", "a party that has no share", offer, "operator"),
        ("of-another-offer", "E4.cannot-open", "a share moved from another offer",
         dataclasses.replace(offer, sealed_shares=moved), "bank"),
        ("of-another-party", "E4.cannot-open", "the partner's share in the bank's place",
         dataclasses.replace(offer, sealed_shares={**moved, "bank": offer.sealed_shares["partner"]}), "bank"),
        ("another-commitment", "E4.cannot-open", "the offer commits to another share",
         dataclasses.replace(offer, share_commitments=said), "bank"),
        ("another-rule", "E4.cannot-open", "the offer says another rule",
         dataclasses.replace(offer, rule="quality"), "bank"),
        ("another-ciphertext", "E4.cannot-open", "the offer says another ciphertext",
         dataclasses.replace(offer, ciphertext_sha256="00" * 32), "bank"),
    ]  # fmt: skip
    for name, expect, comment, given, party in table:
        body = {"offer": "@offer" if given == offer else schema.encode(given), "party": party}
        yield f"share/{name}", vector(expect, "share", comment, canonical.encode(body))
