"""Pruning, backup and restore: nothing that is needed goes, wherever it is killed; a damaged backup is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
import os
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sealroom.host import __main__ as program
from sealroom.host import backup, settings, tls, upkeep
from sealroom.host.backup import BackupError
from sealroom.host.runs import QUEUED
from sealroom.host.store import open_store, schema
from sealroom.host.store.pruning import Plan, Pruning
from tests.postgres import BOTH

STORES = BOTH

DAY = 86400.0
CIPHERTEXT = b"sealed release" * 100


def finished(gateway: Any, name: str = "one", *, state: str = "done", opaque: bool = False) -> tuple[str, str]:
    """A run that ended now with one offer; (run, offer)."""
    g = gateway
    run = g.start(opaque=opaque, nonce=hashlib.sha256(name.encode()).hexdigest())
    g.store.database.write(
        "UPDATE runs SET state = ?, since = ?, shown_at = ?, launched = ?, evidence = ?, receipt = ?,"
        " receipt_digest = ? WHERE run = ?",
        state, g.clock(), g.clock(), g.clock(), b"{}", b"{}", "0" * 64, run,
    )  # fmt: skip
    data = CIPHERTEXT + name.encode()
    digest = hashlib.sha256(data).hexdigest()
    descriptor = os.memfd_create("release")
    os.write(descriptor, data)
    g.store.blobs.take(descriptor, size=len(data), digest=digest)
    os.close(descriptor)
    offer = hashlib.sha256(f"offer {name}".encode()).hexdigest()
    g.store.database.write("INSERT INTO offers VALUES (?, 0, ?, ?, ?)", run, offer, b"{}", digest)
    g.store.database.write("INSERT INTO consents VALUES (?, ?, 'partner', ?)", run, offer, b"{}")
    return run, offer


def short(gateway: Any, parties: Any) -> None:
    """Go on with an agreement that expires in an hour."""
    first = parties.agreement(title="short", not_after=int(gateway.clock()) + 3600)
    gateway.call.ok("operator", "PUT", f"/agreements/{first.digest}", first)
    gateway.agreement = gateway.version = first.digest


def prune(gateway: Any, *, dry_run: bool = False, **changes: Any) -> Plan:
    used = dataclasses.replace(gateway.settings, **changes)
    return Pruning(gateway.store, used).prune(gateway.clock(), dry_run=dry_run)


def rows(gateway: Any, table: str) -> int:
    return int(gateway.store.database.number(f"SELECT count(*) FROM {table}"))  # noqa: S608 (our own names)


def contents(gateway: Any) -> dict[str, Any]:
    """Everything that is stored, but for tables that a call to look would change."""
    database = gateway.store.database
    found: dict[str, Any] = {}
    for name in schema.TABLES:
        columns = ", ".join(database.columns(name))
        found[name] = sorted((tuple(row) for row in database.all(f"SELECT {columns} FROM {name}")), key=repr)  # noqa: S608
    for folder in ("done", "partial"):
        found[folder] = sorted(p.name for p in (gateway.settings.home / "blobs" / folder).iterdir())
    return found


def ciphertext(gateway: Any, run: str, offer: str) -> Any:
    return gateway.call("bank", "GET", f"/runs/{run}/offers/{offer}/ciphertext")


# Pruning.


def test_ciphertext_goes_first_then_the_offer_and_what_was_decided_stays(gateway: Any, helpers: Any) -> None:
    g = gateway
    run, offer = finished(g)
    assert ciphertext(g, run, offer).status_code == 200
    g.clock.now += g.settings.keep_results - 60
    assert prune(g).counts() | {"nonces": 0} == dict.fromkeys(prune(g).counts(), 0)
    g.clock.now += 120
    assert prune(g).results == ((run, offer),)
    assert helpers.code(ciphertext(g, run, offer)) == (410, "pruned")
    assert len(g.call.ok("bank", "GET", f"/runs/{run}/offers")["offers"]) == 1
    g.clock.now += g.settings.keep_offers
    assert prune(g).offers == ((run, offer),)
    assert g.call.ok("bank", "GET", f"/runs/{run}/offers")["offers"] == []
    assert g.call("bank", "GET", f"/runs/{run}/receipt").content == b"{}"
    assert len(g.call.ok("bank", "GET", f"/runs/{run}/consents")["consents"]) == 1
    assert (rows(g, "runs"), rows(g, "run_objects"), rows(g, "challenges")) == (1, 2, 2)
    assert not g.store.blobs.path(hashlib.sha256(CIPHERTEXT + b"one").hexdigest()).exists()
    # The agreement is in force: its objects are all there.
    assert len(g.store.blobs.finished()) == 2


@pytest.mark.parametrize("state", ["waiting-for-challenges", "queued", "waiting-for-grants", "running",
                                   "waiting-for-consent"])  # fmt: skip
def test_nothing_of_an_open_run_ever_goes(gateway: Any, parties: Any, state: str) -> None:
    g = gateway
    short(g, parties)
    finished(g, state=state)
    g.clock.now += 100 * 365 * DAY
    before = contents(g)
    plan = prune(g)
    assert (plan.results, plan.offers, plan.objects, plan.files) == ((), (), (), ())
    assert contents(g) | {"nonces": 0} == before | {"nonces": 0}


def test_a_run_that_ended_behind_its_slot_boundary_is_kept_from_then_on(gateway: Any) -> None:
    g = gateway
    run, offer = finished(g)
    g.store.database.write("UPDATE runs SET shown_at = ? WHERE run = ?", g.clock() + 30 * DAY, run)
    g.clock.now += g.settings.keep_results + 60
    assert prune(g).results == ()
    g.clock.now += 30 * DAY
    assert prune(g).results == ((run, offer),)


@pytest.mark.parametrize("ended", ["stopped", "expired"])
def test_objects_go_when_their_agreement_ended_long_ago_and_can_be_brought_again(
    gateway: Any, parties: Any, ended: str
) -> None:
    g = gateway
    if ended == "expired":
        short(g, parties)
    g.objects()
    half = parties.manifest("bank", "customers", g.agreement, b"h" * 2_000_000)
    g.call.ok("bank", "PUT", f"/objects/{half.digest}", half)
    g.call.ok("bank", "PUT", f"/objects/{half.digest}/chunks/0", b"h" * ((1 << 20) + 16))
    if ended == "stopped":
        stop = parties.of("partner", "stop", g.agreement, created=int(g.clock()) + 10**6)
        g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", stop)
        g.clock.now += 10**6
    g.clock.now += g.settings.keep_objects
    assert prune(g).objects == ()
    g.clock.now += 3700
    plan = prune(g)
    assert (len(plan.objects), len(plan.files)) == (3, 3)
    assert plan.size == 1000 + 2000 + (1 << 20) + 16
    assert (rows(g, "objects"), rows(g, "chunks")) == (0, 0)
    assert g.store.blobs.finished() + g.store.blobs.unfinished() == []
    assert rows(g, "agreements") >= 1
    g.objects()
    assert len(g.store.blobs.finished()) == 2


def test_a_dry_run_says_exactly_what_is_then_removed_and_changes_nothing(gateway: Any) -> None:
    g = gateway
    finished(g)
    logs = g.settings.home / "logs"
    logs.mkdir()
    for day, days in (("old", 40), ("new", 1)):
        (logs / time.strftime("%Y-%m-%d.jsonl", time.gmtime(g.clock() + g.settings.keep_results - days * DAY))).touch()
        (logs / f"{day}.txt").touch()
    g.call("bank", "GET", "/agreements")
    g.clock.now += g.settings.keep_results + 60
    before = contents(g)
    said = prune(g, dry_run=True)
    assert contents(g) == before
    assert all(path.exists() for path in (*said.files, *said.logs))
    done = prune(g)
    assert done == said
    assert (len(done.results), len(done.files), len(done.logs), done.nonces) == (1, 1, 1, len(before["nonces"]))
    assert not any(path.exists() for path in (*done.files, *done.logs))
    assert len(list(logs.iterdir())) == 3
    again = prune(g)
    assert (again.results, again.files, again.logs, again.nonces) == ((), (), (), 0)


def test_a_file_that_nothing_names_goes_after_a_day_and_a_named_one_never(gateway: Any) -> None:
    g = gateway
    g.objects()
    old, fresh = (g.settings.home / "blobs" / "done" / secrets.token_hex(32) for _ in range(2))
    upload = g.settings.home / "blobs" / "partial" / secrets.token_hex(32)
    for path in (old, fresh, upload):
        path.write_bytes(b"left over")
    for path in (old, upload, *g.store.blobs.finished()):
        if path != fresh:
            os.utime(path, (0, 0))
    assert sorted(prune(g).files) == sorted([old, upload])
    assert fresh.exists()
    assert len(g.store.blobs.finished()) == 3


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


@pytest.fixture
def fuse(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Has the process die before the n-th write or removal."""
    left = [-1]
    kinds = (type(gateway.store.database), type(Path()))
    write, unlink = kinds[0].write, kinds[1].unlink

    def burn() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def dying_write(self: Any, *args: Any) -> Any:
        burn()
        return write(self, *args)

    def dying_unlink(self: Any, **options: Any) -> None:
        burn()
        unlink(self, **options)

    monkeypatch.setattr(kinds[0], "write", dying_write)
    monkeypatch.setattr(kinds[1], "unlink", dying_unlink)
    yield lambda count: left.__setitem__(0, count)
    monkeypatch.undo()


def test_killed_at_any_point_no_row_names_a_missing_file_and_the_next_pruning_finishes(
    gateway: Any, fuse: Callable[[int], None]
) -> None:
    g = gateway
    points = 0
    while True:
        points += 1
        finished(g, f"run {points}")
        g.call.ok("bank", "GET", "/agreements")
        g.clock.now += g.settings.keep_results + 60
        fuse(points)
        try:
            prune(g)
        except Killed:
            pass
        else:
            break
        finally:
            fuse(-1)
        named = g.store.database.all("SELECT ciphertext FROM offers WHERE ciphertext != ''")
        assert all(g.store.blobs.path(row["ciphertext"]).exists() for row in named)
        for path in g.store.blobs.finished():
            os.utime(path, (0, 0))
        prune(g)
        assert len(g.store.blobs.finished()) == 2, "the two objects of the agreement"
    assert points > 3


def test_what_an_owner_announces_again_meanwhile_is_not_removed(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    g = gateway
    g.objects()
    stop = g.parties.of("partner", "stop", g.agreement)
    g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", stop)
    g.clock.now += g.settings.keep_objects + 60
    forget = Pruning._forget

    def and_again(self: Pruning, plan: Plan, now: float) -> None:
        kept = g.store.database.all("SELECT * FROM objects WHERE name = 'customers'")
        forget(self, plan, now)
        for row in kept:
            g.store.database.write("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *[*row][:10])

    monkeypatch.setattr(Pruning, "_forget", and_again)
    assert len(prune(g).files) == 2
    assert [p.name for p in g.store.blobs.finished()] == [hashlib.sha256(b"c" * 1000).hexdigest()]


def test_a_home_whose_offers_would_go_before_their_ciphertext_is_refused(gateway: Any) -> None:
    with pytest.raises(settings.BadSettings, match="keep_offers"):
        dataclasses.replace(gateway.settings, keep_offers=1)


# Backup and restore.


@pytest.fixture
def home(gateway: Any, helpers: Any) -> Any:
    """A gateway with settings and keys, a run that ended, one that is open, and an upload that is not whole."""
    g = gateway
    settings.save(g.settings)
    tls.create(
        certificate=g.settings.certificate, key=g.settings.private_key, url=g.settings.url, now=dt.datetime.now(dt.UTC)
    )
    finished(g)
    run = g.start(nonce="11" * 32)
    g.challenge(run)
    stored = g.store.runs.get(run)
    assert stored.state == QUEUED
    g.store.runs.note(stored, run_dir="/nowhere/runs/1", guest="{}")
    half = g.parties.manifest("bank", "customers", g.agreement, b"h" * 2_000_000)
    g.call.ok("bank", "PUT", f"/objects/{half.digest}", half)
    g.call.ok("bank", "PUT", f"/objects/{half.digest}/chunks/0", b"h" * ((1 << 20) + 16))
    g.half = half.digest
    return g


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def pack(file: Path, found: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as archive:
        for name, data in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def relist(found: dict[str, bytes], **changes: Any) -> None:
    listed = json.loads(found["list.json"])
    files = {n: [len(d), hashlib.sha256(d).hexdigest()] for n, d in found.items() if n != "list.json"}
    found["list.json"] = json.dumps({**listed, "files": files, **changes}).encode()


def test_what_is_restored_is_what_was_backed_up_while_the_gateway_went_on(home: Any, tmp_path: Path) -> None:
    g = home
    file = tmp_path / "out" / "backup.tar"
    file.parent.mkdir()
    before = contents(g)
    said = backup.make(g.settings.home, file, database=g.settings.database, now=g.clock())
    assert file.stat().st_mode & 0o777 == 0o600
    g.start(nonce="22" * 32)
    restored = tmp_path / "new" / "home"
    assert backup.restore(file, restored) == said
    assert [p.name for p in restored.parent.iterdir()] == ["home"]
    assert not list(g.settings.home.glob(".snapshot*"))
    store = open_store(restored, most=1 << 30)
    other = dataclasses.replace(g, store=store, settings=settings.load(restored))
    after = contents(other)
    for table in before:
        if table not in ("runs", "chunks", "partial", "objects"):
            assert after[table] == before[table], table
    assert (after["chunks"], after["partial"]) == ([], [])
    assert [run.run_dir for run in store.runs.all()] == [None, None]
    half = store.objects.get(g.half)
    assert (half.complete, len(store.objects.missing(half))) == (False, 2)
    assert (restored / "tls" / "key.pem").read_bytes() == g.settings.private_key.read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in restored.rglob("*"))
    for row in store.database.all("SELECT ciphertext FROM objects WHERE complete = 1"):
        data = store.blobs.path(row["ciphertext"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["ciphertext"]
    store.close()


def test_nothing_is_ever_overwritten(home: Any, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    backup.make(home.settings.home, file, database=home.settings.database, now=0)
    was = file.read_bytes()
    with pytest.raises(FileExistsError):
        backup.make(home.settings.home, file, database=home.settings.database, now=0)
    assert file.read_bytes() == was
    with pytest.raises(BackupError, match="not empty"):
        backup.restore(file, home.settings.home)
    with pytest.raises(BackupError, match="not empty"):
        backup.restore(file, file)


def test_a_backup_of_a_damaged_store_is_not_made(home: Any, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    path = home.store.blobs.finished()[0]
    data = path.read_bytes()
    path.chmod(0o600)
    for damage, message in ((data[:-1] + b"!", "bytes that its name says"), (None, "is missing")):
        path.write_bytes(damage) if damage is not None else path.unlink()
        with pytest.raises(BackupError, match=message):
            backup.make(home.settings.home, file, database=home.settings.database, now=0)
        assert not file.exists()
        assert not list(home.settings.home.glob(".snapshot*"))


def _cut(found: dict[str, bytes], name: str) -> None:
    del found[name]


def _flip(found: dict[str, bytes], name: str) -> None:
    data = found[name]
    found[name] = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def _blob(found: dict[str, bytes]) -> str:
    return next(name for name in found if name.startswith("blobs/"))


def _older(found: dict[str, bytes]) -> None:
    found["host.db"] = found["host.db"][:60] + (99).to_bytes(4, "big") + found["host.db"][64:]
    relist(found)


def _broken_database(found: dict[str, bytes]) -> None:
    data = found["host.db"]
    found["host.db"] = data[:4096] + bytes(4096) + data[8192:]
    relist(found)


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no list": (lambda f: f.pop("list.json"), "no backup of a gateway"),
    "another format": (lambda f: relist(f, format="x"), "no backup holds"),
    "a list that is no JSON": (lambda f: f.update({"list.json": b"{"}), "cannot be read"),
    "a file less than the list": (lambda f: _cut(f, _blob(f)), "missing"),
    "a file less than the database": (lambda f: (_cut(f, _blob(f)), relist(f)), "its database names"),
    "a bit of the database": (lambda f: _flip(f, "host.db"), "not what the list says"),
    "a bit of ciphertext": (lambda f: _flip(f, _blob(f)), "not what the list says"),
    "ciphertext under another name": (lambda f: (_flip(f, _blob(f)), relist(f)), "no backup holds"),
    "a file more": (lambda f: f.update({"more": b"x"}), "does not name"),
    "a path that leads out": (lambda f: (f.update({"../out": b"x"}), relist(f)), "no backup holds"),
    "no key": (lambda f: (_cut(f, "tls/key.pem"), relist(f)), "lacks settings"),
    "a database of another version": (_older, "version 99"),
    "a database with a broken page": (_broken_database, "damaged|cannot be read"),
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_backup_is_refused_that_has(home: Any, tmp_path: Path, name: str) -> None:
    good, bad, target = tmp_path / "good.tar", tmp_path / "bad.tar", tmp_path / "in" / "home"
    backup.make(home.settings.home, good, database=home.settings.database, now=0)
    found = members(good)
    damage, message = DAMAGE[name]
    damage(found)
    pack(bad, found)
    with pytest.raises(BackupError, match=message):
        backup.restore(bad, target)
    assert list(target.parent.iterdir()) == []
    assert backup.restore(good, target)["files"] == len(members(good)) - 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE], ids=repr)
def test_a_backup_with_anything_but_plain_files_is_refused(home: Any, tmp_path: Path, kind: bytes) -> None:
    good, bad = tmp_path / "good.tar", tmp_path / "bad.tar"
    backup.make(home.settings.home, good, database=home.settings.database, now=0)
    found = members(good)
    with tarfile.open(bad, "w") as archive:
        for name, data in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name == "host.toml":
                member.type, member.size, member.linkname = kind, 0, "/etc/passwd"
            archive.addfile(member, io.BytesIO(data[: member.size]))
    with pytest.raises(BackupError, match="does not name"):
        backup.restore(bad, tmp_path / "home")


@pytest.mark.parametrize("share", [0, 600, 0.3, 0.9])
def test_a_backup_that_was_cut_short_is_refused(home: Any, tmp_path: Path, share: float) -> None:
    good, bad, target = tmp_path / "good.tar", tmp_path / "bad.tar", tmp_path / "in" / "home"
    backup.make(home.settings.home, good, database=home.settings.database, now=0)
    data = good.read_bytes()
    bad.write_bytes(data[: int(share * len(data)) if share < 1 else int(share)])
    with pytest.raises(BackupError):
        backup.restore(bad, target)
    assert list(target.parent.iterdir()) == []


# Commands.


def command(*words: object) -> Result:
    return CliRunner().invoke(program.cli, [str(word) for word in words])


def test_the_commands_answer_in_json_and_in_words(home: Any, tmp_path: Path) -> None:
    folder, file = home.settings.home, tmp_path / "backup.tar"
    made = json.loads(command("backup", "--home", folder, file, "--json").output)
    assert (made["format"], made["file"]) == ("sealroom/host/v1", str(file))
    again = json.loads(command("restore", "--home", tmp_path / "other", file, "--json").output)
    assert again["files"] == made["files"]
    said = json.loads(command("prune", "--home", folder, "--dry-run", "--json").output)
    assert said["dry_run"] is True
    assert said["results"] == 0
    assert "results: 0" in command("prune", "--home", folder).output
    assert isinstance(command("backup", "--home", folder, file).exception, FileExistsError)
    assert isinstance(command("restore", "--home", folder, file).exception, BackupError)


def test_a_gateway_that_does_not_run_is_not_healthy(home: Any, helpers: Any) -> None:
    with pytest.raises(upkeep.NotReadyError, match="does not answer"):
        upkeep.health(home.settings.home)
