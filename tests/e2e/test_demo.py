"""The demo as a newcomer plays it: one command, real programs, and a report whose every fact is looked at."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECONDS = 900
LATE_PAYERS = """
title = "A lender and an issuer look for customers like those who pay late"
[left]
party = "lender"
dataset = "accounts"
file = "bank.csv"
id = "bank_id"
identifiers = { first_name = "given_name", last_name = "family_name", email = "email", phone = "phone" }
features = ["PAY_6", "BILL_AMT1", "PAY_AMT1", "default_next_month"]
[right]
party = "issuer"
dataset = "holders"
file = "partner.csv"
id = "partner_id"
identifiers = { first_name = "given_name", last_name = "family_name", email = "email", phone = "phone" }
features = ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5"]
[outcome]
column = "default_next_month"
positive = "1"
[truth]
file = "truth.csv"
left_id = "bank_id"
right_id = "partner_id"
column = "default_next_month"
"""


def play(folder: Path, *words: str | Path) -> dict[str, Any]:
    """Play the demo into `folder` and return its report."""
    command = [sys.executable, "-m", "sealroom.client", "demo", "--folder", folder, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((folder / "report.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def check_any(report: dict[str, Any], folder: Path, launcher: str) -> None:
    """What holds of every demo."""
    assert report["format"] == "sealroom/demo-report/v1"
    assert report["launcher"] == launcher
    assert report["platform"]["class"] == "simulated"
    assert "protects nobody" in report["platform"]["warning"]
    assert any("100 ids" in line and "2,000" in line for line in report["special"])
    assert any("10 seconds" in line and "bits" in line for line in report["special"])
    assert re.fullmatch("[0-9a-f]{96}", report["measurement"])
    assert report["receipt"]["verified"] is True
    assert {release["fate"] for release in report["receipt"]["releases"]} == {"released"}
    assert report["tamper"]["refused_by"] in {party["party"] for party in report["inputs"]}
    assert "[E3.measurement]" in report["tamper"]["reason"]
    assert report["measurement"] not in report["tamper"]["reason"]
    history = report["tamper"]["history"]
    assert history["runs"] == history["receipts"] + 1  # every run but the refused one
    assert "proven offline" in (folder / "report.html").read_text("utf-8")
    assert all(0 <= purse["spent"] <= purse["total"] for purse in report["budgets"])
    page = (folder / "report.html").read_text("utf-8")
    assert "<h1>" in page
    assert "What is special here" in page
    assert all(html.escape(line) in page for line in report["special"])
    signed = json.loads(base64.b64decode(json.loads((folder / "agreement.signed.json").read_text("utf-8"))["payload"]))
    assert "2,000" in signed["purpose"]
    outside = re.search(r"(?i)https?://|<[^>]*\s(src|href|action)\s*=|@import|url\(|<script|<link|<iframe", page)
    assert outside is None, outside
    assert not any("passphrase" in word for typed in report["commands"].values() for word in typed)


def rules(report: dict[str, Any]) -> dict[str, str]:
    """Rule -> who received it."""
    return {shape["rule"]: shape["recipient"] for shape in report["shapes"]}


def check_overlap(report: dict[str, Any]) -> None:
    """What holds of the overlap alone, on the shipped pair."""
    assert rules(report) == {"overlap": "bank", "segments": "bank"}
    assert abs(report["overlap"]["count"] - 7000) < 150
    assert [cell["name"] for cell in report["segments"]] == ["settled", "saver", "mortgage", "indebted", "other"]
    assert report["audience"] is None
    # Seven commands for the bank to its first result, five for the partner; looking at receipts comes after.
    for party, most in (("bank", 7), ("partner", 5)):
        typed = report["commands"][party]
        first = next(n for n, word in enumerate(typed, 1) if word.startswith("sealroom results"))
        assert first <= most, typed[:first]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.usefixtures("instead_of_docker")
def test_the_overlap_is_played_with_processes(image: Path, tmp_path: Path) -> None:
    report = play(tmp_path / "demo", "--image", image, "--only-overlap")
    check_any(report, tmp_path / "demo", "process")
    check_overlap(report)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_another_pair_with_other_columns_is_played_from_its_description(
    image: Path, shared: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "pair.toml"
    spec.write_text(LATE_PAYERS, "utf-8")
    data = shared / "data" / "pairs" / "preapproval"
    report = play(tmp_path / "demo", "--image", image, "--data", data, "--spec", spec)
    check_any(report, tmp_path / "demo", "process")
    assert rules(report) == {"overlap": "lender", "quality": "lender", "audience": "issuer"}
    assert report["segments"] == []
    assert abs(report["overlap"]["count"] - 9000) < 250
    assert report["audience"]["size"] >= 300
    assert report["audience"]["lift"] > 2


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_the_overlap_is_played_in_docker_and_a_changed_image_is_refused(
    image: Path, container: Path, tmp_path: Path
) -> None:
    report = play(tmp_path / "demo", "--image", image, "--container", container, "--only-overlap")
    check_any(report, tmp_path / "demo", "docker")
    check_overlap(report)
    assert report["measurement"] == json.loads(container.read_text("utf-8"))["measurement"]
