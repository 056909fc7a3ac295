"""The mean over blocks: what leaves, what counts as the middle of the box, and how far one entity can move it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from sealroom.enclave.engine import blocks, estimate, noise, reasons, stability, tables
from sealroom.enclave.engine.context import Release, Run, Wave
from sealroom.enclave.engine.run import Withheld
from sealroom.enclave.jail import output
from sealroom.protocol import canonical, terms
from sealroom.protocol.agreement import Link
from sealroom.protocol.rules import ColumnOf, Coordinate, VectorEstimate
from tests.engine import direct, small

LEVEL = Coordinate(name="level", least=-1000, most=1000)
SHARE = Coordinate(name="share", least=0, most=500)
Job = Callable[[Mapping[str, Any], Any], Any]


def says(*numbers: float) -> Job:
    return lambda tables, ask: list(numbers)


def released(engine: direct.Direct) -> dict[str, Any]:
    [found] = engine.answers("vector")
    assert isinstance(found, Release), found
    return json.loads(found.canonical)  # type: ignore[no-any-return]


def test_the_mean_over_blocks_leaves_with_noise_and_an_interval() -> None:
    engine = small.engine(small.estimate(LEVEL, SHARE), job=says(0.5, 0.1))
    found = released(engine)
    assert (found["blocks"], found["epsilon_millionths"]) == (200, 20_000_000)
    assert [item["name"] for item in found["estimate"]] == ["level", "share"]
    for item, truth in zip(found["estimate"], (500_000, 100_000), strict=True):
        low, high = item["interval_95"]
        assert low <= item["millionths"] <= high
        assert abs(item["millionths"] - truth) < 20 * (high - low + 1)


def test_every_block_is_asked_once_with_the_agreed_columns_and_every_pair_is_in_one() -> None:
    engine = small.engine(small.estimate(), job=says(0))
    released(engine)
    seen = [columns for wave in engine.waves for columns in wave.blocks]
    assert len(seen) == 200
    assert {tuple(column.name for column in columns) for columns in seen} == {("customers.money", "prospects.town")}
    money = [int(n) for columns in seen for n in columns[0].data]
    assert sorted(money) == [100 * i for i in range(40)]
    assert all(len(wave.blocks) <= min(2, len(os.sched_getaffinity(0))) for wave in engine.waves)


@pytest.mark.parametrize("at_once", [1, 7])
def test_no_more_blocks_are_seen_together_than_agreed_and_than_there_are_processors(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)))
    engine = small.engine(small.estimate(at_once=at_once), job=says(0))
    released(engine)
    assert max(len(wave.blocks) for wave in engine.waves) == min(at_once, 3)
    assert sum(len(wave.blocks) for wave in engine.waves) == 200


def test_no_pairs_at_all_give_a_release_like_any_other() -> None:
    """No refusal of a formal rule may depend on the data."""
    nobody = [{**row, "address": f"{i}@nowhere.org"} for i, row in enumerate(small.partner_rows())]
    found = released(small.engine(small.estimate(), partner=nobody, job=says(0.25)))
    assert abs(found["estimate"][0]["millionths"] - 250_000) < 100_000


def raises(tables: Mapping[str, Any], ask: Any) -> Any:
    raise ValueError


@pytest.mark.parametrize(
    "job", [raises, says(math.nan), says(math.inf), says(0, 0), says()], ids=["raises", "nan", "inf", "long", "short"]
)
def test_blocks_without_a_vector_count_as_the_middle_of_the_box(job: Job) -> None:
    box = Coordinate(name="level", least=1000, most=3000)
    run, rule = summing(small.engine(small.estimate(box), job=job))
    assert sums_of(run, rule).tolist() == [200 * estimate.STEPS // 2]
    assert "missing" not in json.dumps(released(small.engine(small.estimate(box), job=job)))


def test_a_number_outside_its_bounds_counts_as_the_nearer_bound() -> None:
    run, rule = summing(small.engine(small.estimate(), job=says(1e300)))
    assert sums_of(run, rule).tolist() == [200 * estimate.STEPS]


BOX = np.array([[-1.0, 1.0], [0.0, 0.5]])


def vector(*items: float, kind: int = output.VECTOR, count: int | None = None) -> bytes:
    head = output.HEAD.pack(output.MAGIC, kind, 0, len(items) if count is None else count)
    return head + np.array(items, dtype="<f8").tobytes()


@pytest.mark.parametrize(
    "unverified",
    [
        vector(1.0000000001, 0.1), vector(0, -1e-300), vector(0, math.nan), vector(math.inf, 0), vector(-math.inf, 0),
        vector(0), vector(0, 0, 0), vector(0, 0, kind=output.SCORES), vector(0, 0, count=3), b"", bytes(40),
        vector(0, 0)[:-1], vector(0, 0) + b"x",
    ],
)  # fmt: skip
def test_what_is_no_vector_within_the_box_is_its_middle(unverified: bytes) -> None:
    assert estimate.steps(unverified, BOX).tolist() == [estimate.STEPS // 2] * 2


def test_a_vector_within_the_box_is_brought_to_the_grid() -> None:
    assert estimate.steps(vector(-1, 0.5), BOX).tolist() == [0, estimate.STEPS]
    assert estimate.steps(vector(-0.0, 0.125), BOX).tolist() == [estimate.STEPS // 2, estimate.STEPS // 4]


REFUSALS: list[tuple[str, Callable[[], direct.Direct], str]] = [
    ("a scheme without a proof", lambda: unproven(small.engine(small.estimate(), job=says(0))), "no-stability-proof"),
    (
        "a column that was not requested",
        lambda: small.engine(small.estimate(), job=says(0), requested={"customers": ("money",), "prospects": ()}),
        "no-columns",
    ),
]


def unproven(engine: direct.Direct) -> direct.Direct:
    link = dataclasses.replace(engine.agreement.links[0], scheme="fuzzy/v1")  # type: ignore[arg-type]
    return dataclasses.replace(engine, agreement=dataclasses.replace(engine.agreement, links=(link,)))


@pytest.mark.parametrize(("made", "reason"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_what_cannot_be_computed_as_agreed_is_withheld_before_any_code_runs(
    made: Callable[[], direct.Direct], reason: str
) -> None:
    engine = made()
    assert engine.answers("vector") == [Withheld("vector", reason)]
    assert engine.waves == []


def test_a_column_that_was_not_loaded_is_a_bad_rule() -> None:
    engine = small.engine(small.estimate(), job=says(0))
    without = direct.dataset("prospects", "partner", "pid", [small.PARTNER.columns[1]])
    rows = [{"pid": row["pid"], "address": row["address"]} for row in small.partner_rows()]
    run = engine.run()
    loaded = {**run.tables, "prospects": tables.load(without, direct.flat_of(without, rows))}
    with pytest.raises(reasons.NotReleased) as caught:
        estimate.release(dataclasses.replace(run, tables=loaded), rule_of(engine))
    assert reasons.code_of(caught.value) == "bad-rule"


def test_a_wave_that_is_answered_by_halves_is_a_defect_and_no_release() -> None:
    engine = small.engine(small.estimate(), job=says(0))
    run = dataclasses.replace(engine.run(), ask_blocks=lambda wave: [])
    with pytest.raises(reasons.NotReleased) as caught:
        estimate.release(run, rule_of(engine))
    assert reasons.code_of(caught.value) == "engine-error"


# How far one entity moves it


def rule_of(engine: direct.Direct) -> VectorEstimate:
    found = engine.agreement.rule("vector")
    assert isinstance(found, VectorEstimate)
    return found


def summing(engine: direct.Direct, key: bytes = bytes(32)) -> tuple[Run, VectorEstimate]:
    run = engine.run()
    ask = run.ask_blocks if engine.job else extremes
    return dataclasses.replace(run, block_key=key, ask_blocks=ask), rule_of(engine)


def sums_of(run: Run, rule: VectorEstimate) -> np.ndarray[Any, Any]:
    """What `release` adds noise to."""
    box = estimate.box_of(rule)
    total = np.zeros(len(box), dtype=np.int64)
    for wave in blocks.waves(run, rule):
        total += sum(estimate.steps(answer, box) for answer in run.ask_blocks(wave))
    return total


def extremes(wave: Wave) -> list[memoryview]:
    """Answers that move as far as they can with any change of a block: ends of the box, by a hash of all its cells."""
    found = []
    for columns in wave.blocks:
        cells = sorted(zip(*(column.data.tolist() for column in columns), strict=True))
        bits = int.from_bytes(hashlib.blake2b(repr(cells).encode(), digest_size=4).digest())
        ends = [(item.least, item.most)[bits >> i & 1] / 1000 for i, item in enumerate(wave.rule.coordinates)]
        target = bytearray(wave.output_bytes)
        output.write(memoryview(target), output.VECTOR, np.array(ends))
        found.append(memoryview(target))
    return found


KINDS = ("email", "phone", "postcode", "national_id")


def pair_of(left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], rule: VectorEstimate) -> direct.Direct:
    """Two small tables: rows are (id, value, key of stage 1, key of stage 2, ...), a key None or a number."""
    stages = len((left or right)[0]) - 2
    identifiers = [direct.column(f"k{i}", identifier=KINDS[i]) for i in range(stages)]
    sides = [
        direct.dataset(name, owner, "id", [*identifiers, direct.column("n", "int")])
        for name, owner in (("customers", "bank"), ("prospects", "partner"))
    ]
    spelled: tuple[Callable[[int], str], ...] = (
        lambda k: f"{k}@x.org", lambda k: f"55500{k:03}", lambda k: f"p{k}", lambda k: f"n{k}",
    )  # fmt: skip
    flats = {}
    for side, rows in zip(sides, (left, right), strict=True):
        cells = [
            {"id": f"e{row[0]}", "n": str(row[1])}
            | {f"k{i}": spelled[i](key) for i, key in enumerate(row[2:]) if key is not None}
            for row in rows
        ]
        flats[side.name] = direct.flat_of(side, cells)
    bundles = (small.BUNDLES[2],)
    agreed = direct.agreement(sides, [[kind] for kind in KINDS[:stages]], [rule], bundles=bundles)
    return direct.Direct(agreed, flats)


BOTH = (ColumnOf("customers", "n"), ColumnOf("prospects", "n"))
MOVING = small.estimate(LEVEL, SHARE, columns=BOTH)


def contents(run: Run, rule: VectorEstimate) -> list[Counter[tuple[int, ...]]]:
    return [
        Counter(zip(*(column.data.tolist() for column in columns), strict=True))
        for wave in blocks.waves(run, rule)
        for columns in wave.blocks
    ]


def moved(worlds: Sequence[direct.Direct], keys: Sequence[bytes]) -> tuple[int, int, Run]:
    """How many blocks differ between two worlds, and by how much the sums do (L1), for one key or for two."""
    runs = [summing(world, key)[0] for world, key in zip(worlds, keys, strict=True)]
    one, other = (contents(run, MOVING) for run in runs)
    sums = [sums_of(run, MOVING) for run in runs]
    differ = sum(a != b for a, b in zip(one, other, strict=True))
    return differ, int(np.abs(sums[0] - sums[1]).sum()), runs[0]


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[list[Any], list[Any], Any, Any, bool]:
    stages = draw(st.integers(1, 4))
    key = st.one_of(st.none(), st.integers(0, 2))
    entity = st.tuples(st.integers(0, 30), st.integers(0, 9), *[key] * stages)
    rows = st.lists(entity, min_size=1, max_size=6, unique_by=lambda row: row[0])
    left, right = draw(rows), draw(rows)
    used = {row[0] for row in left}
    fresh = st.tuples(st.integers(31, 60).filter(lambda i: i not in used), st.integers(0, 9), *[key] * stages)
    return left, right, draw(fresh), draw(fresh), draw(st.booleans())


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(neighbours())
def test_replacing_one_entity_moves_the_clipped_sums_by_no_more_than_the_noise_is_scaled_to(
    case: tuple[list[Any], list[Any], Any, Any, bool],
) -> None:
    left, right, old, new, on_the_right = case
    worlds = []
    for entity in (old, new):
        mine = [*left, entity]
        worlds.append(pair_of(right, mine, MOVING) if on_the_right else pair_of(mine, right, MOVING))
    differ, distance, run = moved(worlds, [bytes(32)] * 2)
    assert differ <= stability.of_blocks(run.agreement.link("both"))
    assert distance <= estimate.sensitivity(run, MOVING)


def test_as_many_blocks_as_are_proven_can_be_reached() -> None:
    """Each version of the replaced entity takes a partner from one that takes another's in the next stage."""
    left = [(10, 1, 0, 2), (11, 2, None, 2), (20, 3, 1, 3), (21, 4, None, 3)]
    right = [(1, 1, 0, None), (2, 2, 1, None), (3, 3, None, 2), (4, 4, None, 3)]
    reached = 0
    for old_id in range(30, 90):  # ranks follow from a hash of the id: some come first
        worlds = [pair_of([*left, (old_id, 8, *keys)], right, MOVING) for keys in ((0, None), (1, None))]
        runs = [summing(world)[0] for world in worlds]
        one, other = (contents(run, MOVING) for run in runs)
        reached = max(reached, sum(a != b for a, b in zip(one, other, strict=True)))
        if reached == 4:
            break
    assert reached == stability.of_blocks(runs[0].agreement.link("both")) == 4


def test_a_key_that_followed_from_the_data_would_let_one_entity_move_nearly_every_block() -> None:
    """Why the key is fresh: with the run key, neighbours would be cut differently throughout."""
    engine = [small.engine(small.estimate(), partner=small.partner_rows(n), job=says(0)) for n in (60, 59)]
    keys = [hashlib.sha256(data).digest() for data in (e.tables["prospects"] for e in engine)]
    cut = [
        blocks.of_pairs(dataclasses.replace(e.run(), block_key=key), rule_of(e))
        for e, key in zip(engine, keys, strict=True)
    ]
    assert (cut[0] != cut[1]).sum() > 30
    fresh = [blocks.of_pairs(*summing(e)) for e in engine]
    assert (fresh[0] == fresh[1]).all()


def test_each_run_cuts_with_a_key_of_its_own_that_the_run_key_does_not_decide() -> None:
    engine = small.engine(small.estimate(), job=says(0))
    one, other = engine.run(), engine.run()
    assert one.run_key == other.run_key
    assert one.block_key != other.block_key
    assert (blocks.of_pairs(one, rule_of(engine)) != blocks.of_pairs(other, rule_of(engine))).any()
    same = dataclasses.replace(one, run_key=bytes(32))
    assert (blocks.of_pairs(one, rule_of(engine)) == blocks.of_pairs(same, rule_of(engine))).all()


def test_a_block_does_not_depend_on_the_order_of_rows_or_on_who_else_is_there() -> None:
    rule = small.estimate(columns=(ColumnOf("customers", "money"),))
    plain = summing(small.engine(rule, job=says(0)))
    turned = summing(small.engine(rule, bank=small.bank_rows()[::-1], partner=small.partner_rows()[::-1], job=says(0)))
    fewer = summing(small.engine(rule, bank=small.bank_rows()[5:], job=says(0)))

    def of_money(run: Run, rule: VectorEstimate) -> dict[int, int]:
        found = [[int(n) for n in columns[0].data] for wave in blocks.waves(run, rule) for columns in wave.blocks]
        return {n: index for index, numbers in enumerate(found) for n in numbers}

    assert of_money(*plain) == of_money(*turned)
    assert of_money(*fewer).items() <= of_money(*plain).items()


def test_neighbours_at_the_full_distance_cannot_be_told_apart_better_than_epsilon_says() -> None:
    """10,000 draws for each of two sums that are one sensitivity apart: a lower bound of epsilon, with confidence.

    Clopper and Pearson at 0.999 for each of 20 cuts at both sides; fixed cuts, so that no choice is made by the data.
    """
    size, epsilon = 2 * estimate.STEPS, 1_000_000
    mechanism = noise.laplace(sensitivity=size, epsilon_millionths=epsilon)
    drawn = [np.array(mechanism.add([total] * 10_000)) for total in (0, size)]
    cuts = np.linspace(-3 * size, 4 * size, 20)
    found = 0.0
    for cut in cuts:
        for one, other in ((drawn[0] <= cut, drawn[1] <= cut), (drawn[1] > cut, drawn[0] > cut)):
            least = beta.ppf(0.0005, one.sum(), 10_000 - one.sum() + 1) if one.sum() else 0.0
            most = beta.ppf(0.9995, other.sum() + 1, 10_000 - other.sum()) if other.sum() < 10_000 else 1.0
            found = max(found, math.log(least / most) if least > 0 else 0.0)
    assert found <= epsilon / 1e6
    assert found > 0.7 * epsilon / 1e6, "the test could not have seen a fault"


def test_the_interval_holds_the_mean_of_the_blocks_as_often_as_it_says() -> None:
    run, rule = summing(small.engine(small.estimate(epsilon=1_000_000), job=says(0.25)))
    mechanism = noise.laplace(sensitivity=estimate.sensitivity(run, rule), epsilon_millionths=rule.epsilon)
    total = int(sums_of(run, rule)[0])
    held = 0
    for noisy in mechanism.add([total] * 2000):
        low, high = estimate.published(LEVEL, rule.blocks, noisy, mechanism.half_width())["interval_95"]  # type: ignore[misc]
        held += low <= 250_000 <= high
    assert held >= 0.93 * 2000


@st.composite
def results(draw: st.DrawFn) -> tuple[list[Coordinate], int, list[int], int]:
    count = draw(st.integers(1, 32))
    bounds = st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9)).filter(lambda b: b[0] != b[1])
    coordinates = [
        Coordinate(name=f"c{i}", least=min(pair), most=max(pair))
        for i, pair in enumerate(draw(st.lists(bounds, min_size=count, max_size=count)))
    ]
    far = 2**53 - 1
    noisy = draw(st.lists(st.integers(-far, far), min_size=count, max_size=count))
    return coordinates, draw(st.integers(200, 2000)), noisy, draw(st.integers(0, 2**60))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(results())
def test_whatever_the_noise_the_text_is_canonical_within_the_box_and_fits(
    case: tuple[list[Coordinate], int, list[int], int],
) -> None:
    coordinates, count, noisy, half = case
    listed = [estimate.published(c, count, total, half) for c, total in zip(coordinates, noisy, strict=True)]
    for item, coordinate in zip(listed, coordinates, strict=True):
        low, high = item["interval_95"]  # type: ignore[misc]
        value = item["millionths"]
        assert 1000 * coordinate.least <= low <= value <= high <= 1000 * coordinate.most
    body = {"blocks": count, "epsilon_millionths": 20_000_000, "estimate": listed}
    text = estimate.canonical_json(body).encode()
    assert canonical.encode(body) == text
    rule = small.estimate(*coordinates)
    assert len(text) + 8 <= terms.padded_size(small.engine(small.estimate()).agreement, rule)


def test_more_stages_can_move_more_blocks() -> None:
    keys: Any = (("email",),) * 3
    link = Link(name="l", left="a", right="b", scheme="waterfall/v1", keys=keys)
    assert stability.of_blocks(link) == 6
