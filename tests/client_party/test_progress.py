"""Long work shows how far it is on a terminal, and is silent where nobody looks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sealroom.client import measuring, progressing, sealing, ui
from tests.attestation import images
from tests.client_party.playing import BANK_CSV, PHRASE, Players

Run = Callable[..., tuple[int, str, str]]
ROWS = "id,email,balance\n" + "".join(f"{n},a{n}@b.example,{n % 7}\n" for n in range(3000))


def on_a_terminal(*words: str | Path) -> tuple[int, str, str]:
    """Run the command with its talk on a terminal: exit code, stdout, what the terminal showed."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.Popen(
            [sys.executable, "-m", "sealroom.client", *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "SEALROOM_PASSPHRASE": PHRASE, "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        shown, end = b"", time.monotonic() + 120
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the terminal's other end was closed
                break
        out, _ = done.communicate(timeout=60)
    finally:
        os.close(ours)
    return done.returncode, out.decode(), shown.decode()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, "utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images.folder(tmp_path / "image")


def test_reading_columns_shows_a_bar(table: Path) -> None:
    code, out, shown = on_a_terminal("columns", table, "--owner", "bank", "--json")
    assert (code, out.count("\n")) == (0, 1)
    assert "reading rows.csv" in shown
    assert "100%" in shown


def test_sealing_shows_a_bar(agreed: Players, tmp_path: Path) -> None:
    table = agreed.write("b.csv", BANK_CSV)
    code, out, shown = on_a_terminal(
        "seal", f"customers={table}", "--to", tmp_path, "--home", agreed.root / "bank", "--json"
    )
    assert (code, out.count("\n")) == (0, 1)
    assert "sealing" in shown
    assert "100%" in shown


def test_measuring_shows_a_bar(folder: Path) -> None:
    code, out, shown = on_a_terminal("measure", folder, "--json")
    assert (code, out.count("\n")) == (0, 1)
    assert "measuring" in shown
    assert "100%" in shown


def test_nothing_is_shown_where_there_is_no_terminal(
    sealroom: Run, agreed: Players, table: Path, folder: Path, tmp_path: Path
) -> None:
    assert sealroom("columns", table, "--owner", "bank", "--json")[2] == ""
    assert sealroom("measure", folder, "--json")[2] == ""
    own = agreed.write("b.csv", BANK_CSV)
    words = ("seal", f"customers={own}", "--to", tmp_path, "--home", agreed.root / "bank", "--json")
    assert sealroom(*words)[2] == "sealroom: hint: send it: `sealroom submit`\n"


def test_a_bar_over_a_folder_and_an_archive_reaches_its_end_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(images.saved(images.base_layer()))
    for path in (folder, archive):
        steps: list[int] = []
        with progressing.watched(steps.append):
            watched = measuring.measure(path)
        assert sum(steps) == progressing.size_of([path]) > 0
        assert watched.value == measuring.measure(path).value


def test_sealing_reads_what_its_bar_promises(agreed: Players, tmp_path: Path) -> None:
    steps: list[int] = []
    path, home = agreed.write("b.csv", BANK_CSV), agreed.home("bank")
    with progressing.watched(steps.append):
        sealing.seal(home, home.agreement(), "customers", path, folder=tmp_path)
    assert sum(steps) == sealing.work(path) == 2 * path.stat().st_size


def test_work_that_tells_nothing_counts_seconds_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "_TICK", 0.01)
    with ui.Ui().waiting("mock run"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ui.Ui().waiting("mock run"):
        time.sleep(0.2)
    shown = capsys.readouterr().err
    assert "\rmock run: 0 s" in shown
    assert shown.endswith("\r")


def test_the_mock_run_is_waited_for_in_this_way(
    sealroom: Run, agreed: Players, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []

    class Counting(ui.Ui):
        def waiting(self, what: str):
            waited.append(what)
            return super().waiting(what)

    monkeypatch.setattr(ui, "Ui", Counting)
    report = {"bundle": "model", "lane": "whole", "seed": 0, "rows": {}, "most_rows": {}, "rules": [], "fine": True}
    monkeypatch.setattr("sealroom.client.mocking.run", lambda *_: report)
    assert sealroom("mock", agreed.bundle(), "--home", agreed.root / "bank", "--json")[0] == 0
    assert waited == ["mock run"]


def test_a_file_that_is_not_there_counts_as_nothing(tmp_path: Path) -> None:
    assert progressing.size_of([tmp_path / "gone"]) == 0
    assert sealing.work(tmp_path / "gone.csv") == 0
