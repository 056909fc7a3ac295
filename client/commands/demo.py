"""`sealroom demo`: plays bank, partner and operator on this machine.

Runs in: anybody's machine.   Believes: nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from sealroom.client import doctor, ui
from sealroom.client.demo import pair as pairs
from sealroom.client.demo import play, stage
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError

_ROOT = Path(__file__).resolve().parent.parent.parent
_BUILD = "build it and its description: `make image-docker`"
_DATA = _ROOT / "jobs" / "data" / "lookalike"


@ui.command("demo", example="sealroom demo --image build/image")
@click.option("--image", required=True, type=click.Path(file_okay=False), help="Image folder to launch.")
@click.option(
    "--container", type=click.Path(dir_okay=False), help="Or: what deploy/build-image.sh wrote about a container image."
)
@click.option("--data", type=click.Path(file_okay=False), help="Folder of another pair of files.")
@click.option("--spec", type=click.Path(dir_okay=False), help="Its description (docs/DEMO.md).")
@click.option(
    "--folder", default="build/demo", show_default=True, type=click.Path(file_okay=False), help="Where to play."
)
@click.option("--only-overlap", is_flag=True, help="Leave the look-alike run out.")
def command(
    ui: Ui, image: str, container: str | None, data: str | None, spec: str | None, folder: str, *, only_overlap: bool
) -> None:
    """Play the main job on real data, every party with a home and programs of its own; leaves report.html.

    With --container, runs are launched in Docker; otherwise as processes of this user.
    """
    if lacking := doctor.lacking(docker=container is not None):
        words = "; ".join(f"{item.name}: {item.detail}" for item in lacking)
        hint = next(
            (item.hint for item in lacking if item.hint), "the other commands work here; `sealroom doctor` says more"
        )
        raise UsageError(f"this machine cannot launch an enclave: {words}", hint=hint)
    props = _props(Path(image), container, Path(data) if data else _DATA, spec, Path(folder))
    report = play.play(props, ui.say, learn=not only_overlap)
    ui.show({"report": report}, f"report: {Path(folder) / 'report.html'}")


def _props(image: Path, container: str | None, data: Path, spec: str | None, folder: Path) -> stage.Props:
    pair = pairs.load(Path(spec) if spec else data / "pair.toml")
    launched, measured, launcher, engine = str(image.resolve()), image.resolve(), "process", None
    if container is not None:
        launched, measured, launcher = *_built(Path(container)), "docker"
        engine = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    return stage.Props(
        folder=folder.resolve(),
        data=data.resolve(),
        pair=pair,
        model=_ROOT / "jobs" / "lookalike",
        segments=_ROOT / "jobs" / "overlap" if pair.segments else None,
        launcher=launcher,
        image=launched,
        measured=measured,
        engine=engine,
    )


def _built(path: Path) -> tuple[str, Path]:
    """The image id and the archive that a build wrote down; the archive is named relative to the file.

    Raises:
        UsageError: the file is not what deploy/build-image.sh writes, or its archive is gone.
    """
    try:
        built = json.loads(path.read_text("utf-8"))
        image, archive = str(built["id"]), (path.parent / str(built["archive"])).resolve()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} does not describe a container image", hint=_BUILD) from error
    if not archive.is_file():
        raise UsageError(f"{archive} is not there", hint=_BUILD)
    return image, archive
