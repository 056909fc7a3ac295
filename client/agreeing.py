"""Reading, signing and pinning agreements, as drafts (readable JSON) and as envelopes (what is signed).

Runs in: a party.   Believes: nothing but its own keys.   Spec: §4.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from sealroom.client import files, pinning
from sealroom.client.errors import Waiting
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import consistency, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import FORMAT, Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotAcceptable, Refused


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A file that holds an agreement: `envelope` is None for a draft. Signatures were not checked."""

    unverified_agreement: Agreement
    envelope: Envelope | None

    @property
    def version(self) -> str:
        """The digest that it has, or will have once it is signed."""
        return (self.envelope or envelopes.sign(self.unverified_agreement, [])).digest

    @property
    def id(self) -> str:
        """The agreement's id: for a first version, its own digest."""
        return self.unverified_agreement.first or self.version


def read(path: Path) -> Document:
    """A draft or an envelope, whose parts fit together.

    Raises:
        Malformed: it is neither, or it contradicts itself.
    """
    data = files.read(path, most=envelopes.MOST_BYTES)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{path} is not JSON") from error
    if isinstance(value, dict) and value.get("format") == FORMAT:
        return Document(consistency.check(schema.decode(Agreement, value)), None)
    envelope = envelopes.parse(data.removesuffix(b"\n"))
    return Document(consistency.check(envelopes.unverified(envelope, Agreement)), envelope)


def write_draft(path: Path, agreement: Agreement, *, overwrite: bool = False) -> None:
    """A draft as JSON that people can read and edit."""
    text = json.dumps(schema.encode(agreement), indent=2, ensure_ascii=False) + "\n"
    files.write(path, text.encode(), overwrite=overwrite, mode=0o644)


def write_envelope(path: Path, envelope: Envelope, *, overwrite: bool = False) -> None:
    """An envelope, to be sent on."""
    files.write(path, envelope.to_bytes() + b"\n", overwrite=overwrite, mode=0o644)


def require_own_place(home: Home, agreement: Agreement) -> None:
    """Return if the agreement names this home's party with this home's keys, and follows what is pinned.

    Raises:
        NotAcceptable: it names other keys, leaves the party out, or does not follow the pinned version.
    """
    public, name = home.public_keys(), home.config.party
    here = [p for p in agreement.parties if p.name == name]
    keys = (public.signing.text, public.sealing.text)
    if not here or (here[0].signing_key, here[0].sealing_key) != keys:
        hint = f"send your card again: `{name}.party.json`"
        raise NotAcceptable(
            "not-your-keys", f"the agreement does not name {name} with the keys of this home", hint=hint
        )
    if agreement.first is not None:
        pinned = [p for p in home.agreements() if p.id == agreement.first]
        pinning.require_next(agreement, pinned[0] if pinned else None)


def sign(home: Home, document: Document) -> Envelope:
    """The document with this party's signature added.

    Raises:
        NotAcceptable: as `require_own_place`.
    """
    require_own_place(home, document.unverified_agreement)
    key = home.signing_key()
    if document.envelope is None:
        return envelopes.sign(document.unverified_agreement, [key])
    return envelopes.cosign(document.envelope, [key])


def missing(home: Home, envelope: Envelope) -> tuple[str, ...]:
    """Names of those who have not signed yet, the parties of the version before included."""
    previous = _previous(home, envelope)
    return pinning.missing_signatures(envelope, previous=None if previous is None else previous.agreement)


def pin(home: Home, envelope: Envelope) -> PinnedAgreement:
    """Verify everything and pin the version.

    Raises:
        Waiting: somebody has not signed yet.
        NotGenuine: a signature does not hold.
        NotAcceptable: it is older than the pinned version, or does not follow it.
    """
    if absent := missing(home, envelope):
        hint = "send it to them, and join the copies: `sealroom agreement merge A B`"
        raise Waiting(f"not signed yet by {', '.join(absent)}", hint=hint)
    return home.save_agreement(envelope)


def pin_if_complete(home: Home, envelope: Envelope) -> PinnedAgreement | None:
    """The pinned version, or None while signatures are missing."""
    return None if missing(home, envelope) else home.save_agreement(envelope)


def amend(pinned: PinnedAgreement) -> Agreement:
    """A draft of the next version, equal to the pinned one but for its place in the chain."""
    return dataclasses.replace(
        pinned.agreement, sequence=pinned.agreement.sequence + 1, first=pinned.id, previous=pinned.version
    )


def signed_by(agreement: Agreement, envelope: Envelope) -> tuple[str, ...]:
    """Names of the parties whose signatures are there and hold.

    Raises:
        NotGenuine: a signature does not hold, or is a stranger's.
    """
    keys = pinning.keys_of(agreement)
    there = {s.keyid for s in envelope.signatures}
    if there:
        envelopes.verify(envelope, Agreement, keys, threshold=1)
    return tuple(p.name for p in agreement.parties if p.signing_key in there)


def fetch(home: Home, versions: list[Envelope]) -> list[PinnedAgreement]:
    """Pin those of `versions` that everybody signed, this party's own signature among them; leave the rest.

    Nothing new is agreed to here: only what this party signed itself is pinned.
    """
    own, pinned = home.public_keys().signing.text, []
    for envelope in versions:
        if own not in {s.keyid for s in envelope.signatures}:
            continue
        try:
            pinned.append(pin(home, envelope))
        except (Waiting, Refused):  # a gateway may hold anything; what does not verify is as if it were not there
            continue
    return pinned


def keep_signed(home: Home, envelope: Envelope) -> None:
    """Remember a version that this party signed, so that it can say later whose signatures it waits for."""
    folder = files.private_folder(home.root / "signed")
    files.write(folder / f"{envelope.digest}.json", envelope.to_bytes(), overwrite=True)


def signed_and_waiting(home: Home) -> list[Envelope]:
    """Versions that this party signed and that may still be pinned, by digest; none that another version replaced."""
    known = home.agreements()
    pinned = {envelope.digest for item in known for envelope in home.versions(item.id)}
    paths = [p for p in sorted((home.root / "signed").glob("*.json")) if p.stem not in pinned]
    waiting = [envelopes.parse(files.read(p, most=envelopes.MOST_BYTES)) for p in paths]
    reached = {item.id: item.agreement.sequence for item in known}
    return [envelope for envelope in waiting if not _replaced(envelope, reached)]


def _replaced(envelope: Envelope, reached: dict[str, int]) -> bool:
    """Whether a version of the same number or a later one is pinned."""
    signed = envelopes.unverified(envelope, Agreement)
    return signed.first is not None and signed.sequence <= reached.get(signed.first, 0)


def _previous(home: Home, envelope: Envelope) -> PinnedAgreement | None:
    first = envelopes.unverified(envelope, Agreement).first
    return next((p for p in home.agreements() if p.id == first), None)
