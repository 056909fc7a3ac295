"""Owners who invent rows: what they gain, and what linkage and noise have to say to that."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sealroom.enclave.engine import noise, stability
from tests.engine import direct, small

TARGET = {"email": "target@x.y", "first_name": "Ada", "last_name": "Byron", "phone": "5550001"}
IDENTIFIERS = [
    direct.column(name, identifier=kind)
    for name, kind in (
        ("email", "email"), ("first_name", "given_name"), ("last_name", "family_name"), ("phone", "phone"),
    )
]  # fmt: skip
EPSILON = 500_000
DRAWS = 20_000


def linked(bank: list[dict[str, str]], partner: list[dict[str, str]]) -> int:
    """How many pairs the engine makes."""
    sides = (("customers", "bank", bank), ("prospects", "partner", partner))
    schemas = [direct.dataset(name, owner, "id", IDENTIFIERS) for name, owner, _ in sides]
    tables = {s.name: direct.flat_of(s, rows) for s, (_, _, rows) in zip(schemas, sides, strict=True)}
    agreement = direct.agreement(schemas, direct.KEYS, [small.overlap()])
    return len(direct.Direct(agreement, tables).run().links("both").left)


def invented(count: int, **same: str) -> list[dict[str, str]]:
    """Rows of people who are nobody, but for what they have in common."""
    return [
        {"id": f"s{n}", "email": f"s{n}@x.y", "first_name": f"S{n}", "last_name": "Y", "phone": f"777{n:05}", **same}
        for n in range(count)
    ]


PARTNER = [{"id": "p", **TARGET}, *({**row, "id": f"q{n}", "email": f"q{n}@z.z"} for n, row in enumerate(invented(50)))]


@pytest.mark.parametrize(
    "same",
    [TARGET, {"email": TARGET["email"]}, {k: v for k, v in TARGET.items() if k != "email"}],
    ids=["whole", "email", "name-and-phone"],
)
def test_however_many_rows_claim_to_be_one_person_they_link_once(same: dict[str, str]) -> None:
    assert linked(invented(200, **same), [PARTNER[0]]) == 1
    assert linked(invented(200, phone="0"), [PARTNER[0]]) == 0


def test_two_claims_to_one_person_by_different_keys_still_link_once() -> None:
    halves = [{**invented(1)[0], "id": "a", "email": TARGET["email"]}, {**TARGET, "id": "b", "email": "other@x.y"}]
    assert linked(halves, [PARTNER[0]]) == 1


def test_a_table_of_one_real_person_says_no_more_of_them_than_epsilon() -> None:
    # The best guess from one release whether the target is there: right in at most e^eps / (1 + e^eps) of all cases.
    agreement = direct.agreement(
        [direct.dataset(n, o, "id", IDENTIFIERS) for n, o in (("customers", "bank"), ("prospects", "partner"))],
        direct.KEYS,
        [small.overlap()],
    )
    sensitivity = stability.of_count(agreement.link("both"))
    mechanism = noise.laplace(sensitivity=sensitivity, epsilon_millionths=EPSILON)
    without, there = (np.sort(mechanism.add([count] * DRAWS)) for count in (0, 1))
    cuts = np.arange(-40, 42)
    right = (np.searchsorted(without, cuts) + DRAWS - np.searchsorted(there, cuts)) / (2 * DRAWS)
    bound = math.exp(EPSILON / 1e6) / (1 + math.exp(EPSILON / 1e6))
    five_sigma = 5 * 0.5 / math.sqrt(2 * DRAWS)
    assert 0.5 + five_sigma < right.max() < bound + five_sigma
