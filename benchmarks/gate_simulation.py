"""How often the gate is wrong: draw challengers of known quality and count the gate's verdicts.

Run it whole (about half an hour on one core): python benchmarks/gate_simulation.py

A *false pass* is a pass at a true difference that equals the margin; the gate promises 5 % at most. *Power* is the
share of passes at smaller differences. Everything is seeded: the table repeats on one machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.gating.compare import compare_scores
from pipelines.registry.policies import GatePolicy

_CASTS = 4
"""Number of sets of speakers that a closed world is drawn from."""
STEPS = {"−m": -1.0, "0": 0.0, "m/2": 0.5, "m": 1.0, "2m": 2.0, "4m": 4.0}
"""True differences, in margins: better, equal, and worse."""
PROMISE = 0.05
"""Most false passes that the gate may make."""


@dataclass(frozen=True)
class WerWorld:
    """Clips of words. Speakers and clips differ in difficulty; harm is spread unevenly over speakers."""

    name: str
    speakers: int
    clips: int
    """Per speaker."""
    words: int
    """Per clip."""
    rate: float
    """Champion's WER."""
    fixed: float
    """Share of the champion's errors that the challenger repairs (and pays back elsewhere): how unlike the two are."""
    uneven: float
    """Coefficient of variation of the harm over speakers (0: all alike; 1: exponential)."""
    margin: float = 0.02
    closed_set: bool = False

    def draw(self, delta: float, generator: np.random.Generator) -> tuple[ClipScores, ClipScores]:
        """Return challenger and champion whose true WERs differ by `delta`."""
        harm = np.full(self.speakers, delta)
        if self.uneven and delta > 0:
            shape = 1.0 / self.uneven**2
            harm = delta * generator.gamma(shape, 1.0 / shape, self.speakers)
            if self.closed_set:  # the speakers are the population: the harm over them is exactly delta
                harm *= delta / harm.mean()
        hard = generator.beta(4 * self.rate, 4 * (1 - self.rate), (self.speakers, self.clips)) if self.rate else 0.0
        base = np.broadcast_to(0.5 * self.rate + 0.5 * hard, (self.speakers, self.clips))
        fixed = max(self.fixed, min(1.0, -delta / self.rate) if delta < 0 < self.rate else 0.0)
        broken = np.clip((harm[:, None] + fixed * base) / (1 - base), 0.0, 1.0)
        before = generator.random((self.speakers, self.clips, self.words)) < base[..., None]
        chance = generator.random(before.shape)
        after = np.where(before, chance >= fixed, chance < broken[..., None])
        return self._scores(after), self._scores(before)

    def _scores(self, wrong: np.ndarray) -> ClipScores:
        count = self.speakers * self.clips
        speakers = tuple(f"s{i // self.clips}" for i in range(count))
        blank = ("",) * count
        errors = wrong.sum(axis=-1).reshape(-1)
        return ClipScores(blank, speakers, blank, errors, np.full(count, self.words), blank, blank)


@dataclass(frozen=True)
class EerWorld:
    """Unit embeddings: a point for each speaker, noise for each clip, half of it common to the two systems."""

    name: str
    speakers: int
    clips: int
    """Per speaker."""
    spread: float
    """Champion's noise around a speaker's point; sets its EER."""
    margin: float = 0.01
    dimensions: int = 24
    closed_set: bool = False

    def draw(self, delta: float, generator: np.random.Generator) -> tuple[TrialScores, TrialScores]:
        """Return challenger and champion whose true EERs differ by `delta` (in a closed set: on these speakers)."""
        cast = int(generator.integers(_CASTS)) if self.closed_set else None
        spreads = (_spread_at(self, delta, cast), self.spread)
        points = self.points(generator if cast is None else np.random.default_rng(cast))
        noise = generator.standard_normal((3, self.speakers * self.clips, self.dimensions)) * np.sqrt(0.5)
        systems = [_trials(points, self.clips, spreads[i] * (noise[0] + noise[1 + i])) for i in (0, 1)]
        return systems[0], systems[1]

    def points(self, generator: np.random.Generator) -> np.ndarray:
        """Return a point for each speaker [speakers, dimensions]."""
        return generator.standard_normal((self.speakers, self.dimensions))


@cache
def _spread_at(world: EerWorld, delta: float, cast: int | None) -> float:
    """Return the noise at which the true EER differs by `delta` from the champion's, measured on many clips.

    An open world is measured on other speakers of its kind, a closed one on the speakers of that `cast`.
    """
    generator = np.random.default_rng(1)
    points = generator.standard_normal((400, world.dimensions))
    if cast is not None:
        points = world.points(np.random.default_rng(cast))
    clips = 4 if cast is None else 100
    noise = generator.standard_normal((len(points) * clips, world.dimensions))

    def truth(spread: float) -> float:
        trials = _trials(points, clips, spread * noise)
        return eer(trials.scores, trials.targets).value

    wanted = max(0.0, truth(world.spread) + delta)
    low, high = 0.0, 3.0 * world.spread
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if truth(middle) < wanted else (low, middle)
    return (low + high) / 2


def _trials(points: np.ndarray, clips: int, noise: np.ndarray) -> TrialScores:
    """Return all pairs of clips with cosine scores; at most 200,000 of them, evenly spaced."""
    embeddings = np.repeat(points, clips, axis=0) + noise
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    speaker = np.repeat(np.arange(len(points)), clips)
    first, second = np.triu_indices(len(embeddings), 1)
    targets = speaker[first] == speaker[second]
    if len(first) > 200_000:
        keep = np.flatnonzero(targets | (np.arange(len(first)) % (len(first) // 100_000) == 0))
        first, second, targets = first[keep], second[keep], targets[keep]
    scores = np.einsum("nd,nd->n", embeddings[first], embeddings[second])
    blank = ("",) * len(speaker)
    return TrialScores(blank, tuple(f"s{i}" for i in speaker), blank, first, second, scores, targets)


WORLDS: tuple[WerWorld | EerWorld, ...] = (
    WerWorld("3 speakers x 40 clips x 5 words", 3, 40, 5, 0.10, 0.3, 0.5),
    WerWorld("6 speakers x 50 clips x 5 words, even harm", 6, 50, 5, 0.10, 0.3, 0.0),
    WerWorld("6 speakers x 50 clips x 5 words, uneven harm", 6, 50, 5, 0.10, 0.3, 1.0),
    WerWorld("20 speakers x 20 clips x 8 words, uneven harm", 20, 20, 8, 0.15, 0.3, 1.0),
    WerWorld("40 speakers x 25 clips x 8 words, uneven harm", 40, 25, 8, 0.05, 0.3, 1.0),
    WerWorld("20 speakers x 20 clips x 6 words, champion without errors", 20, 20, 6, 0.0, 0.0, 1.0),
    WerWorld("closed set, 6 speakers x 50 clips x 1 word", 6, 50, 1, 0.03, 0.3, 1.0, closed_set=True),
    WerWorld("closed set, the same, champion without errors", 6, 50, 1, 0.0, 0.0, 1.0, closed_set=True),
    EerWorld("6 speakers x 20 clips, EER 4 %", 6, 20, 0.8),
    EerWorld("6 speakers x 20 clips, EER 0.5 %", 6, 20, 0.6),
    EerWorld("30 speakers x 8 clips, EER 4 %", 30, 8, 0.8),
    EerWorld("closed set, 6 speakers x 12 clips, EER 4 %", 6, 12, 0.8, closed_set=True),
)


def outcomes(
    world: WerWorld | EerWorld, step: float, pairs: int, seed: int = 0, resamples: int = 1_000
) -> dict[str, float]:
    """Return the shares of passed, failed and undecided over `pairs` draws at a true difference of `step` margins.

    Only the comparison with the champion counts here: the absolute limit is out of the way.
    """
    policy = GatePolicy(limit=1.0, margin=world.margin, resamples=resamples)
    generator = np.random.default_rng(seed)
    counts = {"passed": 0, "failed": 0, "undecided": 0}
    for _ in range(pairs):
        found = compare_scores(*world.draw(step * world.margin, generator), policy, world.closed_set)
        assert found.delta is not None
        assert found.delta is not None
        counts[found.delta.judge(policy.margin)] += 1
    return {name: count / pairs for name, count in counts.items()}


def table(wer_pairs: int, eer_pairs: int, only: str = "") -> list[str]:
    """Return Markdown rows: a world, then passed / failed shares at each true difference."""
    lines = [
        "| golden set | pairs | " + " | ".join(f"Δ = {name}" for name in STEPS) + " |",
        "|---|---|" + "---|" * len(STEPS),
    ]
    for world in WORLDS:
        started, pairs = time.monotonic(), wer_pairs if isinstance(world, WerWorld) else eer_pairs
        metric = "WER" if isinstance(world, WerWorld) else "EER"
        if only not in ("", metric.lower()):
            continue
        cells = []
        for step in STEPS.values():
            found = outcomes(world, step, pairs)
            cells.append(f"{100 * found['passed']:.1f} / {100 * found['failed']:.1f}")
        lines.append(
            f"| {metric}, m {100 * world.margin:g} points: {world.name} | {pairs} | " + " | ".join(cells) + " |"
        )
        print(lines[-1], f"({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Print the table, and write it to the file of `--write`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wer-pairs", type=int, default=1_000)
    parser.add_argument("--eer-pairs", type=int, default=200)
    parser.add_argument("--only", choices=("wer", "eer"), default="")
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    chosen = parser.parse_args()
    text = "\n".join(table(chosen.wer_pairs, chosen.eer_pairs, chosen.only)) + "\n"
    print(text)
    if chosen.write:
        chosen.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
