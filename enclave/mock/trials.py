"""One job in one mock jail, watched: what it said, how long it took, how much memory it had.

Runs in: an author's machine.   Believes: the author's own code, as far as its own report goes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import re
import select
import socket
from collections.abc import Sequence
from typing import Any

from sealroom.enclave import frames
from sealroom.protocol.errors import NotAcceptable

MOST_TEXT = 64 << 10
READY_SECONDS = 180.0
_LOOK_MILLISECONDS = 20
_CONTROL = re.compile(r"[^\n\t -~\u00a0-\U0010ffff]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a job ended. `memory_bytes` is what it had at most beyond libraries and tables, None if nobody could look."""

    outcome: str
    text: str
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int | None


class Jails:
    """The process that makes mock jails, at the other end of a socket."""

    def __init__(self, nursery: socket.socket) -> None:
        """Keep the socket; the process may still be busy with its imports."""
        self._nursery = nursery
        self._layers: list[str] = []

    def layers(self) -> list[str]:
        """The layers in force around every jail.

        Raises:
            NotAcceptable: this machine cannot confine a jail.
        """
        if not self._layers:
            try:
                message, _ = frames.receive(self._nursery, timeout=READY_SECONDS)
            except (EOFError, TimeoutError) as error:
                raise NotAcceptable("no-jail", "the process that makes jails did not start") from error
            if "refused" in message:
                raise NotAcceptable("no-jail", str(message["refused"]), hint=str(message.get("hint", "")))
            self._layers = [str(layer) for layer in message["layers"]]
        return self._layers

    def run(self, message: dict[str, Any], fds: Sequence[int]) -> Trial:
        """Run one job; the descriptors stay open here.

        Raises:
            NotAcceptable: no jail can be made, or the process that makes them is gone.
        """
        self.layers()
        text, text_in_jail = os.pipe2(os.O_CLOEXEC)
        meter, meter_in_jail = socket.socketpair()
        watch = _Watch(text, meter, inputs=sum(_pages(os.fstat(fd).st_size) for fd in fds))
        try:
            with meter_in_jail:
                frames.send(self._nursery, message, [*fds, text_in_jail, meter_in_jail.fileno()])
            os.close(text_in_jail)
            watch.until(self._nursery)
            answer, _ = frames.receive(self._nursery, timeout=READY_SECONDS)
            watch.rest()
        except (EOFError, OSError) as error:
            raise NotAcceptable("no-jail", "the process that makes jails ended") from error
        finally:
            meter.close()
            os.close(text)
        return Trial(
            outcome=str(answer["outcome"]),
            text=watch.said(),
            cpu_seconds=float(answer["cpu_seconds"]),
            wall_seconds=float(answer["wall_seconds"]),
            memory_bytes=watch.used(),
        )


class _Watch:
    """Reads the pipe, keeps its last 64 KiB, and looks at the jail's memory from outside."""

    def __init__(self, text: int, meter: socket.socket, *, inputs: int) -> None:
        self._text, self._meter, self._inputs = text, meter, inputs
        self._said = bytearray()
        self._cut = False
        self._pid: int | None = None
        self._base: int | None = None
        self._peak: int | None = None

    def until(self, nursery: socket.socket) -> None:
        """Read and look until the nursery has an answer."""
        waiting = select.poll()
        for item in (self._text, self._meter.fileno(), nursery.fileno()):
            waiting.register(item, select.POLLIN)
        while True:
            ready = dict(waiting.poll(_LOOK_MILLISECONDS))
            if self._text in ready and not self._read():
                waiting.unregister(self._text)
            if self._meter.fileno() in ready and not self._mark():
                waiting.unregister(self._meter.fileno())
            self._look()
            if nursery.fileno() in ready:
                return

    def rest(self) -> None:
        """Read what is left in the pipe: nobody holds its other end any more."""
        while self._read():
            pass

    def said(self) -> str:
        """What the job said, with control characters made visible."""
        text = self._said.decode("utf-8", "backslashreplace")
        shown = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
        return f"[the beginning is left out]\n{shown}" if self._cut else shown

    def used(self) -> int | None:
        """Bytes of memory at most, beyond what was there before the job began."""
        if self._base is None or self._peak is None:
            return None
        return max(0, self._peak - self._base - self._inputs)

    def _read(self) -> bool:
        chunk = os.read(self._text, 1 << 16)
        self._said += chunk
        if len(self._said) > MOST_TEXT:
            del self._said[:-MOST_TEXT]
            self._cut = True
        return bool(chunk)

    def _mark(self) -> bool:
        try:
            mark = self._meter.recv(64)
        except OSError:
            return False
        if self._pid is None and mark.startswith(b"s") and mark[1:-1].isdigit():
            self._pid = int(mark[1:-1])
            self._base = self._memory("VmSize")
        self._look()
        with contextlib.suppress(OSError):
            self._meter.send(b"k")
        return bool(mark)

    def _look(self) -> None:
        if self._pid is not None and (peak := self._memory("VmPeak")) is not None:
            self._peak = max(self._peak or 0, peak)

    def _memory(self, field: str) -> int | None:
        """A field of proc(5) /proc/pid/status in bytes; None once the process is gone, or where it cannot be seen."""
        try:
            with open(f"/proc/{self._pid}/status", encoding="ascii", errors="replace") as file:
                found = re.search(rf"^{field}:\s+([0-9]+) kB$", file.read(1 << 14), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) << 10 if found else None


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
