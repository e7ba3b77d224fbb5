"""Intervals over seeds and speakers: both are resampled, for all methods together.

A method was trained with S seeds, and each training was scored on the same golden set of B blocks (speakers, or clips
in a closed set). A resample draws blocks and seeds with replacement, the same for every method, so that differences
are paired (a hierarchical bootstrap: Davison and Hinkley 1997, section 3.8). The mean over few resampled seeds varies
too little by √((S-1)/S); their part is scaled by the inverse. The interval is the widest of the gate's own (blocks
alone, for the mean over the seeds) and ``value ± t · √(v_B + v_S)``, with the variances of both parts and the degrees
of freedom of Welch and Satterthwaite, ``(v_B + v_S)² / (v_B² / (B - 1) + v_S² / (S - 1))``. With three seeds t is up to
4.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.bootstrap import resample_eer, resample_errors
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores
from pipelines.gating.compare import blocks_for, metric_value, token_count
from pipelines.gating.interval import binomial_error, confidence_interval, student
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy

RESAMPLES = 2_000
"""Most resamples; an EER of many systems on many trials takes seconds for each thousand."""
FEW_SEEDS = 5
"""With fewer seeds an interval says little about further seeds."""


@dataclass(frozen=True, eq=False)
class SeedDraws:
    """The resampled metrics of M systems of S seeds each, in R resamples."""

    values: FloatArray
    """float64 [M, S]: the metric of each training on the whole golden set."""
    blocks: FloatArray
    """float64 [M, R]: the mean over the seeds, blocks resampled."""
    seeds: FloatArray
    """float64 [M, R]: what the resampling of the seeds adds, scaled."""
    count: int
    """Number of blocks."""
    clips: int
    tokens: float
    policy: GatePolicy

    @property
    def both(self) -> FloatArray:
        """Return the resampled metrics, float64 [M, R], blocks and seeds resampled."""
        return self.blocks + self.seeds

    def interval(self, system: int, reference: int | None = None) -> tuple[float, float, float]:
        """Return the mean metric of a system, or its difference to a reference, and its bounds (infinite: unknown)."""

        def less(table: FloatArray) -> FloatArray:
            part: FloatArray = table[system] if reference is None else table[system] - table[reference]
            return part

        value = round(float(less(self.values).mean()), 12)
        blocks, seeds = less(self.blocks), less(self.seeds)
        policy, rate = self.policy, self.policy.limit if reference is None else self.policy.margin
        floor = binomial_error(rate, self.tokens)
        own = confidence_interval(value, blocks, self.count, floor, self.clips, policy.confidence)
        count = self.values.shape[1]
        if count < 2 or self.count < 2:
            return value, own.lower, own.upper
        of_blocks = float(np.nanvar(blocks)) * self.count / (self.count - 1)
        of_seeds = float(np.nanvar(seeds))
        total = of_blocks + of_seeds
        parts = of_blocks**2 / (self.count - 1) + of_seeds**2 / (count - 1)
        half = (
            student(0.5 + policy.confidence / 2, max(1, math.floor(total**2 / parts))) * math.sqrt(total)
            if parts
            else 0.0
        )
        return value, round(min(own.lower, value - half), 10), round(max(own.upper, value + half), 10)

    def relation(self, system: int, reference: int) -> int:
        """Return -1 if a system is shown to have a lower metric than a reference, 1 for a higher one, 0 if neither."""
        _, lower, upper = self.interval(system, reference)
        return -1 if upper < 0 else 1 if lower > 0 else 0

    def ranks(self) -> list[tuple[int, int, int]]:
        """Return each system's rank by its mean, 1 for the lowest metric, and the bounds of its resampled rank."""
        tail = (1 - self.policy.confidence) / 2
        ranks = _ranks(np.nan_to_num(self.both, nan=np.inf))
        low, high = np.quantile(ranks, [tail, 1 - tail], axis=1)
        own = _ranks(self.values.mean(axis=1, keepdims=True))[:, 0]
        return [(round(r), math.floor(a), math.ceil(b)) for r, a, b in zip(own, low, high, strict=True)]


def resample_seeds(systems: Sequence[Sequence[Scores]], policy: GatePolicy, closed_set: bool) -> SeedDraws:
    """Resample M systems, each with the scores of S seeds on the same clips, in the same order of seeds.

    Raises:
        CorpusError: The systems have different numbers of seeds, or were not scored on the same clips.
    """
    first, count = systems[0][0], len(systems[0])
    flat = [scores for seeds in systems for scores in seeds]
    if any(len(seeds) != count for seeds in systems) or any(one.ids != first.ids for one in flat):
        raise CorpusError("methods were not scored on the same clips with the same number of seeds; compare them again")
    blocks, resamples = blocks_for(first, closed_set), min(policy.resamples, RESAMPLES)
    clips = [one for one in flat if isinstance(one, ClipScores)]
    if clips:
        drawn = resample_errors(clips, blocks, resamples, policy.seed)
    else:
        drawn = resample_eer([one for one in flat if isinstance(one, TrialScores)], blocks, resamples, policy.seed)
    drawn = drawn.reshape(len(systems), count, resamples)
    seeds = np.zeros((len(systems), resamples))
    if count > 1:
        generator = np.random.default_rng(policy.seed)
        chosen = generator.multinomial(count, [1 / count] * count, resamples) / count - 1 / count
        seeds = math.sqrt(count / (count - 1)) * np.einsum("msr,rs->mr", drawn, chosen)
    values = np.array([[metric_value(scores) for scores in one] for one in systems])
    return SeedDraws(values, drawn.mean(axis=1), seeds, blocks.count, len(first.ids), token_count(first), policy)


def _ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each row in each column of [M, R], 1 for the lowest value, the mean rank for equal ones."""
    below = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    ranks: FloatArray = below + (equal + 1) / 2
    return ranks
