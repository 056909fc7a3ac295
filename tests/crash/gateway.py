"""`sealroom-host serve`, except that it kills itself or its enclave as a plan says.

`python -m tests.crash.gateway HOME PREFIX`. The plan is read anew whenever a run is taken from the queue. Points are
the commits of the gateway's database, ciphertexts that get their name, and messages to and from gate and processor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sealroom.host import __main__ as program
from sealroom.host.frames import Channel
from sealroom.host.store.blobs import Blobs
from sealroom.host.store.database import Database
from tests.crash.fuse import Fuse
from tests.crash.processes import children, command_of
from tests.crash.processes import runs as is_running

GUEST: list[int] = []
_TOLD = ("event", "party", "status")


def strike(victim: str) -> list[int]:
    """Kill the gate, one of its two processes, or the next jail; every process of the enclave, none if it is gone."""
    gate = GUEST[-1]
    below = {pid: command_of(pid) for pid in children(gate)}
    if victim == "jail":
        return _strike_jail(gate)
    chosen = gate if victim == "gate" else next((pid for pid, command in below.items() if victim in command), 0)
    everybody = [gate, *below, *(pid for child in below for pid in children(child))]
    return everybody if chosen and _killed(chosen) else []


def _strike_jail(gate: int) -> list[int]:
    """Wait for a jail, kill it before its work is done, and end with the enclave if there is none any more."""
    while is_running(gate):
        for child in children(gate):
            for jail in children(child):
                if _killed(jail):
                    return [jail]
        time.sleep(0.001)
    return []


def _killed(pid: int) -> bool:
    """Whether there was a process to kill."""
    there = is_running(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return there


def commit_name(frame: FrameType | None) -> str:
    """What is being written: the method of the store that asked for it, and the little that tells two calls apart.

    Brokers cosign the log whenever they look, whatever state a run is in: that has a name of its own.
    """
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent.name == "store" and path.name != "database.py":
            told = [str(frame.f_locals[name]) for name in _TOLD if isinstance(frame.f_locals.get(name), str)]
            if frame.f_code.co_name == "note":
                told.append("guest" if frame.f_locals["guest"] else "gone")
            return " ".join([*(["log"] if path.name == "log.py" else []), frame.f_code.co_name, *told])
        frame = frame.f_back
    return "other"


def around_commits(fuse: Fuse) -> None:
    """Put a point right before and right after each outermost commit."""
    inner = Database.writing

    @contextlib.contextmanager
    def writing(self: Database, **how: bool) -> Iterator[None]:
        with self._lock:
            outermost = not self._inside
            name = commit_name(sys._getframe(2)) if outermost else ""
            with inner(self, **how):
                yield
                if outermost:
                    fuse.point(f"before commit {name}")
            if outermost:
                if name == "step take":
                    fuse.load()
                fuse.point(f"after commit {name}")

    Database.writing = writing  # type: ignore[method-assign]


def around_messages(fuse: Fuse) -> None:
    """Put a point after each message sent or received."""
    receive, send = Channel.receive, Channel.send

    def receiving(self: Channel, **named: Any) -> Any:
        message, fds = receive(self, **named)
        if "pid" in message:
            GUEST.append(message["pid"])
        words = [message.get("type", "reply"), message.get("phase", "")]
        fuse.point("after receiving " + " ".join(word for word in words if word))
        return message, fds

    def sending(self: Channel, message: dict[str, Any], *arguments: Any, **named: Any) -> None:
        send(self, message, *arguments, **named)
        fuse.point(f"after sending {message.get('type') or message.get('op')}")

    Channel.receive, Channel.send = receiving, sending  # type: ignore[method-assign]


def around_files(fuse: Fuse) -> None:
    """Put a point before and after a ciphertext gets its name."""
    inner = Blobs._publish

    def publish(self: Blobs, made: Path, digest: str) -> None:
        fuse.point("before naming an offer's ciphertext")
        inner(self, made, digest)
        fuse.point("after naming an offer's ciphertext")

    Blobs._publish = publish  # type: ignore[method-assign]


def main() -> None:
    """Serve with points."""
    home, prefix = sys.argv[1:]
    fuse = Fuse(Path(prefix), strike=strike)
    around_commits(fuse)
    around_messages(fuse)
    around_files(fuse)
    sys.argv[:] = ["sealroom-host", "serve", "--home", home]
    program.main()


if __name__ == "__main__":
    main()
