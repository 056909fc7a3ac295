"""The two places in which hostile bundles are run: the image of the process launcher, and a container of the other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sealroom.host.launcher import hardening
from sealroom.host.launcher.hardening import Share
from tests.redteam.contracts import CANARY

ROOT = Path(__file__).resolve().parents[2]
Results = dict[str, str]
_SECONDS = 400
_SHARE = Share(memory=2 << 30, processes=128, processors=2.0)
_IN_CONTAINER, _APP = "/run/redteam", "/opt/sealroom"


class NoPlaceError(Exception):
    """There is no image, or no engine that has it; the message says which."""


def in_process(image: Path, only: Sequence[str] = ()) -> Results:
    """Run all cases in the interpreter of the process launcher's image.

    Raises:
        NoPlaceError: the image was not built.
    """
    if not (image / "launch.json").is_file():
        raise NoPlaceError("there is no image: run `make image`")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.json")
        command = _command(str(image / "python" / "bin" / "python3"), str(image), str(ROOT), str(file), only)
        ended = subprocess.run(command, env=_environment(), check=False, timeout=_SECONDS)
        return _read(file, f"the runner ended with {ended.returncode}")


def in_container(engine: str, image: str, only: Sequence[str] = ()) -> Results:
    """Run all cases in one container, made with the settings of the launcher and two folders more.

    Raises:
        NoPlaceError: no engine answers, or it does not have the image.
    """
    with _client(engine, image) as client, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 -- the guest is another user
        container = client.api.create_container_from_config(_container(image, folder, only))["Id"]
        try:
            client.api.start(container)
            status = client.api.wait(container, timeout=_SECONDS)
            os.write(1, client.api.logs(container))
        finally:
            client.api.remove_container(container, force=True, v=True)
        return _read(Path(folder, "results.json"), f"the runner ended with {status}")


def built_image() -> tuple[str, str]:
    """Engine and id of the container image that was built last.

    Raises:
        NoPlaceError: there is none, or the sources are newer.
    """
    command = [ROOT / "deploy" / "launcher.sh", ROOT / "build" / "image"]
    environment = {**os.environ, "LAUNCHER": "docker", "BUILD": "no"}
    chosen = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if chosen.returncode:
        raise NoPlaceError(chosen.stderr.strip().removeprefix("sealroom: error: ") or "no launch in Docker")
    described = json.loads((ROOT / chosen.stdout.split("--container", 1)[1].strip()).read_text("utf-8"))
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock", described["id"]


def _command(python: str, image: str, tests: str, results: str, only: Sequence[str], *more: str) -> list[str]:
    folders = [f"{image}/app", f"{image}/job", tests]
    start = f"import sys; sys.path += {folders!r}; from tests.redteam import runner; sys.exit(runner.main())"
    command = [python, "-I", "-S", "-B", "-c", start, "--boot", f"{image}/app/boot.py", "--json", results, *more]
    return [*command, "--only", *only] if only else command


def _environment() -> dict[str, str]:
    """A secret that whoever sees the launcher's environment would see."""
    return {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "SEALROOM_SECRET": CANARY.decode()}


def _container(image: str, folder: str, only: Sequence[str]) -> dict[str, Any]:
    settings = hardening.requested(Path(folder), _SHARE)
    settings["LogConfig"] = {"Type": "json-file", "Config": {}}
    settings["Mounts"] = [
        {"Type": "bind", "Source": str(ROOT / "tests"), "Target": f"{_IN_CONTAINER}/tests", "ReadOnly": True},
        {"Type": "bind", "Source": folder, "Target": f"{_IN_CONTAINER}/results", "ReadOnly": False},
    ]
    results = f"{_IN_CONTAINER}/results/results.json"
    command = _command("/usr/local/bin/python3", _APP, _IN_CONTAINER, results, only, "--contained")
    return {
        "Image": image, "User": f"{hardening.GUEST}:{hardening.GUEST}", "NetworkDisabled": True, "Hostname": "sealed",
        "WorkingDir": "/", "Entrypoint": command[:1], "Cmd": command[1:],
        "Env": [f"{name}={value}" for name, value in _environment().items()],
        "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False, "OpenStdin": False,
        "HostConfig": settings,
    }  # fmt: skip


@contextlib.contextmanager
def _client(engine: str, image: str) -> Iterator[Any]:
    import docker  # noqa: PLC0415 -- only this place needs the package
    import docker.errors  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        try:
            client = docker.DockerClient(base_url=engine, timeout=_SECONDS)
            stack.callback(client.close)
            client.images.get(image)
        except (docker.errors.DockerException, OSError) as error:
            raise NoPlaceError(f"no engine answers at {engine} that has the image") from error
        yield client


def _read(file: Path, otherwise: str) -> Results:
    if not file.is_file():
        raise RuntimeError(otherwise)
    found: Results = json.loads(file.read_text("utf-8"))
    return found
