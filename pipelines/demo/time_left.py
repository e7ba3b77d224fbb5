"""How much of the demo is done, and how long the rest takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from elp_core.types import Seconds
from pipelines.number_text import duration

_STEPS = {"intake": (0.0, 0.1), "training": (0.1, 0.85), "gate": (0.85, 1.0)}
"""Steps of a retrain by the first word of their line, and the part of its time in which each one usually runs."""


def stage_share(percent: float, text: str) -> float:
    """Return which part of a retrain is done, 0 to 1, from the percentage and the line of its present step."""
    begin, end = _STEPS.get(text.partition(":")[0].partition(" ")[0], (0.0, 0.0))
    return begin + (end - begin) * percent / 100


@dataclass
class TimeLeft:
    """The estimate over lanes of stages that run at the same time. Its methods may be called from several threads."""

    usual: Sequence[Sequence[Seconds]]
    """How long each stage of each lane takes on a machine that the estimate begins with."""
    clock: Callable[[], float] = time.monotonic
    _done: list[Seconds] = field(init=False)
    """For each lane, how much of its usual time is done."""
    _first: list[Seconds] = field(init=False)
    """The same when a lane first reports a step: what was done before says nothing about the pace."""
    _working: set[int] = field(default_factory=set, init=False)
    """Lanes that have reported a step."""
    _began: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        """Begin now."""
        self._done, self._first, self._began = [0.0] * len(self.usual), [0.0] * len(self.usual), self.clock()

    def update(self, lane: int, stage: int, part: float, text: str = "") -> tuple[float, str]:
        """Take in that a part (0 to 1) of a stage is done; return the percentage of the whole and a line.

        `stage` may be the number after the last one. A lane does not go back.
        """
        with self._lock:
            stages = self.usual[lane]
            done = sum(stages[:stage]) + (part * stages[stage] if stage < len(stages) else 0.0)
            if lane not in self._working:
                self._first[lane] = done
            if text:
                self._working.add(lane)
            self._done[lane] = max(done, self._done[lane])
            percent, left = self._percent(), self._left()
        return percent, f"about {duration(left)} left" + (f"; {text}" if text else "")

    def _percent(self) -> float:
        total = sum(map(sum, self.usual))
        return 100 * sum(self._done) / total

    def _left(self) -> Seconds:
        rest = max(sum(stages) - done for stages, done in zip(self.usual, self._done, strict=True))
        worked = [self._done[lane] - self._first[lane] for lane in self._working]
        mean = sum(worked) / len(worked) if worked else 0.0
        # the first seconds say little: the usual pace counts until a tenth of the work is done
        if mean < 0.1 * max(map(sum, self.usual)):
            return rest
        return rest * (self.clock() - self._began) / mean
