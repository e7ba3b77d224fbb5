"""Warm against fresh trainings on real speech (FSDD): a nightly retraining over simulated days, and a new site.

    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_warm_start.py days --days 20 --first 600 --clips 60
    ELP_FSDD=fsdd.tar.gz python benchmarks/bench_warm_start.py site --speaker theo --seconds 30 60 120

`days` gives a slot its first clips and then equal days. Each night trains on all clips so far: fresh, and from the
adapter of the night before. `site` trains an adapter for each of the other speakers, and then the new one from little
audio: fresh, from the nearest of the others, and from their mean. The test takes decide; differences have the gate's
paired interval. Each training is one line of the record file, and a second call continues with what is missing.
`--light` trains an L-only adapter without masks and joined clips: the frozen prefix runs once for each copy of a clip.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from elp_core.assemble import build, evaluate
from elp_core.audio import clip_id, encode_flac, load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import ElpConfig, TrainConfig, WarmConfig
from elp_core.metrics.scores import ClipScores
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.training import start_from, train
from elp_core.types import Clip
from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.importers.fsdd import fsdd_clips
from pipelines.gating.compare import compare_scores
from pipelines.registry.lineage import LearnedFrom
from pipelines.registry.policies import GatePolicy
from pipelines.training.starting_point import StartingPoint, StartParent

MARGIN = 0.02
Way = tuple[str, Sequence[tuple[ElpModel, float]]]


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


class Record:
    """The trainings that were done: their numbers in a file, their adapters in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "warm-start.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.done: dict[str, dict[str, Any]] = {row["name"]: row for row in map(json.loads, lines)}

    def adapter(self, name: str, backbone: Backbone) -> ElpModel:
        """Return the adapter of a training that was done."""
        return load_bundle(self.folder / name, backbone)

    def once(self, name: str, backbone: Backbone, make: Callable[[], tuple[ElpModel, dict[str, Any]]]) -> ElpModel:
        """Do a training that was not done before; return its adapter."""
        if name not in self.done:
            model, row = make()
            write_bundle(self.folder / name, model, {}, {})
            self.done[name] = {"name": name, **row}
            with self.file.open("a") as file:
                file.write(json.dumps(self.done[name]) + "\n")
            print(f"{name}: {row['value']:.1%} in {row['seconds']:.0f} s", flush=True)
        return self.adapter(name, backbone)


def one_training(
    backbone: Backbone,
    clips: Sequence[Clip],
    judged: dict[str, list[Clip]],
    config: TrainConfig,
    way: Way,
    options: argparse.Namespace,
) -> tuple[ElpModel, dict[str, Any]]:
    """Train fresh or from parents, and judge on the test takes."""
    torch.manual_seed(0)
    adapter = ElpConfig(encoder=None, prompt=None, tune_norms=False) if options.light else ElpConfig()
    model = build(backbone, adapter, make_task(options.task, judged["train"]), config.seed)
    if way[1]:
        start_from(model, way[1])
        # the epochs and rates that `elp train` would take
        config = StartingPoint(parents=(StartParent(LearnedFrom(), Path()),)).rates(config)
    began = time.process_time()
    result = train(model, clips, judged["validation"], config, cache=options.out / "cache")
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


def interval(row: dict[str, Any], against: dict[str, Any], test: Sequence[Clip]) -> str:
    """Return the difference of two trainings with the gate's interval, in points."""
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
    # closed set: all takes are of the same speakers, so clips are resampled
    delta = compare_scores(*scores, GatePolicy(1.0, MARGIN), closed_set=True).delta
    assert delta is not None
    return f"{100 * delta.value:+.1f} ({100 * delta.lower:+.1f} … {100 * delta.upper:+.1f})"


def days(options: argparse.Namespace, backbone: Backbone, takes: dict[str, list[Clip]], config: TrainConfig) -> None:
    """Train each night, warm and fresh, on all clips so far."""
    record, before, generation = Record(options.out), None, 0
    print("| night | clips | fresh | warm | warm − fresh, points | time, warm / fresh |\n|---|---|---|---|---|---|")
    for day in range(1, options.days + 1):
        clips = takes["train"][: options.first + day * options.clips]
        fresh = f"night-{day:02d}-fresh"
        made = record.once(
            fresh,
            backbone,
            lambda clips=clips: one_training(backbone, clips, takes, config, ("fresh", ()), options),
        )  # type: ignore[misc]
        warm, start = f"night-{day:02d}-warm", before
        if start is None or generation >= config.warm.generations:
            # this night is a fresh one, and so the same training
            record.done[warm], before, generation = record.done[fresh], made, 0
        else:
            way = "warm", ((start, 1.0),)
            before = record.once(
                warm,
                backbone,
                lambda clips=clips, way=way: one_training(backbone, clips, takes, config, way, options),
            )  # type: ignore[misc]
            generation += 1
        a, b = record.done[warm], record.done[fresh]
        shown = interval(a, b, takes["test"]) if a is not b else "fresh night"
        share = f"{a['seconds'] / b['seconds']:.2f}"
        print(f"| {day} | {len(clips)} | {b['value']:.1%} | {a['value']:.1%} | {shown} | {share} |", flush=True)


def site(options: argparse.Namespace, backbone: Backbone, takes: dict[str, list[Clip]], config: TrainConfig) -> None:
    """Train a new speaker's adapter from little audio: fresh, from the nearest of the others, and from their mean."""
    record, new = Record(options.out), options.speaker
    own = {split: [clip for clip in clips if clip.speaker == new] for split, clips in takes.items()}
    others: dict[str, ElpModel] = {}
    for name in sorted({clip.speaker for clip in takes["train"]} - {new}):
        theirs = {split: [c for c in clips if c.speaker == name] for split, clips in takes.items()}
        clips = theirs["train"][: options.clips]
        others[name] = record.once(
            f"site-{name}",
            backbone,
            lambda c=clips, t=theirs: one_training(backbone, c, t, config, ("fresh", ()), options),  # type: ignore[misc]
        )
    values = {name: evaluate(model, own["validation"], device="cpu").value for name, model in others.items()}
    nearest = min(values, key=lambda name: (values[name], name))
    ways: list[Way] = [("fresh", ()), ("nearest", ((others[nearest], 1.0),))]
    ways.append(("average", [(others[name], 1 / len(others)) for name in sorted(others)]))
    print(f"nearest of {new}: {nearest}; " + ", ".join(f"{name} {value:.1%}" for name, value in values.items()))
    print("| seconds of audio | start | error | minus fresh, points | seconds of processor |\n|---|---|---|---|---|")
    for wanted in options.seconds:
        total, clips = 0.0, list[Clip]()
        for clip in own["train"]:
            if total < wanted:
                clips.append(clip)
                total += clip.duration
        for way in ways:
            name = f"site-{new}-{wanted}-{way[0]}"
            record.once(name, backbone, lambda c=clips, w=way: one_training(backbone, c, own, config, w, options))  # type: ignore[misc]
            row, fresh = record.done[name], record.done[f"site-{new}-{wanted}-fresh"]
            shown = interval(row, fresh, own["test"]) if way[1] else ""
            print(f"| {total:.0f} | {way[0]} | {row['value']:.1%} | {shown} | {row['seconds']:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("days", "site"), nargs="?", default="days")
    parser.add_argument("--task", choices=("asr", "sic"), default="asr", help="words, or the digit as a class")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--clips", type=int, default=100, help="of a day, or of each other site")
    parser.add_argument("--first", type=int, default=0, help="clips before the first day")
    parser.add_argument("--light", action="store_true", help="an L-only adapter without masks and joined clips")
    parser.add_argument("--speaker", default="theo")
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--min-steps", type=int, default=120)
    parser.add_argument("--warm-epochs", type=int, default=WarmConfig().epochs)
    parser.add_argument("--rate", type=float, default=WarmConfig().rate)
    parser.add_argument("--generations", type=int, default=WarmConfig().generations)
    parser.add_argument("--judged", type=int, nargs=2, default=[180, 300], help="clips of validation and of the test")
    parser.add_argument("--out", type=Path, default=Path("warm-start"))
    options = parser.parse_args()
    source = Path(os.environ.get("ELP_FSDD") or Path(__file__).parents[2] / "shared" / "data" / "fsdd.tar.gz")
    if not source.exists():
        print(f"{source} is missing; name FSDD by ELP_FSDD")
        return
    torch.set_num_threads(1)
    learned = options.first + options.days * options.clips if options.part == "days" else 3000
    most = {"train": learned, "validation": options.judged[0], "test": options.judged[1]}
    takes, backbone = read_takes(source, most), Backbone.from_pretrained("elp:tiny")
    warm = WarmConfig(options.warm_epochs, options.rate, options.generations)
    config = replace(TrainConfig(), epochs=options.epochs, min_steps=options.min_steps, device="cpu", warm=warm)
    if options.light:
        config = replace(config, augment=replace(config.augment, time_mask=0.0, feature_mask=0.0, join=0.0))
    {"days": days, "site": site}[options.part](options, backbone, takes, config)


if __name__ == "__main__":
    main()
