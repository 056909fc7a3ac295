"""Container images from other bases: only a digest names one, and an image on another base measures differently."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealroom.attestation.measurement.measure import difference, measure

ADDED = "etc/another-base"
HEX = "0" * 64


def build(root: Path, base: str, out: Path, *, script: str = "build-image.sh") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / "deploy" / script, base, "sealroom:test-base"],
        env={**os.environ, "OUT": str(out), "PYTHON": sys.executable},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.mark.parametrize("script", ["build-image.sh", "build-programs.sh"])
@pytest.mark.parametrize(
    "base",
    [
        "python", "python:3.11-slim-bookworm", "python@sha256:12", f"python:3.11@sha256:{HEX}0", f"sha256:{HEX[1:]}",
        f"sha256:{HEX.replace('0', 'G')}", f"@sha256:{HEX}", f"--from=x python@sha256:{HEX}", HEX,
    ],
    ids=range(9),
)  # fmt: skip
def test_a_base_that_may_be_another_image_tomorrow_is_refused_before_anything_is_done(
    root: Path, tmp_path: Path, base: str, script: str
) -> None:
    done = build(root, base, tmp_path / "out", script=script)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sealroom: error: BASE is {base}, which may be another image tomorrow\n")
    assert not (tmp_path / "out").exists()


def docker(*words: str, stdin: Path | None = None) -> str:
    with (stdin or Path(os.devnull)).open("rb") as data:
        done = subprocess.run(["docker", *words], stdin=data, capture_output=True, timeout=300, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def another_base(root: Path, container: Path, tmp_path: Path) -> Iterator[str]:
    """The base of Debian packages with one file more, imported into the engine; its id."""
    made = root / "build" / "base.tar"
    if not made.is_file():
        pytest.skip(f"{container.name} was built on a base that was not made here")
    changed = tmp_path / "base.tar"
    with made.open("rb") as whole, changed.open("wb") as out:
        out.write(whole.read())
    with tarfile.open(changed, "a") as archive:
        entry = tarfile.TarInfo(f"./{ADDED}")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"\n"))
    name = docker("import", str(changed))
    yield name
    docker("image", "rm", "--force", name)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_image_on_another_base_named_by_its_id_measures_differently(
    root: Path, container: Path, another_base: str, tmp_path: Path
) -> None:
    done = build(root, another_base, tmp_path)
    assert done.returncode == 0, done.stderr
    built = json.loads((tmp_path / "container.json").read_text("utf-8"))
    docker("image", "rm", "--force", built["id"])
    usual = json.loads(container.read_text("utf-8"))
    assert built["base"] == another_base
    assert built["measurement"] != usual["measurement"]
    here, there = (measure(file.parent / said["archive"]) for file, said in
                   ((container, usual), (tmp_path / "container.json", built)))  # fmt: skip
    assert there.value == built["measurement"]
    assert difference(here, there) == [f"added: {ADDED}"]


@pytest.mark.docker
def test_a_base_that_the_engine_does_not_have_is_said_to_be_missing(
    root: Path, container: Path, tmp_path: Path
) -> None:
    done = build(root, f"sha256:{HEX}", tmp_path)
    assert done.returncode == 1, container
    assert f"the engine has no image sha256:{HEX}" in done.stderr
