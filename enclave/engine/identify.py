"""Spells identifiers one way on both sides, so that equal persons get equal keys: normalisation `identify/v1`.

Runs in: engine.   Believes: nothing.   Spec: §6.3.

    kind           normal form
    email          NFKC, outer white space off, lower case; one @ with something on both sides, no white space or
                   control character inside. Dots and +tags stay: only the provider knows whether they matter.
    phone          NFKC, digits only; a leading 00 goes (as does +); 11 digits that start with 1 lose it; 5..20 digits
    given_name, family_name, full_name, postcode, national_id
                   anyascii transliteration, lower case, [a-z0-9] only
    date_of_birth  YYYYMMDD from YYYY-MM-DD, YYYY/MM/DD, YYYY.MM.DD, YYYYMMDD, DD.MM.YYYY, DD-MM-YYYY, and DD/MM/YYYY or
                   MM/DD/YYYY where only one of them is a date; a time of day behind it is dropped; years 1800..2199

What has no normal form, is empty or longer than 320 bytes is null, and null never links: an identifier that cannot be
read loses a link rather than making a false one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from anyascii import anyascii
from numpy.typing import NDArray

from sealroom.enclave.engine.digests import Words, digests, subkey
from sealroom.enclave.engine.tables import Table
from sealroom.enclave.flat_arrow import array_of
from sealroom.protocol.agreement import IdentifierKind
from sealroom.protocol.errors import UsageError

VERSION = "identify/v1"
KINDS: tuple[str, ...] = get_args(IdentifierKind)
_SEPARATOR = pa.scalar("\x1f", pa.large_utf8())
MOST_BYTES = 320  # the longest e-mail address: 64 + @ + 255 (RFC 3696 erratum 1690)

_EMAIL = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
_DATE = (
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})$",
    r"^(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?:[T ].*)?$",
    r"^(?P<d>\d{1,2})[-.](?P<m>\d{1,2})[-.](?P<y>\d{4})(?:[T ].*)?$",
)
_SLASHED = r"^(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})(?:[T ].*)?$"
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def normalise(kind: str, texts: Any) -> Any:
    """The normal forms of a `pyarrow` large_string array as another, null where there is none.

    Raises:
        UsageError: no such kind.
    """
    texts = pc.if_else(pc.less_equal(pc.binary_length(texts), MOST_BYTES), texts, pa.scalar(None, pa.large_utf8()))
    if kind == "email":
        return _email(texts)
    if kind == "phone":
        return _phone(texts)
    if kind == "date_of_birth":
        return _date(texts)
    if kind in KINDS:
        return _folded(texts)
    raise UsageError(f"no normal form for identifiers of kind {kind!r}")


def keys(
    table: Table, kinds: Sequence[str], run_key: bytes, rows: NDArray[np.int64] | None = None
) -> tuple[Words, NDArray[np.bool_]]:
    """16-byte join keys of some rows or of every one (uint64[rows, 2]) and where they are valid (bool[rows]).

    A key of several kinds is null if any part is. Its digest is keyed per run and per list of kinds, so that what is
    joined is no identifier, and a value of one kind never meets a value of another.
    """
    columns: dict[str, str] = {c.identifier: c.name for c in table.dataset.columns if c.identifier}
    texts = [array_of(table.column(columns[kind])) for kind in kinds]
    if rows is not None:
        texts = [pc.take(column, pa.array(rows)) for column in texts]
    parts = [normalise(kind, column) for kind, column in zip(kinds, texts, strict=True)]
    # No normal form has a control character in it, so that the joined text can be taken apart in one way only.
    joined = pc.binary_join_element_wise(*parts, _SEPARATOR, null_handling="emit_null") if len(parts) > 1 else parts[0]
    key = subkey(run_key, f"{VERSION} {'+'.join(kinds)}")
    return digests(joined, key=key), np.asarray(joined.is_valid())


def _email(texts: Any) -> Any:
    spelled = pc.utf8_lower(pc.utf8_trim_whitespace(pc.utf8_normalize(texts, form="NFKC")))
    return _only(spelled, pc.match_substring_regex(spelled, pattern=_EMAIL))


def _phone(texts: Any) -> Any:
    digits = pc.replace_substring_regex(pc.utf8_normalize(texts, form="NFKC"), pattern=r"[^0-9]", replacement="")
    digits = pc.replace_substring_regex(digits, pattern=r"^00", replacement="")
    digits = pc.replace_substring_regex(digits, pattern=r"^1([0-9]{10})$", replacement=r"\1")
    return _only(digits, pc.match_substring_regex(digits, pattern=r"^[0-9]{5,20}$"))


def _folded(texts: Any) -> Any:
    """Use anyascii only where it changes something: a Python call per text is what costs."""
    foreign = pc.invert(pc.string_is_ascii(texts))
    found = pc.filter(texts, pc.fill_null(foreign, False))
    latin = pa.array([anyascii(text) for text in found.to_pylist()], pa.large_utf8())
    texts = pc.replace_with_mask(texts, pc.fill_null(foreign, False), latin)
    spelled = pc.replace_substring_regex(pc.ascii_lower(texts), pattern=r"[^a-z0-9]", replacement="")
    return _only(spelled, pc.greater(pc.binary_length(spelled), 0))


def _date(texts: Any) -> Any:
    texts = pc.utf8_trim_whitespace(pc.utf8_normalize(texts, form="NFKC"))
    found = np.zeros(len(texts), dtype=np.int64)
    for pattern in _DATE:
        year, month, day = _fields(texts, pattern)
        found = np.maximum(found, _packed(year, month, day))
    year, day, month = _fields(texts, _SLASHED)
    one, other = _packed(year, day, month), _packed(year, month, day)
    sure = (one == 0) | (other == 0) | (one == other)
    found = np.maximum(found, np.where(sure, np.maximum(one, other), 0))
    return pa.array(found, mask=found == 0).cast(pa.large_utf8())


def _fields(texts: Any, pattern: str) -> tuple[NDArray[np.int64], ...]:
    """Year, month and day as numbers, 0 where the pattern does not match."""
    got = pc.extract_regex(texts, pattern=pattern)
    columns = (pc.struct_field(got, name).cast(pa.int64()) for name in ("y", "m", "d"))
    return tuple(np.asarray(pc.fill_null(column, 0)) for column in columns)


def _packed(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """YYYYMMDD as a number, 0 where there is no such day in the Gregorian calendar."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good_month = (month >= 1) & (month <= 12)
    last = _MONTH_DAYS[np.where(good_month, month, 0)] + (leap & (month == 2))
    good = good_month & (day >= 1) & (day <= last) & (year >= 1800) & (year <= 2199)
    return np.where(good, year * 10000 + month * 100 + day, 0)


def _only(texts: Any, mask: Any) -> Any:
    return pc.if_else(pc.fill_null(mask, False), texts, pa.scalar(None, pa.large_utf8()))
