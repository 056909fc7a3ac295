"""A party's home in one sealed file: complete, unreadable without its passphrase, and frozen when it comes back."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from sealroom.client import liveness, safekeeping, seat
from sealroom.client.errors import NotAuthorized
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine, SealroomError, UsageError
from tests.client_broker.world import PASSPHRASE, World

PHRASE = "a passphrase of five words"
NOW = 1_800_000_000.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of an owner whose ledger has entries, and a broker of which runs."""
    world = World(tmp_path / "world")
    world.ask("overlap")
    world.play()
    made = world.homes["partner"]
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PASSPHRASE)
    liveness.show(made.root, "answering", now=NOW)
    (made.root / "runs" / "one").mkdir(parents=True, mode=0o700)
    (made.root / "runs" / "one" / "large").write_bytes(bytes(range(256)) * 1000)
    return made


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_everything_comes_back_but_what_belongs_to_the_place(home: Home, tmp_path: Path) -> None:
    file, folder = tmp_path / "backup", tmp_path / "new" / "home"
    with Ledger.open(home.root, "partner") as ledger:  # as a broker that runs holds it
        before, entries = files(home.root), ledger.entries()
        count = safekeeping.backup(home, file)
    assert entries
    assert file.stat().st_mode & 0o777 == 0o600
    assert safekeeping.restore(file, folder, now=NOW) == count
    after = files(folder)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.rglob("*")))
    place = {"ledger.lock", "ledger.seat", "ledger.db-wal", "ledger.db-shm", liveness.FILE}
    assert set(after) == (set(before) - place) | {"ledger.db", seat.MARK}
    changed = {name for name in after if name in before and after[name] != before[name]}
    assert changed <= {"ledger.db"}
    assert not list(home.root.glob(".ledger*"))
    with Ledger.open(folder, "partner") as ledger:
        assert ledger.entries()[: len(entries)] == entries


def test_the_ledger_of_a_restored_home_takes_nothing_before_it_is_confirmed(home: Home, tmp_path: Path) -> None:
    file, folder = tmp_path / "backup", tmp_path / "home"
    safekeeping.backup(home, file)
    safekeeping.restore(file, folder, now=NOW)
    assert "2027-01-15" in (folder / seat.MARK).read_text("utf-8")
    with Ledger.open(folder, "partner") as ledger:
        assert "restored" in [entry.draft.name for entry in ledger.entries() if entry.draft.kind == "frozen"]
        with pytest.raises(NotAcceptable) as refused:
            ledger.require_live()
    assert refused.value.code == "E3.ledger-frozen"


def test_nothing_of_the_home_can_be_read_in_the_file(home: Home, tmp_path: Path) -> None:
    safekeeping.backup(home, tmp_path / "backup")
    data = (tmp_path / "backup").read_bytes()
    for text in (b"partner", b"config.json", b"ustar", home.public_keys().signing.text.encode(), bytes(range(256))):
        assert text not in data


def test_another_passphrase_neither_makes_nor_opens_a_backup(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safekeeping.backup(home, tmp_path / "backup")
    monkeypatch.setenv("SEALROOM_PASSPHRASE", "another passphrase")
    with pytest.raises(NotAuthorized):
        safekeeping.backup(home, tmp_path / "second")
    with pytest.raises(NotAuthorized):
        safekeeping.restore(tmp_path / "backup", tmp_path / "home", now=NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "world"]


def test_nothing_is_overwritten(home: Home, tmp_path: Path) -> None:
    safekeeping.backup(home, tmp_path / "backup")
    with pytest.raises(UsageError, match="exists already"):
        safekeeping.backup(home, tmp_path / "backup")
    for place in (home.root, tmp_path / "backup"):
        with pytest.raises(UsageError, match="not empty"):
            safekeeping.restore(tmp_path / "backup", place, now=NOW)


def test_a_backup_altered_or_cut_anywhere_is_refused_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    safekeeping.backup(home, tmp_path / "backup")
    good = (tmp_path / "backup").read_bytes()
    first = good.index(b"\n") + 1
    chunk = safekeeping._CHUNK + safekeeping._TAG
    assert len(good) > first + 24 + 2 * chunk, "several chunks"
    places = [first, first + 24, first + 24 + chunk, len(good) - 1]
    altered = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in places]
    swapped = bytearray(good)
    a, b = first + 24 + chunk, first + 24 + 2 * chunk
    swapped[first + 24 : a], swapped[a:b] = good[a:b], good[first + 24 : a]
    cut = [good[:at] for at in (first + 10, first + 24, first + 24 + chunk, len(good) - 1)]
    line = good[:first].replace(b'"passes":3', b'"passes":4') + good[first:]
    for bad in (*altered, bytes(swapped), *cut, line, good + b"x"):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises((NotGenuine, NotAuthorized)):
            safekeeping.restore(tmp_path / "bad", tmp_path / "in" / "home", now=NOW)
        assert list((tmp_path / "in").iterdir()) == []
    for bad in (b"", b"{}\n", good[: first - 1].replace(b'"passes":3', b'"passes":99') + good[first - 1 :]):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(Malformed):
            safekeeping.restore(tmp_path / "bad", tmp_path / "in" / "home", now=NOW)


def sealed(target: Path, phrase: str, content: bytes) -> None:
    """A backup of any content, by somebody who knows the passphrase."""
    line = safekeeping.Line(
        format="sealroom/backup/v1", kdf="argon2id13", passes=2, memory=64 << 20, salt="A" * 22,
        cipher="xchacha20poly1305-secretstream",
    )  # fmt: skip
    from sealroom.protocol import canonical, schema  # noqa: PLC0415

    with target.open("wb") as file:
        sink = safekeeping._Sealing(file, canonical.encode(schema.encode(line)) + b"\n", safekeeping._key(phrase, line))
        sink.write(content)
        sink.finish()


def tar(*members: tuple[str, bytes, Any]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "config.json"
            archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


FILE = tarfile.REGTYPE
INSIDE = {
    "a way out": tar(("config.json", b"{}", FILE), ("../out", b"x", FILE)),
    "a path from the root": tar(("/tmp/out", b"x", FILE)),
    "a link": tar(("config.json", b"{}", FILE), ("keys", b"", tarfile.SYMTYPE)),
    "a folder": tar(("keys", b"", tarfile.DIRTYPE)),
    "the same file twice": tar(("config.json", b"{}", FILE), ("config.json", b"[]", FILE)),
    "another mark": tar(("restored", b"never mind", FILE), ("config.json", b"{}", FILE)),
    "a lock": tar(("ledger.lock", b"", FILE), ("config.json", b"{}", FILE)),
    "no home": tar(("keys", b"x", FILE)),
    "no archive": b"nothing of the kind" * 100,
    "nothing": b"",
}


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_a_backup_is_not_restored_that_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PHRASE)
    sealed(tmp_path / "backup", PHRASE, INSIDE[name])
    with pytest.raises(SealroomError):
        safekeeping.restore(tmp_path / "backup", tmp_path / "in" / "home", now=time.time())
    assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == ["backup"]
    assert list((tmp_path / "in").iterdir()) == []
