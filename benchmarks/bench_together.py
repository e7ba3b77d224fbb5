"""Training several slots in one pass against one after another, step by step, WavLM base size, random weights."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable

import numpy as np
import torch
from network_sizes import random_backbone
from turns import take_turns

from elp_core.assemble import build
from elp_core.audio import clip_id, encode_flac
from elp_core.backbones import Backbone
from elp_core.config import AugmentConfig, ElpConfig, TrainConfig
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition
from elp_core.training import Job
from elp_core.training.loop import optimizer_map, step_together
from elp_core.training.parallel import make_accelerator
from elp_core.training.run import TrainingRun
from elp_core.types import Clip

PLAIN = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)


def noise(count: int, seconds: float, seed: int) -> list[Clip]:
    """Return clips of noise with short transcripts."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        samples = (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)
        made.append(
            Clip(clip_id(samples), encode_flac(samples), seconds, "train", text=f"{'abcdefgh'[number % 8]} one")
        )
    return made


def compare(
    backbone: Backbone, slots: int, clips: int, seconds: float, dropout: float, turns: int
) -> dict[str, list[float]]:
    """Return the seconds of a step of every slot: one after another by two ways, and in one pass."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = SpeechRecognition(options=RecognitionOptions(dropout=dropout))
    precision = "bf16" if device.type == "cuda" else "no"
    # so many epochs that the learning rates hardly move while it is timed
    config = TrainConfig(epochs=10_000, batch_seconds=1e6, min_steps=1, precision=precision, augment=PLAIN)
    drawn = []
    for slot in range(slots):
        model = build(backbone, ElpConfig(dropout=dropout), task, slot).to(device)
        given = noise(clips, seconds, slot)
        run = TrainingRun(Job(model, given, given[:1], config), make_accelerator(device, config))
        drawn.append((run, next(run.batches)))

    def apart() -> None:
        for pair in drawn:
            step_together([pair])

    def alone() -> None:
        for run, batch in drawn:
            run.step(batch)

    def timed(way: Callable[[], None]) -> Callable[[], None]:
        def run_and_wait() -> None:
            way()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run_and_wait

    with optimizer_map(slots, device) as each:
        ways = {
            "one after another, same code": apart,
            "one after another, as `train` does": alone,
            "one pass": lambda: step_together(drawn, each),
        }
        return take_turns({name: timed(way) for name, way in ways.items()}, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--clips", type=int, default=2, help="of each slot in a step")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    backbone = random_backbone()
    times = compare(backbone, options.slots, options.clips, options.seconds, options.dropout, options.turns)
    base = statistics.median(times["one pass"])
    shape = f"{options.slots} slots x {options.clips} clips of {options.seconds} s, dropout {options.dropout}"
    print(f"{shape}, {options.threads} threads, load before {load:.1f}\n")
    print("| training | median ms for a step of every slot | x one pass |\n|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {1e3 * middle:.0f} | {middle / base:.2f} x |")


if __name__ == "__main__":
    main()
