"""The process launcher: the simulated processor measures an image folder and starts exactly that.

Runs in: host.   Believes: nothing.   Spec: §11.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealroom.host.launcher.base import LaunchError
from sealroom.host.processor import Processor


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessHandle:
    """A process that somebody else started; the descriptor names it even if its number is used again."""

    processor: Processor
    run_dir: Path
    descriptor: int
    note: str
    measurement: str

    def alive(self) -> bool:
        """Whether it still runs."""
        return not self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for it to end; whether it did."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def kill(self) -> None:
        """Kill it and have the processor forget it. To be called once."""
        try:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
            self.processor.end(self.run_dir)
            self.wait(5)
        finally:
            os.close(self.descriptor)


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessLauncher:
    """Starts enclaves from an image folder, under our own user."""

    processor: Processor
    image: Path

    @property
    def guest(self) -> None:
        """The enclave runs as we do."""
        return

    def launch(self, run_dir: Path, configuration: Mapping[str, Any]) -> ProcessHandle:
        """Have the processor start the image with `run_dir` as its working directory.

        Raises:
            LaunchError: it did not.
        """
        pid, measurement = self.processor.launch_process(
            image=self.image, run_dir=run_dir, configuration={"launcher": "process", **configuration}
        )
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            self.processor.end(run_dir)
            raise LaunchError("the enclave was gone at once", why="gone-at-once") from error
        note = json.dumps({"pid": pid, "started": _started(pid)})
        return ProcessHandle(self.processor, run_dir, descriptor, note, measurement)

    def check(self) -> str | None:
        """The part that would keep an enclave from being launched now."""
        if not self.processor.answers():
            return "processor"
        return None if (self.image / "launch.json").is_file() else "image"

    def clear(self, run_dir: Path, note: str | None) -> None:
        """Kill the process that an earlier gateway noted, if it is still the same one."""
        noted = json.loads(note) if note else {}
        with contextlib.suppress(OSError, KeyError):
            descriptor = os.pidfd_open(noted["pid"])
            try:
                if noted["started"] is not None and _started(noted["pid"]) == noted["started"]:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
        self.processor.end(run_dir)

    def clear_all(self) -> None:
        """Nothing: a process whose gateway is gone loses its socket and ends by itself."""


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot: with the number, this names it for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
