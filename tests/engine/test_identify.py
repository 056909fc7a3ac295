"""Normal forms of identifiers, and the keys made of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from sealroom.enclave.engine import identify, tables
from sealroom.protocol.errors import UsageError
from tests.engine import direct

CASES = {
    "email": {
        " A@B.de ": "a@b.de",
        "\uff21\uff22@c.d": "ab@c.d",
        "x.y+z@Gmail.com": "x.y+z@gmail.com",
        "a@@b": None,
        "a@b@c": None,
        "@b": None,
        "nobody": None,
        "a b@c.d": None,
        "a\x1f@b": None,
        "": None,
        "a@" + "b" * 400: None,
    },
    "phone": {
        "1 (11) 500 555-0162": "1115005550162",
        "+49 (0)30 12 34": "490301234",
        "0049 0301234": "490301234",
        "(128) 555-0133": "1285550133",
        "1-128-555-0133": "1285550133",
        "+1 128 555 0133": "1285550133",
        "\uff11\uff12\uff13\uff14\uff15": "12345",
        "1234": None,
        "9" * 21: None,
        "n/a": None,
    },
    "family_name": {
        "O\u2019Brien": "obrien",
        "\u0141ukasz": "lukasz",
        "Stra\u00dfe": "strasse",
        "\u5317\u4eac": "beijing",
        "--": None,
    },
    "postcode": {"SW1A 1aa": "sw1a1aa", " 12-345": "12345"},
    "national_id": {"AB 12.34": "ab1234", "": None},
    "date_of_birth": {
        "2001-02-03": "20010203",
        "20010203": "20010203",
        "2001/2/3": "20010203",
        "3.2.2001": "20010203",
        "03-02-2001": "20010203",
        "2001-02-03T00:00:00Z": "20010203",
        "25/02/2001": "20010225",
        "02/25/2001": "20010225",
        "05/05/2001": "20010505",
        "03/02/2001": None,
        "2001-02-30": None,
        "2000-02-29": "20000229",
        "1900-02-29": None,
        "2001-13-01": None,
        "1700-01-01": None,
        "yesterday": None,
    },
}


@pytest.mark.parametrize("kind", CASES)
def test_each_spelling_has_its_normal_form(kind: str) -> None:
    spelled = [*CASES[kind], None]
    found = identify.normalise(kind, pa.array(spelled, pa.large_utf8())).to_pylist()
    assert dict(zip(spelled, found, strict=True)) == {**CASES[kind], None: None}


def test_every_kind_an_agreement_can_name_has_a_normal_form() -> None:
    for kind in identify.KINDS:
        assert len(identify.normalise(kind, pa.array(["a@b", None], pa.large_utf8()))) == 2


def test_an_unknown_kind_is_an_error_of_the_caller() -> None:
    with pytest.raises(UsageError):
        identify.normalise("shoe_size", pa.array(["44"], pa.large_utf8()))


def people(rows: list[dict[str, str]]) -> tables.Table:
    schema = direct.dataset(
        "people",
        "bank",
        "id",
        [direct.column("first", identifier="given_name"), direct.column("last", identifier="family_name")],
    )
    return tables.load(schema, direct.flat_of(schema, rows))


def test_a_key_of_several_kinds_is_null_if_any_part_is() -> None:
    table = people([{"id": "1", "first": "A", "last": "B"}, {"id": "2", "first": "A"}, {"id": "3", "last": "B"}])
    words, valid = identify.keys(table, ["given_name", "family_name"], direct.RUN_KEY)
    assert valid.tolist() == [True, False, False]
    assert words.shape == (3, 2)


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    table = people([{"id": "1", "first": "ab", "last": "c"}, {"id": "2", "first": "a", "last": "bc"}])
    words, _ = identify.keys(table, ["given_name", "family_name"], direct.RUN_KEY)
    assert words[0].tolist() != words[1].tolist()


def test_keys_meet_within_a_run_and_kind_and_nowhere_else() -> None:
    table = people([{"id": "1", "first": "ann", "last": "ann"}, {"id": "2", "first": "\u00c1NN", "last": "x"}])
    first, _ = identify.keys(table, ["given_name"], direct.RUN_KEY)
    last, _ = identify.keys(table, ["family_name"], direct.RUN_KEY)
    other_run, _ = identify.keys(table, ["given_name"], bytes(32))
    assert first[0].tolist() == first[1].tolist()
    assert first[0].tolist() != last[0].tolist()
    assert not np.array_equal(first, other_run)
