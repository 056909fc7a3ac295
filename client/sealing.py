"""Checks and encrypts one dataset or bundle on its owner's machine, and keeps its key in the home.

Runs in: a party.   Believes: the pinned agreement.   Spec: §3.3, §10.3.
"""

from __future__ import annotations

import dataclasses
import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from sealroom.client import checking, checking_arrow, files, progressing
from sealroom.client.errors import Unreachable
from sealroom.client.home import Home
from sealroom.client.objects import KeptObject
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import bundle, sealed
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Dataset
from sealroom.protocol.errors import NotAcceptable, UsageError
from sealroom.protocol.sealed import Context, Media

MEDIA: Final[dict[str, Media]] = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}


@dataclasses.dataclass(frozen=True, slots=True)
class SealedFile:
    """What was made: the kept object, the two files, and notes for the person who sealed."""

    kept: KeptObject
    ciphertext: Path
    manifest: Path
    rows: int | None
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Examined:
    """What would be made of a file that fits: rows if they were counted, and bytes of ciphertext."""

    name: str
    path: Path
    rows: int | None
    size: int
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """In words."""
        rows = "" if self.rows is None else f"{self.rows:,} rows, "
        return f"{self.name}: {self.path} fits; {rows}{self.size:,} bytes of ciphertext"


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """A plaintext to seal: how to open it, its size in bytes, and what was found out about it."""

    open: Callable[[], BinaryIO]
    size: int
    media: Media
    rows: int | None = None
    notes: tuple[str, ...] = ()


def seal(
    home: Home, pinned: PinnedAgreement, name: str, path: Path, *, folder: Path = Path(), overwrite: bool = False
) -> SealedFile:
    """Seal a CSV, Parquet or Arrow file as dataset `name`, or a folder or bundle archive as bundle `name`.

    Raises:
        UsageError: the agreement has no such object, or a file is in the way.
        NotAcceptable: it belongs to another party, or the bundle runs in another lane than agreed.
        Malformed: the data does not fit the declared columns, or the bundle is not one.
    """
    context, source = _examine(home, pinned, name, path)
    return _write(home, context, source, folder=folder, overwrite=overwrite)


def examine(home: Home, pinned: PinnedAgreement, name: str, path: Path) -> Examined:
    """What `seal` would make, having made nothing.

    Raises:
        UsageError, NotAcceptable, Malformed: as `seal`.
    """
    context, source = _examine(home, pinned, name, path)
    chunks = -(-context.size // sealed.CHUNK)
    return Examined(name, path, source.rows, context.size + chunks * sealed.TAG, source.notes)


def _examine(home: Home, pinned: PinnedAgreement, name: str, path: Path) -> tuple[Context, _Source]:
    agreement, party = pinned.agreement, home.config.party
    owner = agreement.owner_of(name)
    if owner != party:
        raise NotAcceptable("not-owner", f"{name} is {owner}'s to bring, not {party}'s")
    datasets = {d.name: d for d in agreement.datasets}
    kind: sealed.Kind = "dataset" if name in datasets else "bundle"
    source = _dataset(datasets[name], path) if kind == "dataset" else _bundle(path, agreement.bundle(name).lane)
    return Context(agreement=pinned.id, kind=kind, name=name, owner=party, media=source.media, size=source.size), source


def work(path: Path) -> int:
    """Bytes that sealing reads of a file: a CSV file is read twice, to check it and to encrypt it."""
    size = progressing.size_of([path]) if path.is_file() else 0
    return 2 * size if MEDIA.get(path.suffix.lower()) == "csv" else size


def pack(path: Path) -> bytes:
    """The deterministic archive of a job's folder, or an archive that was packed before.

    Raises:
        Malformed: it holds something that a bundle may not.
        Unreachable: it cannot be read.
    """
    if path.is_dir():
        return bundle.pack(path)
    archive = files.read(path, most=bundle.MOST_BYTES + (1 << 20))
    bundle.read(archive)
    return archive


def _write(home: Home, context: Context, source: _Source, *, folder: Path, overwrite: bool) -> SealedFile:
    """The manifest comes last; without it a sealed file is nothing."""
    ciphertext, manifest = folder / f"{context.name}.sealed", folder / f"{context.name}.manifest.json"
    if manifest.exists() and not overwrite:
        raise UsageError(f"{manifest} exists already", hint="say `--force` to seal again")
    signing = home.signing_key()
    with source.open() as plain, files.replacing(ciphertext, overwrite=overwrite, mode=0o644) as sink:
        key, unsigned = sealed.seal(plain, sink, context)
    envelope = envelopes.sign(unsigned, [signing])
    kept = home.save_object(envelope, key, ciphertext=ciphertext)
    files.write(manifest, envelope.to_bytes() + b"\n", overwrite=True, mode=0o644)
    return SealedFile(kept, ciphertext, manifest, source.rows, source.notes)


def _dataset(dataset: Dataset, path: Path) -> _Source:
    media = MEDIA.get(path.suffix.lower())
    if media is None:
        raise UsageError(f"{path} is not .csv, .parquet or .arrow", hint="a dataset is one of these")
    _require_file(path)
    if media != "csv":
        return _arrow(dataset, path, media)
    checked = checking.check_csv(dataset, path)
    if checked.as_it_is:
        return _Source(lambda: progressing.opened(path), checked.size, media, checked.rows)
    note = f"left out, because the agreement does not declare it: {', '.join(checked.undeclared)}"
    return _Source(lambda: checking.projected(checked), checked.size, media, checked.rows, (note,))


def _arrow(dataset: Dataset, path: Path, media: Media) -> _Source:
    size = path.stat().st_size
    if checking_arrow.available():
        return _Source(lambda: progressing.opened(path), size, media, checking_arrow.check(dataset, path, media))
    note = f"{path.name} was not checked against the agreement: that needs `pip install pyarrow`"
    return _Source(lambda: progressing.opened(path), size, media, None, (note,))


def _bundle(path: Path, lane: str) -> _Source:
    archive = pack(path)
    manifest = bundle.read(archive).manifest
    if manifest.lane != lane:
        raise NotAcceptable("wrong-lane", f"the bundle runs in the lane {manifest.lane!r}; agreed is {lane!r}")
    return _Source(lambda: io.BytesIO(archive), len(archive), "bundle")


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {(error.strerror or 'it failed').lower()}") from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a regular file")
