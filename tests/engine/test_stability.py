"""Tries to falsify the stability constants against a second, slow implementation of the linkage."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealroom.enclave.engine import digests, link, stability
from sealroom.protocol.agreement import Link
from sealroom.protocol.errors import NotReleased

# An entity is (id, keys): its place in the order is its id; a key is a small number or None.
Entity = tuple[int, tuple[int | None, ...]]


def slow_waterfall(left: list[Entity], right: list[Entity], stages: int) -> set[tuple[Entity, Entity]]:
    free = [sorted(left), sorted(right)]
    pairs = set()
    for stage in range(stages):
        values = {e[1][stage] for e in free[0]} - {None}
        made = []
        for value in values:
            firsts = [next((e for e in side if e[1][stage] == value), None) for side in free]
            if firsts[0] is not None and firsts[1] is not None:
                made.append((firsts[0], firsts[1]))
        pairs |= set(made)
        free = [[e for e in side if e not in [p[i] for p in made]] for i, side in enumerate(free)]
    return pairs


def distance(one: Counter, other: Counter) -> int:
    return sum(abs(one[cell] - other[cell]) for cell in one.keys() | other.keys())


def moved(worlds: list[set[tuple[Entity, Entity]]]) -> tuple[int, int, int, int]:
    """How far two sets of pairs are apart: in number, by left entities, by right entities, by pairs.

    Cells as fine as entities give the largest distance that any histogram can have.
    """
    one, other = worlds
    by = [distance(Counter(p[i] for p in one), Counter(p[i] for p in other)) for i in (0, 1)]
    return abs(len(one) - len(other)), by[0], by[1], distance(Counter(one), Counter(other))


def terms(stages: int, scheme: str = "waterfall/v1") -> Link:
    return Link(name="l", left="a", right="b", scheme=scheme, keys=(("email",),) * stages)  # type: ignore[arg-type]


def check(worlds: list[set[tuple[Entity, Entity]]], stages: int) -> None:
    count, left, right, both = moved(worlds)
    assert count <= stability.of_count(terms(stages))
    assert max(left, right) <= stability.of_histogram(terms(stages), frozenset({"a"}))
    assert both <= stability.of_histogram(terms(stages), frozenset({"a", "b"}))


def entities(stages: int, values: int) -> st.SearchStrategy[list[Entity]]:
    key = st.one_of(st.none(), *[st.just(v) for v in range(values)])
    return st.lists(st.tuples(st.integers(0, 40), st.tuples(*[key] * stages)), max_size=9, unique_by=lambda e: e[0])


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[int, list[Entity], list[Entity], Entity, Entity]:
    stages, values = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    left, right = draw(entities(stages, values)), draw(entities(stages, values))
    used = {e[0] for e in left}
    two = st.lists(
        st.tuples(
            st.integers(0, 60).filter(lambda i: i not in used), st.tuples(*[st.sampled_from([None, 0, 1, 2])] * stages)
        ),
        min_size=2,
        max_size=2,
    )
    old, new = draw(two)
    return stages, left, right, old, new


@settings(max_examples=300, deadline=None)
@given(neighbours())
def test_replacing_one_entity_moves_nothing_further_than_its_constant(
    case: tuple[int, list[Entity], list[Entity], Entity, Entity],
) -> None:
    stages, left, right, old, new = case
    check([slow_waterfall([*left, e], right, stages) for e in (old, new)], stages)
    check([slow_waterfall(right, [*left, e], stages) for e in (old, new)], stages)


def test_every_tiny_table_keeps_the_constants() -> None:
    keys = list(itertools.product((None, 0, 1), repeat=2))
    for right_keys in itertools.product(keys, repeat=2):
        right = [(i, k) for i, k in enumerate(right_keys)]
        for left_keys in itertools.product(keys[2:6], repeat=2):
            left = [(10 * i + 10, k) for i, k in enumerate(left_keys)]
            for old, new in itertools.product([(5, k) for k in keys[::2]], [(15, k) for k in keys[::2]]):
                check([slow_waterfall([*left, e], right, 2) for e in (old, new)], 2)
                check([slow_waterfall(right, [*left, e], 2) for e in (old, new)], 2)


def test_the_constants_are_attained() -> None:
    # Two chains: whoever comes takes a partner from an entity, which takes another's partner in the next stage.
    left = [(10, (0, 2)), (11, (None, 2)), (20, (1, 3)), (21, (None, 3))]
    right = [(1, (0, None)), (2, (1, None)), (3, (None, 2)), (4, (None, 3))]
    old, new = (5, (0, None)), (6, (1, None))
    worlds = [slow_waterfall([*left, e], right, 2) for e in (old, new)]
    assert moved(worlds)[1] == stability.ONE_SIDE
    assert moved(worlds)[3] == stability.PER_STAGE * 2
    worlds = [slow_waterfall(left[:1], [*right[2:3], e], 1) for e in ((5, (0, None)), (6, (7, None)))]
    assert moved(worlds)[0] == stability.PAIR_COUNT


def test_a_scheme_without_a_proof_gives_no_formal_release() -> None:
    for ask in (stability.of_count, lambda t: stability.of_histogram(t, frozenset())):
        with pytest.raises(NotReleased) as refused:
            ask(terms(1, scheme="fuzzy/v1"))
        assert refused.value.code == "E5.no-stability-proof"


def test_what_reads_no_attribute_is_a_count() -> None:
    assert stability.of_histogram(terms(3), frozenset()) == stability.PAIR_COUNT


@settings(max_examples=25, deadline=None)
@given(neighbours())
def test_the_engine_links_as_the_slow_linkage_does(
    case: tuple[int, list[Entity], list[Entity], Entity, Entity],
) -> None:
    stages, left, right, *_ = case
    sides = [side_of(entities, stages) for entities in (left, right)]
    connection = link.connect()
    found = link.waterfall(connection, *sides)
    connection.close()
    pairs = {(left[i], right[j]) for i, j in zip(found.left.tolist(), found.right.tolist(), strict=True)}
    assert pairs == slow_waterfall(left, right, stages)
    assert found.left.tolist() == sorted(found.left.tolist())


def side_of(listed: list[Entity], stages: int) -> link.Side:
    words = np.array([(e[0], 0) for e in listed], dtype=np.uint64).reshape(-1, 2)
    keyed = []
    for stage in range(stages):
        values = [e[1][stage] for e in listed]
        key = np.array([(7 if v is None else v, 1) for v in values], dtype=np.uint64).reshape(-1, 2)
        keyed.append((key, np.array([v is not None for v in values], dtype=bool)))
    return link.Side(digests.ranks(words), keyed)
