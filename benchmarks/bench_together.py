"""Training several slots in one pass against one after another, step by step, WavLM base size, random weights."""

from __future__ import annotations

import argparse
import os
import statistics

import numpy as np
import torch
from base_size import base_backbone
from turns import take_turns

from elp_core.assemble import build
from elp_core.audio import clip_id, encode_flac
from elp_core.config import AugmentConfig, ElpConfig, TrainConfig
from elp_core.tasks import SpeechRecognition
from elp_core.training import Job
from elp_core.training.loop import optimizer_map, step_together
from elp_core.training.parallel import make_accelerator
from elp_core.training.run import Run
from elp_core.types import Clip

PLAIN = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)


def noise(count: int, seconds: float, seed: int) -> list[Clip]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        samples = (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)
        made.append(
            Clip(clip_id(samples), encode_flac(samples), seconds, "train", text=f"{'abcdefgh'[number % 8]} one")
        )
    return made


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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone, task = base_backbone(), SpeechRecognition(dropout=options.dropout)
    precision = "bf16" if device.type == "cuda" else "no"
    # so many epochs that the rates hardly move while it is timed
    config = TrainConfig(epochs=10_000, batch_seconds=1e6, min_steps=1, precision=precision, augment=PLAIN)
    drawn = []
    for slot in range(options.slots):
        model = build(backbone, ElpConfig(dropout=options.dropout), task, slot).to(device)
        clips = noise(options.clips, options.seconds, slot)
        run = Run(Job(model, clips, clips[:1], config), make_accelerator(device, config))
        drawn.append((run, next(run.batches)))

    def together() -> None:
        step_together(drawn, each)

    def apart() -> None:
        for pair in drawn:
            step_together([pair])

    def alone() -> None:
        for run, batch in drawn:
            run.step(batch)

    load = os.getloadavg()[0]
    ways = {"one after another, same code": apart, "one after another, as `train` does": alone, "one pass": together}
    with optimizer_map(options.slots, device) as each:
        times = take_turns(ways, options.turns)
    base = statistics.median(times["one pass"])
    shape = f"{options.slots} slots x {options.clips} clips of {options.seconds} s, dropout {options.dropout}"
    print(f"{shape}, {device}, {options.threads} threads, load before {load:.1f}\n")
    print("| training | median ms for a step of every slot | x one pass |\n|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {1e3 * middle:.0f} | {middle / base:.2f} x |")


if __name__ == "__main__":
    main()
