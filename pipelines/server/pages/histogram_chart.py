"""A histogram as coordinates of an inline SVG; the template draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class HistogramChart:
    """Columns of equal width, the lowest value left."""

    first: float
    """Where the first column begins."""
    step: float
    """Width of a column, in the unit of the values."""
    counts: Sequence[int]
    """At least one, and one of them is above zero."""
    width: ClassVar[float] = 360.0
    height: ClassVar[float] = 150.0
    left: ClassVar[float] = 44.0
    right: ClassVar[float] = 350.0
    top: ClassVar[float] = 14.0
    bottom: ClassVar[float] = 124.0

    @property
    def most(self) -> int:
        """The highest column's count: the upper end of the axis."""
        return max(self.counts)

    @property
    def columns(self) -> list[tuple[float, float, float, float, str]]:
        """Of each column that is not empty: x, y, width, height, and what it counts."""
        each = (self.right - self.left) / len(self.counts)
        drawn = []
        for place, number in enumerate(self.counts):
            if not number:
                continue
            # a column of one clip among thousands must still be seen
            high = max(1.5, (self.bottom - self.top) * number / self.most)
            span = f"{self.text(place)} to {self.text(place + 1)}"
            x, y, wide = self.left + place * each, self.bottom - high, max(1.0, each - 1.0)
            drawn.append((round(x, 1), round(y, 1), round(wide, 1), round(high, 1), f"{span}: {number:,}"))
        return drawn

    @property
    def marks(self) -> list[tuple[float, str, str]]:
        """Of each label of the axis: x, text, and its anchor."""
        last = len(self.counts)
        places = {0: "start", last // 2: "middle", last: "end"} if last > 1 else {0: "start", 1: "end"}
        each = (self.right - self.left) / last
        return [(round(self.left + place * each, 1), self.text(place), anchor) for place, anchor in places.items()]

    def text(self, place: int) -> str:
        """Return the value where a column begins; with the number of columns, where the last one ends."""
        return f"{round(self.first + place * self.step, 10):g}"
