"""One agreement on made-up data, prepared once by real programs; every case plays on a copy of all its folders."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sealroom.client import collect, runs
from sealroom.client.demo import services
from sealroom.client.demo.actors import Actor
from sealroom.client.errors import Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from tests.crash import fuse

ALL = os.environ.get("SEALROOM_CRASH") == "all"
"""Every victim at every step, instead of the part that always runs."""
ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = ROOT / "build" / "image"
OWNERS = ("bank", "partner")
PARTIES = (*OWNERS, "operator")
RULES = ("overlap", "cells")
PATIENCE = 90.0
KILLED = -signal.SIGKILL
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


def until(holds: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Wait until `holds` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds} seconds for: {what}"
        time.sleep(0.05)
    return found


class Program:
    """A program of its own that may be killed; its output goes to a log."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        services.stop(self.process)


class Template:
    """Three parties, their agreement, sealed objects at a gateway that is stopped; a processor that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.actors = {name: Actor.make(name, folder / name) for name in PARTIES}
        self.phrases = {name: (folder / name / "passphrase").read_text("utf-8") for name in PARTIES}
        self.socket = folder / "cpu.sock"
        self.cpu: Program | None = None
        self.host = folder / "host"
        self.image = self._own_image()
        self._data()
        self.actors["operator"].type("init", "--role", "operator", "--name", "operator", "--to", folder)
        services.run(["sealroom.attestation.simulated", "init", "--home", str(folder / "cpu")])
        self.card = self._gateway_card()
        self._agree()

    def _own_image(self) -> Path:
        """A copy by hard links where there are any: an image that is built meanwhile is not launched."""
        copy = self.folder / "image"
        done = subprocess.run(["cp", "-al", str(IMAGE), str(copy)], capture_output=True, check=False)
        if done.returncode:
            shutil.rmtree(copy, ignore_errors=True)
            return IMAGE
        return copy

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
             "--image", str(self.image), "--processor", str(self.socket), "--json"]
        )  # fmt: skip
        return dict(json.loads(made))

    def _agree(self) -> None:
        bank, partner, operator = (self.actors[name] for name in PARTIES)
        at = ("--gateway", self.card["url"], "--gateway-certificate", self.card["certificate"])
        for actor in (bank, partner):
            actor.type("init", "--role", actor.name, "--name", actor.name, *at, "--to", self.folder)
        spec, signed = self.folder / "spec.json", self.folder / "agreement.signed.json"
        spec.write_text(json.dumps(SPEC), "utf-8")
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


class Scene:
    """A copy of everybody's folders; programs are started, killed and started again, and `close` ends them all."""

    def __init__(self, template: Template, folder: Path) -> None:
        self.template, self.folder = template, folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(template.host, folder / "host")
        for party in OWNERS:
            shutil.copytree(template.folder / party / "home", folder / party)
        self.programs: dict[str, Program] = {}
        self.homes = {party: self.home(party) for party in OWNERS}
        self.gateways = {party: Gateway(home) for party, home in self.homes.items()}
        self._store: sqlite3.Connection | None = None

    def home(self, party: str) -> Home:
        home = Home.open(self.folder / party)
        home._passphrase = self.template.phrases[party]
        return home

    def close(self) -> None:
        for program in self.programs.values():
            program.kill()
        for gateway in self.gateways.values():
            gateway._transport.close()
        if self._store is not None:
            self._store.close()

    def start_gateway(self, plan: dict[str, Any] | None = None, *, wait: bool = True) -> Program:
        """The real program, or the same one with a plan of when to kill whom; that one may die before it serves."""
        home = self.folder / "host"
        command = ["sealroom.host", "serve", "--home", str(home)]
        if plan is not None:
            self.plan("gateway", plan)
            command = ["tests.crash.gateway", str(home), str(self.folder / "gateway")]
        program = self.programs["gateway"] = Program(command, self.folder / "gateway.log")
        if wait:
            services.wait_for_port("the gateway", self.template.port, program.process, program.log)
        return program

    def start_broker(self, party: str, plan: dict[str, Any] | None = None) -> Program:
        """`sealroom broker --watch`, or the same broker with a plan of when to die."""
        command = ["sealroom.client", "broker", "--watch", "--every", "0.5"]
        if plan is not None:
            self.plan(party, plan)
            command = ["tests.crash.party", str(self.folder / party), *command[1:]]
        program = self.programs[party] = Program(command, self.folder / f"{party}.log", self.environment(party))
        return program

    def plan(self, victim: str, plan: dict[str, Any]) -> None:
        """Say when a program is to kill whom; it reads this when it starts."""
        (self.folder / f"{victim}.plan").write_text(json.dumps(plan), "utf-8")

    def struck(self, program: str) -> list[dict[str, Any]]:
        """Where a program killed so far, and the processes that must end with the victim."""
        return fuse.struck(self.folder / program)

    def points(self, program: str) -> list[str]:
        return [found["point"] for found in self.struck(program)]

    def start_brokers(self) -> None:
        for party in OWNERS:
            self.start_broker(party)

    def environment(self, party: str) -> dict[str, str]:
        phrase = self.template.folder / party / "passphrase"
        return {"SEALROOM_HOME": str(self.folder / party), "SEALROOM_PASSPHRASE_FILE": str(phrase)}

    def broker_once(self, party: str, *words: str) -> tuple[int, str]:
        """One look of a party's broker: exit code, and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "sealroom.client", "broker", "--once", *words], cwd=ROOT, check=False, timeout=120,
            env={**os.environ, **self.environment(party)}, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        return done.returncode, done.stderr.decode()

    def ask(self, rules: Sequence[str] = RULES, *, unanswered: Callable[[], object] | None = None) -> str:
        """Ask for a run; when nobody answers, call `unanswered` and send the same request again."""
        made = None
        for _ in range(16):
            try:
                made = made or runs.prepare(self.homes["bank"], self.gateways["bank"], rules=rules)
                runs.send(self.gateways["bank"], made)
            except Unreachable:
                if unanswered is None:
                    raise
                unanswered()
            else:
                return made.run
        raise AssertionError("the gateway never took the request")

    @property
    def store(self) -> sqlite3.Connection:
        """The gateway's database, to look at from outside."""
        if self._store is None:
            path = self.folder / "host" / "host.db"
            self._store = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
            self._store.row_factory = sqlite3.Row
        return self._store

    def row(self, run: str) -> sqlite3.Row:
        return self.store.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()

    def state(self, run: str) -> str:
        found = self.row(run)
        return "" if found is None else str(found["state"])

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self.store.execute(sql, values).fetchall()

    def ended(self, run: str) -> str:
        """Wait for a run's final state."""
        final = ("done", "refused", "failed", "expired", "stopped")
        until(lambda: self.state(run) in final, f"the end of run {run[:8]}, which is {self.state(run)}")
        return self.state(run)

    def cosigned(self, run: str) -> set[str]:
        return {row["party"] for row in self.rows("SELECT party FROM cosignatures WHERE run = ?", run)}

    @contextlib.contextmanager
    def ledger(self, party: str) -> Iterator[Ledger]:
        """A party's ledger, its chain verified; its broker must not run."""
        with Ledger.open(self.folder / party, party) as ledger:
            yield ledger

    def collect(self, party: str, run: str) -> dict[str, bytes]:
        """What a recipient opens: content by rule."""
        got = collect.collect(self.homes[party], self.gateways[party], run)
        return {item.rule: item.path.read_bytes() for item in got.opened}
