"""The measurements run, take turns, and say what they were made on. No test asks how fast anything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import machine
from bench.timing import Goal, Measured, Pair, measure


def measured(goal: Goal) -> Measured:
    return Measured(
        name="n", ours="a", bare="b", clock="cpu", rounds=1, ours_seconds=0.02, bare_seconds=0.01, ratio=2.0,
        ratio_least=1.0, ratio_most=3.0, goal=goal,
    )  # fmt: skip


@pytest.mark.slow
def test_every_measurement_runs_on_small_sizes_and_is_written_down(root: Path, tmp_path: Path):
    target = tmp_path / "deep" / "results.json"
    environment = {"BENCH_SMALL": "1", "BENCH_IMAGE": str(tmp_path), "BENCH_OUT": str(target)}
    ended = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(target.read_text())
    names = [item["name"] for item in document["results"]]
    assert names == ["open", "seal", "seal-hash", "appraise", "agreement", "link", "waterfall", "jail"]
    assert all(item["ratio"] > 0 and item["rounds"] == 2 for item in document["results"])
    assert document["small"] is True
    assert [item["name"] for item in document["skipped"]] == ["cold"]
    assert document["machine"]["cores"]
    assert len(document["load_before"]) == 3
    assert all(name in ended.stdout for name in names)


def test_both_sides_take_turns_and_neither_always_goes_first():
    order: list[str] = []
    pair = Pair(
        name="n", ours="a", bare="b", run_ours=lambda: order.append("ours"), run_bare=lambda: order.append("bare"),
        clock="wall", times=2,
    )  # fmt: skip
    found = measure(pair, rounds=2)
    assert order == ["ours", "bare", "bare", "bare", "ours", "ours", "ours", "ours", "bare", "bare"]
    assert found.ratio_least <= found.ratio <= found.ratio_most


def test_a_goal_is_a_ratio_or_a_time_or_nothing():
    assert measured(Goal(ratio=1.9)).met is False
    assert measured(Goal(ratio=2.0)).met is True
    assert measured(Goal(seconds=0.02)).met is True
    assert measured(Goal(seconds=0.01)).met is False
    assert measured(Goal()).met is None
    assert measured(Goal()).document()["met"] is None


def test_what_the_machine_does_not_say_is_unknown(tmp_path: Path):
    (tmp_path / "info").write_text("a: b\n")
    assert machine._field(tmp_path / "info", "a") == "b"
    assert machine._field(tmp_path / "info", "c") == "unknown"
