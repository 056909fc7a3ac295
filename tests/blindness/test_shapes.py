"""Two secrets of equal size look alike to a host and to every party that must not know them."""

from __future__ import annotations

import pytest

from tests.blindness import transcript
from tests.blindness.secrets import PAIRS, RULES, Pair
from tests.hostile_parties import room
from tests.jail.zygotes import Zygote

ALIKE = [pair for pair in PAIRS if pair.alike]


def sizes(payloads: object) -> list[int]:
    assert isinstance(payloads, dict)
    return [len(data) for _, data in payloads.values()]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_secrets_differ_and_have_one_size(pair: Pair) -> None:
    assert pair.one != pair.other
    assert set(pair.one) == set(pair.other)
    assert sizes(pair.one) == sizes(pair.other)


@pytest.mark.parametrize("pair", ALIKE, ids=lambda pair: pair.name)
def test_two_secrets_of_one_size_give_one_transcript(jailer: Zygote, pair: Pair) -> None:
    one, other = (transcript.play(jailer, RULES, payloads).shape for payloads in (pair.one, pair.other))
    assert one == other


def test_whether_a_rule_answers_is_the_one_word_that_differs(jailer: Zygote) -> None:
    # Not hidden from host and parties: LIMITATIONS says so, and owners are charged for it with their grants.
    pair = next(pair for pair in PAIRS if not pair.alike)
    one, other = (transcript.play(jailer, RULES, payloads).shape for payloads in (pair.one, pair.other))
    assert one != other
    assert ("rule", "audience") in _flat(one) & _flat(other)
    assert ("outcome", "withheld") not in _flat(one)
    assert ("outcome", "withheld") in _flat(other)


def test_a_difference_of_one_byte_in_size_would_be_seen(jailer: Zygote) -> None:
    media, data = room.HONEST["prospects"]
    longer = {"prospects": (media, data.replace(b"admin", b"admins", 1))}
    one, other = (transcript.play(jailer, ("overlap",), payloads).shape for payloads in ({}, longer))
    assert one != other


def _flat(value: object) -> set[object]:
    if not isinstance(value, tuple):
        return set()
    found: set[object] = {value} if len(value) == 2 and all(isinstance(item, str) for item in value) else set()
    return found.union(*map(_flat, value)) if value else found
