"""What the demo is launched from: the image folder, and a container image where there is an engine that has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def image(root: Path) -> Path:
    """The image folder."""
    folder = root / "build" / "image"
    if not (folder / "launch.json").is_file():
        pytest.fail("there is no image: run `make image` first")
    return folder


@pytest.fixture(scope="session")
def container(root: Path, image: Path) -> Path:
    """What describes the container image of the present sources, if there is an engine that has it."""
    chosen = subprocess.run(
        [root / "deploy" / "launcher.sh", image],
        env={**os.environ, "LAUNCHER": "docker", "BUILD": "no"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if chosen.returncode:
        pytest.skip(chosen.stderr.strip().removeprefix("sealroom: error: ") or "no launch in Docker")
    return root / chosen.stdout.split("--container", 1)[1].strip()


@pytest.fixture(scope="session")
def instead_of_docker(request: pytest.FixtureRequest) -> None:
    """Skip what another test plays in Docker, where it does: it takes a minute, and differs by the launcher alone."""
    if os.environ.get("LAUNCHER") == "process":
        return
    try:
        request.getfixturevalue("container")
    except pytest.skip.Exception:
        return
    pytest.skip("the same is played in Docker here; LAUNCHER=process plays it all the same")
