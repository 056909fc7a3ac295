"""What `agreement new --sign` and `agreement sign` share: sign, approve an image on the way, pin when complete.

Runs in: a party.   Believes: what it measured itself.   Spec: §4.1, §5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from sealroom.client import agreeing, approving, measuring
from sealroom.client.agreeing import Document
from sealroom.client.home import Home
from sealroom.client.ui import Ui

F = TypeVar("F", bound=Callable[..., None])


def options(function: F) -> F:
    """Add `--sign`, `--approve` and `--days`."""
    function = click.option("--days", default=90, show_default=True, metavar="N", help="How long the approval holds.")(
        function
    )
    function = approve_option(function)
    return click.option("--sign", is_flag=True, help="Sign the draft at once.")(function)


def approve_option(function: F) -> F:
    """Add `--approve`."""
    words = "Measure this image and approve it (signs too)."
    return click.option("--approve", type=click.Path(), metavar="IMAGE", help=words)(function)


def signed_path(path: Path) -> Path:
    """`agreement.json` gives `agreement.signed.json`; what is called so already stays."""
    return path if path.name.endswith(".signed.json") else path.with_suffix(".signed.json")


def sign_and_approve(
    home: Home, document: Document, target: Path, image: str | None, days: int, *, overwrite: bool
) -> dict[str, Any]:
    """Sign into `target`, approve `image` if one is named, pin if everybody signed; returns the answer's fields.

    Raises:
        NotAcceptable: the agreement names other keys, or does not follow the pinned version.
    """
    envelope = agreeing.sign(home, document)
    measured = None if image is None else measuring.measure(Path(image))
    agreeing.write_envelope(target, envelope, overwrite=overwrite)
    agreeing.keep_signed(home, envelope)
    pinned = agreeing.pin_if_complete(home, envelope)
    answer: dict[str, Any] = {
        "signed": str(target), "agreement": document.id, "version": envelope.digest, "pinned": pinned is not None,
        "missing": list(agreeing.missing(home, envelope)), "approval": None, "measurement": None,
    }  # fmt: skip
    if measured is not None:
        approval = approving.approve(home, document.id, measured.value, days=days)
        answer |= {"approval": approval.digest, "measurement": measured.value}
    return answer


def in_words(answer: Mapping[str, Any]) -> str:
    """The answer for people."""
    lines = [f"signed       {answer['signed']}", f"agreement    {answer['agreement'][:16]}"]
    if answer["measurement"]:
        lines.append(f"approved     {answer['measurement']}")
    state = "pinned: everybody has signed" if answer["pinned"] else f"still to sign: {', '.join(answer['missing'])}"
    return "\n".join([*lines, f"state        {state}"])


def say_next(ui: Ui, answer: Mapping[str, Any]) -> None:
    """What comes now."""
    if answer["pinned"]:
        ui.hint("send the file to the others; then `sealroom seal NAME=FILE ... --submit`")
    else:
        ui.hint(f"send it to {answer['missing'][0]}, who says `sealroom agreement sign {Path(answer['signed']).name}`")
