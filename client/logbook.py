"""A party's own view of an agreement's log: it only grows, holds what this party posted, and is everybody's.

Runs in: a party.   Believes: the key that the operator signed, its pinned head, others' cosignatures.   Spec: §13.4.

    log/<agreement>/key.json        the operator's statement of the log's key, as first seen
    log/<agreement>/head            the newest checkpoint that this party accepted; never an older one
    log/<agreement>/seen/<party>    each party's newest cosigned checkpoint that agreed with it
    log/<agreement>/history         every entry that this home has read, see `kept_log`
    log/<agreement>/lock            held during a look: a party's broker and commands look at the same files
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Final

from sealroom.client import files, following, kept_log
from sealroom.client.following import Take
from sealroom.client.gateway import Gateway
from sealroom.client.gateway_log import LoggedAt
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.read_entries import ReadEntries
from sealroom.protocol import envelope as envelopes
from sealroom.protocol import merkle, notes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine, Refused
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.logged import Log
from sealroom.protocol.notes import Checkpoint, Note

_LOCK_WAIT: Final = 60.0


def key_of(statement: Envelope, agreement: Agreement, agreement_id: str) -> VerifyingKey:
    """The log's key, if the agreement's operator signed it.

    Raises:
        NotGenuine: somebody else did.
        NotAcceptable: it is for another agreement.
    """
    operator = agreement.party(agreement.operator)
    said = envelopes.verify(statement, Log, {operator.name: VerifyingKey.parse(operator.signing_key)})
    if (said.party, said.agreement) != (operator.name, agreement_id):
        raise NotAcceptable("other-agreement", "the log's key is stated for another agreement")
    return VerifyingKey.parse(said.key)


@dataclasses.dataclass(slots=True)
class Logbook:
    """One party's look at one agreement's log. `look` comes first; it raises when the log is not what it was.

    Every look reads what is new and keeps it in the home; with `take`, it gives it that too. `read` is what the same
    program was given in looks before.
    """

    home: Home
    gateway: Gateway
    pinned: PinnedAgreement
    now: int
    take: Take | None = None
    head: Checkpoint | None = None
    note: Note | None = None
    moved: bool = False
    read: ReadEntries = dataclasses.field(default_factory=ReadEntries)
    said: Envelope | None = None

    def look(self) -> Checkpoint:
        """The newest checkpoint, after it was found to continue the pinned one and to agree with every other party's.

        Steps: (1) the operator named the log's key, the same as ever; (2) that key signed the checkpoint; (3) it
        continues the one that this party accepted last; (4) so it does for each checkpoint that another party
        cosigned; (5) it is pinned, then cosigned; (6) what is new in it is read.

        Raises:
            NotGenuine: it is another log, or a shorter or different one (`log-shrank`, `log-forked`, `log-split`), or
                its entries are not shown (`log-withheld`, `log-other-entry`).
            NotAcceptable: the operator has named no key, or two; or there is more than is read at once.
        """
        with files.locked(self._made_folder() / "lock", seconds=_LOCK_WAIT):
            return self._look()

    def _look(self) -> Checkpoint:
        others = self.gateway.log_cosignatures(self.pinned.id)  # before the checkpoint, which so cannot be older
        key = self._key()  # (1)
        note = notes.parse(self.gateway.log_checkpoint(self.pinned.id))
        found = notes.verify_log(note, name=notes.origin(self.pinned.id), key=key)  # (2)
        self._require_growth(self._pinned(key), found)  # (3)
        for party, key in self._others().items():  # (4)
            if party in others:
                self._compare(party, key, others[party], found)
        self._keep("head", note.to_bytes())  # (5)
        self.head, self.note = found, note
        self._cosign(note, others.get(self.home.config.party))
        self.moved = following.follow(self._folder(), self.gateway, self.pinned, found, self.take, self.read)  # (6)
        return found

    def require(self, kind: str, digest: str) -> None:
        """Return if the log holds this statement.

        Raises:
            NotGenuine: it does not (`log-lacks`), or the proof does not hold.
        """
        head = self._head()
        if self.read.holds(kind, digest, size=head.size):
            return
        try:
            self._included(kind, digest, head)
        except NotGenuine:
            if (newer := self._look_again()) == head:  # it may have come after the checkpoint
                raise
            self._included(kind, digest, newer)

    def place(self, kind: str, digest: str) -> LoggedAt:
        """Where the log of the newest look holds this statement, with the proof that it does.

        Raises:
            NotGenuine: it does not (`log-lacks`), or the proof does not hold.
        """
        return self._included(kind, digest, self._head())

    def statements(self, *kinds: str) -> list[Envelope]:
        """Every statement of these kinds that the log held at the newest look; nobody's signature is checked here."""
        self._head()
        return kept_log.statements(self._folder(), kept_log.end(self._folder()), *kinds)

    def require_assigned(self, run: str, checkpoint: str) -> None:
        """Return if the root (hex) in a run's evidence is one of this very log, from when it had the run's request.

        Raises:
            NotGenuine: it is not.
        """
        size, root = self.gateway.assigned_size(run), bytes.fromhex(checkpoint)
        if size > self._head().size:
            self._look_again()
        head = self._head()
        if not 0 < size <= head.size:
            raise NotGenuine("log-other-checkpoint", "the evidence names a checkpoint that the log has not reached")
        try:
            proof = self.gateway.log_consistency(self.pinned.id, size, head.size)
            merkle.verify_consistency(proof, old=(size, root), new=head.tree)
            if not self.read.holds("request", run, size=size):  # an entry of the head, so one of its beginning too
                self._included("request", run, Checkpoint(head.origin, size, root))
        except NotGenuine as error:
            raise NotGenuine(
                "log-other-checkpoint", "the evidence names a checkpoint that is none of this log with this run in it"
            ) from error

    def _head(self) -> Checkpoint:
        return self.head or self.look()

    def _look_again(self) -> Checkpoint:
        """Another look, on which nothing may be given if it brought what the first one's terms do not know."""
        found = self.look()
        if self.moved:
            raise NotAcceptable("log-moved", "statements were added to the log just now", hint="look again")
        return found

    def _included(self, kind: str, digest: str, head: Checkpoint) -> LoggedAt:
        at = self.gateway.log_inclusion(self.pinned.id, digest, head.size)
        leaf = merkle.entry_hash(at.salt, kind, digest)
        merkle.verify_inclusion(leaf, at.proof, index=at.number, size=head.size, root=head.root)
        return at

    def _require_growth(self, old: Checkpoint | None, new: Checkpoint) -> None:
        if old is None or old == new:
            return
        proof = self.gateway.log_consistency(self.pinned.id, old.size, new.size) if old.size < new.size else ()
        merkle.verify_consistency(proof, old=old.tree, new=new.tree)

    def _compare(self, party: str, key: VerifyingKey, data: bytes, found: Checkpoint) -> None:
        """A line that does not hold is as good as none: a gateway can always leave one out."""
        if data == self._kept(f"seen/{party}"):
            return
        try:
            note = notes.parse(data)
            notes.verify_cosignature(note, name=notes.cosigner(self.pinned.id, party), key=key)
        except Refused:
            return
        if note.unverified.origin != found.origin:
            return
        try:
            self._require_growth(note.unverified, found)
        except NotGenuine as error:
            self._keep(f"seen/{party}.contradicts", data)
            raise NotGenuine(
                "log-split", f"{party} has cosigned a log that this one does not continue: there are two histories",
                hint=f"keep {self._folder() / 'seen'}, which proves it, and compare with {party} before anything else",
            ) from error  # fmt: skip
        self._keep(f"seen/{party}", data)

    def _cosign(self, note: Note, shown: bytes | None) -> None:
        """Sign once per checkpoint; sent again only if the gateway does not show it."""
        party = self.home.config.party
        kept = self._kept(f"seen/{party}")
        name = notes.cosigner(self.pinned.id, party)
        if kept is None or notes.parse(kept).unverified != note.unverified:
            signed = notes.cosign(note, self.home.signing_key(), name=name, at=self.now)
            kept = signed.to_bytes()
            self._keep(f"seen/{party}", kept)
        if kept != shown:
            self.gateway.put_log_cosignature(self.pinned.id, party, kept)

    def statement(self) -> Envelope | None:
        """The operator's statement of the log's key, kept once it was seen; None if there is none yet.

        Raises:
            NotAcceptable: there are two.
        """
        kept = self._kept("key.json")
        shown = [envelopes.parse(kept)] if kept else []
        shown += self.gateway.statements(self.pinned.id, "log")
        stated = {key.text: said for said in reversed(shown) if (key := self._stated(said)) is not None}
        if len(stated) > 1:
            raise self._without_key("two keys", "agree anew: a log has one key")
        for said in stated.values():
            self._keep("key.json", said.to_bytes())
            self.said = said
            return said
        return None

    def _key(self) -> VerifyingKey:
        said = self.said or self.statement()
        if said is None:
            raise self._without_key("no key", "its command is `sealroom submit --agreement FILE`")
        return key_of(said, self.pinned.agreement, self.pinned.id)

    def _without_key(self, count: str, hint: str) -> NotAcceptable:
        operator = self.pinned.agreement.operator
        return NotAcceptable("log-key", f"{operator} has named {count} of this log", hint=hint)

    def _stated(self, statement: Envelope) -> VerifyingKey | None:
        with contextlib.suppress(Refused):
            return key_of(statement, self.pinned.agreement, self.pinned.id)
        return None

    def _pinned(self, key: VerifyingKey) -> Checkpoint | None:
        kept = self._kept("head")
        return None if kept is None else notes.verify_log(notes.parse(kept), name=notes.origin(self.pinned.id), key=key)

    def _others(self) -> dict[str, VerifyingKey]:
        own = self.home.config.party
        return {p.name: VerifyingKey.parse(p.signing_key) for p in self.pinned.agreement.parties if p.name != own}

    def _folder(self) -> Path:
        return self.home.root / "log" / self.pinned.id

    def _kept(self, name: str) -> bytes | None:
        path = self._folder() / name
        return files.read(path, most=envelopes.MOST_BYTES) if path.exists() else None

    def _keep(self, name: str, data: bytes) -> None:
        if self._kept(name) == data:
            return
        self._made_folder()
        files.write(self._folder() / name, data, overwrite=True)

    def _made_folder(self) -> Path:
        for folder in (self.home.root / "log", self._folder(), self._folder() / "seen"):
            files.private_folder(folder)
        return self._folder()
