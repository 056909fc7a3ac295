"""The example for the lane `blocks`: in real jails, on the shipped pair's real rows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.engine import blocks, estimate, run
from sealroom.enclave.engine.context import Release, Run, Wave
from sealroom.enclave.jail import output
from sealroom.protocol import agreement as ag
from sealroom.protocol import bundle
from sealroom.protocol.rules import ColumnOf, Coordinate, VectorEstimate
from tests.engine import direct
from tests.jail.zygotes import LIMITS, Zygote, zygote


@dataclasses.dataclass
class Jails:
    """What gate and zygote do for the engine, with a real zygote."""

    zygote: Zygote
    archive: bytes

    def ask(self, wave: Wave) -> list[memoryview]:
        outputs = [memory.fixed_output(wave.output_bytes) for _ in wave.blocks]
        views = [flat.to_memfd(wave.table, columns, columns[0].rows) for columns in wave.blocks]
        pairs = [fd for pair in zip(outputs, views, strict=True) for fd in pair]
        fds = [memory.sealed_copy("bundle", [self.archive]), *pairs]
        try:
            message = {"op": "run", "kind": "blocks", "limits": LIMITS, "spec": wave.spec}
            assert self.zygote.ask(message, fds) == "ok"
            return [memory.map_readonly(fd) for fd in outputs]
        finally:
            frames.close_all(fds)


@pytest.fixture(scope="module")
def plan(root: Path) -> Any:
    return json.loads((root / "jobs" / "drivers" / "features.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rule(plan: Any) -> VectorEstimate:
    columns = dict.fromkeys(item["column"] for item in (plan["outcome"], *plan["features"]))
    return VectorEstimate(
        type="vector_estimate", name="drivers", link="both", bundle="drivers",
        columns=tuple(ColumnOf(*column.split(".")) for column in columns),
        coordinates=tuple(Coordinate(name=item["name"], least=-200, most=400) for item in plan["features"]),
        blocks=200, block_milliseconds=2000, at_once=2, epsilon=2_000_000, recipients=("bank",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(root: Path, rule: VectorEstimate) -> Run:
    schemas, flats = direct.lookalike_pair(root / "jobs" / "data" / "lookalike")
    code = ag.Bundle(name="drivers", owner="bank", lane="blocks")
    return direct.Direct(direct.agreement(schemas, direct.KEYS, [rule], bundles=[code]), flats).run()


@pytest.fixture(scope="module")
def jails(root: Path) -> Iterator[Jails]:
    with zygote() as started:
        yield Jails(started, bundle.pack(root / "jobs" / "drivers"))


def slopes(root: Path, rule: VectorEstimate, wave: Wave) -> list[list[float]]:
    """What the job says of each block when it is called here, within its bounds."""
    spaced: dict[str, Any] = {"__name__": "job"}
    source = (root / "jobs" / "drivers" / "job.py").read_text("utf-8")
    plan = (root / "jobs" / "drivers" / "features.json").read_bytes()
    exec(compile(source.replace('pkgutil.get_data(__name__, "features.json")', repr(plan)), "job.py", "exec"), spaced)  # noqa: S102
    ask = SimpleNamespace(table="block", names=[item.name for item in rule.coordinates])
    found = []
    for columns in wave.blocks:
        frame = direct.frame_of(flat.validate(flat.to_bytes(columns, columns[0].rows)))
        found.append(np.clip(spaced["run"]({"block": frame}, ask), -0.2, 0.4).tolist())
    return found


def test_real_jails_say_what_the_function_says(root: Path, rule: VectorEstimate, pair: Run, jails: Jails) -> None:
    box = estimate.box_of(rule)
    for wave in itertools.islice(blocks.waves(pair, rule), 3):
        assert sum(columns[0].rows for columns in wave.blocks) > 20 * len(wave.blocks)
        answers = [output.read_vector(data, box) for data in jails.ask(wave)]
        np.testing.assert_allclose(answers, slopes(root, rule, wave), atol=1e-9)


@pytest.mark.slow
def test_the_shipped_pair_gives_slopes_with_the_right_signs(rule: VectorEstimate, pair: Run, jails: Jails) -> None:
    """7,000 linked people, two link stages: only strong drivers stand out of the noise at this size, at epsilon 20."""
    strong = dataclasses.replace(rule, block_milliseconds=400, epsilon=20_000_000)
    found = run.answer(dataclasses.replace(pair, ask_blocks=jails.ask), strong)
    assert isinstance(found, Release)
    said = {item["name"]: item for item in json.loads(found.canonical)["estimate"]}
    assert said["said-yes-before"]["interval_95"][0] > 0
    assert len(found.canonical) < 4096


def test_a_real_wave_has_no_more_blocks_than_processors(pair: Run, rule: VectorEstimate) -> None:
    wide = dataclasses.replace(rule, at_once=7)
    wave = next(iter(blocks.waves(pair, wide)))
    assert len(wave.blocks) == min(7, len(os.sched_getaffinity(0)))
