"""A scene: a copy of everybody's folders, on which programs are started, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sealroom.client import collect, runs
from sealroom.client.demo import services
from sealroom.client.errors import Unreachable
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.host.store.database import Database, open_database
from tests import homes
from tests.crash import fuse
from tests.crash.programs import ROOT, Program, until
from tests.crash.template import OWNERS, RULES, Template


class Scene:
    """A copy of everybody's folders; programs are started, killed and started again, and `close` ends them all."""

    def __init__(self, template: Template, folder: Path) -> None:
        self.template, self.folder = template, folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(template.host, folder / "host")
        for party in OWNERS:
            homes.copy(template.folder / party / "home", folder / party)
        self.programs: dict[str, Program] = {}
        self.homes = {party: self.home(party) for party in OWNERS}
        self.gateways = {party: Gateway(home) for party, home in self.homes.items()}
        self._store: sqlite3.Connection | Database | None = None

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
        """Say when a program is to kill whom; it reads this when it starts, and at its next point, so always whole."""
        made = self.folder / f"{victim}.plan.made"
        made.write_text(json.dumps(plan), "utf-8")
        made.replace(self.folder / f"{victim}.plan")

    def struck(self, program: str) -> list[dict[str, Any]]:
        """Where a program killed so far, and the processes that must end with the victim."""
        return fuse.struck(self.folder / program)

    def points(self, program: str) -> list[str]:
        return [found["point"] for found in self.struck(program)]

    def said(self, program: str) -> str:
        """The end of a program's log."""
        return self.programs[program].log.read_text("utf-8")[-4000:]

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
    def store(self) -> sqlite3.Connection | Database:
        """The gateway's database, to look at from outside."""
        if self._store is None and self.template.database:
            self._store = open_database(self.folder / "host", self.template.database)
        elif self._store is None:
            path = self.folder / "host" / "host.db"
            self._store = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
            self._store.row_factory = sqlite3.Row
        return self._store

    def row(self, run: str) -> Any:
        return next(iter(self.rows("SELECT * FROM runs WHERE run = ?", run)), None)

    def state(self, run: str) -> str:
        found = self.row(run)
        return "" if found is None else str(found["state"])

    def rows(self, sql: str, *values: Any) -> list[Any]:
        store = self.store
        return store.all(sql, *values) if isinstance(store, Database) else store.execute(sql, values).fetchall()

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
