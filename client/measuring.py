"""The measurement of an image, computed on the party's own machine from its bytes alone.

Runs in: a party.   Believes: nothing about the image.   Spec: §6.4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealroom.attestation.measurement.measure import Measurement, measure_archive, measure_folder
from sealroom.client import progressing
from sealroom.client.errors import Unreachable
from sealroom.client.ui import Ui


def measure(path: Path) -> Measurement:
    """The measurement of an image folder, or of a file that `docker save` wrote.

    Raises:
        Unreachable: it cannot be read.
        Malformed, NotAcceptable: it is no image, or not one that may be run.
    """
    try:
        if path.is_dir():
            return measure_folder(path, cache=progressing.digests())
        with progressing.opened(path) as stream:
            return measure_archive(stream)
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {(error.strerror or 'it failed').lower()}") from error


@contextlib.contextmanager
def bar(ui: Ui, image: str | None) -> Iterator[None]:
    """A bar over an image that is measured while the block lasts; nothing if there is none."""
    if image is None:
        yield
        return
    with ui.reading("measuring", progressing.size_of([Path(image)])):
        yield


def document(measured: Measurement) -> dict[str, Any]:
    """The measurement as JSON, with what it covers and what it leaves out."""
    return {
        "measurement": measured.value, "kind": measured.kind, "root": measured.root, "launch": measured.launch_digest,
        "image_id": measured.image_id, "covers": list(measured.covers), "leaves_out": list(measured.leaves_out),
    }  # fmt: skip


def text(measured: Measurement) -> str:
    """The measurement for people."""
    covers = [f"  + {line}" for line in measured.covers]
    leaves = [f"  - {line}" for line in measured.leaves_out]
    return "\n".join(
        [measured.value, "", f"a {measured.kind} image; the number covers", *covers, "and leaves out", *leaves]
    )
