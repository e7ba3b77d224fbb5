"""`AdapterHost` on a random backbone of WavLM base size: replacing an adapter, and batches that mix adapters.

python benchmarks/bench_host.py --adapters 256 --batch 64 --precision bf16    # on a GPU
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from network_sizes import random_backbone, random_network
from turns import take_turns

from elp_core.adapters import Part, mixed_frames
from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig
from elp_core.inference import AdapterHost, Request
from elp_core.model import ElpModel
from elp_core.tasks import Task, make_task
from elp_core.testing import random_clips


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(f"{name}; load {os.getloadavg()[0]:.1f}; {options.adapters} adapters, {options.precision} precision\n")
    backbone = random_backbone(device=device)
    tasks = hosted_tasks()
    models = [build(backbone, ElpConfig(), tasks[number % 2], number) for number in range(options.adapters)]
    _replacing(backbone, tasks[0])
    _stacking(backbone, models[: options.batch], options)
    host = AdapterHost(backbone, precision=options.precision)
    for number, model in enumerate(models):
        host.add(str(number), model)
    times = serve(host, options.batch, options.seconds, options.turns)
    print(f"| {options.batch} requests of {options.seconds} s | requests/s | p50 ms | p99 ms | speed |")
    print("|---|---|---|---|---|")
    base = statistics.median(times["one by one"])
    for way, values in times.items():
        middle, last = statistics.median(values), float(np.percentile(values, 99))
        shown = f"{options.batch / middle:.1f} | {1e3 * middle:.0f} | {1e3 * last:.0f} | {base / middle:.2f} x"
        print(f"| {way} | {shown} |")
    print(f"\nmemory for each adapter: {host.resident_bytes / len(models) / 1e6:.1f} MB")
    if torch.cuda.is_available():
        print(f"peak on the GPU: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def hosted_tasks() -> list[Task]:
    """Return the tasks that the hosted adapters take in turn."""
    return [make_task(task, random_clips()) for task in ("asr", "asv")]


def serve(
    host: AdapterHost, batch: int, seconds: float, turns: int, ways: Sequence[str] = ("mixed", "one by one")
) -> dict[str, list[float]]:
    """Return the seconds of calls of `batch` requests, each a clip of its own for a random adapter of the host."""
    rng = np.random.default_rng(0)
    names, samples = host.names, round(16_000 * seconds)

    def requests() -> list[Request]:
        chosen = rng.choice(names, size=batch)
        return [Request(str(name), 0.1 * rng.standard_normal(samples, dtype=np.float32)) for name in chosen]

    run = {
        "mixed": lambda: host.answer(requests()),
        "one by one": lambda: [host.answer([request]) for request in requests()],
    }
    return take_turns({way: run[way] for way in ways}, turns)


def _replacing(backbone: Backbone, task: Task) -> None:
    """Print the time to replace the active adapter, both resident; `peft` has LoRA (r 8) on the feed-forward layers."""
    from peft import LoraConfig, get_peft_model

    host = AdapterHost(backbone)
    host.add("slot", build(backbone, ElpConfig(), task, 0))
    before = host.replace("slot", build(backbone, ElpConfig(), task, 1))
    lora = LoraConfig(r=8, target_modules=["intermediate_dense", "output_dense"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other: Any = get_peft_model(random_network("base", dropout=False), lora, adapter_name="a")
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
    """Print the time of the encoder alone for one clip of each adapter, with stacked weights and without."""
    device = backbone.device
    samples = round(16_000 * options.seconds)
    features, counts = backbone.features(0.1 * torch.randn(1, samples, device=device), torch.tensor([samples]))
    parts = [Part(model.eval().adapters, features, counts) for model in models]

    def run(stack: bool) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            mixed_frames(backbone, parts, stack)
        if device.type == "cuda":
            torch.cuda.synchronize()

    times = take_turns({"after another": lambda: run(False), "stacked": lambda: run(True)}, options.turns)
    one, other = (1e3 * statistics.median(times[way]) for way in ("after another", "stacked"))
    print(f"| adapters' weights, {len(parts)} adapters x 1 clip | median ms | speed |\n|---|---|---|")
    print(f"| one after another | {one:.0f} | 1 |\n| stacked | {other:.0f} | {one / other:.2f} x |\n")


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
