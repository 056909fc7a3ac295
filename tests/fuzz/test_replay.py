"""Every decoder takes its valid inputs, keeps its law on the committed corpus and on all that ever broke one."""

from __future__ import annotations

import json
import random

import pytest

from tests.fuzz import corpus, page, registry, results, seeds, shapes
from tests.fuzz.target import Target

MUTATED = 40
"""Mutated inputs of each target: a smoke test of target and mutator; `make fuzz` is the real thing."""
TARGETS = [target for _, target in registry.targets()]


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_a_decoder_keeps_its_law(target: Target):
    check, given = target.prepare(), list(target.seeds())
    assert sum(map(check, given)), "no valid input: the rest would show nothing"
    for data in (*seeds.hostile(target.shape), *corpus.small(target.name), *corpus.found(target.name).values()):
        check(data)
    rng = random.Random(target.name)
    small = [data for data in given if len(data) <= target.most] or given
    for _ in range(MUTATED):
        check(shapes.mutate(target.shape, rng.choice(small), rng))


def test_targets_have_names_of_their_own_and_files_belong_to_targets():
    names = [target.name for target in TARGETS]
    assert len(set(names)) == len(names)
    kept = {path.stem for folder in (corpus.CORPUS, corpus.FOUND) for path in folder.glob("*.json")}
    assert kept <= set(names)
    assert set(results.load()) <= set(names)


def test_a_session_that_breaks_a_law_is_seen(tmp_path):
    """The runner counts a target that ends badly; the page then says so."""
    found = {"card": results.Result(executions=10, first="2026-01-01", last="2026-01-02", findings=1)}
    path = tmp_path / "results.json"
    results.save(found, path)
    assert results.load(path) == found
    assert json.loads(path.read_bytes())["targets"]["card"]["executions"] == 10
    assert "| 1 |" in next(line for line in page.render(found).splitlines() if line.startswith("| `card`"))


@pytest.mark.parametrize("shape", ["bytes", "json", "text", "der"])
def test_mutators_change_inputs_and_survive_junk(shape: str):
    rng = random.Random(shape)
    valid = {"json": b'{"a":[1,{"b":"c"}]}', "text": b"a = 1\nb = 2\n", "der": b"\x30\x06\x02\x01\x05\x0c\x01a"}
    start = valid.get(shape, b"bytes")
    made = {shapes.mutate(shape, start, rng) for _ in range(200)}
    assert len(made) > 50
    for data in (b"", b"[" * 3000, b"\xff" * 50, *seeds.hostile(shape)):
        assert isinstance(shapes.mutate(shape, data, rng), bytes)
