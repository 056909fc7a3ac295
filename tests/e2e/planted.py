"""Two small tables and two bundles that are full of values which occur nowhere else in the world.

Every column of both parties holds some, and so do comment, constant and module name of the code and a threshold of the
query. Values of categories are declared in the agreement and thereby public: one of them is planted as well, as the
value that must be found everywhere.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import random
import shutil
from pathlib import Path

from tests.e2e.scanner import Value

ROWS, SHARED, MARKED = 2400, 1200, 4
PUBLIC = "publiclabelzq84"
SPEC = f"""
title = "Canaries"
[left]
party = "bank"
dataset = "customers"
file = "bank.csv"
id = "bank_id"
identifiers = {{ first = "given_name", last = "family_name", mail = "email", phone = "phone" }}
features = ["balance", "y"]
[right]
party = "partner"
dataset = "prospects"
file = "partner.csv"
id = "partner_id"
identifiers = {{ first = "given_name", last = "family_name", mail = "email", phone = "phone" }}
features = ["visits", "spent", "job"]
[outcome]
column = "y"
positive = "yes"
[segments]
bundle = "segments"
labels = ["high", "{PUBLIC}"]
"""
# What a job tries to say; none of it may arrive anywhere.
JOB = """
import modulecanaryzq81

_honest = run


def run(tables, ask):
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            print(modulecanaryzq81.SECRET, tables[ask.table].iloc[-8:].to_csv(), file=stream, flush=True)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            os.write(descriptor, modulecanaryzq81.SECRET.encode())
    return _honest(tables, ask)
"""
Row = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Planted:
    """The folder with files, description and bundles, and every planted value by a name for the report."""

    folder: Path
    bank: dict[str, Value]
    partner: dict[str, Value]


def plant(root: Path, folder: Path) -> Planted:
    """Write everything into `folder`."""
    made = Planted(folder, {}, {})
    draw = random.Random(5)
    for side, values in (("bank", made.bank), ("partner", made.partner)):
        rows = [_row(side, number, draw, values) for number in range(ROWS)]
        with (folder / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    (folder / "pair.toml").write_text(SPEC, "utf-8")
    made.bank.update(_model(root, folder / "model"))
    made.bank.update(_query(folder / "segments"))
    return made


def _row(side: str, n: int, draw: random.Random, values: dict[str, Value]) -> Row:
    """The first persons are on both sides. The last rows are marked wholly; a few shared ones in id and features."""
    own = n >= ROWS - MARKED
    marked = own or n < MARKED
    person = n if n < SHARED else n + (ROWS if side == "partner" else 0)
    tag, secret = f"zq{side}{n:05}", 7_340_281_900_000_117 + 7919 * n + (side == "bank")
    row = {f"{side}_id": f"{side}idcanary{tag}" if marked else f"{side[0]}{person}"}
    row |= {"first": f"Ann{person}", "last": f"Lee{person}", "mail": f"person{person}@example.test"}
    row |= {"phone": f"+4179{person:07}"}
    if own:
        row |= {"first": f"Firstcanary{tag}", "last": f"Lastcanary{tag}", "mail": f"mailcanary{tag}@example.test"}
        row["phone"] = f"+41{892_640_317 + 7919 * n + (side == 'bank')}"
    if side == "bank":
        row |= {"balance": str(secret if marked else draw.randrange(5000)), "y": "yes" if n % 2 else "no"}
    else:
        row |= {"visits": str(secret if marked else draw.randrange(90) + 10 * (n % 2))}
        row |= {"spent": f"{81_264_031 + 7919 * n}.171875" if marked else f"{draw.randrange(900)}.5"}
        row |= {"job": PUBLIC if n % 3 else "other"}
    if marked:
        _note(values, side, n, row, own=own)
    return row


def _note(values: dict[str, Value], side: str, n: int, row: Row, *, own: bool) -> None:
    """Remember the unique cells of a marked row: as the file has them, and numbers as memory has them."""
    common = {"y", "job"} if own else {"y", "job", "first", "last", "mail", "phone"}
    for name, cell in row.items():
        if name not in common:
            values[f"{side} {name} {n}"] = cell.removeprefix("+")
    values[f"{side} whole number {n}"] = int(row["balance" if side == "bank" else "visits"])
    if side == "partner":
        values[f"{side} fraction {n}"] = float(row["spent"])


def _model(root: Path, folder: Path) -> dict[str, Value]:
    shutil.copytree(root / "jobs" / "lookalike", folder, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    (folder / "modulecanaryzq81.py").write_text('SECRET = "constantcanaryzq82"  # commentcanaryzq83\n', "utf-8")
    job = (folder / "job.py").read_text("utf-8")
    future = "from __future__ import annotations\n"
    assert future in job
    job = job.replace(future, future + "\nimport contextlib\nimport os\nimport sys\n", 1)
    (folder / "job.py").write_text(job + JOB, "utf-8")
    return {"module": "modulecanaryzq81", "constant": "constantcanaryzq82", "comment": "commentcanaryzq83"}


def _query(folder: Path) -> dict[str, Value]:
    threshold = 6_120_947_730_551_203
    segments = [
        {"label": "high", "when": [["customers.balance", "<", threshold], ["customers.balance", ">=", 2500]]},
        {"label": PUBLIC, "when": []},
    ]
    folder.mkdir()
    (folder / "query.json").write_text(json.dumps({"format": "sealroom/query/v1", "segments": segments}), "utf-8")
    manifest = {"format": "sealroom/bundle/v1", "lane": "query", "entry": "query.json"}
    (folder / "bundle.json").write_text(json.dumps(manifest), "utf-8")
    return {"query threshold": threshold}
