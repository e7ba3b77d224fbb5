"""Long work in one line: how much is done, how fast it goes, and how long it still takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.number_text import duration

Report = Callable[[int, int, str], None]
"""Takes what is done, what there is to do in all (0 if that is unknown), and a remark such as the metric so far."""


@dataclass
class Pace:
    """The line of one piece of work, such as ``120/480 steps, 8.2/s, 43.9 s left, WER 45.00 % (epoch 3/20)``."""

    unit: str
    """What is counted, in the plural."""
    clock: Callable[[], float] = time.monotonic
    _began: tuple[float, float] | None = field(default=None, init=False)
    _moved: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """When the count changed last, and to what."""

    def line(self, done: float, total: int, note: str = "") -> str:
        """Return the line; rate and time left come with the second call, as the first one is where the work began.

        A training that continues from its checkpoint begins at the step that it had reached. The rate is that of the
        last change, and the time left runs down after it: a count of slots stays the same for minutes. A part of what
        is counted is in the rate and in the time left; only whole ones are shown as done.
        """
        now = self.clock()
        began, first = self._began = self._began or (now, done)
        parts = [f"{int(done):,}/{total:,} {self.unit}" if total else f"{int(done):,} {self.unit}"]
        if first == done or done != self._moved[1]:
            self._moved = now, done
        moved = self._moved[0]
        if done > first and moved > began:
            rate = (done - first) / (moved - began)
            shown = next((one for one in ((rate, "s"), (60 * rate, "min")) if one[0] >= 1), (3600 * rate, "h"))
            parts.append(f"{shown[0]:.1f}/{shown[1]}")
            left = (total - done) / rate - (now - moved)
            if total > done and left > 0:
                parts.append(f"{duration(left)} left")
        return ", ".join([*parts, *([note] if note else [])])


def share(done: float, total: int) -> float:
    """Return what is done in percent, 0 to 100; 0 if the whole is unknown."""
    return min(100.0, 100 * done / total) if total > 0 else 0.0
