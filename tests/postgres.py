"""A PostgreSQL server of the tests' own: in a temporary folder, over a Unix socket, as somebody who is not root."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

BOTH = ("sqlite", "postgresql")
MISSING = "there is no PostgreSQL server to start here (on Debian: apt install postgresql)"


def binaries() -> Path | None:
    """The folder of the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """Started, killed and started again; every commit on disk before it is answered, as operators have it."""

    def __init__(self) -> None:
        programs = binaries()
        if programs is None:
            pytest.skip(MISSING)
        self.programs = programs
        # Not below pytest's own folder: the path of a Unix socket is short, and another user must reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="sealroom-pg-", dir="/tmp"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._names = (f"test{number}" for number in itertools.count())
        self.process: subprocess.Popen[bytes] | None = None
        options = ["--username=sealroom", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = self._run("initdb", "-D", str(self.folder / "data"), *options)
        assert made.returncode == 0, made.stderr.decode()

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self.programs / program), *words], capture_output=True, check=False, timeout=120, cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL, **self._who,
        )  # fmt: skip

    def start(self) -> None:
        settings = [
            "listen_addresses=",
            "shared_buffers=16MB",
            "max_connections=24",
            f"unix_socket_directories={self.folder}",
        ]
        words = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *words], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.folder, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                **self._who,
            )  # fmt: skip
        end = time.monotonic() + 60
        while self._run("pg_isready", "-h", str(self.folder), "-U", "sealroom").returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut does it: every process of the server at once, with nothing written any more."""
        assert self.process is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, check=False
        )
        for pid in (self.process.pid, *map(int, children.stdout.split())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://sealroom@/{name}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of a database that is empty."""
        name = next(self._names)
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def sql(self, statement: str, *values: Any, url: str = "") -> list[tuple[Any, ...]]:
        """Ask as an administrator would, past our own code."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect(url or self.url(), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []
