"""Targets: the files that people write or pass on (cards, specs, pairs, key files, columns), and gateway answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

from sealroom.client import card, columns, config, fragment, gateway, keyfile, spec
from sealroom.client.demo import pair
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.host import settings as host_settings
from sealroom.protocol import schema
from sealroom.protocol.errors import Refused, UsageError
from tests.fuzz import seeds
from tests.fuzz.target import Check, Shape, Target, taken
from tests.vectors import cases

_FOLDER = tempfile.TemporaryDirectory(prefix="sealroom-fuzz-", ignore_cleanup_errors=True)
REFUSALS = (Refused, UsageError, Unreachable, NotAuthorized)


def _file(name: str, read: Callable[[Path], Any], *refusals: type[Exception]) -> Callable[[], Check]:
    """Write the input to a file of that name, and read it as the command would."""

    def prepare() -> Check:
        path = Path(_FOLDER.name) / f"{os.getpid()}-{name}"

        def check(data: bytes) -> bool:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(descriptor, data)
            os.close(descriptor)
            return taken(lambda _: read(path), data, *REFUSALS, *refusals)[0]

        return check

    return prepare


def _card() -> Check:
    def check(data: bytes) -> bool:
        held, found = taken(card.parse, data)
        assert not held or card.parse(found.to_bytes()) == found
        return held

    return check


def _unlock(path: Path) -> None:
    """Stretching is what takes time on purpose; here it is a digest of what it would stretch."""
    with mock.patch.object(keyfile, "_stretch", lambda *parts: seeds.keyed(repr(parts))):
        key = keyfile.unlock_signing(path, "phrase")
    assert key == cases.signing("bank"), "a key that was never kept"


def _key_file() -> bytes:
    path = Path(_FOLDER.name) / f"{os.getpid()}-made.key"
    with mock.patch.object(keyfile, "_stretch", lambda *parts: seeds.keyed(repr(parts))):
        keyfile.create(path, cases.signing("bank"), "phrase", overwrite=True)
    return path.read_bytes()


def _gateway() -> Check:
    """Input: what a gateway answers to any of the calls whose answers are read as JSON."""

    class Lying:
        """A transport that answers everything with the input."""

        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        def call(self, *_: Any, **__: Any) -> bytes:
            return self.answer

    calls: tuple[Callable[[gateway.Gateway], Any], ...] = (
        gateway.Gateway.health,
        gateway.Gateway.agreements,
        lambda g: g.agreement("v"),
        lambda g: g.statements("a", "approval"),
        lambda g: g.object_state("d"),
        lambda g: g.objects("a"),
        lambda g: g.runs("a"),
        lambda g: g.run("r"),
        lambda g: g.grants("r"),
        lambda g: g.offers("r"),
        lambda g: g.receipt("r"),
        lambda g: g.post_run(seeds.shared_envelope("request")),
    )

    def check(data: bytes) -> bool:
        asked = gateway.Gateway(mock.Mock(), transport=Lying(data))  # type: ignore[arg-type]
        return sum(taken(lambda _, c=call: c(asked), data)[0] for call in calls) > 0

    return check


def _answers() -> Iterable[bytes]:
    signed = seeds.signed(seeds.statements()[0])
    request = cases.shared("request")
    run = {"run": seeds.A, "state": "queued"}
    return map(
        seeds.dumped,
        (
            {"status": "ok"}, [{"agreement": seeds.A, "version": seeds.B, "sequence": 1}], schema.encode(signed),
            {"statements": [schema.encode(signed)]}, {"manifest": request, "missing": [0, 3], "complete": False},
            {"runs": [run | {"waiting_for": ["bank"], "created": seeds.NOW}]},
            run | {
                "waiting_for": [], "request": request, "version": seeds.A, "launched": None, "next_visible": 5,
                "receipt": False,
            },
            {"offers": [{"digest": seeds.A, "offer": schema.encode(signed)}]},
        ),
    )  # fmt: skip


_SPEC = b"""title = "Look-alike audience"
days = 30
launchers = ["process"]
[datasets.customers]
owner = "bank"
id = "bank_id"
identifiers = { email = "email" }
features = { balance = "int", y = ["no", "yes"] }
[datasets.prospects]
owner = "partner"
id = "partner_id"
most_rows = 1000
identifiers = { mail = "email" }
features = { age = "int" }
[bundles.model]
owner = "bank"
[outcome]
dataset = "customers"
column = "y"
positive = "yes"
[overlap]
epsilon = 0.5
[[aggregates]]
name = "ages"
by = ["customers.y"]
epsilon = 1
"""
_PAIR = b"""title = "A pair"
[left]
party = "bank"
dataset = "customers"
file = "bank.csv"
id = "bank_id"
identifiers = { email = "email" }
features = ["balance", "y"]
[right]
party = "partner"
dataset = "prospects"
file = "partner.csv"
id = "partner_id"
identifiers = { mail = "email" }
features = ["age"]
[outcome]
column = "y"
positive = "yes"
[truth]
file = "truth.csv"
left_id = "bank_id"
right_id = "partner_id"
column = "y"
"""
_CSV = b"bank_id,first_name,email,balance,y\nb1,Ann,a@x.com,12,yes\nb2,Bob,,-4,no\nb3,Cy,c@x.com,1.5,no\n"
_COLUMNS = {
    "format": "sealroom/columns/v1", "dataset": "prospects", "owner": "partner", "id": "partner_id",
    "population": None, "most_rows": 1000, "identifiers": {"mail": "email"},
    "features": {"age": "int", "job": ["admin", "retired"]}, "file": None,
}  # fmt: skip
_HOME = {"format": "sealroom/home/v1", "party": "bank", "role": "bank"}
_GATEWAY = {"gateway": "https://gateway.test:8443", "gateway_certificate": "/etc/gateway.pem"}


def _merged(path: Path) -> None:
    fragment.merge(spec.parse({"datasets": {"prospects": {"owner": "partner", "id": "partner_id"}}}), path)


def _settings() -> Callable[[], Check]:
    def read(path: Path) -> None:
        folder = path.with_suffix("")
        folder.mkdir(exist_ok=True)
        path.replace(folder / host_settings.FILE)
        host_settings.load(folder)

    return _file("settings.toml", read, host_settings.BadSettings)


def _target(
    name: str, decoder: str, prepare: Callable[[], Check], shape: Shape, *inputs: bytes, law: str = "no other error"
) -> Target:
    return Target(name=name, decoder=decoder, law=law, prepare=prepare, shape=shape, seeds=lambda: inputs)


TARGETS = (
    Target(
        name="card", decoder="client/card.py parse", law="written again, is the same card", prepare=_card, shape="json",
        seeds=lambda: [card.make("bank", cases.signing("bank").public, cases.sealing("bank").public).to_bytes()],
    ),
    Target(
        name="key-file", decoder="client/keyfile.py unlock_signing", law="opens to the key that was kept, or not",
        prepare=_file("k.key", _unlock), shape="json", seeds=lambda: [_key_file()],
    ),
    Target(
        name="gateway-answer", decoder="client/gateway.py Gateway", law="no other error", prepare=_gateway,
        shape="json", seeds=_answers, most=8192,
    ),
    Target(
        name="policy-file", decoder="client/spec.py read_policy", law="no other error", shape="json",
        prepare=_file("policy.json", spec.read_policy), seeds=lambda: [seeds.dumped(schema.encode(seeds.policy()))],
    ),
    _target("spec-toml", "client/spec.py load (TOML)", _file("spec.toml", spec.load), "text", _SPEC),
    _target(
        "spec-json", "client/spec.py load (JSON)", _file("spec.json", spec.load), "json",
        seeds.dumped({"datasets": {"customers": {"owner": "bank", "id": "bank_id", "features": {"y": ["no", "yes"]}}},
                      "overlap": {"epsilon": 1}, "aggregates": [{"name": "a", "epsilon": 2}]}),
    ),
    _target("pair", "client/demo/pair.py load", _file("pair.toml", pair.load), "text", _PAIR),
    _target(
        "home-config", "client/config.py load", _file("home.json", config.load), "json",
        seeds.dumped(_HOME | _GATEWAY), seeds.dumped(_HOME | {"gateway": None, "gateway_certificate": None}),
    ),
    _target("columns-file", "client/fragment.py merge", _file("c.json", _merged), "json", seeds.dumped(_COLUMNS)),
    _target("own-csv", "client/columns.py propose", _file("own.csv", columns.propose), "text", _CSV),
    Target(
        name="gateway-settings", decoder="host/settings.py load", law="no other error", prepare=_settings(),
        shape="text",
        seeds=lambda: [b'operator_key = "%b"\nlisten_port = 8443\nbody_wait = 2.5\n' % _key(), b"open_runs = 3\n"],
    ),
)  # fmt: skip


def _key() -> bytes:
    return cases.signing("operator").public.text.encode()
