"""The rule grouped_aggregates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sealroom.enclave.engine import grouped, noise, stability
from sealroom.enclave.engine.context import Release
from sealroom.enclave.engine.run import Withheld
from sealroom.protocol.rules import BoundedSum, ColumnOf
from tests.engine import small

CUT = json.dumps(
    {
        "format": "sealroom/query/v1",
        "segments": [
            {"label": "rich", "when": [["customers.money", ">=", 2000], ["prospects.age", "<", 50]]},
            {"label": "rest", "when": [["customers.money", "<", 2000]]},
        ],
    }
)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Take the noise away, and note what was asked of it: (sensitivity, epsilon) per mechanism."""
    asked: list[tuple[int, int]] = []

    class Silent:
        def __init__(self, sensitivity: int, epsilon_millionths: int) -> None:
            asked.append((sensitivity, epsilon_millionths))

        def add(self, values: list[int]) -> list[int]:
            return values

    monkeypatch.setattr(noise, "laplace", Silent)
    return asked


def release(*args: Any, **more: Any) -> dict[str, Any]:
    [found] = small.engine(*args, **more).answers()
    assert isinstance(found, Release), found
    value: dict[str, Any] = json.loads(found.canonical)
    return value


def reason(*args: Any, **more: Any) -> str:
    [found] = small.engine(*args, **more).answers()
    assert isinstance(found, Withheld)
    return found.reason


def test_counts_and_sums_are_those_of_the_pairs(exact: list[tuple[int, int]]) -> None:
    value = release(small.grouped())
    assert value["cells"] == [
        {
            "cell": {"prospects.town": "A"},
            "count": 20,
            "sums": {"customers.money": sum(100 * i for i in range(0, 40, 2))},
        },
        {
            "cell": {"prospects.town": "B"},
            "count": 20,
            "sums": {"customers.money": sum(100 * i for i in range(1, 40, 2))},
        },
    ]
    assert (value["cells_withheld"], value["of"], value["epsilon_millionths"]) == (0, 2, 2 * 10**7)
    assert exact == [(4, 10**7), (4 * 10_000, 10**7)]


def test_a_cell_below_the_floor_has_no_numbers_but_is_there(exact: list[tuple[int, int]]) -> None:
    rows = [{**row, "town": "A" if i else "B"} for i, row in enumerate(small.partner_rows())]
    value = release(small.grouped(floor=5), partner=rows)
    assert [cell["count"] for cell in value["cells"]] == [39, None]
    assert value["cells"][1]["sums"] == {"customers.money": None}
    assert (value["cells_withheld"], value["of"]) == (1, 2)


def test_cells_are_the_declared_product_in_declared_order(exact: list[tuple[int, int]]) -> None:
    rule = small.grouped(by=(ColumnOf("prospects", "town"), ColumnOf("customers", "kind")), sums=())
    value = release(rule)
    cells = [tuple(cell["cell"].values()) for cell in value["cells"]]
    assert sorted(cells) == sorted((k, t) for k in ("new", "old") for t in ("A", "B"))
    assert [cell["count"] for cell in value["cells"]] == [20, 0, 0, 20]
    assert exact == [(stability.PER_STAGE, 2 * 10**7)]


def test_a_missing_category_counts_nowhere_and_a_missing_value_adds_nothing(exact: list[tuple[int, int]]) -> None:
    partner = [{**row, "town": ""} if i == 0 else row for i, row in enumerate(small.partner_rows())]
    bank = [{**row, "money": ""} if i == 2 else row for i, row in enumerate(small.bank_rows())]
    cell = release(small.grouped(), partner=partner, bank=bank)["cells"][0]
    assert cell["count"] == 19
    assert cell["sums"]["customers.money"] == sum(100 * i for i in range(4, 40, 2))


def test_values_are_clamped_before_they_are_summed(exact: list[tuple[int, int]]) -> None:
    tight = BoundedSum(dataset="customers", column="money", lower=-7, upper=5)
    value = release(small.grouped(by=(), sums=(tight,)))
    assert value["cells"] == [{"cell": {}, "count": 40, "sums": {"customers.money": 39 * 5}}]
    assert exact == [(1, 10**7), (4 * 7, 10**7)]


def test_segments_are_cut_by_the_hidden_query(exact: list[tuple[int, int]]) -> None:
    rule = small.grouped(by=(), segments=small.segments("rest", "rich", "never"), sums=())
    value = release(rule, queries={"cut": CUT})
    assert [(c["cell"]["segment"], c["count"]) for c in value["cells"]] == [("rest", 20), ("rich", 10), ("never", 0)]


def test_a_query_counts_as_reading_both_sides_whatever_it_reads(exact: list[tuple[int, int]]) -> None:
    release(small.grouped(segments=small.segments("rest", "rich")), queries={"cut": CUT})
    assert exact == [(stability.PER_STAGE, 10**7), (stability.PER_STAGE * 10_000, 10**7)]


def test_the_noise_is_real() -> None:
    # Counts of 20 under noise of scale 4 fall below the floor, where nothing is shown, once in 300 draws; the sums
    # that are shown beside the others have noise of scale 40,000.
    rule = small.grouped(epsilon=2 * 10**6)
    one, other = (release(rule)["cells"] for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ({}, "bad-query"),
        ({"cut": "{}"}, "bad-query"),
        ({"cut": CUT.replace("rest", "leak")}, "undeclared-label"),
        ({"cut": CUT.replace("customers.money", "customers.mail")}, "bad-query"),
        ({"cut": CUT.replace("customers.money", "customers.bank_id")}, "bad-query"),
    ],
)
def test_a_query_that_is_missing_or_wrong_withholds_the_rule(queries: dict[str, str], expected: str) -> None:
    assert reason(small.grouped(segments=small.segments("rest", "rich")), queries=queries) == expected


def test_a_query_sees_only_columns_that_the_request_names() -> None:
    rule = small.grouped(segments=small.segments("rest", "rich"))
    assert reason(rule, queries={"cut": CUT}, requested={"customers": ("kind",)}) == "bad-query"


def test_an_epsilon_that_cannot_be_split_withholds_the_rule() -> None:
    assert reason(small.grouped(epsilon=1)) == "bad-rule"


def test_nothing_in_the_detail_depends_on_the_data() -> None:
    [one] = small.engine(small.grouped()).answers()
    [other] = small.engine(small.grouped(), bank=small.bank_rows(shared=3)).answers()
    assert isinstance(one, Release)
    assert isinstance(other, Release)
    assert one.detail == other.detail


def test_a_segment_axis_is_named_so() -> None:
    assert grouped.SEGMENT == "segment"
