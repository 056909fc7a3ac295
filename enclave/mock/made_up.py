"""Makes up rows for the tables that an agreement declares: shared people, plausible values, something to learn.

Runs in: an author's machine.   Believes: an agreement that was checked.

Every person has one hidden number. Columns follow it a little, each in a way that its name decides, and so does the
outcome: a model finds something, and how much it finds says nothing about real data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sealroom.enclave import flat
from sealroom.protocol.agreement import Agreement, Column, Dataset
from sealroom.protocol.rules import AudienceToOwner, Metrics

SHARED_PERCENT = 60
NULL_PERCENT = 3
_POSITIVE_PERCENT = 30
_SCALES = (10, 50, 1000, 20_000)
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty")
_LETTERS = "abcdefghij"

Numbers = NDArray[np.float64]
People = NDArray[np.int64]
Make = Callable[[Column, Numbers, np.random.Generator], flat.Column]


def tables(agreement: Agreement, *, rows: int, seed: int) -> dict[str, bytes]:
    """A flat table per dataset, of at most `rows` rows and never more than agreed; 60 % of its people are in all."""
    sizes = {dataset.name: min(rows, dataset.most_rows) for dataset in agreement.datasets}
    shared = min(sizes.values()) * SHARED_PERCENT // 100
    outcomes = {
        (rule.outcome.dataset, rule.outcome.column): rule.outcome.positive
        for rule in agreement.rules
        if isinstance(rule, (Metrics, AudienceToOwner))
    }
    made, first_own = {}, shared
    for dataset in agreement.datasets:
        own = sizes[dataset.name] - shared
        people = np.concatenate([np.arange(shared), np.arange(first_own, first_own + own)])
        first_own += own
        people = _random(seed, dataset.name).permutation(people)
        columns = [_column(dataset, column, people, seed, outcomes) for column in dataset.columns]
        made[dataset.name] = flat.to_bytes(columns, len(people))
    return made


def _column(
    dataset: Dataset, column: Column, people: People, seed: int, outcomes: dict[tuple[str, str], str]
) -> flat.Column:
    if column.name == dataset.entity:
        return flat.text_column(column.name, (f"{dataset.name}-{person}" for person in people))
    if column.identifier is not None:
        return flat.text_column(column.name, _identifiers(column.identifier, people.tolist()))
    rng = _random(seed, f"{dataset.name}.{column.name}")
    hidden = _hidden(people, seed)
    positive = outcomes.get((dataset.name, column.name))
    if positive is not None:
        return _outcome(column, hidden, positive, rng)
    pull = 0.2 + 0.6 * _share(column.name)
    return _MAKE[column.type](column, pull * hidden + rng.normal(size=len(people)) * (1 - pull), rng)


def _hidden(people: People, seed: int) -> Numbers:
    """One standard normal number per person, the same in every table."""
    return _random(seed, "people").normal(size=int(people.max(initial=0)) + 1)[people]


def _outcome(column: Column, hidden: Numbers, positive: str, rng: np.random.Generator) -> flat.Column:
    noisy = hidden + rng.normal(size=len(hidden)) * 0.8
    yes = noisy > np.quantile(noisy, 1 - _POSITIVE_PERCENT / 100) if len(noisy) else noisy > 0
    values = column.values or ()
    others = [code for code, value in enumerate(values) if value != positive] or [-1]
    codes = np.where(yes, values.index(positive), rng.choice(others, len(hidden)))
    return flat.category_column(column.name, np.where(_nulls(rng, len(hidden)), -1, codes), values)


def _int(column: Column, pulled: Numbers, rng: np.random.Generator) -> flat.Column:
    data = np.rint(_scaled(column, pulled)).astype(np.int64)
    return flat.int_column(column.name, data, ~_nulls(rng, len(pulled)))


def _float(column: Column, pulled: Numbers, rng: np.random.Generator) -> flat.Column:
    return flat.float_column(column.name, np.round(_scaled(column, pulled), 4), ~_nulls(rng, len(pulled)))


def _bool(column: Column, pulled: Numbers, rng: np.random.Generator) -> flat.Column:
    return flat.bool_column(column.name, pulled > 0.2, ~_nulls(rng, len(pulled)))


def _text(column: Column, pulled: Numbers, rng: np.random.Generator) -> flat.Column:
    missing = _nulls(rng, len(pulled))
    words = [
        f"{_WORDS[i]} {j}" for i, j in zip(_codes(pulled, len(_WORDS)), rng.integers(0, 50, len(pulled)), strict=True)
    ]
    return flat.text_column(column.name, (None if gone else word for gone, word in zip(missing, words, strict=True)))


def _category(column: Column, pulled: Numbers, rng: np.random.Generator) -> flat.Column:
    values = column.values or ()
    codes = np.where(_nulls(rng, len(pulled)), -1, _codes(pulled, len(values)))
    return flat.category_column(column.name, codes, values)


_MAKE: dict[str, Make] = {"int": _int, "float": _float, "bool": _bool, "text": _text, "category": _category}


def _scaled(column: Column, pulled: Numbers) -> Numbers:
    """From zero upwards, about one of four sizes."""
    scale = _SCALES[int(_share(f"scale {column.name}") * len(_SCALES))]
    return np.maximum(0.0, scale * (1 + 0.6 * pulled))


def _codes(pulled: Numbers, count: int) -> Any:
    """Positions 0..count-1 that rise with the number, each about as often."""
    ranks = np.argsort(np.argsort(pulled, kind="stable"), kind="stable")
    return ranks * count // max(1, len(pulled))


def _nulls(rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
    return np.asarray(rng.random(count) < NULL_PERCENT / 100)


def _share(text: str) -> float:
    """A number in [0, 1) that a text decides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) / 2**32


def _random(seed: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, *hashlib.blake2b(what.encode(), digest_size=8).digest()])


def _identifiers(kind: str, people: Iterable[int]) -> list[str]:
    """Identifiers that nobody has: one per person, the same in every table."""
    make = _IDENTIFIER.get(kind, _spelled)
    return [make(person) for person in people]


def _spelled(person: int) -> str:
    """The person's number in letters."""
    return "".join(_LETTERS[int(digit)] for digit in str(person)).title()


_IDENTIFIER: dict[str, Callable[[int], str]] = {
    "email": lambda person: f"person{person}@example.org",
    "phone": lambda person: f"+999 {person:09d}",
    "full_name": lambda person: f"{_spelled(person % 97)} {_spelled(person)}",
    "given_name": lambda person: _spelled(person % 97),
    "date_of_birth": lambda person: f"{1930 + person % 70}-{1 + person // 70 % 12:02d}-{1 + person // 840 % 28:02d}",
    "postcode": lambda person: f"{person % 9000 + 1000}",
}
