"""A small made-up pair: sixty customers a side, forty of them shared, with every column type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sealroom.protocol import agreement as ag
from sealroom.protocol.rules import (
    AudienceToOwner,
    BoundedSum,
    ColumnOf,
    Coordinate,
    GroupedAggregates,
    Metrics,
    MetricValue,
    Outcome,
    OverlapCount,
    Segments,
    VectorEstimate,
)
from tests.engine import direct

BANK = direct.dataset(
    "customers",
    "bank",
    "bank_id",
    [
        direct.column("mail", identifier="email"),
        direct.column("kind", "category", values=["new", "old"]),
        direct.column("money", "int"),
        direct.column("bought", "category", values=["yes", "no"]),
    ],
)
PARTNER = direct.dataset(
    "prospects",
    "partner",
    "pid",
    [
        direct.column("address", identifier="email"),
        direct.column("age", "int"),
        direct.column("town", "category", values=["A", "B"]),
    ],
)
BUNDLES = (
    direct.MODEL,
    ag.Bundle(name="cut", owner="bank", lane="query"),
    ag.Bundle(name="fit", owner="bank", lane="blocks"),
)
OUTCOME = Outcome(dataset="customers", column="bought", positive="yes")


def bank_rows(shared: int = 40, rows: int = 60) -> list[dict[str, str]]:
    return [
        {
            "bank_id": f"B{i}",
            "mail": f"{i if i < shared else i + 1000}@x.org",
            "kind": ("new", "old")[i % 2],
            "money": str(100 * i),
            "bought": ("yes", "no")[i % 2],
        }
        for i in range(rows)
    ]


def partner_rows(rows: int = 60) -> list[dict[str, str]]:
    return [{"pid": f"P{i}", "address": f" {i}@X.org", "age": str(20 + i), "town": "AB"[i % 2]} for i in range(rows)]


def overlap(**changed: Any) -> OverlapCount:
    terms = {"epsilon": 10**7, "floor": 1, "round_to": 1, **changed}
    return OverlapCount(type="overlap_count", name="overlap", link="both", recipients=("bank",), **terms)


def grouped(**changed: Any) -> GroupedAggregates:
    terms: dict[str, Any] = {
        "by": (ColumnOf("prospects", "town"),),
        "segments": None,
        "sums": (BoundedSum(dataset="customers", column="money", lower=0, upper=10_000),),
        "epsilon": 2 * 10**7,
        "floor": 0,
        **changed,
    }
    return GroupedAggregates(type="grouped_aggregates", name="cells", link="both", recipients=("bank",), **terms)


def segments(*labels: str) -> Segments:
    return Segments(bundle="cut", labels=labels)


def metrics(*values: MetricValue, **changed: Any) -> Metrics:
    terms = {"holdout_percent": 50, "outcome": OUTCOME, "candidates": "prospects", **changed}
    values = values or (MetricValue(metric="auc", at_percent=10, least=0, most=1000, step=5),)
    return Metrics(
        type="metrics", name="quality", link="both", bundle="model", values=values, recipients=("bank",), **terms
    )


def audience(**changed: Any) -> AudienceToOwner:
    terms = {"percent": 30, "floor": 1, "least_seed": 1, "outcome": OUTCOME, "candidates": "prospects", **changed}
    return AudienceToOwner(
        type="audience_to_owner", name="audience", link="both", bundle="model", recipients=("partner",), **terms
    )


def estimate(*coordinates: Coordinate, **changed: Any) -> VectorEstimate:
    terms = {
        "columns": (ColumnOf("customers", "money"), ColumnOf("prospects", "town")),
        "coordinates": coordinates or (Coordinate(name="level", least=-1000, most=1000),),
        "blocks": 200,
        "block_milliseconds": 100,
        "at_once": 2,
        "epsilon": 2 * 10**7,
        **changed,
    }
    return VectorEstimate(
        type="vector_estimate", name="vector", link="both", bundle="fit", recipients=("bank",), **terms
    )


def engine(
    *rules: Any,
    bank: Sequence[Mapping[str, str]] | None = None,
    partner: Sequence[Mapping[str, str]] | None = None,
    **more: Any,
) -> direct.Direct:
    tables = {
        "customers": direct.flat_of(BANK, bank_rows() if bank is None else bank),
        "prospects": direct.flat_of(PARTNER, partner_rows() if partner is None else partner),
    }
    terms = direct.agreement([BANK, PARTNER], [["email"]], rules, bundles=BUNDLES)
    return direct.Direct(terms, tables, **more)
