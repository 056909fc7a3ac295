"""The measurement of an image: one number over its whole tree and over what is started in it.

Runs in: parties, and the simulated processor.   Believes: nothing.   Spec: §6.4.

A process image is a folder; a container image is what `docker save` writes. The number says what was measured, and
never more: `covers` and `leaves_out` are for the person who is about to approve it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from sealroom.attestation.measurement import image_archive, launch, tree
from sealroom.attestation.measurement.launch import LaunchSpec
from sealroom.attestation.measurement.tree import DigestCache, Entry
from sealroom.protocol import digest
from sealroom.protocol.errors import Malformed, NotAcceptable

# What an image's settings may hold besides what is compared with the launch specification.
_HARMLESS = frozenset({"Labels", "Image", "ArgsEscaped", "Hostname"})
_TREE = "path, type, mode, size and content of each of {count} entries ({megabytes} MB)"
_LAUNCH = "program, arguments, complete environment and required layers of confinement (launch.json)"
_KERNEL = "the kernel and everything below it"
_AFTER = "changes that the operator makes after the measurement: no simulated platform can see them"
_COVERS = {
    "process": (_TREE, "the interpreter, its standard library and its own libraries", _LAUNCH),
    "container": (_TREE.replace("mode", "mode, owner"), "interpreter and system libraries of the base image", _LAUNCH),
}
_LEAVES_OUT = {
    "process": (
        "shared libraries of the machine that the interpreter asks for by name, such as libc",
        "times and owners of files",
        _KERNEL,
        _AFTER,
    ),
    "container": (
        f"what engine or kernel put over {', '.join(image_archive.LEFT_OUT)}",
        "HOME and HOSTNAME, which the engine sets",
        "times of files",
        _KERNEL,
        _AFTER,
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """An image's measurement and what it is made of; digests are lower-case hex.

    `value` (48 bytes) is what a report states and owners approve; `root` is the Merkle root of `entries`; `image_id` is
    set for container images.
    """

    value: str
    kind: str
    root: str
    launch_digest: str
    launch: LaunchSpec
    image_id: str | None
    entries: tuple[Entry, ...]

    @property
    def covers(self) -> tuple[str, ...]:
        """In words, what cannot change without changing the number."""
        megabytes = sum(entry.size for entry in self.entries) // 1_000_000
        return tuple(words.format(count=len(self.entries), megabytes=megabytes) for words in _COVERS[self.kind])

    @property
    def leaves_out(self) -> tuple[str, ...]:
        """In words, what can."""
        return _LEAVES_OUT[self.kind]


def measure(path: Path, *, cache: DigestCache | None = None) -> Measurement:
    """The measurement of a process image (a folder) or a container image (a file that `docker save` wrote).

    Raises:
        Malformed: not an image, or one with something in it that no image may hold.
        NotAcceptable: a container image whose settings are not those of its launch specification.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return measure_folder(path, cache=cache)
    with open(path, "rb") as stream:
        return measure_archive(stream)


def measure_folder(path: Path, *, cache: DigestCache | None = None) -> Measurement:
    """The measurement of a process image; `cache` is for who measures the same folder again and again.

    Raises:
        Malformed: not a process image, or one with something in it that no image may hold.
        OSError: it cannot be read.
    """
    entries = tree.folder(path, cache=cache)
    try:
        with open(path / launch.FILE, "rb") as source:
            data = source.read(launch.MOST_BYTES + 1)
    except FileNotFoundError as error:
        hint = "build it with `python -m sealroom.host.image build`"
        raise Malformed("no-launch-spec", f"{path.name}: no {launch.FILE}, so no image", hint=hint) from error
    return _measurement("process", tuple(entries), data, where=launch.FILE, image_id=None)


def measure_archive(stream: BinaryIO) -> Measurement:
    """The measurement of a container image in a `docker save` stream.

    Raises:
        Malformed: not such a stream, or an image with something in it that no image may hold.
        NotAcceptable: the image's settings are not those of its launch specification.
    """
    archive = image_archive.read(stream)
    if archive.launch is None:
        raise Malformed("no-launch-spec", f"the container image has no {launch.CONTAINER_IMAGE}/{launch.FILE}")
    found = _measurement(
        "container", archive.entries, archive.launch, where=image_archive.LAUNCH_FILE, image_id=archive.id
    )
    check_settings(archive.settings.get("config"), found.launch)
    return found


def check_settings(
    settings: object, spec: LaunchSpec, *, what: str = "image", harmless: frozenset[str] = _HARMLESS
) -> None:
    """Compare the settings of an image or container with the launch specification; others than `harmless` are empty.

    Raises:
        NotAcceptable: they differ.
    """
    if not isinstance(settings, Mapping):
        raise NotAcceptable(f"{what}-settings", f"the {what} has no settings")
    found = cast("Mapping[str, Any]", settings)
    stated = {
        "Env": sorted(found.get("Env") or []),
        "Entrypoint": found.get("Entrypoint"),
        "User": found.get("User"),
        "WorkingDir": found.get("WorkingDir"),
    }
    expected = {
        "Env": sorted(f"{name}={value}" for name, value in spec.environment(launch.CONTAINER_IMAGE).items()),
        "Entrypoint": spec.arguments(launch.CONTAINER_IMAGE),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
    }
    for name, value in expected.items():
        if stated[name] != value:
            words = f"the {what}'s {name} is {stated[name]}, launch.json says {value}"
            raise NotAcceptable(f"{what}-settings", words)
    if more := sorted(name for name, value in found.items() if value and name not in {*expected, *harmless}):
        raise NotAcceptable(f"{what}-settings", f"the {what} sets {more[0]}, which launch.json does not")


def difference(one: Measurement, other: Measurement) -> list[str]:
    """In words, why two measurements differ: a line per entry, in the order of paths."""
    first, second = ({entry.path: entry for entry in found.entries} for found in (one, other))
    lines = [] if one.launch == other.launch else ["changed: what is started (launch.json)"]
    for path in sorted(first.keys() | second.keys()):
        a, b = first.get(path), second.get(path)
        if a is None or b is None:
            lines.append(f"{'added' if a is None else 'removed'}: {path}")
        elif a != b:
            what = [f.name for f in dataclasses.fields(a) if getattr(a, f.name) != getattr(b, f.name)]
            lines.append(f"changed: {path} ({', '.join(what)})")
    return lines


def _measurement(
    kind: str, entries: tuple[Entry, ...], data: bytes, *, where: str, image_id: str | None
) -> Measurement:
    spec = launch.parse(data)
    if spec.kind != kind:
        raise Malformed("launch-kind", f"{launch.FILE} is for a {spec.kind}, this is a {kind}")
    # The tree may have been read before launch.json was; both must be of one state.
    content = hashlib.sha256(data).hexdigest()
    if not any(entry.path == where and entry.content == content for entry in entries):
        raise Malformed("tree-changing", f"{launch.FILE} changed while the image was measured")
    root, launch_digest = tree.root(entries), launch.digest_of(data)
    return Measurement(
        value=digest.sha384("measurement/v1", bytes.fromhex(root), bytes.fromhex(launch_digest)),
        kind=kind,
        root=root,
        launch_digest=launch_digest,
        launch=spec,
        image_id=image_id,
        entries=entries,
    )
