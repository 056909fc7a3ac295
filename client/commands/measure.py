"""`sealroom measure`: what an image is, as one number that each party can compute alone.

Runs in: a party.   Believes: nothing about the image.   Spec: §6.4.
"""

from __future__ import annotations

from pathlib import Path

import click

from sealroom.client import measuring, ui
from sealroom.client.ui import Ui


@ui.command("measure", example="sealroom measure build/image")
@click.argument("image", type=click.Path())
def command(ui: Ui, image: str) -> None:
    """Compute the measurement of an image: a folder, or a file that `docker save` wrote.

    It also says what the number covers and leaves out. Two parties that built the same image get the same number.
    """
    with measuring.bar(ui, image):
        measured = measuring.measure(Path(image))
    ui.show(measuring.document(measured), measuring.text(measured))
