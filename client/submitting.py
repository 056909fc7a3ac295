"""Sends what a party has ready: agreement versions, statements, manifests, ciphertext; nothing is sent twice.

Runs in: a party.   Believes: nothing that the gateway answers.   Spec: §8.2.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sealroom.client import logbook, outbox
from sealroom.client.errors import NotAuthorized, Unreachable, Waiting
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.objects import KeptObject
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.errors import NotGenuine, UsageError
from sealroom.protocol.logged import Log
from sealroom.protocol.sealed import CHUNK, TAG, Manifest

Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Submitted:
    """What was sent: versions and statements by digest, objects by name."""

    versions: tuple[str, ...]
    statements: tuple[str, ...]
    objects: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What would be sent: versions and statements by digest, and by object name the bytes that the gateway lacks."""

    versions: tuple[str, ...]
    statements: tuple[str, ...]
    objects: dict[str, int]

    def lines(self) -> list[str]:
        """In words."""
        lines = [f"would register version {digest[:12]}" for digest in self.versions]
        lines += [f"would send the statement {digest[:12]}" for digest in self.statements]
        lines += [f"would send {name}: {size:,} bytes of ciphertext" for name, size in self.objects.items()]
        return [*(lines or ["there is nothing to send"]), "nothing was sent"]


def plan(home: Home, gateway: Gateway, pinned: PinnedAgreement, names: Sequence[str] = ()) -> Plan:
    """What `everything` would send now, having sent nothing.

    Raises:
        Waiting, UsageError: as `everything`.
    """
    there = _registered(home, gateway, pinned)
    versions = tuple(e.digest for e in home.versions(pinned.id) if e.digest not in there)
    if pinned.id in versions and home.config.party != pinned.agreement.operator:
        raise _not_registered(pinned)
    said = tuple(statement.digest for statement in outbox.waiting(home, pinned.id))
    lacking: dict[str, int] = {}
    for kept in ready(home, pinned.id, names):
        manifest = kept.verify(home.public_keys().signing)
        state = None if versions else gateway.object_state(kept.digest)
        missing = range(manifest.chunks) if state is None else state.missing
        if size := sum(_chunk_size(manifest, index) for index in missing if 0 <= index < manifest.chunks):
            lacking[manifest.name] = size
    return Plan(versions, said, lacking)


def agreement(home: Home, gateway: Gateway, pinned: PinnedAgreement) -> tuple[str, ...]:
    """Register every version that the gateway lacks; returns their digests.

    Raises:
        Waiting: the first version is missing there, and only the operator may register it.
    """
    there = _registered(home, gateway, pinned)
    lacking = [envelope for envelope in home.versions(pinned.id) if envelope.digest not in there]
    for envelope in lacking:
        if envelope.digest == pinned.id and home.config.party != pinned.agreement.operator:
            raise _not_registered(pinned)
        gateway.put_agreement(envelope)
    if home.config.party == pinned.agreement.operator:
        name_log_key(home, gateway, pinned)
    return tuple(envelope.digest for envelope in lacking)


def name_log_key(home: Home, gateway: Gateway, pinned: PinnedAgreement) -> None:
    """As the operator, vouch for the key of the log that its gateway keeps; once, since a log has one key.

    Raises:
        NotGenuine: the gateway has another key now than the one that was named: it lost its log.
    """
    own, key = home.public_keys().signing, gateway.log_key(pinned.id)
    stated = [logbook.key_of(s, pinned.agreement, pinned.id).text for s in gateway.statements(pinned.id, "log")
              if s.signatures[0].keyid == own.text]  # fmt: skip
    if stated and stated != [key]:
        raise NotGenuine("log-key", "the gateway signs with another key than the one that was named for this agreement",
                         hint="restore its newest backup, or agree anew: a log cannot be begun twice")  # fmt: skip
    if not stated:
        said = Log(format="sealroom/log/v1", party=home.config.party, agreement=pinned.id, key=key,
                   created=int(time.time()))  # fmt: skip
        gateway.post_statement(pinned.id, envelopes.sign(said, [home.signing_key()]))


def _registered(home: Home, gateway: Gateway, pinned: PinnedAgreement) -> set[str]:
    """Versions that the gateway holds; a gateway that knows no agreement of this party's key does not let it in."""
    try:
        return {entry.version for entry in gateway.agreements()}
    except NotAuthorized as error:
        if home.config.party == pinned.agreement.operator:
            raise
        raise _not_registered(pinned) from error


def _not_registered(pinned: PinnedAgreement) -> Waiting:
    operator = pinned.agreement.operator
    hint = f"send {operator} the file that all have signed; its command is `sealroom submit --agreement FILE`"
    return Waiting(f"{operator} has not registered the agreement at its gateway yet", hint=hint)


def statements(home: Home, gateway: Gateway, agreement_id: str) -> tuple[str, ...]:
    """Send every statement of the outbox; returns their digests."""
    done = []
    for statement in outbox.waiting(home, agreement_id):
        gateway.post_statement(agreement_id, statement)
        outbox.mark_sent(home, agreement_id, statement)
        done.append(statement.digest)
    return tuple(done)


def ready(home: Home, agreement_id: str, names: Sequence[str] = ()) -> list[KeptObject]:
    """The newest sealed object of each name under an agreement; all names if none is given.

    Raises:
        UsageError: nothing was sealed under one of the names.
    """
    key, newest = home.public_keys().signing, dict[str, KeptObject]()
    for kept in home.objects():
        manifest = kept.verify(key)
        if manifest.agreement == agreement_id:
            newest[manifest.name] = kept
    for name in names:
        if name not in newest:
            raise UsageError(
                f"nothing was sealed as {name!r} under this agreement", hint=f"`sealroom seal {name}=FILE`"
            )
    return [newest[name] for name in (names or newest)]


def chunks_to_send(home: Home, gateway: Gateway, kept: KeptObject) -> tuple[Manifest, list[int]]:
    """Announce the object if the gateway does not know it; returns its manifest and the chunks missing there."""
    manifest = kept.verify(home.public_keys().signing)
    state = gateway.object_state(kept.digest)
    if state is None:
        gateway.put_object(kept.manifest)
        return manifest, list(range(manifest.chunks))
    return manifest, [index for index in state.missing if 0 <= index < manifest.chunks]


def upload(home: Home, gateway: Gateway, kept: KeptObject, progress: Progress = lambda _: None) -> bool:
    """Send what is missing of one object, then ask whether it is complete; returns whether anything was sent.

    Raises:
        UsageError: the sealed file is not where it was written.
        NotGenuine: it is not the file that was sealed.
        Unreachable: the gateway does not hold it complete after all.
    """
    manifest, missing = chunks_to_send(home, gateway, kept)
    path = _ciphertext(kept, manifest)
    with path.open("rb") as source:
        for index in missing:
            source.seek(index * (CHUNK + TAG))
            data = source.read(_chunk_size(manifest, index))
            gateway.put_chunk(kept.digest, index, data)
            progress(len(data))
    state = gateway.object_state(kept.digest)
    if state is None or not state.complete:
        raise Unreachable(f"the gateway does not hold {manifest.name} complete", hint="run `sealroom submit` again")
    return bool(missing)


def everything(
    home: Home,
    gateway: Gateway,
    pinned: PinnedAgreement,
    names: Sequence[str] = (),
    progress: Progress = lambda _: None,
) -> Submitted:
    """Versions, statements, then objects.

    Raises:
        Waiting, UsageError, NotGenuine, Unreachable: as the steps do.
    """
    objects = ready(home, pinned.id, names)
    versions = agreement(home, gateway, pinned)
    said = statements(home, gateway, pinned.id)
    key = home.public_keys().signing
    sent = [kept.verify(key).name for kept in objects if upload(home, gateway, kept, progress)]
    return Submitted(versions, said, tuple(sent))


def size_of(home: Home, objects: Sequence[KeptObject]) -> int:
    """Bytes of ciphertext in these objects."""
    manifests = [kept.verify(home.public_keys().signing) for kept in objects]
    return sum(manifest.plaintext_size + TAG * manifest.chunks for manifest in manifests)


def _ciphertext(kept: KeptObject, manifest: Manifest) -> Path:
    path = kept.file
    if path is None or not path.is_file():
        raise UsageError(
            f"the sealed file of {manifest.name} is gone", hint=f"seal it again: `sealroom seal {manifest.name}=FILE`"
        )
    if path.stat().st_size != manifest.plaintext_size + TAG * manifest.chunks:
        raise NotGenuine("wrong-file", f"{path} is not the file that was sealed as {manifest.name}")
    return path


def _chunk_size(manifest: Manifest, index: int) -> int:
    last = manifest.chunks - 1
    return TAG + (CHUNK if index < last else manifest.plaintext_size - last * CHUNK)
