"""How often the bound of `elp monitor --labels` is wrong if somebody looks at it after each label.

    python benchmarks/rate_bound_simulation.py [--sequences 2000] [--labels 300]

Sequences of session errors with a known mean are drawn, and the interval is read after each session. A sequence counts
as wrong if the mean was outside of the interval at any of these looks. Beside it, the interval of the same level that
is usual for one look (mean and normal quantile, from the tenth session on) is read as often. Everything is seeded; four
minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.monitoring.rate_bound import bound_mean

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
ALPHA = 0.05
_NORMAL_QUANTILE = 1.96


def _sessions(rate: float, spread: float, clips: int) -> Draw:
    """Return sessions of so many clips whose own rates have a Beta law: clips of a session depend on each other."""

    def draw(rng: np.random.Generator, count: int) -> Floats:
        own = rng.beta(rate * spread, (1 - rate) * spread, count)
        return rng.binomial(clips, own) / clips

    return draw


KINDS: dict[str, tuple[float, Draw]] = {
    "one clip a session, 1 % wrong": (0.01, lambda rng, count: (rng.random(count) < 0.01).astype(float)),
    "one clip a session, 10 % wrong": (0.10, lambda rng, count: (rng.random(count) < 0.10).astype(float)),
    "one clip a session, 50 % wrong": (0.50, lambda rng, count: (rng.random(count) < 0.50).astype(float)),
    "10 clips a session, 5 % wrong, alike within it": (0.05, _sessions(0.05, 4.0, 10)),
    "WER of sessions, mean 20 %": (0.20, lambda rng, count: rng.beta(2.0, 8.0, count)),
    "WER of sessions, one in ten is lost": (
        0.145,
        lambda rng, count: np.where(rng.random(count) < 0.1, 1.0, rng.beta(2.5, 47.5, count)),
    ),
}
"""Name -> mean, and how the errors of sessions are drawn."""


@dataclass(frozen=True)
class BoundQuality:
    """What the bound was worth in many sequences."""

    wrong: float
    """Share of sequences whose interval did not contain the mean at some look."""
    usual_wrong: float
    """The same of the interval for one look."""
    half_width: float
    """Median of half of the interval after the last label."""


def bound_quality(kind: str, sequences: int, labels: int, seed: int = 0) -> BoundQuality:
    """Return how often the mean was outside of the interval at any look, in so many sequences of so many labels."""
    mean, draw = KINDS[kind]
    wrong, usual, halves = 0, 0, []
    for number in range(sequences):
        values = draw(np.random.default_rng([seed, number]), labels)
        # the intervals of a sequence are nested, so the last one shows whether any of them was wrong
        found = bound_mean(values.tolist(), ALPHA)
        wrong += not found.steady or not found.low <= mean <= found.high
        usual += _usual_wrong(values, mean)
        halves.append((found.high - found.low) / 2)
    return BoundQuality(wrong / sequences, usual / sequences, float(np.median(halves)))


def _usual_wrong(values: Floats, mean: float) -> bool:
    """Return whether the interval for one look is wrong at any of the looks from the tenth on."""
    counts = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / counts
    variances = np.maximum(np.cumsum(values**2) / counts - means**2, 0.0) * counts / np.maximum(counts - 1, 1)
    off = np.abs(means - mean) > _NORMAL_QUANTILE * np.sqrt(variances / counts)
    return bool(off[9:].any())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=2_000)
    parser.add_argument("--labels", type=int, default=300)
    chosen = parser.parse_args()
    print("| errors of sessions | wrong at any look | interval for one look, read as often | half width at the end |")
    print("|---|---|---|---|")
    for kind in KINDS:
        found = bound_quality(kind, chosen.sequences, chosen.labels)
        print(f"| {kind} | {found.wrong:.1%} | {found.usual_wrong:.1%} | ± {found.half_width:.1%} |", flush=True)


if __name__ == "__main__":
    main()
