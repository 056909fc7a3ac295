"""The container launcher: creates a closed-off container, has it confirmed and measured, then starts it.

Runs in: host.   Believes: nothing.   Spec: §11.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sealroom.host import frames
from sealroom.host.launcher import hardening
from sealroom.host.launcher.base import LaunchError
from sealroom.host.launcher.hardening import Share
from sealroom.host.processor import Processor
from sealroom.protocol import wire

if TYPE_CHECKING:
    import docker

LABEL = "sealroom.home"
_POLL = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DockerHandle:
    """A started container."""

    client: docker.DockerClient
    container: str
    processor: Processor
    run_dir: Path
    measurement: str

    @property
    def note(self) -> str:
        """The container's id."""
        return json.dumps({"container": self.container})

    def alive(self) -> bool:
        """Whether it still runs; an engine that does not answer counts as gone."""
        try:
            state = self.client.api.inspect_container(self.container)["State"]
        except Exception:  # noqa: BLE001 (whatever the engine's trouble is, the enclave cannot be relied on)
            return False
        return bool(state.get("Running"))

    def wait(self, seconds: float) -> bool:
        """Wait for it to end; whether it did."""
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return True

    def kill(self) -> None:
        """Remove the container with all that was in it, and have the processor forget it."""
        _remove(self.client, self.container)
        self.processor.end(self.run_dir)
        self.client.close()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DockerLauncher:
    """Starts enclaves from an image, by its id, through an engine's socket."""

    engine: str
    image: str
    share: Share
    processor: Processor
    home: Path

    @property
    def guest(self) -> int:
        """The user that the enclave runs under."""
        return hardening.GUEST

    def launch(self, run_dir: Path, configuration: Mapping[str, Any]) -> DockerHandle:
        """Create, confirm, have measured, start.

        Raises:
            LaunchError: one of these failed; the container is gone again.
        """
        if configuration:
            raise LaunchError("a container's configuration is what the engine says it is", why="bad-configuration")
        _open_to_guest(run_dir)
        with self._engine() as client:
            container = self._create(client, run_dir)
            try:
                found = client.api.inspect_container(container)
                hardening.confirm(found, image=self.image, run_dir=run_dir, share=self.share)
                measurement = self.processor.attach_container(container=container, engine=self.engine, run_dir=run_dir)
                client.api.start(container)
            except BaseException:
                _remove(client, container)
                self.processor.end(run_dir)
                raise
        return DockerHandle(
            client=_client(self.engine), container=container, processor=self.processor, run_dir=run_dir,
            measurement=measurement,
        )  # fmt: skip

    def check(self) -> str | None:
        """The part that would keep an enclave from being launched now."""
        if not self.processor.answers():
            return "processor"
        try:
            with self._engine() as client:
                client.api.inspect_image(self.image)  # type: ignore[no-untyped-call]
        except LaunchError as error:
            return "launcher" if error.why == "engine-silent" else "image"
        return None

    def clear(self, run_dir: Path, note: str | None) -> None:
        """Have the processor forget the run; its container goes with `clear_all`."""
        self.processor.end(run_dir)
        if note:
            with contextlib.suppress(LaunchError), self._engine() as client:
                _remove(client, json.loads(note)["container"])

    def clear_all(self) -> None:
        """Remove every container that carries this home's label."""
        with contextlib.suppress(LaunchError), self._engine() as client:
            for item in client.api.containers(all=True, filters={"label": f"{LABEL}={self._label}"}):
                _remove(client, item["Id"])

    @property
    def _label(self) -> str:
        return hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:32]

    def _create(self, client: docker.DockerClient, run_dir: Path) -> str:
        hardening.engine_can(client.api.info())
        made = client.api.create_container_from_config(  # type: ignore[no-untyped-call]
            {
                "Image": self.image, "User": f"{hardening.GUEST}:{hardening.GUEST}", "NetworkDisabled": True,
                "WorkingDir": hardening.WORKING_DIR, "Hostname": "sealed", "Labels": {LABEL: self._label},
                "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False, "OpenStdin": False,
                "HostConfig": hardening.requested(run_dir, self.share),
            },
            name=f"sealroom-{self._label[:8]}-{run_dir.name}",
        )  # fmt: skip
        container = str(made["Id"])
        if made.get("Warnings"):
            _remove(client, container)
            raise LaunchError("the engine made the container only with warnings", why="engine-warns")
        return container

    @contextlib.contextmanager
    def _engine(self) -> Iterator[docker.DockerClient]:
        """A client whose every trouble is a LaunchError."""
        import docker.errors  # noqa: PLC0415 (only this launcher needs the package)
        import requests  # noqa: PLC0415

        client = _client(self.engine)
        try:
            yield client
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise LaunchError(f"the container engine failed: {type(error).__name__}", why="engine-failed") from error
        finally:
            client.close()


def _client(engine: str) -> docker.DockerClient:
    import docker  # noqa: PLC0415
    import docker.errors  # noqa: PLC0415

    try:
        # Asked first, because the package forgets to close a socket on which nobody answers.
        frames.connect(Path(engine.removeprefix("unix://")), seconds=5).close()
        return docker.DockerClient(base_url=engine, timeout=60, version="auto")
    except (docker.errors.DockerException, OSError) as error:
        raise LaunchError("the container engine does not answer", why="engine-silent") from error


def _remove(client: docker.DockerClient, container: str) -> None:
    import docker.errors  # noqa: PLC0415
    import requests  # noqa: PLC0415

    with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
        client.api.remove_container(container, force=True, v=True)


def _open_to_guest(run_dir: Path) -> None:
    """Make what is mounted. The run directory above stays closed to every other user of the machine.

    The processor opens its folder to the guest itself. Without root the socket cannot be given to the guest's user, and
    everybody may connect who can get into the run directory: the guest, through its mount, and nobody else.
    """
    (run_dir / wire.TSM_REPORTS).mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        (run_dir / wire.HOST_SOCKET).chmod(0o666)
