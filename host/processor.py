"""Asks the simulated secure processor to launch, attach to, and end an enclave.

Runs in: host.   Believes: nothing; what the processor says counts only in the evidence that it signs.   Spec: §10.1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealroom.host import frames
from sealroom.host.launcher.base import LaunchError

_PATIENCE = 30.0
_MEASUREMENT = re.compile(r"[0-9a-f]{96}")


@dataclasses.dataclass(frozen=True, slots=True)
class Processor:
    """The processor behind a Unix socket; every call is a connection of its own."""

    path: Path
    seconds: float = 120

    def launch_process(self, *, image: Path, run_dir: Path, configuration: Mapping[str, Any]) -> tuple[int, str]:
        """Have it measure and start the process image; (pid, measurement).

        Raises:
            LaunchError: it did not.
        """
        reply = self._call(
            {"op": "launch-process", "image": str(image), "run": str(run_dir), "configuration": dict(configuration)}
        )
        pid = reply.get("pid")
        if type(pid) is not int or pid <= 1:
            raise LaunchError("the processor names no process", why="processor-garbage")
        return pid, _measurement(reply)

    def attach_container(self, *, container: str, engine: str, run_dir: Path) -> str:
        """Have it inspect and measure a container that was created but not started; the measurement.

        Raises:
            LaunchError: it did not.
        """
        reply = self._call({"op": "attach-container", "container": container, "engine": engine, "run": str(run_dir)})
        return _measurement(reply)

    def answers(self) -> bool:
        """Whether it answers at all, within half a minute: it does one thing at a time, and may be measuring."""
        try:
            self._call({"op": "describe"}, seconds=min(self.seconds, _PATIENCE))
        except LaunchError as error:
            return error.why == "processor-refuses"
        return True

    def end(self, run_dir: Path) -> None:
        """Have it stop serving a run; fine when it is not there or serves no such run."""
        with contextlib.suppress(LaunchError):
            self._call({"op": "end", "run": str(run_dir)})

    def _call(self, message: dict[str, Any], *, seconds: float | None = None) -> dict[str, Any]:
        seconds = seconds or self.seconds
        try:
            with frames.connect(self.path, seconds=seconds) as sock:
                channel = frames.Channel(sock)
                channel.send(message, seconds=seconds)
                reply, _ = channel.receive(seconds=seconds)
        except (OSError, EOFError, frames.GarbageError) as error:
            words = f"the simulated processor does not answer: {type(error).__name__}"
            raise LaunchError(words, why="processor-silent") from error
        if "error" in reply:
            raise LaunchError(f"the simulated processor refuses: {_words(reply['error'])}", why="processor-refuses")
        return reply


def _words(error: object) -> str:
    """What the processor says, for the operator's own log: printable, one line."""
    said = error.get("message") if isinstance(error, dict) else error
    return "".join(c if c.isascii() and c.isprintable() else " " for c in str(said))[:300]


def _measurement(reply: dict[str, Any]) -> str:
    value = reply.get("measurement")
    if not isinstance(value, str) or not _MEASUREMENT.fullmatch(value):
        raise LaunchError("the processor names no measurement", why="processor-garbage")
    return value
