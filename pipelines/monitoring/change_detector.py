"""Sequential detection of a change in the ranks of block scores against one fixed reference.

The null hypothesis: blocks of the site are exchangeable with the n blocks of the reference. A block has a rank 0 to n
among them. P-values against a fixed reference are uniform only on average over references. For a given reference they
are not, and a test that runs for a year detects that. So the bets use the exact law of the ranks: after t blocks, of
which c_k had rank k, the next one has rank k with probability (1 + c_k) / (n + 1 + t) (a Pólya urn, because the
reference cuts the distribution into shares that have a flat Dirichlet law). It holds for any n and any distribution.

- A bet multiplies capital by (probability of the rank under a tilt) / (that probability): a martingale with mean 1.
- A fifth of the capital bets from the first block on, and an equal part of the rest begins to bet on each day of a
  year, so a change on any day is found (an e-detector of Shiryaev-Roberts form: Shin, Ramdas and Rinaldo, arXiv
  2203.03532). The capital minus what was granted is a martingale.
- Doob's inequality: without a change, the evidence of one score reaches c with a probability of granted/c at most,
  however often somebody looks. An alarm at (number of scores) / alpha keeps the rate of all scores together under alpha
  in the first year and in each later one. It is a union bound, because the scores are dependent: their mean is no
  martingale for somebody who sees all of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

DAYS = 365
"""Days of the period for which the rate of false alarms is promised."""
FIRST_SHARE = 0.2
"""Share of a year's capital that bets from the first block on: a site may differ from its reference from the start."""
DAY_SHARE = (1 - FIRST_SHARE) / DAYS
"""Share that begins to bet on each day."""
TILTS = (1.7, 3.0, 8.0, 30.0)
"""Strengths of the bets: under a tilt a, the share of the reference below a score has the density a u^(a-1), or its
mirror image. About the tilts that are optimal for shifts of 0.5, 1, 2 and 3 standard deviations."""
INSURANCE = 0.2
"""Share of the capital that a bet does not risk, so that one block cannot destroy it."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DetectorState:
    """What is kept of all blocks so far. Leading dimensions [...] are independent detectors."""

    counts: Ints
    """Number of blocks that had each rank, [..., n + 1]."""
    log_capital: Floats
    """Logarithm of the capital of each bet, [..., 2 * len(TILTS)]."""
    granted: float
    """Capital that began to bet so far."""

    @property
    def evidence(self) -> Floats:
        """Sum of the capital, [...]; its mean is `granted` if nothing changed."""
        return np.exp(self.log_evidence)

    @property
    def log_evidence(self) -> Floats:
        """Logarithm of `evidence`, [...]; minus infinity before any capital bets."""
        total: Floats = logsumexp(self.log_capital, axis=-1)
        return total


def start_detector(reference_blocks: int, shape: tuple[int, ...] = (), *, first: bool = True) -> DetectorState:
    """Return the state before the first block, for a reference of `reference_blocks` blocks.

    `first` grants the capital of the first day. A reference that replaces another one within a year has none, so that
    the sum over the references of a year keeps the promise.
    """
    counts = np.zeros((*shape, reference_blocks + 1), dtype=np.int64)
    bets, granted = 2 * len(TILTS), FIRST_SHARE if first else 0.0
    capital = np.full((*shape, bets), math.log(granted / bets) if granted else -np.inf)
    return DetectorState(counts, capital, granted)


def begin_day(state: DetectorState) -> DetectorState:
    """Return the state after a day's capital began to bet; call it once a day, before the day's blocks."""
    share = math.log(DAY_SHARE / state.log_capital.shape[-1])
    return replace(state, log_capital=np.logaddexp(state.log_capital, share), granted=state.granted + DAY_SHARE)


def observe(state: DetectorState, ranks: Ints | int) -> DetectorState:
    """Return the state after one block of each detector; `ranks` [...] are 0 to n."""
    counts, places = state.counts, np.asarray(ranks, dtype=np.int64)[..., None]
    expected = _expected(counts, places)
    tilted = _tilted_shares(counts.shape[-1])[:, places[..., 0]]
    bets = (1 - INSURANCE) * np.moveaxis(tilted, 0, -1) / expected + INSURANCE
    added = counts.copy()
    np.put_along_axis(added, places, np.take_along_axis(counts, places, -1) + 1, -1)
    return replace(state, counts=added, log_capital=state.log_capital + np.log(bets))


def exact_p_value(state: DetectorState, rank: int, uniform: float) -> float:
    """Return the p-value of the next block of one detector: the probability of its rank or a lower one.

    Without a change, the p-values of successive blocks are independent and uniform, for any size of the reference.
    `uniform` in [0, 1] breaks ties. Low values mean a low score.
    """
    law = (1 + state.counts) / (state.counts.size + state.counts.sum())
    return float(law[:rank].sum() + uniform * law[rank])


@dataclass(frozen=True, eq=False)
class ScoreReference:
    """The values of one score in the blocks of the reference, sorted, with the keys that break ties."""

    name: str
    values: Floats
    keys: Floats
    """Uniform in [0, 1), one for each value; ascending among equal values."""

    @classmethod
    def of(cls, name: str, blocks: Sequence[str], values: Sequence[float]) -> ScoreReference:
        """Return the reference of blocks and their values."""
        pairs = sorted((float(value), tie_key(name, block)) for block, value in zip(blocks, values, strict=True))
        return cls(name, np.array([value for value, _ in pairs]), np.array([key for _, key in pairs]))

    def rank(self, value: float, block: str) -> int:
        """Return the number of reference blocks below `value`. The key of `block` decides among equal values."""
        low = int(np.searchsorted(self.values, value, "left"))
        high = int(np.searchsorted(self.values, value, "right"))
        return low + int(np.count_nonzero(self.keys[low:high] < tie_key(self.name, block)))


def tie_key(name: str, block: str) -> float:
    """Return a number in [0, 1) for a block and a score: the same on every machine, and as good as uniform."""
    return int.from_bytes(hashlib.sha256(f"{name}\0{block}".encode()).digest()[:8], "big") / 2**64


def _expected(counts: Ints, places: Ints) -> Floats:
    """Return the probability of each rank of `places` [..., 1] if nothing changed."""
    total = counts.shape[-1] + counts.sum(axis=-1, keepdims=True)
    expected: Floats = (1 + np.take_along_axis(counts, places, -1)) / total
    return expected


def _tilted_shares(ranks: int) -> Floats:
    """Return the probability of each rank under each bet, [2 * len(TILTS), ranks]: high scores, then low ones."""
    edges = np.linspace(0.0, 1.0, ranks + 1)
    high = np.stack([np.diff(edges**tilt) for tilt in TILTS])
    return np.concatenate([high, high[:, ::-1]])
