"""What a vector file is, and the keys that vectors are made with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealroom.protocol.keys import SealingKey, SigningKey

FOLDER = Path(__file__).resolve().parent
SHARED = FOLDER / "shared"
FORMATS = (
    "canonical-json", "envelope", "sealed-object", "bundle", "bundle-size", "agreement", "agreement-chain",
    "statement", "standing", "decision", "request-admission", "grant", "share", "release", "receipt-bundle",
    "log-note", "log-proof", "witness",
)  # fmt: skip
EVIDENCE = "e1" * 32
CHECKPOINT = "c0" * 32
OK = "ok"


@dataclasses.dataclass(frozen=True)
class Vector:
    """One case: headers and body."""

    headers: dict[str, str]
    body: bytes

    def to_bytes(self) -> bytes:
        head = "".join(f"{name}: {value}\n" for name, value in self.headers.items()).encode()
        if self.headers["body"] == "hex":
            text = self.body.hex()
            return head + b"\n" + "\n".join(text[i : i + 120] for i in range(0, len(text), 120)).encode() + b"\n"
        return head + b"\n" + self.body + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Vector:
        head, _, body = data.partition(b"\n\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        return cls(headers, bytes.fromhex(body.decode()) if headers["body"] == "hex" else body[:-1])


Produced = Iterator[tuple[str, Vector | Any]]


def vector(expect: str, stage: str, comment: str, body: bytes, *, form: str = "text", **more: str) -> Vector:
    return Vector({"expect": expect, "stage": stage, "comment": comment, **more, "body": form}, body)


def load(form: str, name: str) -> Vector:
    return Vector.parse((FOLDER / form / name).read_bytes())


def names() -> list[tuple[str, str]]:
    return [(form, path.name) for form in FORMATS for path in sorted((FOLDER / form).iterdir())]


def shared(name: str) -> Any:
    return json.loads((SHARED / f"{name}.json").read_bytes())


def resolved(value: Any) -> Any:
    """The value with every `@name` replaced by what is in that shared file."""
    if isinstance(value, str) and value.startswith("@"):
        return shared(value[1:])
    if isinstance(value, list):
        return [resolved(item) for item in value]
    return {key: resolved(item) for key, item in value.items()} if isinstance(value, dict) else value


def signing(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(f"sealroom vector signing {name}".encode()).digest())


def sealing(name: str) -> SealingKey:
    seed = hashlib.sha512(f"sealroom vector mlkem {name}".encode()).digest()
    return SealingKey(seed + hashlib.sha256(f"sealroom vector x25519 {name}".encode()).digest())


def edited(document: Any, edits: list[list[Any]]) -> Any:
    """A copy of the document with edits applied: [path, value], or [path] to delete."""
    document = json.loads(json.dumps(document))
    for path, *value in edits:
        place = document
        for step in path[:-1]:
            place = place[step]
        if value and isinstance(place, list) and path[-1] == len(place):
            place.append(value[0])
        elif value:
            place[path[-1]] = value[0]
        else:
            del place[path[-1]]
    return document
