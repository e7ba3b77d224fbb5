"""`AdapterHost` on a random backbone of WavLM base size: replacing an adapter, and batches that mix adapters.

python benchmarks/bench_host.py --adapters 256 --batch 64 --precision bf16    # where there is a GPU
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import warnings
from typing import Any

import numpy as np
import torch
from base_size import SIZES, base_backbone
from turns import take_turns

from elp_core.adapters import Part, mixed_frames
from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig
from elp_core.inference import AdapterHost, Request
from elp_core.model import ElpModel
from elp_core.tasks import Task, make_task
from elp_core.testing import random_clips, tiny_model


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(f"{name}; load {os.getloadavg()[0]:.1f}; {options.adapters} adapters, {options.precision} precision\n")
    backbone = base_backbone().to(device)
    tasks = [make_task(task, random_clips()) for task in ("asr", "asv")]
    models = [build(backbone, ElpConfig(), tasks[number % 2], number) for number in range(options.adapters)]
    _replacing(backbone, tasks[0])
    _stacking(backbone, models[: options.batch], options)
    _serving(backbone, models, options)


def _replacing(backbone: Backbone, task: Task) -> None:
    """The active adapter, both resident; peft with LoRA (r 8) on the feed-forward layers."""
    from peft import LoraConfig, get_peft_model

    host = AdapterHost(backbone)
    host.add("slot", build(backbone, ElpConfig(), task, 0))
    before = host.replace("slot", build(backbone, ElpConfig(), task, 1))
    lora = LoraConfig(r=8, target_modules=["intermediate_dense", "output_dense"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other: Any = get_peft_model(tiny_model("wavlm", **SIZES), lora, adapter_name="a")
        other.add_adapter("b", lora)
    names = itertools.cycle("ba")

    def swap() -> None:
        nonlocal before
        before = host.replace("slot", before)

    times = take_turns({"host": swap, "peft": lambda: other.set_adapter(next(names))}, 200, 20)
    mine, theirs = (1e6 * statistics.median(times[way]) for way in ("host", "peft"))
    print("| replacing the active adapter | median µs | ratio |\n|---|---|---|")
    print(f"| `peft` set_adapter, LoRA r 8 on FFN | {theirs:.0f} | 1 |")
    print(f"| `AdapterHost.replace`, ELP of 9.1 M | {mine:.1f} | {theirs / mine:.0f} x |\n")


@torch.inference_mode()
def _stacking(backbone: Backbone, models: list[ElpModel], options: argparse.Namespace) -> None:
    """The encoder alone: one clip for each adapter, weights stacked or one adapter after the other."""
    device = next(backbone.parameters()).device
    samples = round(16_000 * options.seconds)
    features, counts = backbone.features(0.1 * torch.randn(1, samples, device=device), torch.tensor([samples]))
    parts = [Part(model.eval().adapters, features, counts) for model in models]

    def run(stack: bool) -> None:
        with _autocast(device, options):
            mixed_frames(backbone, parts, stack)
        if device.type == "cuda":
            torch.cuda.synchronize()

    times = take_turns({"after another": lambda: run(False), "stacked": lambda: run(True)}, options.turns)
    one, other = (1e3 * statistics.median(times[way]) for way in ("after another", "stacked"))
    print(f"| adapters' weights, {len(parts)} adapters x 1 clip | median ms | speed |\n|---|---|---|")
    print(f"| one after another | {one:.0f} | 1 |\n| stacked | {other:.0f} | {one / other:.2f} x |\n")


def _serving(backbone: Backbone, models: list[ElpModel], options: argparse.Namespace) -> None:
    """Calls of `options.batch` requests, each of its own clip to a random adapter, against one request a call."""
    host = AdapterHost(backbone, precision=options.precision)
    for number, model in enumerate(models):
        host.add(str(number), model)
    rng = np.random.default_rng(0)
    samples = round(16_000 * options.seconds)

    def requests() -> list[Request]:
        chosen = rng.integers(len(models), size=options.batch)
        return [Request(str(n), 0.1 * rng.standard_normal(samples, dtype=np.float32)) for n in chosen]

    ways = {
        "mixed": lambda: host.answer(requests()),
        "one by one": lambda: [host.answer([request]) for request in requests()],
    }
    times = take_turns(ways, options.turns)
    print(f"| {options.batch} requests of {options.seconds} s | requests/s | p50 ms | p99 ms | speed |")
    print("|---|---|---|---|---|")
    base = statistics.median(times["one by one"])
    for name, values in times.items():
        middle = statistics.median(values)
        last = float(np.percentile(values, 99))
        rate = options.batch / middle
        print(f"| {name} | {rate:.1f} | {1e3 * middle:.0f} | {1e3 * last:.0f} | {base / middle:.2f} x |")
    print(f"\nmemory for each adapter: {host.resident_bytes / len(models) / 1e6:.1f} MB")
    if torch.cuda.is_available():
        print(f"peak on the GPU: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def _autocast(device: torch.device, options: argparse.Namespace) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8, help="requests in one call")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each clip")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--precision", choices=["no", "bf16"], default="no")
    return parser.parse_args()


if __name__ == "__main__":
    main()
