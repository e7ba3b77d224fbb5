"""How often two of the gate's safety checks are wrong: the rates at a fixed threshold, and the alarm for leakage.

Run it whole (about five minutes on one core): python benchmarks/gate_safety_simulation.py

The threshold is set so that the true rate *is* the limit, so every pass is a false one. The alarm is shown for the
true share of the champion's errors that are gone is half of, nearly, just, and more than the plausible share.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.gating.compare import compare_scores
from pipelines.gating.operating_point import measure_rates
from pipelines.gating.safety import plausible_improvement
from pipelines.registry.policies import GatePolicy, SafetyPolicy

LIMIT, DIMENSIONS = 0.05, 16
VERIFICATION = ((6, 20, 0.6), (30, 8, 0.6), (30, 20, 0.6), (6, 20, 0.8), (30, 8, 0.8), (30, 20, 0.8))
"""Speakers, clips of each, noise around a speaker's point."""
RECOGNITION = ((20, 20, 1, 0.1), (20, 20, 5, 0.1), (20, 20, 5, 0.03), (6, 50, 1, 0.03))
"""Speakers, clips of each, words of each, the champion's WER."""
GONE = (0.45, 0.8, 0.9, 1.0)
"""True shares of the champion's errors that are gone."""


def trials(speakers: int, each: int, noise: float, seed: int) -> TrialScores:
    """Return all pairs of clips: unit embeddings, a point for each speaker and noise for each clip."""
    generator = np.random.default_rng(seed)
    names = np.repeat(np.arange(speakers), each)
    points = generator.standard_normal((speakers, DIMENSIONS))[names]
    points = points + noise * generator.standard_normal(points.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    first, second = np.triu_indices(len(names), 1)
    blank, scores = ("",) * len(names), np.einsum("nd,nd->n", points[first], points[second])
    labels = tuple(f"s{name}" for name in names)
    return TrialScores(blank, labels, blank, first, second, scores, names[first] == names[second])


def operating_point(speakers: int, each: int, noise: float, sets: int) -> dict[str, float]:
    """Return the shares of golden sets that pass and fail at a true rate equal to the limit, for either rate."""
    world = trials(500, 6, noise, seed=999_999)
    at = {
        "accepts": float(np.quantile(world.scores[~world.targets], 1.0 - LIMIT)),
        "rejects": float(np.quantile(world.scores[world.targets], LIMIT)),
    }
    policy = GatePolicy(resamples=500, safety=SafetyPolicy(max_false_accepts=LIMIT, max_false_rejects=LIMIT))
    counts = dict.fromkeys([f"{name} {outcome}" for name in at for outcome in ("passed", "failed", "undecided")], 0)
    for seed in range(sets):
        drawn = trials(speakers, each, noise, seed)
        for place, (name, threshold) in enumerate(at.items()):
            rate = measure_rates(drawn, threshold, None, None, policy, False)[place]
            counts[f"{name} {rate.challenger.judge(LIMIT)}"] += 1
    return {name: count / sets for name, count in counts.items()}


def alarm(speakers: int, each: int, words: int, rate: float, gone: float, pairs: int) -> float:
    """Return the share of pairs with an alarm if each of the champion's errors is gone with probability `gone`."""
    generator, policy = np.random.default_rng(0), GatePolicy(resamples=500)
    count, rings = speakers * each, 0
    blank, labels = ("",) * count, tuple(f"s{i // each}" for i in range(count))
    for _ in range(pairs):
        hard = generator.gamma(2.0, rate / 2.0, speakers).repeat(each).clip(max=1.0)
        before = generator.binomial(words, hard)
        after = generator.binomial(before, 1.0 - gone)
        systems = [ClipScores(blank, labels, blank, e, np.full(count, words), blank, blank) for e in (after, before)]
        found = compare_scores(systems[0], systems[1], policy, False)
        rings += not plausible_improvement(found, policy, "").passed
    return rings / pairs


def table(sets: int) -> Iterator[str]:
    """Print the tables as Markdown."""
    yield f"| golden set, true rate = limit = {100 * LIMIT:g} % | false accepts | false rejects |"
    yield "|---|---|---|"
    for speakers, each, noise in VERIFICATION:
        found = operating_point(speakers, each, noise, sets)
        cells = [f"{100 * found[f'{n} passed']:.1f} / {100 * found[f'{n} failed']:.1f}" for n in ("accepts", "rejects")]
        yield f"| {speakers} speakers x {each} clips, noise {noise:g} | {' | '.join(cells)} |"
    yield ""
    yield "| golden set, alarm beyond 90 % | " + " | ".join(f"{100 * gone:g} % gone" for gone in GONE) + " |"
    yield "|---|" + "---|" * len(GONE)
    for speakers, each, words, rate in RECOGNITION:
        cells = [f"{100 * alarm(speakers, each, words, rate, gone, sets):.1f}" for gone in GONE]
        name = f"{speakers} speakers x {each} clips x {words} words, champion's WER {100 * rate:g} %"
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="golden sets in each cell")
    for line in table(parser.parse_args().sets):
        print(line, flush=True)
