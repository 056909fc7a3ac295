"""One agreement on made-up data, prepared once by real programs."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealroom.client.demo import services
from sealroom.client.demo.actors import Actor
from tests.crash.programs import IMAGE, ROOT, Program

OWNERS = ("bank", "partner")
PARTIES = (*OWNERS, "operator")
RULES = ("overlap", "cells")
ROWS = 240
MODEL = """
def run(tables, ask):
    return list(range(ask.size))
"""
SPEC = {
    "title": "Shared customers", "purpose": "Find out what a crash can do", "runs": 500,
    "datasets": {
        "customers": {"owner": "bank", "id": "customer", "identifiers": {"email": "email"},
                      "features": {"age": "int", "y": ["no", "yes"]}},
        "prospects": {"owner": "partner", "id": "member", "identifiers": {"email": "email"},
                      "features": {"visits": "int"}},
    },
    "bundles": {"model": {"owner": "bank", "lane": "whole"}, "segments": {"owner": "bank", "lane": "query"}},
    "outcome": {"dataset": "customers", "column": "y", "positive": "yes"},
    "overlap": {"epsilon": 2, "floor": 0, "round_to": 1, "recipients": ["bank", "partner"]},
    "aggregates": [{"name": "cells", "segments": {"bundle": "segments", "labels": ["old", "young"]}, "epsilon": 1,
                    "floor": 0}],
    "audience": {"percent": 30, "floor": 1, "least_seed": 1},
    "slots": {"query": 0, "opaque": 1},
}  # fmt: skip
QUERY = {
    "format": "sealroom/query/v1",
    "segments": [{"label": "old", "when": [["customers.age", ">=", 50]]}, {"label": "young", "when": []}],
}


def own_image() -> Path:
    """A copy by hard links, one for each build: an image that is built meanwhile is not launched.

    All who need it share it, as every further link would change what a measurement in progress looks at.
    """
    status = (IMAGE / "launch.json").stat()
    folder = ROOT / "build" / "crash"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):  # another user built it
        return IMAGE
    copy = folder / f"image-{status.st_ino}-{status.st_mtime_ns}"
    with (folder / "image.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.is_dir():
            made = folder / "image.part"
            shutil.rmtree(made, ignore_errors=True)
            if subprocess.run(["cp", "-al", str(IMAGE), str(made)], capture_output=True, check=False).returncode:
                return IMAGE
            made.rename(copy)
    return copy


class Template:
    """Three parties, their agreement, sealed objects at a gateway that is stopped; a processor that runs."""

    def __init__(self, folder: Path, *, runs: int = SPEC["runs"], database: str = "") -> None:
        """`runs` is how many its purses pay for; `database` is the URL of an empty one, or "" for a file."""
        self.folder, self.database = folder, database
        self.spec = {**SPEC, "runs": runs}
        self.actors = {name: Actor.make(name, folder / name) for name in PARTIES}
        self.phrases = {name: (folder / name / "passphrase").read_text("utf-8") for name in PARTIES}
        self.socket = folder / "cpu.sock"
        self.cpu: Program | None = None
        self.host = folder / "host"
        self.image = own_image()
        self._data()
        self.actors["operator"].type("init", "--role", "operator", "--name", "operator", "--to", folder)
        services.run(["sealroom.attestation.simulated", "init", "--home", str(folder / "cpu")])
        self.card = self._gateway_card()
        self._agree()

    def _data(self) -> None:
        tables = {
            "customers": (["customer", "email", "age", "y"], lambda n: [n % 60 + 18, "yes" if n % 3 else "no"]),
            "prospects": (["member", "email", "visits"], lambda n: [n % 17]),
        }
        for start, (name, (header, features)) in enumerate(tables.items()):
            with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(header)
                for n in range(start * ROWS // 2, start * ROWS // 2 + ROWS):
                    writer.writerow([f"{name[0]}{n:04}", f"person{n}@example.org", *features(n)])
        for name, entry, content in (("model", "job:run", MODEL), ("segments", "query.json", json.dumps(QUERY))):
            folder = self.folder / name
            folder.mkdir()
            lane = "whole" if name == "model" else "query"
            manifest = {"format": "sealroom/bundle/v1", "lane": lane, "entry": entry}
            (folder / "bundle.json").write_text(json.dumps(manifest), "utf-8")
            (folder / ("job.py" if name == "model" else entry)).write_text(content, "utf-8")

    def _gateway_card(self) -> dict[str, Any]:
        key = json.loads((self.folder / "operator.party.json").read_text("utf-8"))["signing_key"]
        listen = f"127.0.0.1:{services.free_port()}"
        made = services.run(
            ["sealroom.host", "init", "--home", str(self.host), "--operator-key", key, "--listen", listen,
             "--image", str(self.image), "--processor", str(self.socket), "--json",
             *(["--database", self.database] if self.database else [])]
        )  # fmt: skip
        return dict(json.loads(made))

    def _agree(self) -> None:
        bank, partner, operator = (self.actors[name] for name in PARTIES)
        at = ("--gateway", self.card["url"], "--gateway-certificate", self.card["certificate"])
        for actor in (bank, partner):
            actor.type("init", "--role", actor.name, "--name", actor.name, *at, "--to", self.folder)
        spec, signed = self.folder / "spec.json", self.folder / "agreement.signed.json"
        spec.write_text(json.dumps(self.spec), "utf-8")
        bank.type(
            "agreement", "new", "--template", "lookalike", "--spec", spec,
            "--party", self.folder / "partner.party.json", "--party", self.folder / "operator.party.json",
            "--operator", "operator", "--platform-root", self.folder / "cpu" / "root.der",
            "--infer", f"customers={self.folder / 'customers.csv'}", "--infer",
            f"prospects={self.folder / 'prospects.csv'}", "--output", self.folder / "agreement.json",
            "--approve", self.image,
        )  # fmt: skip
        partner.type("agreement", "sign", signed, "--approve", self.image, "--yes", "--output", signed)
        operator.type("agreement", "sign", signed, "--yes", "--output", signed)
        operator.type("init", *at)
        with self.processor(), self.serving():
            operator.type("submit", "--agreement", signed)
            bank.type(
                "seal", f"customers={self.folder / 'customers.csv'}", f"model={self.folder / 'model'}",
                f"segments={self.folder / 'segments'}", "--agreement", signed, "--submit",
            )  # fmt: skip
            partner.type("seal", f"prospects={self.folder / 'prospects.csv'}", "--agreement", signed, "--submit")

    @contextlib.contextmanager
    def processor(self) -> Iterator[Program]:
        """The simulated processor, while the block lasts."""
        command = ["sealroom.attestation.simulated", "serve", "--home", str(self.folder / "cpu"), "--socket"]
        program = Program([*command, str(self.socket)], self.folder / "processor.log")
        try:
            services.wait_for("the processor", self.socket, program.process, program.log)
            self.cpu = program
            yield program
        finally:
            program.stop()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        program = Program(["sealroom.host", "serve", "--home", str(self.host)], self.folder / "host.log")
        try:
            services.wait_for_port("the gateway", self.port, program.process, program.log)
            yield
        finally:
            program.stop()

    @property
    def port(self) -> int:
        return int(self.card["url"].rpartition(":")[2])
