"""A gateway whose database is PostgreSQL: what was acknowledged is there, and nobody shares it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sealroom.host import __main__ as program
from sealroom.host import backup, documents, server, settings, tls
from sealroom.host.bell import Bell
from sealroom.host.readiness import Readiness, probe
from sealroom.host.settings import BadSettings
from sealroom.host.store import open_store
from sealroom.host.store.errors import InUseError, StoreError, UnavailableError
from tests.postgres import Server

STORES = ("postgresql",)
psycopg = pytest.importorskip("psycopg")
INSERT = "INSERT INTO nonces VALUES (?, ?, ?)"
COUNT = "SELECT count(*) FROM nonces"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that finds another one does not wait for its end."""
    from sealroom.host.store import postgresql as module  # noqa: PLC0415

    monkeypatch.setattr(module, "HOLD", 0.5)


@pytest.fixture
def opened(database: str) -> Iterator[Callable[..., Any]]:
    """Opens the database as often as a test says."""
    from sealroom.host.store.postgresql import Postgresql  # noqa: PLC0415

    made: list[Any] = []

    def opened(*, alone: bool = True, patience: float = 5, **options: Any) -> Any:
        made.append(Postgresql(database, changed=lambda: None, alone=alone, patience=patience, **options))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def cut(database: Any) -> None:
    """The connection breaks without a word."""
    database._connection.close()


def at_commit(monkeypatch: pytest.MonkeyPatch, database: Any, broken: Callable[[Callable[[], Any]], Any]) -> None:
    """Have the next commit meet a connection that breaks."""
    real, left = database._execute, [1]

    def execute(sql: str, *values: Any) -> Any:
        if sql == "COMMIT" and left:
            left.pop()
            return broken(lambda: real(sql))
        return real(sql, *values)

    monkeypatch.setattr(database, "_execute", execute)


# One gateway.


def test_a_second_gateway_on_one_database_is_refused_until_the_first_has_gone(opened: Callable[..., Any]) -> None:
    first = opened()
    with pytest.raises(InUseError, match="another gateway"):
        opened()
    beside = opened(alone=False)  # as pruning and `status` are
    beside.write(INSERT, "key", "nonce", 1.0)
    assert first.number(COUNT) == 1
    first.close()
    assert opened().number(COUNT) == 1


def test_the_program_says_so_and_ends_as_for_a_second_gateway_on_one_home(gateway: Any) -> None:
    with pytest.raises(BadSettings, match="another gateway uses this database"):
        server._store(dataclasses.replace(gateway.settings, home=gateway.settings.home / "other"), Bell())


def test_a_gateway_whose_database_another_one_held_meanwhile_never_writes_again(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(patience=0)
    first.write(INSERT, "key", "first", 1.0)
    cut(first)
    other = opened()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            first.write(INSERT, "key", "late", 1.0)
    other.write(INSERT, "key", "other", 1.0)
    other.close()
    monkeypatch.setattr(first, "_again_at", 0.0)
    with pytest.raises(UnavailableError, match="taken the database over"):
        first.write(INSERT, "key", "late", 1.0)
    assert opened().number(COUNT) == 2


def test_a_gateway_waits_for_the_lock_of_the_one_before_it(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealroom.host.store import postgresql as module  # noqa: PLC0415

    first = opened()
    waits = threading.Event()

    def sleep(_: float) -> None:
        waits.set()
        first.close()

    monkeypatch.setattr(module.time, "sleep", sleep)
    opened()
    assert waits.is_set()


# Connections that break.


def test_reading_and_beginning_go_on_over_a_new_connection(opened: Callable[..., Any]) -> None:
    database = opened()
    database.write(INSERT, "key", "one", 1.0)
    cut(database)
    assert database.number(COUNT) == 1
    cut(database)
    assert database.write(INSERT, "key", "two", 1.0) == 1


def test_a_unit_in_which_the_connection_breaks_is_gone_whole(opened: Callable[..., Any]) -> None:
    database = opened()
    with pytest.raises(UnavailableError), database.writing():  # noqa: PT012
        database.write(INSERT, "key", "one", 1.0)
        cut(database)
        database.write(INSERT, "key", "two", 1.0)
    assert database.number(COUNT) == 0
    assert database.write(INSERT, "key", "three", 1.0) == 1


def test_a_commit_whose_answer_is_lost_counts_if_it_was_kept(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened()

    def answer_is_lost(commit: Callable[[], Any]) -> None:
        commit()
        cut(database)
        raise UnavailableError("the connection to the database broke")

    at_commit(monkeypatch, database, answer_is_lost)
    with database.writing():
        database.write(INSERT, "key", "one", 1.0)
        database.write(INSERT, "key", "two", 1.0)
    assert database.number(COUNT) == 2
    database.write(INSERT, "key", "three", 1.0)
    assert database.number(COUNT) == 3


def test_a_commit_that_never_arrived_is_an_error_and_leaves_nothing(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened()

    def is_lost(commit: Callable[[], Any]) -> Any:
        cut(database)
        return commit()

    at_commit(monkeypatch, database, is_lost)
    with pytest.raises(UnavailableError, match="before the unit was kept") as found:
        database.write(INSERT, "key", "one", 1.0)
    assert not found.value.in_doubt
    assert database.number(COUNT) == 0


def test_while_nobody_can_tell_the_error_says_so(opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    database = opened(patience=0)
    url = database._url

    def unreachable(commit: Callable[[], Any]) -> None:
        commit()
        cut(database)
        database._url = "postgresql://nobody@/none?host=/nowhere"
        raise UnavailableError("the connection to the database broke")

    at_commit(monkeypatch, database, unreachable)
    with pytest.raises(UnavailableError) as found:
        database.write(INSERT, "key", "one", 1.0)
    assert found.value.in_doubt
    with pytest.raises(UnavailableError):
        database.number(COUNT)
    database._url, database._again_at = url, 0.0
    assert database.number(COUNT) == 1
    database.write(INSERT, "key", "two", 1.0)
    assert database.number(COUNT) == 2


@pytest.mark.parametrize(("alone", "words"), [(True, "failed"), (False, "kept nothing")])
def test_a_unit_in_which_a_statement_failed_is_not_taken_for_kept(
    opened: Callable[..., Any], alone: bool, words: str
) -> None:
    database = opened(alone=alone)
    with pytest.raises(StoreError, match=words), database.writing():  # noqa: PT012
        database.write(INSERT, "key", "one", 1.0)
        with pytest.raises(StoreError):
            database.write(INSERT, "key", "one", 1.0)
    assert database.number(COUNT) == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(
    opened: Callable[..., Any], postgresql: Server
) -> None:
    database = opened(patience=30)
    kept: list[str] = []
    lost: list[str] = []
    leave = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not leave.is_set():
            number += 1
            nonce = f"{name}-{number}"
            try:
                with database.writing():
                    database.write(INSERT, "key", nonce, 1.0)
                    database.write(INSERT, "other", nonce, 1.0)
            except UnavailableError:
                lost.append(nonce)
            else:
                kept.append(nonce)

    threads = [threading.Thread(target=write, args=(f"thread{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            before = len(kept)
            while len(kept) < before + 20:
                assert any(thread.is_alive() for thread in threads)
                leave.wait(0.01)
            postgresql.kill()
            postgresql.start()
    finally:
        leave.set()
        for thread in threads:
            thread.join(60)
    for key in ("key", "other"):
        rows = {row["nonce"] for row in database.all("SELECT nonce FROM nonces WHERE key = ?", key)}
        assert rows == set(kept)
    assert not rows & set(lost)


# What callers see.


def test_without_its_database_the_gateway_says_so_and_goes_on_when_it_is_back(
    gateway: Any, helpers: Any, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = gateway
    monkeypatch.setattr(g.store.database, "_patience", 0)
    worker: Any = type("Sound", (), {"is_sound": True})()
    launcher: Any = type("Able", (), {"check": lambda _: None})()
    ready = Readiness(probe(g.store, worker, launcher))
    ready.look()
    assert ready.is_ready
    postgresql.stop()
    try:
        for _ in range(2):
            answer = g.call("bank", "GET", "/agreements")
            assert helpers.code(answer) == (503, "store-unavailable")
        assert str(postgresql.folder) not in answer.text
        assert probe(g.store, worker, launcher)() == "store"
        ready.look()
        assert not ready.is_ready
        assert g.call.client.get("/v1/health").status_code == 200
    finally:
        postgresql.start()
    assert "store-lost" in [json.loads(line)["event"] for line in g.log]
    monkeypatch.setattr(g.store.database, "_again_at", 0.0)
    assert len(g.call.ok("bank", "GET", "/agreements")) == 1
    ready.look()
    assert ready.is_ready


def test_a_call_that_meets_a_full_disk_of_the_database_keeps_nothing_and_works_later(
    gateway: Any, helpers: Any, postgresql: Server
) -> None:
    g = gateway
    url = g.settings.database
    postgresql.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$",
        url=url,
    )
    postgresql.sql("CREATE TRIGGER full_disk BEFORE INSERT ON log_entries EXECUTE FUNCTION full_disk()", url=url)
    said = g.parties.of("bank", "approval", g.agreement)
    path = f"/agreements/{g.agreement}/statements"
    assert helpers.code(g.call("bank", "POST", path, said)) == (507, "disk-full")
    assert g.call.ok("bank", "GET", path)["statements"] == []
    postgresql.sql("DROP TRIGGER full_disk ON log_entries", url=url)
    g.call.ok("bank", "POST", path, said)
    assert len(g.call.ok("bank", "GET", path)["statements"]) == 1


# Servers and settings that cannot be used.


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "transaction_read_only = off"),
        ("CREATE DATABASE {}_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'", "server_encoding = UTF8"),
    ],
)
def test_a_server_that_would_not_keep_what_it_takes_is_refused(
    database: str, postgresql: Server, statement: str, words: str
) -> None:
    name = database.partition("@/")[2].partition("?")[0]
    postgresql.sql(statement.format(name))
    url = postgresql.url(f"{name}_ascii") if "CREATE" in statement else database
    with pytest.raises(StoreError, match=words):
        open_store(Path("/nowhere"), most=1, database=url)


def test_a_server_that_acknowledges_before_the_disk_does_is_refused(database: str, postgresql: Server) -> None:
    postgresql.sql("ALTER SYSTEM SET fsync = off")
    postgresql.stop()
    postgresql.start()
    try:
        with pytest.raises(StoreError, match="fsync = on"):
            open_store(Path("/nowhere"), most=1, database=database)
    finally:
        postgresql.sql("ALTER SYSTEM RESET fsync")
        postgresql.stop()
        postgresql.start()


def test_commits_wait_for_the_disk_whatever_the_database_says(
    opened: Callable[..., Any], database: str, postgresql: Server
) -> None:
    name = database.partition("@/")[2].partition("?")[0]
    postgresql.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert opened().one("SELECT current_setting('synchronous_commit') AS value")["value"] == "on"


def test_a_database_of_another_version_is_not_opened(opened: Callable[..., Any]) -> None:
    first = opened()
    first.write("UPDATE sealroom SET version = 99")
    first.close()
    with pytest.raises(StoreError, match="version 99"):
        opened()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@/db", "postgresql://u@h/db?password=hunter2", "postgresql:///db?sslpassword=hunter2",
        "postgresql://u@h/db?pass%77ord=hunter2", "postgresql:///db?a=b#&password=hunter2",
        "host=h password=hunter2", "mysql://u:hunter2@h/db", "postgresql:db?password=hunter2",
        "postgresql://h/ hunter2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_password_is_refused_and_not_repeated(gateway: Any, tmp_path: Path, url: str) -> None:
    with pytest.raises(BadSettings) as found:
        dataclasses.replace(gateway.settings, database=url)
    assert "hunter2" not in str(found.value)
    key = gateway.settings.operator_key
    said = CliRunner().invoke(
        program.cli, ["init", "--home", str(tmp_path / "new"), "--operator-key", key, "--database", url, "--json"]
    )
    assert isinstance(said.exception, BadSettings)
    assert "hunter2" not in said.output
    assert not (tmp_path / "new").exists()


def test_init_takes_an_empty_database_and_no_other(gateway: Any, database: str, tmp_path: Path) -> None:
    key = gateway.settings.operator_key

    def init(name: str, url: str) -> Any:
        words = ["init", "--home", str(tmp_path / name), "--operator-key", key, "--database", url, "--json"]
        return CliRunner().invoke(program.cli, words)

    assert isinstance(init("one", database).exception, InUseError)
    gateway.store.close()
    assert isinstance(init("one", database).exception, BadSettings)
    assert isinstance(init("one", "postgresql://nobody@/none?host=/nowhere").exception, UnavailableError)
    assert not (tmp_path / "one").exists()


def test_init_writes_the_setting_and_status_counts_there(postgresql: Server, parties: Any, tmp_path: Path) -> None:
    url, home = postgresql.new_database(), tmp_path / "made"
    key = parties.keys["operator"].public.text
    words = ["init", "--home", str(home), "--operator-key", key, "--database", url, "--json"]
    assert json.loads(CliRunner().invoke(program.cli, words).output)["url"]
    assert settings.load(home).database == url
    said = json.loads(CliRunner().invoke(program.cli, ["status", "--home", str(home), "--json"]).output)
    assert (said["agreements"], said["runs"]) == (0, {})
    assert not (home / "host.db").exists()


# Moving house.


def test_a_backup_moves_between_databases_and_the_gateway_goes_on(
    gateway: Any, helpers: Any, postgresql: Server, tmp_path: Path
) -> None:
    g = gateway
    settings.save(g.settings)
    tls.create(
        certificate=g.settings.certificate, key=g.settings.private_key, url=g.settings.url,
        now=dt.datetime.now(dt.UTC),
    )  # fmt: skip
    path = f"/agreements/{g.agreement}/statements"
    for number in range(3):
        g.call.ok("bank", "POST", path, g.parties.of("bank", "approval", g.agreement, remark=str(number)))
    objects, key = list(g.objects()), g.store.log.public_key
    backup.make(g.settings.home, tmp_path / "one.tar", database=g.settings.database, now=0)
    target = postgresql.new_database()
    moved = tmp_path / "moved"
    backup.restore(tmp_path / "one.tar", moved, database=target)
    assert settings.load(moved).database == target
    assert not list(moved.glob("host.db*"))
    store = open_store(moved, most=1 << 30, database=target)
    try:
        assert [sealed.name for sealed in store.objects.of(g.agreement)] == objects
        was = g.store.agreements.statements(g.agreement, None)
        assert store.agreements.statements(g.agreement, None) == was
        more = g.parties.of("bank", "approval", g.agreement, remark="more")
        store.agreements.add_statement(g.agreement, "bank", documents.statement(more.to_bytes(), "approval"), g.clock())
        assert store.agreements.statements(g.agreement, None) == [*was, more.to_bytes()]
        assert store.log.public_key == key
    finally:
        store.close()
    with pytest.raises(StoreError, match="not empty"):
        backup.restore(tmp_path / "one.tar", tmp_path / "again", database=target)
    assert not (tmp_path / "again").exists()
    backup.restore(tmp_path / "one.tar", tmp_path / "file")
    assert settings.load(tmp_path / "file").database == ""
    assert (tmp_path / "file" / "host.db").exists()
