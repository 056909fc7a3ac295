"""The operator's side of the demo: the simulated secure processor and the gateway, as programs of their own.

Runs in: the demo.   Believes: exit codes, and the ready line of each program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sealroom.client.demo.actors import DemoFailed

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextlib.contextmanager
def running(command: Sequence[str], *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, then stop it gracefully, and for certain."""
    with log.open("ab") as file:
        process = subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a program gracefully, and for certain."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(what: str, ready: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a socket or file is there.

    Raises:
        DemoFailed: the program ended first, or took too long; the message holds the end of its log.
    """
    end = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > end:
            tail = log.read_text("utf-8", "replace")[-800:]
            raise DemoFailed(f"{what} did not start: {tail}")
        time.sleep(0.05)


def wait_for_port(what: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something answers on a local port.

    Raises:
        DemoFailed: as `wait_for`.
    """
    end = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if process.poll() is not None or time.monotonic() > end:
            tail = log.read_text("utf-8", "replace")[-800:]
            raise DemoFailed(f"{what} did not start: {tail}")
        time.sleep(0.05)


def free_port() -> int:
    """A local port that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def run(command: Sequence[str]) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        DemoFailed: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
        env={**os.environ},
    )
    if done.returncode:
        raise DemoFailed(f"`{' '.join(command)}` failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()
