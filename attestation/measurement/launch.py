"""What exactly is started in an image: program, arguments and the complete environment.

Runs in: parties, and the simulated processor.   Believes: nothing.   Spec: §6.4.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sealroom.protocol import canonical, digest, schema
from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import Label, Many, Text

FILE = "launch.json"
CONTAINER_IMAGE = "/opt/sealroom"
"""Where a container image holds what a process image holds at its top."""
MOST_BYTES = 1 << 16
_PLACE = "{image}"

Word = Annotated[str, Text(r"[ -~]{1,512}", 512)]
Variable = Annotated[str, Text(r"[A-Z][A-Z0-9_]{0,62}", 63)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """`launch.json`: `{image}` at the start of an argument or value stands for the image's folder.

    `layers` are the layers of confinement that must be in force before another process gets plaintext. `user` and
    `working_dir` are null for a process, which runs as its launcher and in the folder of its run.
    """

    format: Literal["sealroom/launch/v1"]
    kind: Literal["process", "container"]
    argv: Annotated[tuple[Word, ...], Many(1, 32)]
    env: Annotated[dict[Variable, Word], Many(0, 32)]
    layers: Annotated[tuple[Label, ...], Many(1, 64)]
    user: Word | None
    working_dir: Word | None

    def arguments(self, image: str) -> list[str]:
        """Program and arguments for an image at this absolute path."""
        return [_placed(word, image) for word in self.argv]

    def environment(self, image: str) -> dict[str, str]:
        """The whole environment for an image at this absolute path."""
        return {name: _placed(word, image) for name, word in self.env.items()}


def parse(data: bytes) -> LaunchSpec:
    """The launch specification in canonical bytes.

    Raises:
        Malformed: not canonical, unknown fields, a place mark inside a word, or a process that is not all in its image.
    """
    spec = schema.decode(LaunchSpec, canonical.decode(data, most=MOST_BYTES), FILE)
    for word in (*spec.argv, *spec.env.values()):
        if _PLACE in word.removeprefix(_PLACE) or ".." in word.split("/"):
            raise Malformed("launch-word", f"{FILE}: `{_PLACE}` stands at the start of a word, and `..` nowhere")
    process = spec.kind == "process"
    if process != spec.argv[0].startswith(_PLACE + "/"):
        raise Malformed(
            "launch-program", f"{FILE}: a process starts a program of its image, a container one of its base"
        )
    if process != (spec.user is None) or process != (spec.working_dir is None):
        raise Malformed("launch-kind", f"{FILE}: a container names user and working folder, a process does not")
    return spec


def digest_of(data: bytes) -> str:
    """The digest of a launch specification's bytes, as 64 hex digits."""
    return digest.sha256("launch-spec/v1", data)


def _placed(word: str, image: str) -> str:
    return image + word.removeprefix(_PLACE) if word.startswith(_PLACE) else word
