"""Carries one run between the store and the gate's socket, in the order of the protocol and within its bounds.

Runs in: host.   Believes: nothing that the gate sends; what does not fit ends the run.   Spec: §9.3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sealroom.host import disk, documents, frames
from sealroom.host.bell import Bell
from sealroom.host.documents import HEX32, Statement
from sealroom.host.frames import Channel, GarbageError
from sealroom.host.journal import Journal, silent
from sealroom.host.launcher.base import Handle
from sealroom.host.problems import Problem
from sealroom.host.runs import Run
from sealroom.host.settings import Settings
from sealroom.host.store import Store
from sealroom.host.store.blobs import WrongDigestError
from sealroom.host.store.database import Row
from sealroom.host.store.errors import StoreError, UnavailableError
from sealroom.protocol import wire

T = TypeVar("T")
_SLICE = 0.25
_PAUSE = 1.0
_MOST_MESSAGES = 512
_EVIDENCE_FIELDS = {
    "format", "agreement", "version", "request", "nonces", "checkpoint", "gate_signing_key", "gate_sealing_key",
    "platform", "attestation",
}  # fmt: skip


class GuestError(RuntimeError):
    """The enclave died, is silent, or is not who should have connected; `why` is the word for it in the log."""

    def __init__(self, message: str, *, why: str) -> None:
        """Keep words for people and the word for the log apart."""
        super().__init__(message)
        self.why = why


class EndedError(RuntimeError):
    """The run was stopped or has expired, or the gateway is stopping; nothing is wrong with the enclave."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """`tick` is called several times a second and raises EndedError when the gateway is stopping."""

    store: Store
    settings: Settings
    bell: Bell
    clock: Callable[[], float]
    tick: Callable[[], None]
    journal: Journal = dataclasses.field(default_factory=silent)

    def serve(self, run: Run, listener: socket.socket, handle: Handle, *, guest: int | None) -> None:
        """See one run through, from the enclave's connection to its receipt.

        Raises:
            GuestError, GarbageError, EOFError, OSError, Problem: the enclave did not keep to the protocol.
            EndedError: the run ended for another reason.
        """
        with self._accept(run, listener, handle, guest) as sock:
            channel = Channel(sock)
            try:
                self._converse(channel, run)
            except EndedError:
                channel.send({"type": wire.STOP}, seconds=1)  # what it says then is not read: decisions/0010
                raise
        handle.wait(self.settings.stop_wait)

    def _converse(self, channel: Channel, run: Run) -> None:
        assigned = self._assignment(run)
        channel.send({"type": wire.ASSIGN, **assigned}, seconds=self.settings.frame_wait)
        message = self._next(channel, run, self.settings.evidence_wait)
        evidence = documents.encode(_evidence(message, run, assigned))
        run = self._kept(run, lambda: self.store.runs.put_evidence(run, evidence, self.clock()))
        if self._granted(channel, run):
            waited = run
            run = self._kept(run, lambda: self.store.runs.step(waited, "granted", self.clock()))
            self._hand_over(channel, run)
        self._results(channel, run)

    def _accept(self, run: Run, listener: socket.socket, handle: Handle, guest: int | None) -> socket.socket:
        end = time.monotonic() + self.settings.launch_wait
        while not self.bell.wait(_SLICE, also=listener):
            self._still(run)
            if time.monotonic() > end or not handle.alive():
                raise GuestError("the enclave did not connect", why="no-connection")
        sock, _ = listener.accept()
        listener.close()
        _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        if user != (os.geteuid() if guest is None else guest):
            sock.close()
            raise GuestError("somebody else connected", why="stranger-connected")
        return sock

    def _assignment(self, run: Run) -> dict[str, Any]:
        """What the gate is asked to do; all of it is signed by parties but the nonces and the checkpoint."""
        sequence = self.store.agreements.version(run.version).sequence
        chain = self.store.agreements.chain(run.agreement)[:sequence]
        manifests = [self.store.objects.manifest(row["object"]) for row in self.store.runs.objects(run.run)]
        return {
            "agreement": [json.loads(data) for data in chain], "request": json.loads(run.request),
            "manifests": [json.loads(data) for data in manifests], "nonces": self.store.runs.challenges(run.run),
            "checkpoint": self.store.log.assign(run.run, run.agreement, self.clock()),
        }  # fmt: skip

    def _granted(self, channel: Channel, run: Run) -> bool:
        """Wait for every owner's grant; False when the gate speaks first, which it does only to give up."""
        while any(row["grant_envelope"] is None for row in self._objects(run)):
            self._still(run)
            if self.bell.wait(_SLICE, also=channel.socket):
                return False
        return True

    def _objects(self, run: Run) -> list[Row]:
        return self._patiently(run, lambda: self.store.runs.objects(run.run))

    def _hand_over(self, channel: Channel, run: Run) -> None:
        rows = self._objects(run)
        sealed = self._patiently(run, lambda: [self.store.objects.get(row["object"]) for row in rows])
        wait = self.settings.frame_wait
        for row in rows:
            channel.send({"type": wire.GRANT, "grant": json.loads(row["grant_envelope"])}, seconds=wait)
        for row, found in zip(rows, sealed, strict=True):
            descriptor = self.store.blobs.open(found.ciphertext)
            try:
                channel.send({"type": wire.OBJECT, "manifest": row["object"]}, [descriptor], seconds=wait)
            finally:
                os.close(descriptor)

    def _results(self, channel: Channel, run: Run) -> None:
        room = wire.CIPHERTEXT_MOST
        for _ in range(_MOST_MESSAGES):
            message, fds = self._next_with_file(channel, run)
            try:
                kind = message.get("type")
                if kind == wire.RECEIPT and not fds:
                    self._receipt(run, message)
                    return
                if kind == wire.OFFER and len(fds) == 1:
                    room -= self._offer(run, message, fds[0], room)
                elif kind != wire.PROGRESS or fds or message.get("phase") not in wire.PROGRESS_PHASES:
                    raise GarbageError("a message that is not expected here")
            finally:
                frames.close(fds)
        raise GarbageError("more messages than a run can have")

    def _offer(self, run: Run, message: dict[str, Any], descriptor: int, room: int) -> int:
        offer = _about(run, message, wire.OFFER)
        size = os.fstat(descriptor).st_size
        if not 0 < size <= room:
            raise GarbageError("an empty ciphertext, or more than a run may offer")
        digest = offer.text("ciphertext_sha256", HEX32)
        try:
            self._kept(run, lambda: self.store.blobs.take(descriptor, size=size, digest=digest))
        except WrongDigestError as error:
            raise GarbageError("the ciphertext is not the one that is offered") from error
        affected = documents.names(offer.unverified.get("affected"), most=16)
        self._kept(run, lambda: self.store.results.add_offer(run, offer, digest, affected))
        return size

    def _receipt(self, run: Run, message: dict[str, Any]) -> None:
        receipt = _about(run, message, wire.RECEIPT)
        status = receipt.text("status", "completed|refused|failed")
        self._kept(run, lambda: self.store.results.add_receipt(run, receipt, status, self.clock()))

    def _kept(self, run: Run, store: Callable[[], object]) -> Run:
        """Store what the enclave will not say again; the run as it is then."""
        doubts: list[bool] = []

        def once() -> None:
            try:
                store()
            except UnavailableError as error:
                doubts.append(error.in_doubt)
                raise
            except Problem:
                if not any(doubts):  # else an attempt of which nobody could tell has stored it
                    raise

        self._patiently(run, once)
        return self._patiently(run, lambda: self.store.runs.get(run.run))

    def _patiently(self, run: Run, work: Callable[[], T]) -> T:
        """A full disk, and a database that does not answer, are waited for, as long as a run may take."""
        end = time.monotonic() + self.settings.run_wait
        while True:
            try:
                return work()
            except (OSError, StoreError) as error:
                if time.monotonic() > end:
                    raise
                if disk.is_full(error):
                    self.journal.say("disk-full")
                elif isinstance(error, UnavailableError):
                    self.journal.say("store-lost")
                else:
                    raise
            self.bell.wait(_PAUSE)
            self._still(run)

    def _next(self, channel: Channel, run: Run, seconds: float) -> dict[str, Any]:
        self._readable(channel, run, seconds)
        return channel.receive(seconds=self.settings.frame_wait)[0]

    def _next_with_file(self, channel: Channel, run: Run) -> tuple[dict[str, Any], list[int]]:
        self._readable(channel, run, self.settings.run_wait)
        return channel.receive(seconds=self.settings.frame_wait, most_fds=1)

    def _readable(self, channel: Channel, run: Run, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.bell.wait(_SLICE, also=channel.socket):
            self._still(run)
            if time.monotonic() > end:
                raise GuestError("the enclave is silent", why="silent")

    def _still(self, run: Run) -> None:
        """Go on, unless the run ended otherwise; without its database the gateway cannot know, and goes on."""
        with contextlib.suppress(UnavailableError):
            self.tick()
            if self.store.runs.get(run.run).state != run.state:
                raise EndedError


def _about(run: Run, message: dict[str, Any], kind: str) -> Statement:
    if set(message) != {"type", kind}:
        raise GarbageError("a message with other fields")
    statement = documents.statement(documents.encode(message[kind]), kind)
    if (statement.text("request", HEX32), statement.text("evidence", HEX32)) != (run.run, run.evidence_digest):
        raise GarbageError(f"the {kind} is about another run")
    return statement


def _evidence(message: dict[str, Any], run: Run, assigned: dict[str, Any]) -> dict[str, Any]:
    """The evidence, if it is about what was assigned; whether it is genuine is for the parties to find out."""
    evidence = message.get("evidence")
    if set(message) != {"type", "evidence"} or message["type"] != wire.EVIDENCE or not isinstance(evidence, dict):
        raise GarbageError("not evidence")
    same = {
        "format": "sealroom/evidence/v1", "agreement": run.agreement, "version": run.version, "request": run.run,
        "nonces": assigned["nonces"], "checkpoint": assigned["checkpoint"],
    }  # fmt: skip
    if set(evidence) != _EVIDENCE_FIELDS or any(evidence[name] != value for name, value in same.items()):
        raise GarbageError("evidence about something else")
    return evidence
