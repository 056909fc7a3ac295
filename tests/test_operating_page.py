"""`docs/OPERATING.md` names every event, metric and setting as the code has it, and leaves none out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealroom.client import journal as broker_journal
from sealroom.host import journal as host_journal
from sealroom.host import metrics
from sealroom.host.settings import Settings

ROW = re.compile(r"^\| `([a-z-]+)` \|([a-z, ]*)\|", re.MULTILINE)


@pytest.fixture(scope="module")
def halves(root: Path) -> tuple[str, str]:
    """The page's part on the gateway, and the one on brokers."""
    gateway, _, broker = (root / "docs" / "OPERATING.md").read_text("utf-8").partition("## A broker")
    return gateway, broker


@pytest.mark.parametrize("which", ["gateway", "broker"])
def test_every_event_stands_in_the_page_with_its_fields_and_no_other(halves: tuple[str, str], which: str):
    text, events = {
        "gateway": (halves[0], host_journal.EVENTS), "broker": (halves[1], broker_journal.EVENTS),
    }[which]  # fmt: skip
    told = {
        name: tuple(part.strip() for part in fields.split(",") if part.strip()) for name, fields in ROW.findall(text)
    }
    assert told == {name: fields for name, (_, fields) in events.items()}


def test_every_metric_stands_in_the_page(halves: tuple[str, str]):
    told = set(re.findall(r"^\| `(sealroom_[a-z_]+?)(?:_total)?(?:\{[a-z]+\})?` \|", halves[0], re.MULTILINE))
    assert told == set(metrics.FAMILIES)


def test_what_is_kept_is_as_long_as_the_page_says(halves: tuple[str, str]):
    told = {
        name: int(days) for name, days in re.findall(r"^\| `(keep_[a-z]+)` \| (\d+) days \|", halves[0], re.MULTILINE)
    }
    kept = {n: f.default / 86400 for n, f in Settings.__dataclass_fields__.items() if n.startswith("keep_")}
    assert told == kept


def test_words_of_an_enclaves_failure_stand_in_the_page(root: Path, halves: tuple[str, str]):
    source = "".join((root / "host" / name).read_text("utf-8") for name in ("queue.py", "relay.py"))
    words = (
        set(re.findall(r'why="([a-z-]+)"', source)) | set(re.findall(r'\(\w+, "([a-z-]+)"\)', source)) | {"disk-full"}
    )
    row = next(line for line in halves[0].splitlines() if line.startswith("| `enclave-failed`"))
    assert words | {"system-error"} == set(re.findall(r"`([a-z-]+)`", row.split("|")[3]))
