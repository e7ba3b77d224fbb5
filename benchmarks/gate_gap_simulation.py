"""The error rates of the rule on the gap between groups: golden sets with a known gap, and what the rule says of them.

Run: ``python benchmarks/gate_gap_simulation.py [SETS]``. It prints the table of `docs/explanation/gate.md`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from elp_core.metrics.scores import ClipScores
from pipelines.gating.group_gaps import measure_gaps
from pipelines.registry.policies import GatePolicy

LIMIT = 0.1
GAPS = (0.0, 0.05, LIMIT, 0.2, 0.3)
POLICY = GatePolicy(resamples=1000, max_gap=LIMIT)


@dataclass(frozen=True)
class GroupedSet:
    """A golden set whose groups lie evenly between the best and the worst rate."""

    groups: int
    speakers: int
    """Of each group."""
    clips: int
    """Of each speaker."""
    words: int
    spread: float
    """Standard deviation of the rates of the speakers of a group."""

    def draw(self, gap: float, rng: np.random.Generator) -> ClipScores:
        """Return scores in which the true rates of the groups are 10 % to 10 % + `gap`."""
        people, count = self.groups * self.speakers, self.groups * self.speakers * self.clips
        rates = np.repeat(0.1 + gap * np.linspace(0.0, 1.0, self.groups), self.speakers)
        rates = np.clip(rates + self.spread * rng.uniform(-1.7, 1.7, people), 0.0, 1.0)
        errors = rng.binomial(self.words, np.repeat(rates, self.clips))
        speakers = tuple(f"s{person}" for person in np.repeat(np.arange(people), self.clips))
        groups = tuple(f"dialect={place}" for place in np.repeat(np.arange(self.groups), self.speakers * self.clips))
        blank = ("",) * count
        return ClipScores(blank, speakers, blank, errors, np.full(count, self.words), blank, blank, "wer", groups)

    def __str__(self) -> str:
        return f"{self.groups} groups x {self.speakers} speakers x {self.clips} clips x {self.words} words"


SETS = (
    GroupedSet(2, 3, 20, 5, 0.05),
    GroupedSet(2, 10, 20, 5, 0.05),
    GroupedSet(2, 30, 10, 5, 0.05),
    GroupedSet(5, 10, 20, 5, 0.05),
    GroupedSet(2, 10, 20, 1, 0.0),
)


def gap_outcomes(golden: GroupedSet, gap: float, sets: int, seed: int = 0) -> dict[str, float]:
    """Return the share of drawn golden sets with each outcome."""
    rng = np.random.default_rng(seed)
    found = [measure_gaps(golden.draw(gap, rng), None, POLICY, False)[0].outcome for _ in range(sets)]
    return {name: found.count(name) / sets for name in ("passed", "failed", "undecided")}


def main(sets: int) -> None:
    """Print a row of the table for each golden set."""
    for golden in SETS:
        cells = (gap_outcomes(golden, gap, sets) for gap in GAPS)
        row = " | ".join(f"{100 * one['passed']:.1f} / {100 * one['failed']:.1f}" for one in cells)
        print(f"| {golden} | {row} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
