"""A gateway, three parties with real keys, and helpers to play them."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from sealroom.enclave import frames as enclave_frames
from sealroom.host import app
from sealroom.host.bell import Bell
from sealroom.host.journal import Journal
from sealroom.host.readiness import Readiness
from sealroom.host.settings import Settings
from sealroom.host.store import Store, open_store
from sealroom.protocol import canonical, envelope
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SigningKey
from tests.postgres import BOTH

HERE = Path(__file__).resolve().parent
CHUNK, TAG = 1 << 20, 16
START = 1_800_000_000.0


def statement(kind: str, fields: dict[str, Any], *keys: SigningKey) -> Envelope:
    """A signed statement with any payload, by the project's own envelope code."""
    payload = canonical.encode({"format": f"sealroom/{kind}/v1", **fields})
    unsigned = Envelope(base64.b64encode(payload).decode(), f"application/vnd.sealroom.{kind}.v1+json", ())
    return envelope.cosign(unsigned, keys)


@dataclasses.dataclass
class Clock:
    """Time that moves only when a test says so."""

    now: float = START

    def __call__(self) -> float:
        return self.now


class Parties:
    """Keys by name, and the statements that they make."""

    def __init__(self) -> None:
        self.keys = {n: SigningKey.generate() for n in ("operator", "bank", "partner", "compliance", "stranger")}

    def agreement(self, *, members: tuple[str, ...] = ("bank", "partner", "compliance"), **changes: Any) -> Envelope:
        fields: dict[str, Any] = {
            "title": "a test", "sequence": 1, "first": None, "previous": None, "not_after": 2**40 - 1,
            "parties": [
                {"name": n, "signing_key": self.keys[n].public.text, "sealing_key": "AA",
                 "consent": {"mode": "auto", "threshold": 0, "officers": [], "deadline": 3600}}
                for n in members
            ],
            "requesters": ["bank"],
            "datasets": [{"name": "customers", "owner": "bank"}, {"name": "prospects", "owner": "partner"}],
            "bundles": [
                {"name": "lookalike", "owner": "bank", "lane": "whole"},
                {"name": "segments", "owner": "bank", "lane": "query"},
            ],
            "rules": [{"name": "overlap"}, {"name": "audience"}],
            "slots": {"query": 0, "opaque": 300},
        }  # fmt: skip
        return statement("agreement", fields | changes, *(self.keys[n] for n in members))

    def successor(
        self, first: Envelope, *, signers: tuple[str, ...] = ("bank", "partner", "compliance"), **changes: Any
    ) -> Envelope:
        made = self.agreement(sequence=2, first=first.digest, previous=first.digest, **changes)
        return dataclasses.replace(
            made, signatures=tuple(s for s in made.signatures if s.keyid in {self.keys[n].public.text for n in signers})
        )

    def of(self, party: str, kind: str, agreement: str, /, **fields: Any) -> Envelope:
        fields = {"party": party, "agreement": agreement, "remark": "test", "created": int(START)} | fields
        return statement(kind, fields, self.keys[party])

    def manifest(
        self, owner: str, name: str, agreement: str, data: bytes, /, *, kind: str = "dataset", **changes: Any
    ) -> Envelope:
        size = len(data) - TAG * (-(-len(data) // (CHUNK + TAG)))
        fields = {
            "agreement": agreement, "kind": kind, "name": name, "owner": owner, "media": "csv", "salt": "00" * 32,
            "commitment": "00" * 32, "chunk_size": CHUNK, "chunks": -(-size // CHUNK), "plaintext_size": size,
            "ciphertext_sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
        return statement("manifest", fields | changes, self.keys[owner])

    def request(self, agreement: str, version: str, objects: dict[str, str], **changes: Any) -> Envelope:
        fields = {
            "requester": "bank", "agreement": agreement, "version": version, "objects": objects, "columns": {},
            "rules": ["overlap"], "created": int(START), "deadline": int(START) + 10**9, "nonce": secrets.token_hex(32),
        }  # fmt: skip
        return statement("request", fields | changes, self.keys["bank"])


class Caller:
    """Signs and sends calls for any party."""

    def __init__(self, client: httpx2.Client, parties: Parties, url: str, clock: Callable[[], float]) -> None:
        self.client, self.parties, self.url, self.clock = client, parties, url, clock

    def sign(self, who: str, method: str, path: str, body: bytes = b"", **options: Any) -> httpx2.Request:
        request = self.client.build_request(method, self.url + path, content=body)
        key = self.parties.keys[who]
        resolver = MappingKeyResolver(
            public_keys={}, private_keys={key.public.text: Ed25519PrivateKey.from_private_bytes(key.seed)}
        )
        options = {
            "key_id": key.public.text, "tag": "sealroom-v1", "nonce": secrets.token_urlsafe(24), "body": body,
            "created": dt.datetime.fromtimestamp(self.clock(), dt.UTC),
            "covered_component_ids": ("@method", "@authority", "@target-uri"),
        } | options  # fmt: skip
        HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=resolver).sign(request, **options)
        return request

    def __call__(
        self, who: str, method: str, path: str, body: bytes | Envelope = b"", **options: Any
    ) -> httpx2.Response:
        data = body.to_bytes() if isinstance(body, Envelope) else body
        return self.client.send(self.sign(who, method, "/v1" + path, data, **options))

    def ok(self, who: str, method: str, path: str, body: bytes | Envelope = b"", **options: Any) -> Any:
        answer = self(who, method, path, body, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()


def code(answer: httpx2.Response) -> tuple[int, str]:
    """(HTTP status, error code), after checking the one shape of errors."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message", "hint"}, body
    return answer.status_code, body["error"]["code"]


@dataclasses.dataclass
class Gateway:
    """A gateway in this process, and what was put into it."""

    settings: Settings
    store: Store
    call: Caller
    parties: Parties
    clock: Clock
    bell: Bell
    log: list[str]
    readiness: Readiness
    agreement: str = ""
    version: str = ""

    def upload(self, owner: str, name: str, data: bytes, **options: Any) -> str:
        manifest = self.parties.manifest(owner, name, self.agreement, data, **options)
        self.call.ok(owner, "PUT", f"/objects/{manifest.digest}", manifest)
        step = CHUNK + TAG
        for number in range(-(-len(data) // step)):
            self.call.ok(
                owner, "PUT", f"/objects/{manifest.digest}/chunks/{number}", data[number * step : (number + 1) * step]
            )
        return manifest.digest

    def objects(self, *, opaque: bool = False) -> dict[str, str]:
        found = {
            "customers": self.upload("bank", "customers", b"c" * 1000),
            "prospects": self.upload("partner", "prospects", b"p" * 2000),
        }
        if opaque:
            found["lookalike"] = self.upload("bank", "lookalike", b"l" * 500, kind="bundle")
        return found

    def start(self, *, opaque: bool = False, **changes: Any) -> str:
        request = self.parties.request(self.agreement, self.version, self.objects(opaque=opaque), **changes)
        return str(self.call.ok("bank", "POST", "/runs", request)["run"])

    def challenge(self, run: str) -> None:
        for party in ("bank", "partner"):
            body = canonical.encode({"nonce": secrets.token_hex(32)})
            self.call.ok(party, "PUT", f"/runs/{run}/challenges/{party}", body)

    def grant(self, run: str) -> None:
        view = self.call.ok("bank", "GET", f"/runs/{run}")
        request = json.loads(base64.b64decode(view["request"]["payload"]))
        evidence = self.store.runs.get(run).evidence_digest
        for name, digest in request["objects"].items():
            owner = "partner" if name == "prospects" else "bank"
            made = self.parties.of(owner, "grant", self.agreement, request=run, evidence=evidence, object=digest)
            self.call.ok(owner, "PUT", f"/runs/{run}/grants/{digest}", made)

    def state(self, run: str) -> str:
        return str(self.call.ok("partner", "GET", f"/runs/{run}")["state"])


@pytest.fixture
def parties() -> Parties:
    return Parties()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a module that says `STORES = BOTH` run over either database, if they say nothing else."""
    chosen = any("database" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "database" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("database", getattr(metafunc.module, "STORES", BOTH[:1]), indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The setting of that name: "" for a file in the home, or the URL of a database that is empty."""
    return request.getfixturevalue("postgresql").new_database() if request.param == "postgresql" else ""


@pytest.fixture
def empty_gateway(tmp_path: Path, parties: Parties, clock: Clock, database: str) -> Iterator[Gateway]:
    """A gateway that knows only its operator."""
    settings = Settings(
        home=tmp_path, operator_key=parties.keys["operator"].public.text, public_url="https://gateway.test",
        requests_per_second=10_000, requests_burst=10_000, store_most=1 << 30, launch_wait=5, evidence_wait=2,
        frame_wait=2, stop_wait=2, body_wait=2, disk_reserve=1, database=database,
    )  # fmt: skip
    bell = Bell()
    store = open_store(tmp_path, most=settings.store_most, database=database, changed=bell.ring)
    log: list[str] = []
    readiness = Readiness(lambda: None)
    made = app.create(settings, store, clock=clock, journal=Journal(log.append), readiness=readiness)
    with TestClient(made, base_url=settings.url) as client:
        caller = Caller(client, parties, settings.url, clock)
        yield Gateway(settings, store, caller, parties, clock, bell, log, readiness)
    store.close()
    bell.close()


@pytest.fixture
def gateway(empty_gateway: Gateway) -> Gateway:
    """A gateway with one agreement of three parties."""
    first = empty_gateway.parties.agreement()
    empty_gateway.call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
    empty_gateway.agreement = empty_gateway.version = first.digest
    return empty_gateway


class FakeProcessor:
    """Starts `fake_gate.py` where the real processor would start an image; `image/mode` says how the gate behaves."""

    def __init__(self, folder: Path) -> None:
        self.path, self.image = folder / "processor.sock", folder / "image"
        self.image.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []
        self.messages: list[dict[str, Any]] = []
        self.reply: dict[str, Any] | None = None
        self._runs: dict[str, subprocess.Popen[bytes]] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        folder_fd = os.open(folder, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{folder_fd}/processor.sock")
        os.close(folder_fd)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def mode(self, name: str) -> None:
        (self.image / "mode").write_text(name)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for process in self.started:
            process.kill()
            process.wait(5)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError, EOFError):
                message, _ = enclave_frames.receive(sock, timeout=5)
                self.messages.append(message)
                enclave_frames.send(sock, self.reply if self.reply is not None else self._answer(message))

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["op"] == "launch-process":
            mode = (self.image / "mode").read_text()
            process = subprocess.Popen([sys.executable, str(HERE / "fake_gate.py"), mode], cwd=message["run"])
            self.started.append(process)
            self._runs[message["run"]] = process
            return {"pid": process.pid, "measurement": "ab" * 48}
        if message["op"] == "attach-container":
            return {"measurement": "ab" * 48}
        if message["op"] == "describe":
            return {"root": "ab" * 32}
        process = self._runs.pop(message["run"], None)
        if process is not None:
            process.wait(5)
        return {"ok": True}


@pytest.fixture
def processor(tmp_path: Path) -> Iterator[FakeProcessor]:
    made = FakeProcessor(tmp_path)
    made.mode("good")
    yield made
    made.close()


def until(holds: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until something holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    """As `kill -9` does it."""
    process.send_signal(signal.SIGKILL)
    process.wait(10)


@pytest.fixture
def helpers() -> Any:
    """The functions of this file, for tests that cannot import it."""
    return sys.modules[__name__]
