"""A party's home: one folder, one party, its keys, the agreements it pinned and the objects it sealed.

Runs in: a party.   Believes: its own folder and passphrase.   Spec: §10.1.

    config.json  keys/{signing,sealing}.key  agreements/<id>/<sequence>.json  objects/<digest>.json  runs/<run>/
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Final

import platformdirs

from sealroom.client import card, config, files, keyfile, objects, passphrase, pinning, seat
from sealroom.client.card import Card
from sealroom.client.config import Config
from sealroom.client.objects import KeptObject
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import UsageError
from sealroom.protocol.keys import SealingKey, SealingPublicKey, SigningKey, VerifyingKey

VARIABLE: Final = "SEALROOM_HOME"


@dataclasses.dataclass(frozen=True, slots=True)
class PublicKeys:
    """What others know this party by."""

    signing: VerifyingKey
    sealing: SealingPublicKey


class Home:
    """Everything a party keeps. Make one with `open` or `create`."""

    def __init__(self, root: Path, settings: Config) -> None:
        """Use `open` or `create`."""
        self.root = root
        self.config = settings
        self._passphrase: str | None = None
        self._signing: SigningKey | None = None
        self._sealing: SealingKey | None = None
        self._chains: dict[str, tuple[tuple[bytes, ...], PinnedAgreement]] = {}

    @classmethod
    def open(cls, root: Path | None = None) -> Home:
        """The home at `root`, at $SEALROOM_HOME, or at the user's data folder.

        Raises:
            UsageError: there is none yet, or others on this machine can enter it.
        """
        folder = default_root() if root is None else root
        if not (folder / "config.json").is_file():
            raise UsageError(f"there is no home at {folder}", hint="make one: `sealroom init --role ROLE --name NAME`")
        files.require_private(folder)
        return cls(folder, config.load(folder / "config.json"))

    @classmethod
    def create(cls, root: Path | None, settings: Config, *, phrase: str | None = None) -> Home:
        """A new home with new keys under a passphrase (asked for if it is not given).

        Raises:
            UsageError: there is a home already.
        """
        folder = default_root() if root is None else root
        if (folder / "config.json").exists():
            raise UsageError(
                f"there is a home already at {folder}",
                hint=f"keep one home per party: set {VARIABLE} to another folder",
            )
        files.private_folder(folder)
        home = cls(folder, settings)
        home._passphrase = phrase or passphrase.ask(f"the keys of {settings.party}", new=True)
        home.make_keys()
        seat.first(folder, settings.party)  # new keys have granted nothing: their ledger may begin at zero
        config.save(folder / "config.json", settings)  # last: a home without it is no home
        return home

    def make_keys(self, *, overwrite: bool = True) -> None:
        """Draw both keys anew and write them under the passphrase."""
        phrase, folder = self._phrase(), files.private_folder(self.root / "keys")
        self._signing, self._sealing = SigningKey.generate(), SealingKey.generate()
        keyfile.create(folder / "signing.key", self._signing, phrase, overwrite=overwrite)
        keyfile.create(folder / "sealing.key", self._sealing, phrase, overwrite=overwrite)
        seat.rekey(self.root)

    def signing_key(self) -> SigningKey:
        """The Ed25519 key; unlocked once per object.

        Raises:
            NotAuthorized: no passphrase, or a wrong one.
        """
        if self._signing is None:
            self._signing = keyfile.unlock_signing(self.root / "keys" / "signing.key", self._phrase())
        return self._signing

    def sealing_key(self) -> SealingKey:
        """The HPKE key; unlocked once per object.

        Raises:
            NotAuthorized: no passphrase, or a wrong one.
        """
        if self._sealing is None:
            self._sealing = keyfile.unlock_sealing(self.root / "keys" / "sealing.key", self._phrase())
        return self._sealing

    def public_keys(self) -> PublicKeys:
        """The public halves, without a passphrase."""
        keys = self.root / "keys"
        return PublicKeys(
            VerifyingKey.parse(keyfile.load(keys / "signing.key", "signing").public),
            SealingPublicKey.parse(keyfile.load(keys / "sealing.key", "sealing").public),
        )

    def card(self) -> Card:
        """This party's card, to hand to the others."""
        public = self.public_keys()
        return card.make(self.config.party, public.signing, public.sealing)

    def save_agreement(self, envelope: Envelope) -> PinnedAgreement:
        """Pin a version that everybody signed; pinning what is pinned changes nothing.

        Raises:
            NotGenuine: a signature is missing or does not hold.
            NotAcceptable: it is older than the pinned version, or does not follow it.
        """
        unverified_agreement = envelopes.unverified(envelope, Agreement)
        known = self._pinned(unverified_agreement.first or envelope.digest)
        if known is not None and known.version == envelope.digest:
            return known
        pinned = pinning.verify(envelope, own_key=self.public_keys().signing, previous=known)
        folder = files.private_folder(self.root / "agreements" / pinned.id)
        files.write(folder / f"{pinned.agreement.sequence:06}.json", envelope.to_bytes(), overwrite=False)
        return pinned

    def agreement(self, prefix: str | None = None) -> PinnedAgreement:
        """The pinned agreement whose id starts with `prefix`, or the only one there is.

        Raises:
            UsageError: there is none, or more than one.
        """
        found = [pinned for pinned in self.agreements() if pinned.id.startswith(prefix or "")]
        if len(found) == 1:
            return found[0]
        if not found:
            what = f"that starts with {prefix}" if prefix else "in this home"
            raise UsageError(
                f"there is no agreement {what}",
                hint="import one that all have signed: `sealroom agreement import FILE`",
            )
        raise UsageError(f"{len(found)} agreements match", hint="name one: `--agreement " + found[0].id[:12] + "`")

    def agreements(self) -> list[PinnedAgreement]:
        """The highest version of every agreement, sorted by id."""
        folders = sorted(p.name for p in self._folder("agreements").iterdir() if p.is_dir())
        return [pinned for name in folders if (pinned := self._pinned(name)) is not None]

    def versions(self, agreement_id: str) -> list[Envelope]:
        """Every version of one agreement, from the first on: what a gate is given to check the chain."""
        return [envelopes.parse(data) for data in self._chain(agreement_id)]

    def save_object(self, manifest: Envelope, object_key: bytes, *, ciphertext: Path | None = None) -> KeptObject:
        """Keep a sealed object's manifest and key; `ciphertext` is where the sealed file lies."""
        sealing = self.public_keys().sealing
        newest = max((kept.sealed_at for kept in self.objects()), default=0)
        at = max(int(time.time()), newest + 1)  # so that the newest of one name is known even within a second
        kept = objects.make(manifest, object_key, sealing, ciphertext=ciphertext, at=at)
        objects.save(self._folder("objects"), kept)
        return kept

    def object_key(self, manifest_digest: str) -> bytes:
        """The key of an object that this home sealed.

        Raises:
            Unreachable: this home never sealed it.
            CannotOpen: the kept key was altered.
        """
        return objects.open_key(objects.load(self._folder("objects") / f"{manifest_digest}.json"), self.sealing_key())

    def objects(self) -> list[KeptObject]:
        """Every object that this home sealed, oldest first."""
        kept = [objects.load(path) for path in self._folder("objects").glob("*.json")]
        return sorted(kept, key=lambda item: (item.sealed_at, item.digest))

    def run_folder(self, run: str) -> Path:
        """Where what belongs to one run is kept; made if it is not there."""
        return self._folder(f"runs/{run}")

    def _pinned(self, agreement_id: str) -> PinnedAgreement | None:
        """The chain as kept, verified from version 1 on: a file that was swapped is not believed.

        What was verified once in this object is not verified again while its bytes are the same.
        """
        chain = self._chain(agreement_id)
        if agreement_id in self._chains and self._chains[agreement_id][0] == chain:
            return self._chains[agreement_id][1]
        last = None
        for data in chain:
            last = pinning.verify(envelopes.parse(data), own_key=self.public_keys().signing, previous=last)
        if last is not None:
            self._chains[agreement_id] = (chain, last)
        return last

    def _chain(self, agreement_id: str) -> tuple[bytes, ...]:
        paths = sorted(self._folder(f"agreements/{agreement_id}").glob("*.json"))
        return tuple(files.read(path, most=envelopes.MOST_BYTES) for path in paths)

    def _folder(self, name: str) -> Path:
        return files.private_folder(self.root / name)

    def _phrase(self) -> str:
        if self._passphrase is None:
            self._passphrase = passphrase.ask(f"the keys of {self.config.party}")
        return self._passphrase


def default_root() -> Path:
    """$SEALROOM_HOME, or the user's data folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("sealroom", appauthor=False)
