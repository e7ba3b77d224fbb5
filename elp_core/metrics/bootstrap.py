"""Paired bootstrap of error rates (WER, classes) and EER over blocks (speakers or clips).

There are R resamples of G blocks. A resample draws G blocks with replacement; the multiplicity of a block is how often
it was drawn. All systems are measured on the same resamples, so their differences are paired (Efron & Tibshirani 1993,
chapter 8; Bisani & Ney 2004 for WER).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import BoolArray, ClipScores, FloatArray, IntArray, TrialScores

Unit = Literal["clips", "speakers"]
_CHUNK = 2_000_000  # numbers in memory at once: 16 MB
_NEAR = 50_000  # draws at once: they fit into a core's own cache, which halves the time of counting


@dataclass(frozen=True, eq=False)
class Blocks:
    """The block of each clip."""

    index: IntArray
    """int64 [C], from 0 to count - 1."""
    count: int
    unit: Unit


def blocks_of(speakers: Sequence[str], by: Unit) -> Blocks:
    """Return one block for each speaker, or for each clip. A clip of unknown speaker (empty name) is its own block."""
    if by == "clips" or not any(speakers):
        return Blocks(np.arange(len(speakers), dtype=np.int64), len(speakers), "clips")
    # the NUL keeps such a name apart from every speaker's
    names = [speaker or f"\0{place}" for place, speaker in enumerate(speakers)]
    unique, index = np.unique(np.array(names), return_inverse=True)
    return Blocks(index.astype(np.int64), len(unique), "speakers")


def multiplicities(count: int, resamples: int, seed: int, chunk: int) -> Iterator[FloatArray]:
    """Yield multiplicities of `count` blocks, float64 [r, count] with r <= `chunk`, `resamples` rows in total.

    The rows depend on `seed` alone, not on `chunk`.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        table = np.empty((rows, count))
        for first in range(0, rows, max(1, _NEAR // max(1, count))):
            part = table[first : first + max(1, _NEAR // max(1, count))]
            drawn = (generator.random(part.shape) * count).astype(np.int64)
            drawn += (np.arange(len(part)) * count)[:, None]
            part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
        yield table


def resample_errors(systems: Sequence[ClipScores], blocks: Blocks, resamples: int, seed: int) -> FloatArray:
    """Return the error rate of each system on the same resamples, float64 [systems, R]; NaN without any token."""
    columns = [column for s in systems for column in (s.errors, s.tokens)]
    tables = np.stack([np.bincount(blocks.index, column, minlength=blocks.count) for column in columns], axis=1)
    chunk = max(1, _NEAR // max(1, blocks.count))
    sums = np.concatenate([w @ tables for w in multiplicities(blocks.count, resamples, seed, chunk)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, 1::2] > 0, sums[:, ::2] / sums[:, 1::2], np.nan).T


def error_interval(
    scores: ClipScores, by: Unit = "speakers", confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the lower and upper bound of an error rate: the percentile interval of its bootstrap over blocks.

    With fewer than about ten blocks it is too narrow (the gate's own interval is widened for that), and says little
    about others than those that were recorded.

    Args:
        scores: Of one evaluation, as `Evaluation.scores` has them.
        by: Blocks are ``speakers``, for what other people may expect, or ``clips``, for these people alone.
        confidence: Of both bounds together, between 0 and 1.
        resamples: Number of draws.
        seed: Of the draws: the same seed gives the same bounds.

    Raises:
        CorpusError: There are fewer than two blocks, or nothing was counted.
    """
    blocks = blocks_of(scores.speakers, by)
    draws = resample_errors([scores], blocks, resamples, seed)[0] if blocks.count > 1 else np.empty(0)
    usable = draws[np.isfinite(draws)]
    if not len(usable):
        raise CorpusError(f"an interval needs two {blocks.unit} or more with something to count, got {blocks.count}")
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def resample_eer(systems: Sequence[TrialScores], blocks: Blocks, resamples: int, seed: int) -> FloatArray:
    """Return the EER of each system on the same resamples, float64 [systems, R]; NaN if a kind of trial is missing.

    The weight of a trial between two blocks is the product of their multiplicities. The weight of a trial inside one
    block (a speaker's own target trials) is its multiplicity: two copies of one speaker form no trial.

    Raises:
        CorpusError: A system has no trials.
    """
    ranked = [_rank(system, blocks) for system in systems]
    widest = max(max(len(r.first), int(np.diff(r.bins).max()), blocks.count) for r in ranked)
    rates = []
    for weights in multiplicities(blocks.count, resamples, seed, max(1, _CHUNK // widest)):
        rates.append(np.stack([_weighted_eer(r, weights) for r in ranked]))
    return np.concatenate(rates, axis=1)


def resample_false_rates(
    systems: Sequence[TrialScores], thresholds: Sequence[float], blocks: Blocks, resamples: int, seed: int
) -> FloatArray:
    """Return false accepts and rejects of each system at its own fixed threshold, on the same trials and resamples.

    The result is float64 [systems, 2, R]: shares of accepted impostor trials and of rejected target trials; NaN for a
    resample without trials of the kind. Trials have the weights of `resample_eer`.
    """
    first, second, pair = _pairs(systems[0], blocks)
    columns = [~systems[0].targets, systems[0].targets]
    for system, threshold in zip(systems, thresholds, strict=True):
        accepted = system.scores >= threshold
        columns += [accepted & ~system.targets, ~accepted & system.targets]
    tables = np.stack([np.bincount(pair, column, minlength=len(first)) for column in columns], axis=1)  # [P, 2 + 2S]
    chunk = max(1, _CHUNK // max(len(first), blocks.count))
    weighted = (
        _pair_weights(weights, first, second) @ tables
        for weights in multiplicities(blocks.count, resamples, seed, chunk)
    )
    sums = np.concatenate(list(weighted)).reshape(resamples, -1, 2)  # totals, then each system
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, :1] > 0, sums[:, 1:] / sums[:, :1], np.nan).transpose(1, 2, 0)


def _pairs(trials: TrialScores, blocks: Blocks) -> tuple[IntArray, IntArray, IntArray]:
    """Return the distinct pairs of blocks of the trials, int64 [P] and [P], and the pair of each trial, int64 [N]."""
    one, other = blocks.index[trials.a], blocks.index[trials.b]
    keys = np.minimum(one, other) * blocks.count + np.maximum(one, other)
    pairs, pair = np.unique(keys, return_inverse=True)
    return pairs // blocks.count, pairs % blocks.count, pair


def _pair_weights(weights: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Return weights [r, P] of trials between blocks of multiplicities [r, G]; inside one block, its multiplicity."""
    return weights[:, first] * np.where(first == second, 1.0, weights[:, second])


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Trials in ascending order of score, in bins: N trials, P distinct block pairs, M bins of whole tie groups."""

    first: IntArray
    """int64 [P], the pair's first block."""
    second: IntArray
    """int64 [P], its second block, or the first one again."""
    pair: IntArray
    """int64 [N], the pair of each ranked trial."""
    hit: BoolArray
    """bool [N], target trial."""
    start: IntArray
    """int64 [N], rank at which the trial's tie group starts."""
    last: BoolArray
    """bool [N], the trial is the last of its tie group."""
    bins: IntArray
    """int64 [M + 1], ranks where bins start; the last is N."""
    below_hits: FloatArray
    """float64 [M + 1, P], target trials of each pair below each bin."""
    below_rest: FloatArray
    """float64 [M + 1, P], impostor trials of each pair below each bin."""


def _rank(trials: TrialScores, blocks: Blocks) -> _Ranked:
    order = np.argsort(trials.scores, kind="stable")
    scores, hit = trials.scores[order], trials.targets[order]
    first, second, pair = _pairs(trials, blocks)
    pair = pair[order]
    if len(scores) == 0:
        raise CorpusError("no trials to resample; an equal error rate needs target and impostor trials")
    opens = np.concatenate([[True], scores[1:] != scores[:-1]])
    starts = np.flatnonzero(opens)
    group = np.cumsum(opens) - 1
    # more bins make the matrix products larger and the search inside a bin shorter; 50 was measured as the optimum
    wanted = int(np.clip(np.sqrt(50 * len(scores) / len(first)), 1, min(1024, max(1, 8_000_000 // len(first)))))
    chosen = np.unique(np.linspace(0, len(starts), min(wanted, len(starts)) + 1).astype(np.int64))
    bins = np.append(starts, len(scores))[chosen]
    bin_of = np.repeat(np.arange(len(bins) - 1), np.diff(bins))

    def below(which: BoolArray) -> FloatArray:
        cells = bin_of[which] * len(first) + pair[which]
        counts = np.bincount(cells, minlength=(len(bins) - 1) * len(first)).reshape(-1, len(first))
        return np.concatenate([np.zeros((1, len(first))), np.cumsum(counts, axis=0)])

    last = np.append(opens[1:], True)
    return _Ranked(first, second, pair, hit, starts[group], last, bins, below(hit), below(~hit))


def _weighted_eer(trials: _Ranked, weights: FloatArray) -> FloatArray:
    """Return the EER [r] for multiplicities [r, G]: find the bin in which the rates cross, then the tie group."""
    pair_weights = _pair_weights(weights, trials.first, trials.second)  # [r, P]
    hits, rest = pair_weights @ trials.below_hits.T, pair_weights @ trials.below_rest.T  # [r, M + 1]
    usable = (hits[:, -1] > 0) & (rest[:, -1] > 0)
    total_hits, total_rest = np.where(usable, hits[:, -1], 1.0), np.where(usable, rest[:, -1], 1.0)
    gap = hits / total_hits[:, None] - 1.0 + rest / total_rest[:, None]  # miss − false alarm
    gap[:, -1] = 1.0  # above every score: miss 1 and false alarm 0, without rounding errors
    bin_at = np.maximum(np.argmax(gap >= 0.0, axis=1) - 1, 0)
    rows = np.arange(len(weights))
    width = int(np.diff(trials.bins)[bin_at].max())
    begin = trials.bins[bin_at]
    ranks = begin[:, None] + np.arange(width)  # [r, width], beyond the bin's end masked below
    inside = ranks < trials.bins[bin_at + 1][:, None]
    ranks = np.minimum(ranks, len(trials.pair) - 1)
    trial_weights = np.where(inside, pair_weights[rows[:, None], trials.pair[ranks]], 0.0)
    hit = trials.hit[ranks]
    up_hits = _running(np.where(hit, trial_weights, 0.0), hits[rows, bin_at]) / total_hits[:, None]  # [r, width + 1]
    up_rest = _running(np.where(hit, 0.0, trial_weights), rest[rows, bin_at]) / total_rest[:, None]
    inner = up_hits - 1.0 + up_rest
    closes = (inner[:, 1:] >= 0.0) & trials.last[ranks] & inside
    ends = np.where(closes.any(axis=1), np.argmax(closes, axis=1), trials.bins[bin_at + 1] - begin - 1)
    starts = trials.start[begin + ends] - begin
    low, high = inner[rows, starts], inner[rows, ends + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, low / (low - high), 0.0)
    value = up_hits[rows, starts] + share * (up_hits[rows, ends + 1] - up_hits[rows, starts])
    return np.where(usable, value, np.nan)


def _running(steps: FloatArray, begin: FloatArray) -> FloatArray:
    """Return running sums [r, width + 1] of steps [r, width] from `begin` [r]."""
    return np.cumsum(np.concatenate([begin[:, None], steps], axis=1), axis=1)
