"""Reads a container image as `docker save` writes it, in one pass, into the entries of its final file system.

Runs in: parties, and the simulated processor.   Believes: nothing.   Spec: §6.4.

Layers are tar files inside a tar file (Docker image specification v1.2; OCI image layer, "Changesets"). The list of
layers comes last, so every layer is read where it stands and they are put together at the end. Digests tie layers and
settings to the image's id.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from typing import IO, Any, BinaryIO, Literal, cast

from sealroom.attestation.measurement.launch import CONTAINER_IMAGE, FILE
from sealroom.attestation.measurement.tree import MOST_ENTRIES, Entry
from sealroom.protocol.errors import Malformed

MOST_BYTES = 16 << 30
MOST_DOCUMENT = 4 << 20
MOST_MEMBERS = 4096
LAUNCH_FILE = f"{CONTAINER_IMAGE}/{FILE}".lstrip("/")
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_ENGINES = frozenset({"etc/hostname", "etc/hosts", "etc/resolv.conf"})
_KERNELS = ("proc", "sys", "dev")
LEFT_OUT = (*sorted(_ENGINES), *_KERNELS)
"""Paths that engine or kernel cover with their own in every container."""


@dataclasses.dataclass(frozen=True, slots=True)
class ImageArchive:
    """A container image: its id (`sha256:...` of its settings), its settings, and the entries of its file system.

    `launch` holds the bytes of its launch specification, if it has one.
    """

    id: str
    settings: Mapping[str, Any]
    entries: tuple[Entry, ...]
    launch: bytes | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    """One line of a layer: an entry, a hard link to an earlier path, or the removal of what is below."""

    path: str
    kind: Literal["entry", "hard-link", "remove", "empty"]
    entry: Entry | None = None
    target: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Layer:
    digest: str
    changes: tuple[_Change, ...]


Kept = dict[str, bytes]
"""SHA-256 -> bytes of the one small file that is read and not only hashed."""


def read(stream: BinaryIO) -> ImageArchive:
    """The image in a `docker save` stream of exactly one image.

    Raises:
        Malformed: not such an archive, several images, a layer that is not the one its settings name, a device or pipe,
            a file with extended attributes, or too much of anything.
    """
    found = _Found()
    try:
        with tarfile.open(fileobj=cast("BinaryIO", _Bounded(stream)), mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                found.take(archive, member)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
        raise Malformed("image-archive", "not an image archive as `docker save` writes it") from error
    return found.image()


class _Found:
    """What the pass over the outer archive has found so far, by member name."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self._documents: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        self._kept: Kept = {}

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if len(self._layers) + len(self._documents) + len(self._links) == MOST_MEMBERS:
            raise Malformed("image-archive", f"the image archive has more than {MOST_MEMBERS} members")
        if member.issym():
            # The engine stores a layer that occurs twice as a link to its first place.
            self._links[member.name] = _joined(member.name.split("/")[:-1], member.linkname)
        elif member.isfile() and (source := archive.extractfile(member)):
            buffered = cast("io.BufferedReader", source)
            head = buffered.peek(512)
            if head[:2] == _GZIP or head[257:262] == b"ustar":
                self._layers[member.name] = _read_layer(buffered, self._kept)
            elif member.size <= MOST_DOCUMENT:
                self._documents[member.name] = buffered.read()

    def image(self) -> ImageArchive:
        manifest = _json(self._documents.get("manifest.json"), list, "manifest.json")
        if len(manifest) != 1 or not isinstance(manifest[0], dict) or not isinstance(manifest[0].get("Layers"), list):
            raise Malformed("image-archive", "the image archive does not hold exactly one image")
        raw = self._documents.get(str(manifest[0].get("Config")))
        settings = _json(raw, dict, "the image's settings")
        layers = [self._layers.get(self._links.get(str(name), str(name))) for name in manifest[0]["Layers"]]
        rootfs = settings.get("rootfs")
        stated = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not layers or [layer.digest if layer else None for layer in layers] != stated:
            raise Malformed("image-layers", "the layers in the archive are not those that the image's settings name")
        entries = _flatten([layer for layer in layers if layer])
        launch = next((self._kept.get(entry.content) for entry in entries if entry.path == LAUNCH_FILE), None)
        return ImageArchive(f"sha256:{hashlib.sha256(raw or b'').hexdigest()}", settings, entries, launch)


def _joined(base: list[str], target: str) -> str:
    parts = list(base)
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _json(data: bytes | None, kind: type[Any], what: str) -> Any:
    try:
        value = json.loads(data or b"")
    except (ValueError, RecursionError) as error:
        raise Malformed("image-archive", f"{what}: missing from the image archive, or not JSON") from error
    if not isinstance(value, kind):
        raise Malformed("image-archive", f"{what}: of another shape than `docker save` writes")
    return value


def _read_layer(source: io.BufferedReader, kept: Kept) -> _Layer:
    plain = gzip.GzipFile(fileobj=source) if source.peek(2)[:2] == _GZIP else source
    counted = _Bounded(cast("BinaryIO", plain), hashlib.sha256())
    changes: list[_Change] = []
    with tarfile.open(
        fileobj=cast("BinaryIO", counted), mode="r|", bufsize=_BLOCK, encoding="utf-8", errors="strict"
    ) as layer:
        for member in layer:
            if len(changes) == MOST_ENTRIES:
                raise Malformed("tree-size", f"a layer has at most {MOST_ENTRIES} entries")
            changes += _change(layer, member, kept)
    while counted.read(_BLOCK):
        pass
    return _Layer(f"sha256:{counted.hexdigest()}", tuple(changes))


def _change(layer: tarfile.TarFile, member: tarfile.TarInfo, kept: Kept) -> list[_Change]:
    path = _joined([], member.name)
    if not path:
        return []
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        return [_Change(folder, "empty")]
    if name.startswith(_WHITEOUT):
        gone = name.removeprefix(_WHITEOUT)
        return [_Change(f"{folder}/{gone}" if folder else gone, "remove")]
    if member.islnk():
        return [_Change(path, "hard-link", target=_joined([], member.linkname))]
    return [_Change(path, "entry", _entry(layer, member, path, kept))]


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str, kept: Kept) -> Entry | None:
    """The entry, or None for what the kernel covers anyway, which may be a device."""
    if _covered(path):
        return None
    if any(name.startswith(("SCHILY.xattr.", "LIBARCHIVE.xattr.")) for name in member.pax_headers):
        raise Malformed("tree-special", f"the image holds a file with extended attributes: {path}")
    mode, owner = member.mode & 0o7777, f"{member.uid}:{member.gid}"
    if member.isdir():
        return Entry(path, "directory", mode, owner, 0, "")
    if member.issym():
        return Entry(path, "link", 0o777, owner, 0, member.linkname)
    source = layer.extractfile(member) if member.isfile() else None
    if source is None or member.issparse():
        raise Malformed("tree-special", f"the image holds a device or pipe: {path}")
    if path == LAUNCH_FILE and member.size <= MOST_DOCUMENT:
        data = source.read()
        content = hashlib.sha256(data).hexdigest()
        kept[content] = data
    else:
        content = _digest(source)
    return Entry(path, "file", mode, owner, member.size, content)


def _digest(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _covered(path: str) -> bool:
    return path in _ENGINES or path.split("/", 1)[0] in _KERNELS


def _flatten(layers: Sequence[_Layer]) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for layer in layers:
        # Removals are about the layers below, wherever they stand in this one.
        removed = {change.path for change in layer.changes if change.kind == "remove"}
        emptied = {change.path for change in layer.changes if change.kind == "empty"}
        if removed or emptied:
            found = {path: entry for path, entry in found.items() if not _is_gone(path, removed, emptied)}
        for change in layer.changes:
            if change.kind in ("entry", "hard-link") and not _covered(change.path):
                _put(found, change)
    for path in found:
        parent = found.get(path.rpartition("/")[0])
        if parent is not None and parent.kind != "directory":
            raise Malformed("image-layers", f"a path leads through something that is not a folder: {path}")
    return tuple(found.values())


def _is_gone(path: str, removed: set[str], emptied: set[str]) -> bool:
    above = [path[:at] for at, letter in enumerate(path) if letter == "/"]
    return path in removed or any(folder in removed or folder in emptied for folder in above) or "" in emptied


def _put(found: dict[str, Entry], change: _Change) -> None:
    entry = change.entry
    if change.kind == "hard-link":
        target = found.get(change.target)
        if target is None or target.kind != "file":
            raise Malformed("image-layers", f"a hard link leads to no file: {change.path} -> {change.target}")
        entry = dataclasses.replace(target, path=change.path)
    if entry is None:
        return
    before = found.get(change.path)
    if before is not None and before.kind == "directory" and entry.kind != "directory":
        for name in [name for name in found if name.startswith(change.path + "/")]:
            del found[name]
    found[change.path] = entry


class _Bounded:
    """A stream that counts, and if asked hashes, what is read from it."""

    def __init__(self, stream: BinaryIO, digest: hashlib._Hash | None = None) -> None:
        self._stream, self._left, self._digest = stream, MOST_BYTES, digest

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Malformed("too-large", "the image archive, or a layer in it, is too large")
        if self._digest:
            self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """The SHA-256 of all that was read."""
        return self._digest.hexdigest() if self._digest else ""
