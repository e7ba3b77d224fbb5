"""Labels chosen by `elp data suggest` against random ones at equal numbers, and pseudo-labels on and off.

    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_suggest.py rounds --task asr --first 60 --add 60 --rounds 4 --seeds 3
    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_suggest.py pseudo --labels 120 --share 0.5
    python benchmarks/bench_suggest.py rounds --shards workspace/data/plant-a/asr/shards

`rounds` begins with the same random labels for every way, trains, and lets each way choose the next labels by its own
model: `random`, `suggest` (uncertainty times coverage), `uncertain` (the least sure ones), `coverage` (without a
model). `pseudo` trains with and without the champion's labels of the rest, chosen as `elp data pseudo-label` does. The
sound is FSDD with factory noise of 5 dB, or the shards of any slot. The test split decides. Each training is one line
of the record file, named with a digest of the options, and a second call continues with what is missing. No time is
compared, so all trainings share the prepared copies of clips, in a folder next to the record. `--light` trains an
L-only adapter without masks and joined clips: a training then takes seconds.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from equal_error import Drawn, amount_at, amount_needed, interval, resampled
from fsdd_takes import noisy_takes
from light import LIGHT_ADAPTER, light_training
from option_digest import option_digest
from training_record import TrainingLog

from elp_core.assemble import build, calibrate, evaluate
from elp_core.audio import load
from elp_core.backbones import Backbone
from elp_core.config import TrainConfig
from elp_core.data.corpus import read_clips
from elp_core.inference.assess_clips import AssessedClip, assess_waveforms
from elp_core.methods.config import method_from_dict
from elp_core.metrics.scores import ClipScores
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.training import train
from elp_core.types import Clip
from pipelines.selection.agreement import (
    AgreedLabel,
    AgreementLimits,
    balanced_share,
    disagreement,
    disturbed,
    length_strata,
)
from pipelines.selection.coverage_pick import pick_clips, principal_points

WAYS = ("random", "suggest", "uncertain", "coverage")
Takes = dict[str, list[Clip]]


def trained(options: argparse.Namespace, backbone: Backbone, clips: Sequence[Clip], takes: Takes) -> ElpModel:
    """Return an adapter that was trained on these clips."""
    torch.manual_seed(0)
    config = replace(TrainConfig(), epochs=options.epochs, min_steps=options.min_steps, device="cpu")
    method = method_from_dict({"method": options.method} if options.method != "elp" else {})
    if options.light:
        method, config = LIGHT_ADAPTER, light_training(config)
    model = build(backbone, method, make_task(options.task, clips), config.seed)
    train(model, clips, takes["validation"], config, cache=options.out.with_suffix(".features"))
    calibrate(model, takes["validation"], device="cpu")
    return model


def judged(model: ElpModel, takes: Takes) -> dict[str, Any]:
    """Return the error on the test split, and the errors of each clip."""
    found = evaluate(model, takes["test"], device="cpu")
    assert isinstance(found.scores, ClipScores)
    return {"value": found.value, "errors": found.scores.errors.tolist(), "tokens": found.scores.tokens.tolist()}


def next_labels(
    ways: Sequence[str], number: int, pool: Sequence[Clip], labelled: Sequence[Clip], model: ElpModel, seed: int
) -> dict[str, list[str]]:
    """Return the ids of the clips that each way labels next."""
    order = np.random.default_rng(seed).permutation(len(pool))
    places = {"random": [int(place) for place in order[:number]]}
    if set(ways) - {"random"}:
        found = assessed(model, pool)
        weights = [max(0.02, one.answer.uncertainty) if one.answer else 1.0 for one in found]
        places["uncertain"] = np.argsort(-np.array(weights), kind="stable")[:number].tolist()
        known = np.stack([one.features for one in assessed(model, labelled)])
        points, covered = principal_points(np.stack([one.features for one in found]), known)
        for way, own in (("suggest", weights), ("coverage", [1.0] * len(pool))):
            places[way] = [pick.place for pick in pick_clips(points, covered, own, number).picks]
    return {way: [pool[place].id for place in places[way]] for way in ways}


def assessed(model: ElpModel, clips: Sequence[Clip]) -> list[AssessedClip]:
    """Return the features and the answers of clips."""
    return [one for start in range(0, len(clips), 64) for one in assess_some(model, clips[start : start + 64])]


def assess_some(model: ElpModel, clips: Sequence[Clip]) -> list[AssessedClip]:
    """Return the features and the answers of some dozens of clips."""
    return assess_waveforms(model, [load(clip.audio) for clip in clips])


def rounds(options: argparse.Namespace, backbone: Backbone, takes: Takes) -> None:
    """Train each way round after round, and print the errors at equal numbers of labels."""
    log, by_id = TrainingLog(options.out), {clip.id: clip for clip in takes["train"]}
    for seed in range(options.seeds):
        order = np.random.default_rng(1000 + seed).permutation(len(takes["train"]))
        first = [takes["train"][place].id for place in order[: options.first]]
        for way in options.ways:
            ids = list(first)
            for number in range(options.rounds + 1):
                # the start is the same training for all ways
                name, ways = (way, [way]) if number else ("start", options.ways)
                row = log.once(
                    round_name(options, seed, name, len(ids)),
                    lambda ids=ids, ways=ways, seed=seed, number=number: one_round(
                        options, backbone, takes, [by_id[one] for one in ids], ways, seed=seed + 97 * number
                    ),
                )
                ids = [*ids, *row["next"][way]]
    print_rounds(options, log)


def round_name(options: argparse.Namespace, seed: int, way: str, labels: int) -> str:
    """Return the name of a training of the rounds."""
    return f"{options.task} {options.method} seed {seed} {way} {labels} {drawn_by(options)}"


def one_round(
    options: argparse.Namespace,
    backbone: Backbone,
    takes: Takes,
    labelled: Sequence[Clip],
    ways: Sequence[str],
    *,
    seed: int,
) -> dict[str, Any]:
    """Train on the labelled clips, and let some ways choose from the rest."""
    model, known = trained(options, backbone, labelled, takes), {clip.id for clip in labelled}
    pool = [clip for clip in takes["train"] if clip.id not in known]
    chosen = next_labels(ways, options.add, pool, labelled, model, seed)
    return {"clips": len(labelled), **judged(model, takes), "next": chosen}


def print_rounds(options: argparse.Namespace, log: TrainingLog) -> None:
    """Print the mean error over seeds with its range, and the labels that each way needs for the last random error."""
    curves: dict[str, list[Drawn]] = {way: [] for way in options.ways}
    print(f"| labels | {' | '.join(options.ways)} |\n|---|{'---|' * len(options.ways)}")
    sizes = [options.first + number * options.add for number in range(options.rounds + 1)]
    for number, size in enumerate(sizes):
        cells = []
        for way, curve in curves.items():
            name = way if number else "start"
            drawn = resampled([log.done[round_name(options, s, name, size)] for s in range(options.seeds)])
            low, high = interval(drawn)
            curve.append(drawn)
            cells.append(f"{drawn[0]:.1%} ({low:.1%} … {high:.1%})")
        print(f"| {size} | {' | '.join(cells)} |")
    if "random" in curves:
        goal = np.min(curves["random"], axis=0)
        for way, curve in curves.items():
            needed = amount_needed(
                sizes, curve, goal, amount_at(sizes, [one[0] for one in curves["random"]], goal[0]), "labels"
            )
            print(f"{way}: {needed} of the random ones for {goal[0]:.1%}, the best error of random labels")


def pseudo(options: argparse.Namespace, backbone: Backbone, takes: Takes) -> None:
    """Train on some labels with and without the pseudo-labels of the rest."""
    log, limits = TrainingLog(options.out), AgreementLimits(options.share, options.agree, options.confidence)
    print("| seed | labels | pseudo-labels | right | without | with |\n|---|---|---|---|---|---|")
    rows = []
    for seed in range(options.seeds):
        order = np.random.default_rng(1000 + seed).permutation(len(takes["train"]))
        some = [takes["train"][place] for place in order[: options.labels]]
        name = f"{options.task} {options.method} pseudo seed {seed} {options.labels} {drawn_by(options)}"
        row = log.once(name, lambda some=some: with_and_without(options, backbone, takes, some, limits))
        cells = (f"{row['taken']}", f"{row['right']:.0%}", f"{row['without']['value']:.1%}", f"{row['value']:.1%}")
        print(f"| {seed} | {options.labels} | {' | '.join(cells)} |", flush=True)
        rows.append(row)
    change = float(np.mean([row["value"] - row["without"]["value"] for row in rows]))
    low, high = interval(resampled(rows) - resampled([row["without"] for row in rows]))
    print(f"with - without, mean over seeds: {100 * change:+.1f} points ({100 * low:+.1f} … {100 * high:+.1f})")


def with_and_without(
    options: argparse.Namespace, backbone: Backbone, takes: Takes, some: Sequence[Clip], limits: AgreementLimits
) -> dict[str, Any]:
    """Return the errors of both trainings, and how many pseudo-labels are right."""
    teacher, known = trained(options, backbone, some, takes), {clip.id for clip in some}
    pool, classes = [clip for clip in takes["train"] if clip.id not in known], options.task != "asr"
    clean = assessed(teacher, pool)
    sounds = [disturbed(load(clip.audio), clip.id, teacher.backbone.min_samples) for clip in pool]
    other = [one for place in range(0, len(pool), 64) for one in assess_waveforms(teacher, sounds[place : place + 64])]
    agreed: dict[str, Clip] = {}
    features: dict[str, Any] = {}
    for clip, first, second in zip(pool, clean, other, strict=True):
        assert first.answer is not None
        assert second.answer is not None
        if not disagreement(first.answer, second.answer, limits, classes=classes):
            words = {"label": first.answer.text} if classes else {"text": first.answer.text}
            agreed[clip.id] = replace(clip, teacher="sha256:0", **words)
            features[clip.id] = first.features
    lengths = length_strata({clip.id: clip.duration for clip in pool})
    order = by_coverage(features, [one.features for one in assessed(teacher, some)])
    preferred = [
        AgreedLabel(one, agreed[one].label if classes else lengths[one], agreed[one].duration) for one in order
    ]
    taken = [agreed[one] for one in balanced_share(preferred, limits.share * sum(clip.duration for clip in some))]
    right = {clip.id: clip.label if classes else clip.text for clip in pool}
    correct = sum((one.label if classes else one.text) == right[one.id] for one in taken)
    model = trained(options, backbone, [*some, *taken], takes) if taken else teacher
    return {
        "taken": len(taken),
        "right": correct / max(1, len(taken)),
        "without": judged(teacher, takes),
        **judged(model, takes),
    }


def by_coverage(features: dict[str, Any], covered: Sequence[Any]) -> list[str]:
    """Return the ids in an order in which any beginning covers them well, as `elp data pseudo-label` takes them."""
    if not features:
        return []
    ids = sorted(features)
    points, known = principal_points(np.stack([features[one] for one in ids]), np.stack(covered))
    return [ids[pick.place] for pick in pick_clips(points, known, [1.0] * len(ids), len(ids)).picks]


def drawn_by(options: argparse.Namespace) -> str:
    """Return the digest of the options that change a training; a longer series continues a shorter one."""
    return option_digest(options, "out", "seeds", "rounds", "part")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("rounds", "pseudo"), nargs="?", default="rounds")
    parser.add_argument("--task", choices=("asr", "sic", "ser"), default="asr")
    parser.add_argument("--method", default="elp")
    parser.add_argument("--light", action="store_true", help="an L-only adapter without masks and joined clips")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--first", type=int, default=60)
    parser.add_argument("--add", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=120)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--agree", type=float, default=0.05)
    parser.add_argument("--confidence", type=float, default=0.8)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--min-steps", type=int, default=24)
    parser.add_argument("--sizes", type=int, nargs=3, default=[2000, 100, 300], help="clips of pool, validation, test")
    parser.add_argument("--shards", type=Path, help="folder with the shards of a slot, in place of FSDD")
    parser.add_argument("--out", type=Path, default=Path("suggest.jsonl"))
    options = parser.parse_args()
    source = Path(os.environ.get("ELP_FSDD") or Path(__file__).parents[2] / "shared" / "data" / "fsdd.tar.gz")
    torch.set_num_threads(1)
    if options.shards:
        clips = read_clips(sorted(options.shards.glob("*.parquet")))
        takes = {split: [clip for clip in clips if clip.split == split] for split in ("train", "validation", "test")}
    elif source.exists():
        takes = noisy_takes(source, options.sizes)
    else:
        print(f"{source} is missing; name FSDD by ELP_FSDD")
        return
    {"rounds": rounds, "pseudo": pseudo}[options.part](options, Backbone.from_pretrained("elp:tiny"), takes)


if __name__ == "__main__":
    main()
