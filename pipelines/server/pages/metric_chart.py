"""The metric of a slot's champions over time, as coordinates of an inline SVG; the template draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

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
class Chart:
    """Points and the champions' staircase up to `now`, with the places of both in the picture."""

    points: Sequence[ChartPoint]
    """At least one."""
    steps: Sequence[ChartStep]
    now: datetime
    numbered: bool = False
    """Whether the months of the time axis are numbers, for languages other than English."""
    width: ClassVar[float] = 720.0
    height: ClassVar[float] = 220.0
    left: ClassVar[float] = 56.0
    right: ClassVar[float] = 700.0
    top: ClassVar[float] = 16.0
    bottom: ClassVar[float] = 186.0

    @cached_property
    def first(self) -> datetime:
        """Time at the left end."""
        return min([point.at for point in self.points] + [step.begin for step in self.steps])

    @cached_property
    def values(self) -> list[float]:
        """Value of each grid line from 0 up; every point and interval is below the last."""
        top = max([p.interval[1] if p.interval else p.value for p in self.points] + [s.value for s in self.steps])
        spacing = next((one for one in _SPACINGS if top / one <= _LINES), 1.0)
        return [spacing * n for n in range(int(max(1, -(-top // spacing))) + 1)]

    def x(self, at: datetime) -> float:
        """Return the place of a time."""
        share = (at - self.first).total_seconds() / max((self.now - self.first).total_seconds(), 1.0)
        return round(self.left + min(1.0, max(0.0, share)) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Return the place of a value."""
        share = min(1.0, max(0.0, value / self.values[-1]))
        return round(self.bottom - share * (self.bottom - self.top), 1)

    @property
    def dates(self) -> list[str]:
        """Texts at the ends of the time axis."""
        days, hours = ("%Y-%m-%d", "%m-%d %H:%M") if self.numbered else ("%d %b %Y", "%d %b %H:%M")
        pattern = days if (self.now - self.first).days >= 2 else hours
        return [self.first.strftime(pattern), self.now.strftime(pattern)]

    @property
    def line(self) -> list[tuple[float, float, float, float]]:
        """Segments of the champions' staircase: x1, y1, x2, y2."""
        treads = [(self.x(s.begin), self.y(s.value), self.x(s.end or self.now), self.y(s.value)) for s in self.steps]
        return treads + [(a[2], a[3], b[0], b[1]) for a, b in pairwise(treads) if a[2] == b[0]]
