"""Metrics against common implementations, side by side in one process: medians of five turns.

- EER of 10 million trials: two sorts and a bisection, against scikit-learn's `roc_curve` with the crossing read off it.
- Paired bootstrap of WER, 10,000 utterances x 1,000 resamples: multiplicities times cached edit counts, against a numpy
  gather of the same counts (both draw their own resamples; both count edits once, outside the clock).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_curve
from turns import take_turns

from elp_core.metrics.bootstrap import Blocks, resample_errors
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores

TURNS = 5
TRIALS, UTTERANCES, RESAMPLES = 10_000_000, 10_000, 1_000


def side_by_side(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each way, turn by turn, after one turn that does not count."""
    return {name: statistics.median(values) for name, values in take_turns(ways, TURNS).items()}


def roc_eer(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the EER from scikit-learn's curve."""
    false_alarm, hit, _ = roc_curve(targets, scores, drop_intermediate=False)
    return float(np.interp(0.0, false_alarm - (1 - hit), false_alarm))


def gather(errors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return the WER [systems, R] by drawing clips and gathering their counts."""
    rng = np.random.default_rng(0)
    rates = np.empty((len(errors), RESAMPLES))
    for turn in range(RESAMPLES):
        drawn = rng.integers(0, len(words), len(words))
        rates[:, turn] = errors[:, drawn].sum(1) / words[drawn].sum()
    return rates


def main() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random(TRIALS) < 0.05
    scores = rng.normal(2.0 * targets, 1.0)
    print(f"difference of the EERs: {abs(eer(scores, targets).value - roc_eer(scores, targets)):.1e}")
    words = rng.integers(1, 20, UTTERANCES)
    errors = np.stack([rng.binomial(words, rate) for rate in (0.10, 0.12)])
    names = tuple(map(str, range(UTTERANCES)))
    systems = [ClipScores(names, names, names, each, words, names, names) for each in errors]
    blocks = Blocks(np.arange(UTTERANCES), UTTERANCES, "clips")
    ours, theirs = resample_errors(systems, blocks, RESAMPLES, 0), gather(errors, words)
    print(
        f"their deviations of the WER difference: {np.std(ours[1] - ours[0]):.2e}, {np.std(theirs[1] - theirs[0]):.2e}"
    )
    rows = {
        "EER of 10 M trials": side_by_side(
            {"roc_curve": lambda: roc_eer(scores, targets), "elp_core": lambda: eer(scores, targets)}
        ),
        "paired bootstrap of WER": side_by_side(
            {
                "gather": lambda: gather(errors, words),
                "elp_core": lambda: resample_errors(systems, blocks, RESAMPLES, 0),
            }
        ),
    }
    print("| what | the other, s | elp_core, s | times as fast |\n|---|---|---|---|")
    for name, (other, own) in ((name, tuple(found.values())) for name, found in rows.items()):
        print(f"| {name} | {other:.3f} | {own:.3f} | {other / own:.1f} |")


if __name__ == "__main__":
    main()
