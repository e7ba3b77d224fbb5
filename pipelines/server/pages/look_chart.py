"""The evidence of the monitor over its looks, as coordinates of an inline SVG; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pipelines.server.read_models.site_audio import LookPoint, ScoreCurve


@dataclass(frozen=True)
class LookChart:
    """A line for each score; the alarm is at 100 %."""

    curves: Sequence[ScoreCurve]
    """At least one."""
    width: ClassVar[float] = 720.0
    height: ClassVar[float] = 240.0
    left: ClassVar[float] = 56.0
    right: ClassVar[float] = 700.0
    top: ClassVar[float] = 16.0
    bottom: ClassVar[float] = 200.0
    dashes: ClassVar[tuple[str, ...]] = ("none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2 1 2")
    """Of the lines in turn: colour alone tells nobody who does not see it."""

    @cached_property
    def looks(self) -> list[int]:
        """Numbers of the looks."""
        return sorted({point.look for curve in self.curves for point in curve.points})

    @cached_property
    def values(self) -> list[float]:
        """Value of each grid line: quarters of the way to the alarm, up to the highest point."""
        highest = max(point.evidence for curve in self.curves for point in curve.points)
        quarters = max(5, int(-(-highest // 0.25)))
        step = 1 if quarters <= 8 else -(-quarters // 8)
        return [0.25 * number for number in range(0, quarters + step, step)]

    def x(self, look: int) -> float:
        """Return the place of a look."""
        first, last = self.looks[0], self.looks[-1]
        share = (look - first) / (last - first) if last > first else 1.0
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, evidence: float) -> float:
        """Return the place of a share of the way to an alarm."""
        share = min(1.0, max(0.0, evidence / self.values[-1]))
        return round(self.bottom - share * (self.bottom - self.top), 1)

    def dash(self, place: int) -> str:
        """Return the dashes of the curve at a place."""
        return self.dashes[place % len(self.dashes)]

    def line(self, points: Sequence[LookPoint]) -> str:
        """Return the points of a polyline."""
        return " ".join(f"{self.x(point.look)},{self.y(point.evidence)}" for point in points)
