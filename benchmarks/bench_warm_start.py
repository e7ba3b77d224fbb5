"""Warm against fresh trainings on real speech (FSDD): a nightly retraining over simulated days, and a new site.

    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_warm_start.py days --days 20 --first 600 --clips 60
    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_warm_start.py site --speaker theo --seconds 30 60 120
    python benchmarks/bench_warm_start.py site --per-speaker 60 --clips 3000 --seconds 300 900 1800

`days` gives a slot its first clips and then equal days. Each night trains on all clips so far: fresh, and from the
adapter of the night before. `site` trains an adapter for each of the other speakers, and then the new one from little
audio: fresh, from the nearest of the others, and from their mean. The test takes decide; differences have the gate's
paired interval. Each training is one line of the record file, and a second call continues with what is missing;
the record of other options is another folder below `--out`. Each way has a cache of prepared clips of its own, as if it
were the only one on its machine. `--per-speaker` takes the embedded corpus in place of FSDD, with so many recordings of
each speaker: the new site is the call centre, the other one the plant.
`--light` trains an L-only adapter without masks and joined clips: the frozen prefix runs once for each copy of a clip.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from embedded_takes import embedded_takes
from equal_error import Drawn, amount_needed, resampled
from light import LIGHT_ADAPTER, light_training
from option_digest import option_digest
from training_record import TrainingRecord, link_files

from elp_core.assemble import build, evaluate
from elp_core.audio import clip_id, encode_flac, load
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig, TrainConfig, WarmConfig
from elp_core.metrics.scores import ClipScores
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.training import start_from, train
from elp_core.types import Clip
from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.importers.fsdd import fsdd_clips
from pipelines.demo.corpus import SITES
from pipelines.gating.compare import compare_scores
from pipelines.gating.interval import Interval
from pipelines.registry.lineage import LearnedFrom
from pipelines.registry.policies import GatePolicy
from pipelines.training.starting_point import StartingPoint, StartParent

MARGIN = 0.02
Way = tuple[str, Sequence[tuple[ElpModel, float]]]
Comparison = tuple[Interval, Interval]
"""The error of a training, and its difference to that of another one."""


def read_takes(source: Path, most: Mapping[str, int]) -> dict[str, list[Clip]]:
    """Return the clips of FSDD by split, at most so many of each, in an order that mixes speakers and digits."""
    found: dict[str, list[SourceClip]] = {split: [] for split in most}
    for one in fsdd_clips(source):
        found[one.split or "train"].append(one)
    chosen = {
        split: sorted(clips, key=lambda clip: hashlib.sha256(clip.path.encode()).digest())[: most[split]]
        for split, clips in found.items()
    }
    return {split: [encoded(one) for one in clips] for split, clips in chosen.items()}


def encoded(one: SourceClip) -> Clip:
    """Return a recording as a slot keeps it."""
    samples = load(one.audio)
    sound = clip_id(samples), encode_flac(samples), len(samples) / 16_000
    return Clip(*sound, one.split or "train", one.text, one.speaker, one.label)


def one_training(
    backbone: Backbone,
    clips: Sequence[Clip],
    judged: dict[str, list[Clip]],
    config: TrainConfig,
    way: Way,
    options: argparse.Namespace,
    cache: Path,
) -> tuple[ElpModel, dict[str, Any]]:
    """Train fresh or from parents, and judge on the test takes."""
    torch.manual_seed(0)
    adapter = LIGHT_ADAPTER if options.light else ElpConfig()
    model = build(backbone, adapter, make_task(options.task, judged["train"]), config.seed)
    if way[1]:
        start_from(model, way[1])
        # the epochs and rates that `elp train` would take
        config = StartingPoint(parents=(StartParent(LearnedFrom(), Path()),)).rates(config)
    began = time.process_time()
    result = train(model, clips, judged["validation"], config, cache=cache)
    spent = time.process_time() - began
    found = evaluate(model, judged["test"], device="cpu")
    assert isinstance(found.scores, ClipScores)
    return model, {
        "way": way[0],
        "clips": len(clips),
        "audio": sum(clip.duration for clip in clips),
        "value": found.value,
        "seconds": spent,
        "epochs": result.epochs,
        "errors": found.scores.errors.tolist(),
        "tokens": found.scores.tokens.tolist(),
    }


def compared(row: dict[str, Any], against: dict[str, Any], test: Sequence[Clip], *, closed_set: bool) -> Comparison:
    """Return a training against another one, by the gate: in a closed set, clips are resampled."""
    scores = [
        ClipScores(
            tuple(clip.id for clip in test),
            tuple(clip.speaker for clip in test),
            ("",) * len(test),
            one["errors"],
            one["tokens"],
            ("",) * len(test),
            ("",) * len(test),
        )
        for one in (row, against)
    ]
    found = compare_scores(*scores, GatePolicy(1.0, MARGIN), closed_set=closed_set)
    assert found.delta is not None
    return found.challenger, found.delta


def points(delta: Interval) -> str:
    """Return a difference with its interval, in points."""
    return f"{100 * delta.value:+.1f} ({100 * delta.lower:+.1f} … {100 * delta.upper:+.1f})"


def days(options: argparse.Namespace, backbone: Backbone, takes: dict[str, list[Clip]], config: TrainConfig) -> None:
    """Train each night, warm and fresh, on all clips so far."""
    record, before, generation = record_of(options), None, 0
    outcomes, spent = list[str](), {"fresh": 0.0, "warm": 0.0}
    print("| night | clips | fresh | warm | warm − fresh, points | time, warm / fresh |\n|---|---|---|---|---|---|")
    for day in range(1, options.days + 1):
        clips = takes["train"][: options.first + day * options.clips]
        fresh = f"night-{day:02d}-fresh"
        made = record.once(
            fresh,
            backbone,
            partial(one_training, backbone, clips, takes, config, ("fresh", ()), options, record.cache("fresh")),
        )
        warm, start = f"night-{day:02d}-warm", before
        if start is None or generation >= config.warm.generations:
            # this night is a fresh one, and so the same training
            record.log.done[warm], before, generation = record.log.done[fresh], made, 0
            link_files(record.cache("fresh"), record.cache("warm"))
        else:
            way = "warm", ((start, 1.0),)
            before = record.once(
                warm,
                backbone,
                partial(one_training, backbone, clips, takes, config, way, options, record.cache("warm")),
            )
            generation += 1
        a, b = record.log.done[warm], record.log.done[fresh]
        shown = "fresh night"
        if a is not b:
            delta = compared(a, b, takes["test"], closed_set=not options.per_speaker)[1]
            shown = points(delta)
            outcomes.append(delta.judge(MARGIN))
        for way, row in (("fresh", b), ("warm", a)):
            spent[way] += row["seconds"]
        share = f"{a['seconds'] / b['seconds']:.2f}"
        print(f"| {day} | {len(clips)} | {b['value']:.1%} | {a['value']:.1%} | {shown} | {share} |", flush=True)

    words = {"passed": "no worse", "undecided": "undecided", "failed": "worse"}
    print(f"{len(outcomes)} warm nights: " + ", ".join(f"{outcomes.count(one)} {word}" for one, word in words.items()))
    print(
        f"all nights: {spent['warm']:.0f} s with warm starts, {spent['fresh']:.0f} s fresh, ratio "
        f"{spent['warm'] / spent['fresh']:.2f}"
    )


def record_of(options: argparse.Namespace) -> TrainingRecord:
    """Return the record of the trainings with these options; a longer series continues a shorter one."""
    digest = option_digest(options, "out", "days", "seconds", "part")
    return TrainingRecord(options.out / f"{options.part}-{digest}", "warm-start.jsonl")


def site(options: argparse.Namespace, backbone: Backbone, takes: dict[str, list[Clip]], config: TrainConfig) -> None:
    """Train a new speaker's adapter from little audio: fresh, from the nearest of the others, and from their mean."""
    record, new = record_of(options), SITES[1].name if options.per_speaker else options.speaker
    own = {split: [clip for clip in clips if place_of(clip, options) == new] for split, clips in takes.items()}
    others: dict[str, ElpModel] = {}
    for name in sorted({place_of(clip, options) for clip in takes["train"]} - {new}):
        theirs = {split: [c for c in clips if place_of(c, options) == name] for split, clips in takes.items()}
        clips = theirs["train"][: options.clips]
        others[name] = record.once(
            f"site-{name}",
            backbone,
            partial(one_training, backbone, clips, theirs, config, ("fresh", ()), options, record.cache("others")),
        )
    values = {name: evaluate(model, own["validation"], device="cpu").value for name, model in others.items()}
    nearest = min(values, key=lambda name: (values[name], name))
    ways: list[Way] = [("fresh", ()), ("nearest", ((others[nearest], 1.0),))]
    if len(others) > 1:
        ways.append(("average", [(others[name], 1 / len(others)) for name in sorted(others)]))
    print(f"nearest of {new}: {nearest}; " + ", ".join(f"{name} {value:.1%}" for name, value in values.items()))
    print("| seconds of audio | start | error | minus fresh, points | seconds of processor |\n|---|---|---|---|---|")
    curves: dict[str, list[Drawn]] = {way[0]: [] for way in ways}
    amounts = list[float]()
    for wanted in options.seconds:
        total, clips = 0.0, list[Clip]()
        for clip in own["train"]:
            if total < wanted:
                clips.append(clip)
                total += clip.duration
        amounts.append(total)
        if total < wanted:
            print(f"only {total:.0f} s of audio for training at {new}: give more recordings")
        for way in ways:
            name = f"site-{new}-{wanted}-{way[0]}"
            record.once(
                name,
                backbone,
                partial(one_training, backbone, clips, own, config, way, options, record.cache(way[0])),
            )
            row, fresh = record.log.done[name], record.log.done[f"site-{new}-{wanted}-fresh"]
            error, delta = compared(row, fresh, own["test"], closed_set=not options.per_speaker)
            curves[way[0]].append(resampled([row]))
            cells = (f"{error.value:.1%} ({error.lower:.1%} … {error.upper:.1%})", points(delta) if way[1] else "")
            print(f"| {total:.0f} | {way[0]} | {' | '.join(cells)} | {row['seconds']:.0f} |", flush=True)
    print_equal_errors(amounts, curves)


def print_equal_errors(amounts: Sequence[float], curves: Mapping[str, Sequence[Drawn]]) -> None:
    """Print how much audio each start needs for the errors that a fresh one reaches, as a share of the fresh one's."""
    for way, curve in curves.items():
        for amount, goal in zip(amounts, curves["fresh"], strict=True):
            if way != "fresh":
                needed = amount_needed(amounts, curve, goal, amount, "s")
                print(f"{way}: {needed} for {goal[0]:.1%}, the error of a fresh start from {amount:.0f} s")


def place_of(clip: Clip, options: argparse.Namespace) -> str:
    """Return the site of a clip: of the embedded corpus by its speaker's name, of FSDD the speaker."""
    if not options.per_speaker:
        return clip.speaker
    return next(one.name for one in SITES if clip.speaker.startswith(one.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("days", "site"), nargs="?", default="days")
    parser.add_argument("--task", choices=("asr", "sic"), default="asr", help="words, or the digit as a class")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--clips", type=int, default=100, help="of a day, or of each other site")
    parser.add_argument("--first", type=int, default=0, help="clips before the first day")
    parser.add_argument("--light", action="store_true", help="an L-only adapter without masks and joined clips")
    parser.add_argument("--speaker", default="theo")
    parser.add_argument("--per-speaker", type=int, default=0, help="recordings of a speaker of the embedded corpus")
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--min-steps", type=int, default=120)
    parser.add_argument("--warm-epochs", type=int, help="[default: as `elp train`, so --epochs of a new site]")
    parser.add_argument("--rate", type=float, default=WarmConfig().rate)
    parser.add_argument("--generations", type=int, default=WarmConfig().generations)
    parser.add_argument("--judged", type=int, nargs=2, default=[180, 300], help="clips of validation and of the test")
    parser.add_argument("--out", type=Path, default=Path("warm-start"))
    options = parser.parse_args()
    options.warm_epochs = options.warm_epochs or (options.epochs if options.part == "site" else WarmConfig().epochs)
    source = Path(os.environ.get("ELP_FSDD") or Path(__file__).parents[2] / "shared" / "data" / "fsdd.tar.gz")
    if not (options.per_speaker or source.exists()):
        print(f"{source} is missing; name FSDD by ELP_FSDD")
        return
    torch.set_num_threads(1)
    learned = options.first + options.days * options.clips if options.part == "days" else 3000
    most = {"train": learned, "validation": options.judged[0], "test": options.judged[1]}
    backbone = Backbone.from_pretrained("elp:tiny")
    if options.per_speaker:
        takes = embedded_takes(options.out, options.per_speaker, "intent" if options.task == "sic" else "", encoded)
    else:
        takes = read_takes(source, most)
    warm = WarmConfig(options.warm_epochs, options.rate, options.generations)
    config = replace(TrainConfig(), epochs=options.epochs, min_steps=options.min_steps, device="cpu", warm=warm)
    if options.light:
        config = light_training(config)
    {"days": days, "site": site}[options.part](options, backbone, takes, config)


if __name__ == "__main__":
    main()
