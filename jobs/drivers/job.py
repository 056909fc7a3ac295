"""What drives an outcome: coefficients of a ridge regression, fitted to one block of people.

Runs in: the jail, once for each block.   Believes: nothing about rows; columns and values stand in features.json.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RIDGE = 2.0
"""Added to each sum of squares: a block of a hundred people has features that hardly vary."""

Numbers = NDArray[np.float64]


def run(tables: Mapping[str, pd.DataFrame], ask: Any) -> Numbers:
    """One coefficient for each of `ask.names`, by its name in features.json; 0 where a block cannot tell."""
    plan = json.loads(pkgutil.get_data(__name__, "features.json") or b"")
    block = tables[ask.table]
    known = {item["name"]: item for item in plan["features"]}
    features = np.column_stack([numbers(block, known[name]) for name in ask.names])
    return fit(features, numbers(block, plan["outcome"]))


def numbers(block: pd.DataFrame, item: Mapping[str, Any]) -> Numbers:
    """A column as numbers in 0..1, shape [rows]: is it one of these values, or how far from `from` to `to`."""
    column = block[item["column"]]
    if "equals" in item:
        return np.asarray(column.isin(item["equals"]), dtype=np.float64)
    scaled = (column.to_numpy(dtype=np.float64, na_value=np.nan) - item["from"]) / (item["to"] - item["from"])
    return np.asarray(np.clip(np.nan_to_num(scaled), 0, 1))


def fit(features: Numbers, outcome: Numbers) -> Numbers:
    """Slopes of the linear model of the outcome; a block without people has none, so all are 0."""
    if not len(outcome):
        return np.zeros(features.shape[1])
    centred = features - features.mean(axis=0)
    squares = centred.T @ centred + RIDGE * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(squares, centred.T @ (outcome - outcome.mean())))
