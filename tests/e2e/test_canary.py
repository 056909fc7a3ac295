"""Unique strings are planted in code and data; after whole runs nobody but their owner has one, in any form.

What is scanned: everything in the operator's folder (its home, database with write-ahead log, blobs, logs, run
folders), the files that parties exchanged, and each owner's folder for the other owner's values. The gateway keeps
every body that is sent to it. Values of declared categories are public by agreement and are not planted.
"""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sealroom.client.demo import pair as pairs
from sealroom.client.demo.stage import Props, Stage
from tests.e2e.scanner import Scanner

ROWS, SHARED, MARKED = 2400, 1200, 4
SPEC = """
title = "Canaries"
[left]
party = "bank"
dataset = "customers"
file = "bank.csv"
id = "bank_id"
identifiers = { first = "given_name", last = "family_name", mail = "email", phone = "phone" }
features = ["balance", "y"]
[right]
party = "partner"
dataset = "prospects"
file = "partner.csv"
id = "partner_id"
identifiers = { first = "given_name", last = "family_name", mail = "email", phone = "phone" }
features = ["visits", "job"]
[outcome]
column = "y"
positive = "yes"
"""
Row = dict[str, str]


def person(number: int, side: str, *, marked: bool) -> Row:
    """Marked rows hold values that occur nowhere else in the world; shared persons have the same mail on both sides."""
    tag = f"zq{side}{number:05}"
    first, last = (f"Firstcanary{tag}", f"Lastcanary{tag}") if marked else (f"Ann{number}", f"Lee{number}")
    mail = f"mailcanary{tag}@example.test" if marked else f"person{number}@example.test"
    return {"first": first, "last": last, "mail": mail, "phone": f"+4179{number:07}"}


def tables(folder: Path) -> tuple[Mapping[str, str | int], Mapping[str, str | int]]:
    """Write both files; the values planted in each, by a name for the report."""
    draw = random.Random(5)
    planted: tuple[dict[str, str | int], dict[str, str | int]] = ({}, {})
    for side, (name, ident) in enumerate((("bank", "bank_id"), ("partner", "partner_id"))):
        rows = []
        for n in range(ROWS):
            # The first SHARED persons are on both sides; marked ones are each side's own.
            marked = n >= ROWS - MARKED
            number = n if n < SHARED else n + side * ROWS
            row = {
                ident: f"{name}idcanary{number:06}x" if marked else f"{name[0]}{number}",
                **person(number, name, marked=marked),
            }
            secret = 73_402_819_000 + 7919 * number + side
            if side == 0:
                row |= {"balance": str(secret if marked else draw.randrange(5000)), "y": "yes" if n % 2 else "no"}
            else:
                row |= {
                    "visits": str(secret if marked else draw.randrange(90) + 10 * (n % 2)),
                    "job": "a" if n % 3 else "b",
                }
            rows.append(row)
            if marked:
                planted[side].update(
                    {f"{name} {c} {n}": v for c, v in row.items() if c not in ("y", "job", "balance", "visits")}
                )
                planted[side][f"{name} number {n}"] = secret
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return planted


def code(root: Path, folder: Path) -> dict[str, str | int]:
    """The look-alike job with a marked comment, constant and module name."""
    shutil.copytree(root / "jobs" / "lookalike", folder, ignore=shutil.ignore_patterns("__pycache__", "readme.md"))
    (folder / "modulecanaryzq81.py").write_text('SECRET = "constantcanaryzq82"  # commentcanaryzq83\n', "utf-8")
    with (folder / "job.py").open("a", encoding="utf-8") as file:
        file.write("\nimport modulecanaryzq81  # noqa: E402, F401\n")
    return {"module": "modulecanaryzq81", "constant": "constantcanaryzq82", "comment": "commentcanaryzq83"}


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(folder)), path.read_bytes()


def found_in(scanner: Scanner, folder: Path) -> dict[str, set[str]]:
    return {name: names for name, data in files(folder) if (names := scanner.names(data))}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Mapping[str, str | int], Mapping[str, str | int]]:
    """A whole overlap run and a whole look-alike run, over real programs."""
    root = Path(__file__).resolve().parents[2]
    image = root / "build" / "image"
    if not (image / "launch.json").is_file():
        pytest.skip("no image: run `make image` first")
    data = tmp_path_factory.mktemp("data")
    of_bank, of_partner = tables(data)
    (data / "pair.toml").write_text(SPEC, "utf-8")
    of_code = code(root, data / "model")
    props = Props(
        folder=tmp_path_factory.mktemp("parties"), data=data, pair=pairs.load(data / "pair.toml"), model=data / "model",
        segments=None, launcher="process", image=str(image), measured=image,
    )  # fmt: skip
    stage = Stage(props, lambda _: None)
    gateway = stage.prepare_operator()
    stage.agree(gateway)
    with stage.processor(), stage.gateway(gateway["url"], props.image):
        stage.bring(gateway)
        with stage.brokers():
            assert "overlap" in stage.collect(stage.bank, stage.run("overlap"))
            run = stage.run("quality", "audience")
            assert "quality" in stage.collect(stage.bank, run)
            assert "audience" in stage.collect(stage.partner, run)
    return stage, {**of_bank, **of_code}, of_partner


def test_no_canary_is_found_in_what_the_host_holds_or_others_received(played):
    stage, of_bank, of_partner = played
    everything = Scanner({**of_bank, **of_partner})
    assert found_in(everything, stage.operator.folder) == {}
    shared = {p.name: everything.names(p.read_bytes()) for p in stage.props.folder.iterdir() if p.is_file()}
    assert {name: names for name, names in shared.items() if names} == {}
    assert found_in(Scanner(of_bank), stage.partner.folder) == {}
    assert found_in(Scanner(of_partner), stage.bank.folder) == {}


def test_the_same_scan_finds_what_is_planted_on_purpose(played, tmp_path: Path):
    stage, of_bank, _ = played
    copy = tmp_path / "operator"
    shutil.copytree(stage.operator.folder / "host", copy)
    victim = max((p for p in copy.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes() + b"\0" + str(of_bank["constant"]).encode("utf-16-le"))
    assert found_in(Scanner(of_bank), copy) == {str(victim.relative_to(copy)): {"constant"}}
