"""Pairs of secrets of equal size: whoever must not know them shall not be able to tell one from the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sealroom.protocol import bundle
from tests.hostile_parties import room

Payloads = Mapping[str, tuple[str, bytes]]
RULES = ("overlap", "by-segment", "audience")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two secrets; `alike`: whether what a host sees has one shape for both, or by which closed word they differ."""

    name: str
    one: Payloads
    other: Payloads
    alike: bool = True


def _code(body: str) -> Payloads:
    """A bundle of a fixed size, whatever is in it."""
    code = f"import numpy as np\n\n\ndef run(tables, ask):\n{body}\n".encode()
    archive = bundle.build({"bundle.json": room.WHOLE, "job.py": code.ljust(2000, b"#")})
    return {"model": ("bundle", archive)}


def _rows(answer: str) -> str:
    return f"    return {answer} if ask.kind == 'rows' else [0.5] * ask.size"


def _segments(column: str, least: int) -> Payloads:
    text = room.QUERY.replace(b"balance", column.encode()).replace(b'>",10', b'>",' + str(least).encode())
    return {"segments": ("bundle", room.query_bundle(text))}


def _table(header: str, lines: list[str]) -> bytes:
    return room.csv(header, lines)


def _swapped(lines: list[str], one: str, other: str) -> list[str]:
    """The same lines with two words of equal length exchanged; whole cells only."""
    words = {one: other, other: one}
    return [",".join(words.get(cell, cell) for cell in line.split(",")) for line in lines]


def _unlinked() -> Payloads:
    """As many people under as many bytes, of whom only a quarter is a customer."""
    moved = [line.replace("@x.y", "@z.z").replace(",555", ",777") for line in room.prospects()]
    mixed = [new if n % 2 else old for n, (old, new) in enumerate(zip(room.prospects(), moved, strict=True))]
    return {"prospects": ("csv", _table(room.PROSPECTS, mixed))}


_HONEST_TABLE: Payloads = {"prospects": room.HONEST["prospects"]}
_MORE_YES = [line.replace(",no", ",yes") if n % 8 == 1 else line for n, line in enumerate(room.customers())]
_PLAIN = _code(_rows("range(ask.size)"))

PAIRS = (
    Pair(name="who-is-linked", one=_HONEST_TABLE, other=_unlinked()),
    Pair(
        name="values-of-a-column", one=_HONEST_TABLE,
        other={"prospects": ("csv", _table(room.PROSPECTS, _swapped(room.prospects(), "retired", "student")))},
    ),
    Pair(
        name="which-rows-the-code-picks", one=_PLAIN,
        other=_code(_rows("range(len(tables[ask.table]) - ask.size, len(tables[ask.table]))")),
    ),
    Pair(
        name="code-that-works-hard", one=_PLAIN,
        other=_code("    np.linalg.svd(np.ones((400, 400)))\n" + _rows("range(ask.size)")),
    ),
    Pair(name="query-thresholds", one=_segments("balance", 10), other=_segments("balance", 90)),
    Pair(
        name="code-that-fails-in-one-way-or-another", one=_code("    raise ValueError(ask)"),
        other=_code("    return ['not', 'numbers']"),
    ),
    Pair(
        name="code-that-fails-or-is-killed", one=_code("    raise ValueError(ask)"),
        other=_code("    __import__('ctypes').string_at(0)"),
    ),
    Pair(
        name="code-that-fails-or-takes-all-memory", one=_code("    raise ValueError(ask)"),
        other=_code("    return np.ones(1 << 40)"),
    ),
    Pair(name="code-that-answers-or-fails", one=_PLAIN, other=_code("    raise ValueError(ask)"), alike=False),
)  # fmt: skip

SLEEPER = Pair(
    name="code-that-sleeps-for-half-a-second", one=_PLAIN,
    other=_code("    __import__('time').sleep(0.5)\n" + _rows("range(ask.size)")),
)  # fmt: skip
"""Code that says a bit by its time, on purpose."""
