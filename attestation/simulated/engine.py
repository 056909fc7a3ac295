"""Asks a container engine what it is about to run, over its own API socket and not through the launcher.

Runs in: the operator's machine, outside the enclave.   Believes: the engine.   Spec: §6.6 (Docker Engine API).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from sealroom.protocol.errors import Malformed, UsageError

SECONDS = 120.0
MOST_ANSWER = 8 << 20
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")


class Engine:
    """A container engine at `unix:///path`."""

    def __init__(self, address: str) -> None:
        """Name the engine; nothing is opened yet.

        Raises:
            UsageError: not a Unix socket.
        """
        if not address.startswith("unix:///"):
            raise UsageError(f"the engine must be reached over a Unix socket, not {address!a}")
        self._path = address.removeprefix("unix://")

    def container(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container, by its full id."""
        return cast("dict[str, Any]", self._json(f"/containers/{_full(_CONTAINER, name)}/json", dict))

    def changes(self, name: str) -> list[Any]:
        """What differs between a container's file system and its image."""
        return cast("list[Any]", self._json(f"/containers/{_full(_CONTAINER, name)}/changes", list, none=[]))

    @contextlib.contextmanager
    def saved(self, image: str) -> Iterator[BinaryIO]:
        """The `docker save` stream of an image, by its full id."""
        with self._get(f"/images/{_full(_IMAGE, image)}/get") as answer:
            yield cast("BinaryIO", answer)

    def _json(self, path: str, kind: type[Any], none: Any = None) -> Any:
        with self._get(path) as answer:
            data = answer.read(MOST_ANSWER + 1)
        if len(data) > MOST_ANSWER:
            raise Malformed("engine", f"the engine's answer to {path} is too long")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Malformed("engine", f"the engine's answer to {path} is not JSON") from error
        value = none if value is None else value
        if not isinstance(value, kind):
            raise Malformed("engine", f"the engine's answer to {path} has another shape than expected")
        return value

    @contextlib.contextmanager
    def _get(self, path: str) -> Iterator[http.client.HTTPResponse]:
        with contextlib.closing(_Connection(self._path)) as connection:
            # Without a version, since no single one is spoken by all engines.
            connection.request("GET", path)
            with contextlib.closing(connection.getresponse()) as answer:
                if answer.status != http.client.OK:
                    raise Malformed("engine", f"the engine answered {answer.status} to {path}")
                yield answer


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def _full(pattern: re.Pattern[str], name: str) -> str:
    if pattern.fullmatch(name) is None:
        raise UsageError(f"not a full id: {name!a}")
    return name
