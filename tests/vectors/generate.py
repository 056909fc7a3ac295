"""Writes every vector again: `python -m tests.vectors.generate`. The same bytes come out each time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from sealroom.protocol import canonical
from sealroom.protocol.keys import SealingPublicKey, from_text, to_text
from tests.vectors import (
    cases,
    make_bundles,
    make_documents,
    make_formats,
    make_history,
    make_log,
    make_releases,
    make_run,
    make_statements,
    make_witness,
    platform,
)
from tests.vectors.cases import Vector

Files = dict[str, bytes]
SEALED_TO = ("bank", "partner", "operator", "gate", "another gate")


def files() -> Files:
    """Every generated file by its path below this folder."""
    found: Files = {}
    with _determined(found) as restart:
        for source in (
            make_formats,
            make_documents,
            make_run,
            make_releases,
            make_statements,
            make_bundles,
            make_log,
            make_witness,
        ):
            make_history.history.cache_clear()
            restart()
            for path, item in source.produce():
                found[path] = item.to_bytes() if isinstance(item, Vector) else canonical.encode(item)
    return found


@contextlib.contextmanager
def _determined(found: Files) -> Iterator[Callable[[], None]]:
    """Random bytes from a counter that can be started again; HPKE outputs from the store, which gets what it lacks."""
    store: dict[str, str] = cases.shared("hpke") if (cases.SHARED / "hpke.json").exists() else {}
    used: dict[str, str] = {}
    real = SealingPublicKey.seal
    openers = {cases.sealing(name).public.raw: cases.sealing(name) for name in SEALED_TO}
    drawn = 0

    def restart() -> None:
        nonlocal drawn
        drawn = 0

    def urandom(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"sealroom vector random {drawn}".encode()).digest(size)

    def seal(self: SealingPublicKey, plaintext: bytes, *, info: bytes) -> bytes:
        name = hashlib.sha256(
            b"".join(hashlib.sha256(part).digest() for part in (self.raw, info, plaintext))
        ).hexdigest()
        if name not in store:
            store[name] = to_text(real(self, plaintext, info=info))
        used[name] = store[name]
        assert openers[self.raw].open(from_text(store[name]), info=info) == plaintext
        return from_text(store[name])

    with mock.patch.object(os, "urandom", urandom), mock.patch.object(SealingPublicKey, "seal", seal):
        yield restart
    found["shared/hpke.json"] = canonical.encode(used)
    found["shared/processor.json"] = canonical.encode(platform.kept())
    found["shared/attestations.json"] = canonical.encode(platform.USED)


def differences(folder: Path = cases.FOLDER) -> list[str]:
    """Paths whose file is not what would be written, is missing, or should not be there."""
    made = files()
    there = {str(p.relative_to(folder)) for form in (*cases.FORMATS, "shared") for p in (folder / form).glob("*")}
    there -= {"shared/agreement-document.json"}
    wrong = [path for path, data in made.items() if path not in there or (folder / path).read_bytes() != data]
    return sorted([*wrong, *(there - set(made))])


def write(say: Callable[[str], object] = sys.stdout.write) -> None:
    for path, data in files().items():
        (cases.FOLDER / path).parent.mkdir(exist_ok=True)
        (cases.FOLDER / path).write_bytes(data)
        say(f"{path}\n")


if __name__ == "__main__":
    write()
