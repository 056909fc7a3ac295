"""One party at its own keyboard: runs `sealroom` commands as a program of its own, in a home of its own.

Runs in: the demo.   Believes: exit codes and JSON of the commands.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealroom.protocol.errors import SealroomError

COMMAND_SECONDS = 600


class DemoFailed(SealroomError):
    """A step of the demo did not go as told."""


@dataclasses.dataclass(slots=True)
class Actor:
    """A named party, the folder that only it uses, and every command that it typed."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    typed: list[str]

    @classmethod
    def make(cls, name: str, folder: Path) -> Actor:
        """A party with an empty folder and a passphrase of its own."""
        folder.mkdir(mode=0o700, parents=True)
        phrase = folder / "passphrase"
        phrase.touch(mode=0o600)
        phrase.write_text(secrets.token_urlsafe(24), "utf-8")
        environment = {**os.environ, "SEALROOM_HOME": str(folder / "home"), "SEALROOM_PASSPHRASE_FILE": str(phrase)}
        return cls(name, folder, environment, [])

    def type(self, *words: str | Path, may_fail: bool = False) -> dict[str, Any]:
        """Run one command and return its JSON answer, with its exit code under `exit`.

        Raises:
            DemoFailed: it failed, and may not.
        """
        arguments = [str(word) for word in words]
        self.typed.append("sealroom " + " ".join(self._short(word) for word in arguments))
        done = subprocess.run(
            [sys.executable, "-m", "sealroom.client", *arguments, "--json"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode and not may_fail:
            message = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
            raise DemoFailed(f"{self.name}: `{self.typed[-1]}` ended with {done.returncode}: {message}")
        return {**_json(done.stdout), "exit": done.returncode, "said": done.stderr.decode(errors="replace")}

    def start(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a command that keeps running, such as a broker."""
        self.typed.append("sealroom " + " ".join(words) + " &")
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "sealroom.client", *words],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def _short(self, word: str) -> str:
        return os.path.basename(word) if os.path.isabs(word) else word


def _json(data: bytes) -> dict[str, Any]:
    lines = data.decode(errors="replace").strip().splitlines()
    if not lines:
        return {}
    value = json.loads(lines[-1])
    return value if isinstance(value, dict) else {"value": value}
