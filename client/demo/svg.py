"""Pictures as inline SVG: shapes, labels and a text alternative, no script and no outside file.

Runs in: a party's machine.   Believes: numbers from the demo's own report.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

Point = tuple[float, float]


def venn(left: int, right: int, both: float, labels: tuple[str, str, str]) -> str:
    """Two circles whose areas and common area are true to the numbers; counts stand outside, with leader lines."""
    width, height, scale = 560.0, 260.0, 92.0 / math.sqrt(max(left, right, 1))
    r1, r2 = scale * math.sqrt(left), scale * math.sqrt(right)
    gap = _distance(r1, r2, both * scale * scale * math.pi)
    x1 = width / 2 - gap / 2 - (r1 - r2) / 4
    x2, y = x1 + gap, 150.0
    middle = (x2 - r2 + x1 + r1) / 2
    parts = [
        f'<circle class="left" cx="{x1:.1f}" cy="{y}" r="{r1:.1f}"/>',
        f'<circle class="right" cx="{x2:.1f}" cy="{y}" r="{r2:.1f}"/>',
        _leader((x1 - r1 * 0.6, y - r1 * 0.5), (24, 40), labels[0], anchor="start"),
        _leader((middle, y - min(r1, r2) * 0.3), (width / 2, 22), labels[1], anchor="middle"),
        _leader((x2 + r2 * 0.6, y - r2 * 0.5), (width - 24, 40), labels[2], anchor="end"),
    ]
    return _picture(width, height, f"{labels[0]}; {labels[1]}; {labels[2]}", parts)


def bars(rows: Sequence[tuple[str, float, str]], *, title: str, mark: float | None = None) -> str:
    """Horizontal bars (name, value, text); `mark` draws a line that says what no difference would be."""
    width, step, start = 560.0, 38.0, 190.0
    most = max([value for _, value, _ in rows] + [mark or 0.0, 1e-9])
    unit = (width - start - 90) / most
    parts = []
    for index, (name, value, text) in enumerate(rows):
        y = 10 + index * step
        parts += [
            f'<text x="{start - 10}" y="{y + 18}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect class="bar" x="{start}" y="{y}" width="{max(value * unit, 1):.1f}" height="26" rx="4"/>',
            f'<text class="strong" x="{start + value * unit + 8:.1f}" y="{y + 18}">{html.escape(text)}</text>',
        ]
    if mark is not None:
        x, bottom = start + mark * unit, 10 + len(rows) * step
        parts.append(f'<line class="mark" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{bottom}"/>')
    summary = "; ".join(f"{name}: {text}" for name, _, text in rows)
    return _picture(width, 14 + len(rows) * step, f"{title}. {summary}", parts)


def gauge(spent: float, total: float, text: str) -> str:
    """One horizontal gauge of a budget."""
    share = min(spent / total, 1.0) if total else 0.0
    parts = [
        '<rect class="track" x="0" y="6" width="240" height="10" rx="5"/>',
        f'<rect class="bar" x="0" y="6" width="{max(240 * share, 2):.1f}" height="10" rx="5"/>',
    ]
    return _picture(240, 22, text, parts)


def _distance(r1: float, r2: float, area: float) -> float:
    """The distance of two circles whose common area is `area`, by bisection."""
    low, high = abs(r1 - r2), r1 + r2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _common_area(r1, r2, middle) > area else (low, middle)
    return (low + high) / 2


def _common_area(r1: float, r2: float, d: float) -> float:
    if d >= r1 + r2:
        return 0.0
    if d <= abs(r1 - r2):
        return math.pi * min(r1, r2) ** 2
    a1 = math.acos((d * d + r1 * r1 - r2 * r2) / (2 * d * r1))
    a2 = math.acos((d * d + r2 * r2 - r1 * r1) / (2 * d * r2))
    return r1 * r1 * (a1 - math.sin(2 * a1) / 2) + r2 * r2 * (a2 - math.sin(2 * a2) / 2)


def _leader(start: Point, end: Point, text: str, *, anchor: str) -> str:
    line = f'<line class="leader" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1] + 6:.1f}"/>'
    return f'{line}<text class="strong" x="{end[0]}" y="{end[1]}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _picture(width: float, height: float, summary: str, parts: Sequence[str]) -> str:
    label = html.escape(summary, quote=True)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
