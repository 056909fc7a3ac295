"""Speaks the gate's side of the protocol, well or badly: `fake_gate.py MODE`, in a run directory."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import sys
import time
from typing import Any

from sealroom.enclave import frames
from sealroom.protocol import canonical, digest, envelope, schema
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.keys import SigningKey

MODE = sys.argv[1]
KEY = SigningKey.generate()
CIPHERTEXT = b"sealed release" * 1000


def say(sock: socket.socket, message: dict[str, Any], fds: list[int] | None = None) -> None:
    frames.send(sock, message, fds or [])


def statement(kind: str, fields: dict[str, Any]) -> Envelope:
    payload = canonical.encode({"format": f"sealroom/{kind}/v1", **fields})
    media = f"application/vnd.sealroom.{kind}.v1+json"
    return envelope.cosign(Envelope(base64.b64encode(payload).decode(), media, ()), [KEY])


def evidence_for(assign: dict[str, Any]) -> dict[str, Any]:
    request = envelope.parse(canonical.encode(assign["request"]))
    inside = canonical.decode(request.unverified_payload, most=1 << 20)
    return {
        "format": "sealroom/evidence/v1", "agreement": inside["agreement"], "version": inside["version"],
        "request": request.digest, "nonces": assign["nonces"], "checkpoint": assign["checkpoint"],
        "gate_signing_key": KEY.public.text, "gate_sealing_key": "AA", "platform": "sev-snp", "attestation": "AA",
    }  # fmt: skip


def memfd(data: bytes) -> int:
    fd = os.memfd_create("release")
    os.write(fd, data)
    return fd


def offer(common: dict[str, Any], data: bytes, sha256: str) -> Envelope:
    return statement(
        "offer",
        {**common, "affected": ["partner"], "ciphertext_sha256": sha256, "size": len(data), "recipient": "bank"},
    )


def receipt(sock: socket.socket, common: dict[str, Any], status: str) -> None:
    say(sock, {"type": "receipt", "receipt": schema.encode(statement("receipt", {**common, "status": status}))})


def bad_start(sock: socket.socket, common: dict[str, Any]) -> bool:
    if MODE == "die-before-evidence":
        os._exit(3)
    if MODE == "never":
        time.sleep(600)
    if MODE == "garbage-bytes":
        sock.sendall(os.urandom(1 << 16))
    elif MODE == "garbage-json":
        sock.sendall(b"\0\0\0\5[1,2]")
    elif MODE == "huge-frame":
        sock.sendall(b"\x7f\xff\xff\xff" + b"{" * 1000)
    elif MODE == "cut-short":
        sock.sendall(b"\0\0\1\0{")
        sock.shutdown(socket.SHUT_WR)
    elif MODE == "descriptors":
        say(sock, {"type": "evidence", "evidence": {}}, [memfd(b"x")])
    elif MODE == "receipt-first":
        receipt(sock, common, "completed")
    else:
        return False
    time.sleep(600)
    return True


def results(sock: socket.socket, common: dict[str, Any]) -> None:
    sha256 = hashlib.sha256(CIPHERTEXT).hexdigest()
    if MODE == "die-running":
        os._exit(3)
    if MODE == "hang-running":
        time.sleep(600)
    if MODE == "slow-running":
        time.sleep(4)
    if MODE == "flood":
        while True:
            say(sock, {"type": "progress", "phase": "computing"})
    if MODE == "unknown-phase":
        say(sock, {"type": "progress", "phase": "customer 17 is rich"})
    for phase in ("granted", "computing", "sealing"):
        say(sock, {"type": "progress", "phase": phase})
    if MODE == "pipe":
        made = offer(common, CIPHERTEXT, sha256)
        say(sock, {"type": "offer", "offer": schema.encode(made)}, [os.pipe()[0]])
    elif MODE not in ("refused", "failed", "nothing"):
        data = b"other bytes" if MODE == "wrong-ciphertext" else CIPHERTEXT
        made = offer(common, data, sha256)
        say(sock, {"type": "offer", "offer": schema.encode(made)}, [memfd(data)])
        if MODE == "twice":
            say(sock, {"type": "offer", "offer": schema.encode(made)}, [memfd(data)])
    if MODE == "die-after-offer":
        os._exit(3)
    about = {**common, "request": "11" * 32} if MODE == "other-run" else common
    receipt(sock, about, MODE if MODE in ("refused", "failed") else "completed")


def main() -> None:
    if MODE == "never-connects":
        time.sleep(600)
    if MODE == "exit-at-once":
        return
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("host.sock")
    assign, _ = frames.receive(sock, timeout=60)
    evidence = evidence_for(assign)
    name = digest.sha256("evidence/v1", canonical.encode(evidence))
    common = {"agreement": evidence["agreement"], "request": evidence["request"], "evidence": name}
    if bad_start(sock, common):
        return
    if MODE == "wrong-evidence":
        evidence["request"] = "22" * 32
    say(sock, {"type": "evidence", "evidence": evidence})
    if MODE == "die-after-evidence":
        time.sleep(0.2)
        os._exit(3)
    if MODE == "gives-up":
        receipt(sock, common, "refused")
        return
    wanted = 2 * len(assign["manifests"])
    for _ in range(wanted):
        message, fds = frames.receive(sock, timeout=60)
        if MODE == "heard":  # what it got is written beside the run's folder, which goes
            with open("../../heard", "a", encoding="ascii") as sink:
                sink.write(f"{message['type']}\n")
        if message["type"] == "stop":
            if MODE == "heard":
                receipt(sock, common, "refused")
            return
        for fd in fds:
            assert os.pread(fd, 1, 0), "a ciphertext that can be read"
            try:
                os.pwrite(fd, b"x", 0)
            except OSError:
                continue
            raise AssertionError("the host's ciphertext can be written")
    results(sock, common)


main()
