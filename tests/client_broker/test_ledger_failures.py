"""Full disks, damaged files and clocks that jump: nothing is half-written, nothing comes back from the dead."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess

import pytest

from sealroom.client import confirming, ledger_file, seat
from sealroom.client.desk import Desk
from sealroom.client.entries import Amount, Draft
from sealroom.client.errors import Unreachable
from sealroom.client.ledger import Ledger
from sealroom.protocol.errors import NotAcceptable, NotGenuine, SealroomError, UsageError
from tests.client_broker.world import NOW, World

LIMIT = {"people": Amount(epsilon=10**6)}


def draft(name, *, created=NOW):
    return Draft(
        format="sealroom/ledger-entry/v1", kind="release", once=f"release/{name}", name=name, agreement="aa" * 32,
        remark="x", charges={"people": Amount(epsilon=1)}, created=created, deadline=0,
    )  # fmt: skip


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "world")


@pytest.fixture
def folder(tmp_path):
    seat.first(tmp_path, "bank")
    return tmp_path


def charge(ledger, number, size=900):
    """An entry that pays for something of `size` bytes."""
    ledger.append(draft(f"r{number}"), limits=LIMIT, keep=lambda _: {f"share/{number}": os.urandom(size)})


def fill(ledger):
    """Charge until the disk is full; how many entries there was room for."""
    for number in range(10_000):
        try:
            charge(ledger, number, 3000)
        except Unreachable:
            return number
    raise AssertionError("the disk never filled")


def consistent(ledger, at_least):
    """Every entry has what it pays for, and nothing is kept without an entry."""
    ledger.verify_chain()
    names = [entry.draft.name for entry in ledger.entries()]
    assert len(names) >= at_least
    assert set(ledger.kept_under("share/")) == {f"share/{name[1:]}" for name in names}
    assert ledger.spent("people").epsilon == len(names)
    return len(names)


def test_a_file_that_may_not_grow_refuses_whole_entries_and_goes_on_when_it_may(folder):
    with Ledger.open(folder, "bank") as ledger:
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages + 12}")
        done = fill(ledger)
        assert done > 2
        assert consistent(ledger, done) == done
        ledger._db.execute("PRAGMA max_page_count = 1000000")
        ledger.append(draft("r-later"), limits=LIMIT, keep=lambda _: {"share/-later": b"x"})
        consistent(ledger, done + 1)
    with Ledger.open(folder, "bank") as ledger:
        assert consistent(ledger, done + 1) == done + 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can mount a small file system")
    seat.first(place, "bank")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_charges_nothing_without_keeping_it_and_goes_on_after(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    with Ledger.open(small_disk, "bank") as ledger:
        done = fill(ledger)
        kept = consistent(ledger, done)
        assert kept in (done, done + 1)
    with contextlib.suppress(Unreachable), Ledger.open(small_disk, "bank") as ledger:
        assert consistent(ledger, kept) == kept
    ballast.unlink()
    with Ledger.open(small_disk, "bank") as ledger:
        assert ledger.frozen() is None
        assert consistent(ledger, kept) == kept
        ledger.append(draft("r-later"), limits=LIMIT, keep=lambda _: {"share/-later": b"x"})
        consistent(ledger, kept + 1)


class Failing(Ledger):
    """A ledger whose disk fails at the nth thing that is written or committed."""

    left = 10**9
    error = "database or disk is full"

    def _ask(self, sql, *values):
        if sql.startswith("INSERT"):
            self._fail()
        return super()._ask(sql, *values)

    @contextlib.contextmanager
    def _transaction(self):
        with super()._transaction():
            yield
            with ledger_file.speaking():
                self._fail()

    def _fail(self):
        self.left -= 1
        if self.left == 0:
            made = sqlite3.OperationalError(self.error)
            made.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise Unreachable("the ledger could not be written: the disk is full") from made


def play(world, run, nth):
    """Step both brokers until all is signed; the partner's nth write fails. Whether there was one."""
    signed = world.gateway.run_store[run].cosignatures
    for _ in range(8):
        if set(signed) == {"bank", "partner"}:
            break
        if "bank" not in signed:
            world.step("bank")
        with Failing.open(world.homes["partner"].root, "partner") as ledger:
            ledger.left = nth
            with contextlib.suppress(Unreachable):
                world.broker("partner", ledger=ledger).step()
            nth = ledger.left
    return nth <= 0


@pytest.mark.parametrize("nth", [*range(1, 34, 4), 1000])
def test_a_disk_that_is_full_at_a_write_of_a_run_costs_nothing_twice(world, nth):
    """One write of the partner's broker fails; then there is room, and the run ends well."""
    run = world.ask("overlap")
    met = play(world, run, nth)
    assert met == (nth < 1000)
    with world.ledger("partner") as ledger:
        assert [e.draft.kind for e in ledger.entries()] == ["grant", "settled", "release", "release"]
        assert (ledger.spent("prospects").epsilon, ledger.spent("prospects").runs) == (1_000_000, 1)
    assert set(world.gateway.run_store[run].cosignatures) == {"bank", "partner"}


def test_a_seat_that_cannot_be_written_keeps_what_was_charged(folder, monkeypatch):
    """The entry is there, nothing was let go yet, and the next opening notes how far the ledger is."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Ledger.open(folder, "bank") as ledger:
        monkeypatch.setattr(seat, "save", full)
        with pytest.raises(Unreachable) as caught:
            charge(ledger, 0)
        assert "no space" in caught.value.message
        monkeypatch.undo()
        assert consistent(ledger, 1) == 1
    with Ledger.open(folder, "bank") as ledger:
        assert ledger.frozen() is None
        assert seat.load(folder).sequence == 1


def filled(folder, count=30):
    with Ledger.open(folder, "bank") as ledger:
        for number in range(count):
            charge(ledger, number)


def flipped(path, offset, mask=0x41):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ mask]))


def verdict(folder):
    """What opening a ledger says: its content as it was, or why not."""
    try:
        with Ledger.open(folder, "bank") as ledger:
            if (entry := ledger.frozen()) is not None:
                return entry.draft.name
            return {e.digest: ledger.kept(f"share/{e.draft.name[1:]}") for e in ledger.entries()}
    except SealroomError as error:
        return getattr(error, "code", type(error).__name__)


@pytest.mark.parametrize("part", range(2))
def test_a_flipped_byte_in_the_database_is_noticed_or_changes_nothing(tmp_path, part):
    """Every 809th byte, one at a time: unused space may hold anything, the rest may not."""
    whole = tmp_path / "whole"
    whole.mkdir()
    seat.first(whole, "bank")
    filled(whole, 12)
    good, size = verdict(whole), (whole / "ledger.db").stat().st_size
    noticed = 0
    for offset in range(part * 809, size, 2 * 809):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        seat.save(copy, "bank", (seat.load(whole).sequence, seat.load(whole).head))
        flipped(copy / "ledger.db", offset)
        said = verdict(copy)
        assert said == good or said in ("E2.ledger-broken", "rolled-back", "UsageError", "Unreachable"), offset
        noticed += said != good
    assert noticed > 5


def test_a_flipped_byte_in_the_log_loses_no_entry_silently(tmp_path):
    """What follows it is not read any more; the seat knows how far the ledger was."""
    whole = tmp_path / "whole"
    whole.mkdir()
    seat.first(whole, "bank")
    ledger = Ledger.open(whole, "bank")
    for number in range(6):
        charge(ledger, number)
    good = {e.digest: ledger.kept(f"share/{e.draft.name[1:]}") for e in ledger.entries()}
    size, found = (whole / "ledger.db-wal").stat().st_size, set()
    for offset in range(40, size, size // 24):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(whole / name, copy / name)
        seat.save(copy, "bank", ledger.head())
        flipped(copy / "ledger.db-wal", offset)
        said = verdict(copy)
        assert said == good or said in ("rolled-back", "E2.ledger-broken"), offset
        found.add(str(said)[:11])
    assert "rolled-back" in found
    ledger.close()


def test_a_kept_share_that_was_changed_around_the_triggers_is_noticed(folder):
    filled(folder, 2)
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as database:
        database.execute("DROP TRIGGER kept_no_update")
        database.execute("UPDATE kept SET body = x'00' WHERE name = 'share/1'")
        database.commit()
    with pytest.raises(NotGenuine) as caught:
        Ledger.open(folder, "bank")
    assert caught.value.code == "E2.ledger-broken"
    assert "sealroom ledger confirm" in caught.value.hint


def test_a_file_of_another_version_is_not_touched(folder):
    filled(folder, 1)
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(UsageError):
        Ledger.open(folder, "bank")


def test_a_folder_that_cannot_be_written_is_no_refusal(folder, monkeypatch):
    def read_only(*_, **__):
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise error

    monkeypatch.setattr(ledger_file, "_prepare", read_only)
    with pytest.raises(Unreachable):
        Ledger.open(folder, "bank")
    monkeypatch.undo()
    Ledger.open(folder, "bank").close()


def test_a_clock_behind_the_ledger_stops_the_broker_and_brings_nothing_back(world):
    world.ask()
    world.step()
    world.clock.now += 86_400
    world.step()
    world.clock.now -= 3600
    before = list(world.gateway.posts)
    with pytest.raises(NotAcceptable) as caught:
        world.step("partner")
    assert caught.value.code == "E3.clock-behind"
    assert world.gateway.posts == before


def test_an_approval_that_has_expired_stays_expired_when_the_clock_steps_back_a_little(tmp_path):
    end, world = NOW + 1000, World(tmp_path, approvers=())
    for party in ("bank", "partner"):
        world.approve(party, not_after=end)
    world.clock.now = end + 30
    world.step("bank")
    world.clock.now = end - 20
    world.ask()
    world.step()
    events = world.step("bank")["bank"]
    assert [event.error.code for event in events if event.error] == ["E3.measurement"]
    with world.ledger("bank") as ledger:
        assert ledger.entries() == []


def test_a_nonce_that_was_too_old_once_stays_too_old(world):
    world.ask()
    world.step()
    world.clock.now += 30 * 86_400
    late = [event.error.code for event in world.step("partner")["partner"] if event.error]
    assert late
    world.clock.now -= 50
    assert [event.error.code for event in world.step("partner")["partner"] if event.error] == late


def test_time_goes_on_within_a_minute_and_never_back(folder):
    with Ledger.open(folder, "bank") as ledger:
        assert ledger.now(1000.9) == 1000
        assert ledger.now(990) == 1000
        assert ledger.now(1070) == 1070
        with pytest.raises(NotAcceptable):
            ledger.now(1010)
    with Ledger.open(folder, "bank") as ledger:
        with pytest.raises(NotAcceptable):
            ledger.now(1010)
        assert ledger.now(1011) == 1070


def test_the_newest_entry_says_how_late_it_was(folder):
    with Ledger.open(folder, "bank") as ledger:
        ledger.append(draft("a", created=5000), limits=LIMIT)
    with Ledger.open(folder, "bank") as ledger, pytest.raises(NotAcceptable):
        ledger.now(4900)


def test_the_noted_time_cannot_be_set_back_in_the_file(folder):
    with Ledger.open(folder, "bank") as ledger:
        ledger.now(1000)
        for change in ("UPDATE clock SET latest = 5", "DELETE FROM clock", "UPDATE clock SET since = 7"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                ledger._db.execute(change)


def test_a_clock_that_was_ahead_is_forgiven_by_a_person_only(world):
    world.clock.now += 10**8
    world.step("partner")
    world.clock.now -= 10**8
    with pytest.raises(NotAcceptable):
        world.step("partner")
    with world.ledger("partner") as ledger:
        desk = Desk(world.homes["partner"], world.gateway, ledger, world.clock)
        done = confirming.confirm(desk, [], alone="the machine came up with a clock of the year 2031")
        assert done.alone == ()
    world.ask()
    assert [event.kind for event in world.step("partner")["partner"]] == ["challenged"]
