"""Keeps what a host sees while it serves: plaintext of all traffic, run folders, processes, and what its engine tells.

The proxy stands before the gateway with the gateway's own certificate and key, so it reads whatever the gateway reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PAUSE = 0.03
MOST_BYTES = 16 << 20
Look = Iterator[tuple[str, Callable[[], bytes]]]


class Traffic:
    """A proxy on a local port; every direction of every connection ends up in a file of its own."""

    def __init__(self, folder: Path, *, listen: int, forward: int, certificate: Path, key: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._forward, self._number = folder, forward, 0
        self._listener = socket.create_server(("127.0.0.1", listen))
        self._accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._accepting.load_cert_chain(certificate, key)
        self._calling = ssl.create_default_context(cafile=str(certificate))
        self._stop = threading.Event()
        self._listener.settimeout(0.2)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections; what runs ends with its peers."""
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                plain, _ = self._listener.accept()
                self._number += 1
                threading.Thread(target=self._carry, args=(plain, self._number), daemon=True).start()

    def _carry(self, plain: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(plain.close)
            plain.settimeout(60)
            caller = stack.enter_context(self._accepting.wrap_socket(plain, server_side=True))
            onward = stack.enter_context(socket.create_connection(("127.0.0.1", self._forward), 60))
            gateway = stack.enter_context(self._calling.wrap_socket(onward, server_hostname="127.0.0.1"))
            back = threading.Thread(target=self._pump, args=(gateway, caller, f"{number:05}-answers"), daemon=True)
            back.start()
            self._pump(caller, gateway, f"{number:05}-calls")
            back.join(60)

    def _pump(self, source: ssl.SSLSocket, target: ssl.SSLSocket, name: str) -> None:
        with (self._folder / name).open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                file.write(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Watch:
    """Copies, several times a second, whatever there is of runs: files, processes, containers.

    `plant` is put into every run folder, to be found there.
    """

    def __init__(self, folder: Path, *, runs: Path, plant: bytes, engine: Any = None, image: str = "") -> None:
        folder.mkdir(parents=True)
        self._folder, self._runs, self._engine, self._image, self._plant = folder, runs, engine, image, plant
        self._stop = threading.Event()
        self._seen: set[str] = set()
        self._looks = 0
        self._looked = threading.Condition()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def close(self) -> None:
        """Look once more, then no more."""
        self._stop.set()
        self._thread.join()

    def wait(self, seconds: float = 120) -> None:
        """Return when all that is there now has been looked at."""
        with self._looked:
            # The look that is going on may have passed it by.
            enough = self._looks + 2
            assert self._looked.wait_for(lambda: self._looks >= enough, seconds)

    def _loop(self) -> None:
        while not self._stop.wait(PAUSE):
            self._look()
        self._look()

    def _look(self) -> None:
        self._look_everywhere()
        with self._looked:
            self._looks += 1
            self._looked.notify_all()

    def _look_everywhere(self) -> None:
        for look in (self._files, self._processes, self._containers):
            for name, read in look():
                # What goes away while one looks was seen a moment before.
                with contextlib.suppress(OSError):
                    self._keep(name, read())

    def _keep(self, name: str, data: bytes) -> None:
        mark = hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
        if mark not in self._seen:
            self._seen.add(mark)
            (self._folder / f"{name.replace('/', '_')[-120:]}.{mark[:8]}").write_bytes(name.encode() + b"\n" + data)

    def _files(self) -> Look:
        for folder, _, names in os.walk(self._runs):
            if Path(folder).parent == self._runs and "planted" not in names:
                with contextlib.suppress(OSError):
                    Path(folder, "planted").write_bytes(self._plant)
            for name in names:
                path = Path(folder, name)
                if path.is_file():
                    yield f"file/{path.relative_to(self._runs)}", lambda path=path: _head(path)

    def _processes(self) -> Look:
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and self._is_ours(process):
                for name in ("cmdline", "environ", "comm"):
                    yield f"process/{name}", lambda path=process / name: _head(path)

    def _is_ours(self, process: Path) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(process / "cwd").startswith(str(self._runs))
        return False

    def _containers(self) -> Look:
        if self._engine is None:
            return
        with contextlib.suppress(Exception):  # an engine says many things of a container that goes away
            for item in self._engine.api.containers(all=True, filters={"ancestor": self._image}):
                for name, ask in self._questions(item["Id"]):
                    with contextlib.suppress(Exception):
                        data = ask()
                        yield f"container/{item['Id'][:12]}/{name}", lambda data=data: data

    def _questions(self, container: str) -> Look:
        api = self._engine.api
        # An engine answers with an error, or with nothing, where a container logs nowhere.
        yield "logs", lambda: bytes(api.logs(container, stdout=True, stderr=True))
        yield "inspect", lambda: json.dumps(api.inspect_container(container), sort_keys=True).encode()
        yield "changes", lambda: json.dumps(api.diff(container)).encode()
        yield "processes", lambda: json.dumps([row[-1] for row in api.top(container)["Processes"]]).encode()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)
