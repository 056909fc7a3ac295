"""Finds rows that look like the positive ones: an averaged ensemble of boosted trees over whatever columns there are.

Runs in: the jail.   Believes: nothing about names; columns are numbers, truth values, categories or text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

MEMBERS = 6
"""Models that are averaged: what one sees by chance, the others do not."""
MOST_LEVELS = 200
"""Values of a category that are told apart, the most frequent first; the model takes at most 255."""

Numbers = NDArray[np.float64]


def run(tables: Mapping[str, pd.DataFrame], ask: Any) -> NDArray[Any]:
    """Answer `ask`: positions of the rows most alike, best first, or one score per row.

    The table that is not asked about is learned from; its column `ask.label` says which rows are positive.
    """
    candidates = tables[ask.table]
    labelled = next(frame for name, frame in tables.items() if name != ask.table)
    positive = (labelled[ask.label] == (True if ask.positive is None else ask.positive)).to_numpy(dtype=bool)
    scores = score(labelled.drop(columns=[ask.label]), positive, candidates, ask.seed)
    if ask.kind == "scores":
        return scores
    return np.argsort(-scores, kind="stable")[: ask.size]


def score(labelled: pd.DataFrame, positive: NDArray[np.bool_], candidates: pd.DataFrame, seed: int) -> Numbers:
    """Mean predicted chance to be positive of each candidate, shape [candidates]."""
    if positive.all() or not positive.any() or not len(candidates):
        return np.zeros(len(candidates))
    train, asked, categorical = encode(labelled, candidates)
    total = np.zeros(len(candidates))
    for member in range(MEMBERS):
        model = HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_iter=100,
            max_leaf_nodes=15,
            l2_regularization=1.0,
            max_features=0.5,
            categorical_features=categorical,
            early_stopping=False,
            random_state=(seed + member) % 2**32,
        )
        total += model.fit(train, positive).predict_proba(asked)[:, 1]
    # Sums of floats can differ in the last digit between machines; coarser numbers order rows the same way everywhere.
    return np.round(total / MEMBERS, 9)


def encode(labelled: pd.DataFrame, candidates: pd.DataFrame) -> tuple[Numbers, Numbers, list[bool]]:
    """Both tables as float64[rows, columns], missing cells NaN, and which columns are categories."""
    columns: list[tuple[Numbers, Numbers]] = []
    categorical: list[bool] = []
    for name in labelled.columns:
        one, other = labelled[name], candidates[name]
        numeric = pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other)
        columns.append((_numbers(one), _numbers(other)) if numeric else _levels(one, other))
        categorical.append(not numeric)
    left, right = (np.column_stack([pair[i] for pair in columns]) for i in (0, 1))
    return left, right, categorical


def _numbers(column: pd.Series[Any]) -> Numbers:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _levels(one: pd.Series[Any], other: pd.Series[Any]) -> tuple[Numbers, Numbers]:
    """Codes by falling frequency in the labelled table; rarer values than the last code are missing."""
    counts = one.astype("str").where(one.notna()).value_counts()
    order = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))[:MOST_LEVELS]
    codes = {value: float(code) for code, (value, _) in enumerate(order)}
    left, right = (
        np.array([codes.get(str(value), np.nan) if pd.notna(value) else np.nan for value in column])
        for column in (one, other)
    )
    return left, right
