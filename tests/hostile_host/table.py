"""Every case, what each must end in, and which of them the ordinary test suite plays."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

from tests.hostile_host import answers, collecting, handing, logged, lying, plotting
from tests.hostile_host.case import Case

EVERYTHING = os.environ.get("SEALROOM_HOSTILE") == "all"
EVERY = 4
"""The ordinary suite plays one of so many cases of each table, and all plots."""
TABLES: dict[str, tuple[Case, ...]] = {
    "answers": answers.CASES, "collecting": collecting.CASES, "handing": handing.CASES, "logged": logged.CASES,
    "lying": lying.CASES, "plotting": plotting.CASES,
}  # fmt: skip
CASES: tuple[Case, ...] = tuple(case for cases in TABLES.values() for case in cases)
EXPECTED = Path(__file__).with_name("expected.json")


@functools.cache
def expected() -> dict[str, tuple[str, tuple[str, ...]]]:
    """What each case ends in, and the codes that parties see; a family such as `E1` stands for any code of it."""
    return {name: (ends, tuple(sees)) for name, (ends, sees) in json.loads(EXPECTED.read_text("utf-8")).items()}


def selected(table: str) -> list[Case]:
    """The cases of a table that are played here."""
    cases = TABLES[table]
    return list(cases if EVERYTHING else cases[::EVERY])
