"""What every launcher does, so that nothing else depends on how an enclave is started.

Runs in: host.   Believes: nothing.   Spec: §11.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class LaunchError(RuntimeError):
    """No enclave was started, and nothing of it is left; `why` is the word for it in the log."""

    def __init__(self, message: str, *, why: str = "not-launched") -> None:
        """Keep words for people and the word for the log apart."""
        super().__init__(message)
        self.why = why


class Handle(Protocol):
    """An enclave that was started. `note` finds it again after a crash; `measurement` is what the processor says."""

    @property
    def note(self) -> str: ...

    @property
    def measurement(self) -> str: ...

    def alive(self) -> bool:
        """Whether it still runs."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for it to end; whether it did."""
        ...

    def kill(self) -> None:
        """End it, now, and clear away what the launcher made; fine when it has ended by itself."""
        ...


class Launcher(Protocol):
    """A way to start enclaves. `guest` is the user id that the enclave runs under; None when it is ours."""

    @property
    def guest(self) -> int | None: ...

    def launch(self, run_dir: Path, configuration: Mapping[str, Any]) -> Handle:
        """Start one enclave in a run directory, which holds the socket that it will connect to.

        Raises:
            LaunchError: it was not started.
        """
        ...

    def check(self) -> str | None:
        """The part that would keep an enclave from being launched now: `image`, `processor` or `launcher`; or None."""
        ...

    def clear(self, run_dir: Path, note: str | None) -> None:
        """End whatever is left of an enclave that an earlier gateway started in `run_dir`."""
        ...

    def clear_all(self) -> None:
        """End whatever is left of any enclave of this gateway's home."""
        ...
