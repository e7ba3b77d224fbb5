"""The metric of a slot's champions over time, as coordinates of an inline SVG; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

WIDTH, HEIGHT = 720.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 20.0, 16.0, 34.0
_SPACINGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_LINES = 5
"""Grid lines at most."""


@dataclass(frozen=True)
class ChartPoint:
    """A value measured at a time."""

    at: datetime
    value: float
    """A share: 0.08 is 8 %."""
    interval: tuple[float, float] | None
    label: str
    kind: str
    """Shape and colour of the mark: champion, passed, failed or undecided."""


@dataclass(frozen=True)
class ChartStep:
    """A champion's time and value; no end while it is champion."""

    begin: datetime
    end: datetime | None
    value: float


@dataclass(frozen=True)
class ChartMark:
    """A point with its place in the picture."""

    x: float
    y: float
    low: float | None
    high: float | None
    """Ends of the interval's line in units of the picture; None without an interval."""
    point: ChartPoint


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    rows: tuple[tuple[float, str], ...]
    """Place and text of each grid line."""
    columns: tuple[tuple[float, str], ...]
    """Place and text of each date on the axis."""
    marks: tuple[ChartMark, ...]
    line: tuple[tuple[float, float, float, float], ...]
    """Segments of the champions' staircase: x1, y1, x2, y2."""


def draw_chart(points: Sequence[ChartPoint], steps: Sequence[ChartStep], now: datetime) -> Chart | None:
    """Lay out the points and the champions' staircase up to `now`; None without points."""
    if not points:
        return None
    first = min([point.at for point in points] + [step.begin for step in steps])
    span = max((now - first).total_seconds(), 1.0)
    top = max([p.interval[1] if p.interval else p.value for p in points] + [r.value for r in steps])
    spacing = next((one for one in _SPACINGS if top / one <= _LINES), 1.0)
    highest = spacing * max(1, -(-top // spacing))

    def x(at: datetime) -> float:
        share = min(1.0, max(0.0, (at - first).total_seconds() / span))
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = min(1.0, max(0.0, value / highest))
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    marks = tuple(
        ChartMark(
            x(p.at), y(p.value), y(p.interval[0]) if p.interval else None, y(p.interval[1]) if p.interval else None, p
        )
        for p in points
    )
    line = tuple((x(r.begin), y(r.value), x(r.end or now), y(r.value)) for r in steps)
    risers = tuple((a[2], a[3], b[0], b[1]) for a, b in pairwise(line) if a[2] == b[0])
    count = round(highest / spacing)
    rows = tuple((y(spacing * n), f"{100 * spacing * n:g} %") for n in range(count + 1))
    return Chart(WIDTH, HEIGHT, _LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM, rows, _dates(first, now), marks, line + risers)


def _dates(first: datetime, now: datetime) -> tuple[tuple[float, str], ...]:
    days = (now - first).days
    pattern = "%d %b %Y" if days >= 2 else "%d %b %H:%M"
    return ((_LEFT, first.strftime(pattern)), (WIDTH - _RIGHT, now.strftime(pattern)))
