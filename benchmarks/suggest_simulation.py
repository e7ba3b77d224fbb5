"""Labels chosen by `elp data suggest` against random ones, with a linear classifier in place of an adapter: minutes.

    ELP_FSDD=fsdd.tar.gz python benchmarks/suggest_simulation.py --seeds 5 --rounds 6

The digits of FSDD with factory noise of 5 dB. The classifier is logistic regression on the mean states of the frozen
backbone (the whole clip and its thirds); the choice is that of the product. `bench_suggest.py` trains adapters.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from bench_suggest import WAYS
from fsdd_takes import noisy_takes
from sklearn.linear_model import LogisticRegression

from elp_core.assemble import build
from elp_core.audio import load
from elp_core.backbones import CNN, Backbone
from elp_core.data.collate import collate
from elp_core.methods.config import WeightedSumConfig
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.tasks.pooling import masked_mean
from elp_core.types import Clip
from pipelines.selection.coverage_pick import pick_clips, principal_points

Features = npt.NDArray[np.float32]


@torch.inference_mode()
def pooled(model: ElpModel, clips: Sequence[Clip]) -> tuple[Features, Features]:
    """Return the features that the choice uses, [N, C], and those of the classifier, [N, 4 D]."""
    points, states = [], []
    for start in range(0, len(clips), 32):
        waveforms = [load(clip.audio) for clip in clips[start : start + 32]]
        features, counts = model.backbone.features(*collate(waveforms))
        points.append(masked_mean(features, counts).numpy())
        frames, counts = model.from_prefix(CNN, features, counts)
        third = frames.shape[1] // 3
        parts = [frames[:, place * third : (place + 1) * third].mean(1) for place in range(3)]
        states.append(torch.cat([masked_mean(frames, counts), *parts], dim=1).numpy())
    return np.concatenate(points), np.concatenate(states)


def chosen(
    way: str, number: int, points: Features, labelled: Features, weights: Sequence[float], seed: int
) -> list[int]:
    """Return the places of the clips that a way labels next."""
    if way == "random":
        return [int(place) for place in np.random.default_rng(seed).permutation(len(points))[:number]]
    if way == "uncertain":
        return [int(place) for place in np.argsort(-np.array(weights), kind="stable")[:number]]
    own, covered = principal_points(points, labelled)
    picked = pick_clips(own, covered, weights if way == "suggest" else [1.0] * len(own), number)
    return [pick.place for pick in picked.picks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--add", type=int, default=40)
    parser.add_argument("--sizes", type=int, nargs=2, default=[900, 300], help="clips of pool and test")
    options = parser.parse_args()
    source = Path(os.environ.get("ELP_FSDD") or Path(__file__).parents[2] / "shared" / "data" / "fsdd.tar.gz")
    if not source.exists():
        print(f"{source} is missing; name FSDD by ELP_FSDD")
        return
    torch.set_num_threads(1)
    takes = noisy_takes(source, [options.sizes[0], 10, options.sizes[1]])
    train, test = takes["train"], takes["test"]
    model = build(Backbone.from_pretrained("elp:tiny"), WeightedSumConfig(), make_task("sic", train), 0).eval()
    (points, states), (_, tested) = pooled(model, train), pooled(model, test)
    middle, spread = states.mean(axis=0), states.std(axis=0) + 1e-6
    states, tested = (states - middle) / spread, (tested - middle) / spread
    labels, wanted = np.array([clip.label for clip in train]), np.array([clip.label for clip in test])
    errors: dict[tuple[str, int], list[float]] = {}
    for seed in range(options.seeds):
        first = np.random.default_rng(1000 + seed).permutation(len(train))[: options.add].tolist()
        for way in WAYS:
            known = list(first)
            for number in range(options.rounds + 1):
                classifier = LogisticRegression(C=0.05, max_iter=200).fit(states[known], labels[known])
                errors.setdefault((way, number), []).append(1 - classifier.score(tested, wanted))
                pool = sorted({*range(len(train))} - {*known})
                ranked = np.sort(classifier.predict_proba(states[pool]), axis=1)
                weights = np.maximum(0.02, 1 - (ranked[:, -1] - ranked[:, -2])).tolist()
                next_ones = chosen(way, options.add, points[pool], points[known], weights, 97 * seed + number)
                known += [pool[place] for place in next_ones]
    print(f"| labels | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    for number in range(options.rounds + 1):
        cells = [f"{np.mean(errors[way, number]):.1%} ± {np.std(errors[way, number]):.1%}" for way in WAYS]
        print(f"| {options.add * (number + 1)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
