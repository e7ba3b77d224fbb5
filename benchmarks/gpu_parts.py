"""What `gpu.sh` checks and measures. Each part reports records with the cells of its table, as soon as it has them.

A part takes `toy` (tiny networks, to try the script) and `report`, which writes one record.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bench_host
import bench_together
import bench_training
import numpy as np
import torch
import training_sides
from network_sizes import random_backbone

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig, TrainConfig
from elp_core.inference import AdapterHost, Request
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import FAMILY_NAMES, random_clips, tiny_backbone, waveform_batch
from elp_core.training import Silent, train
from pipelines.serving.http.audio_batcher import AudioBatcher, Ticket

Report = Callable[..., None]

EXACT, MIXED = 1e-3, 5e-2
"""Largest relative error against float32 on the CPU: of float32 on the GPU, and of bfloat16."""
LEAST_RATE, MOST_P95_MS = 97.0, 177.0
"""What another server was published to reach with 1,024 adapters on one GPU."""
LENGTHS = (16_000, 11_200, 6_400)


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def correctness(toy: bool, report: Report) -> None:
    """Compare the GPU with the CPU: frames and gradients of every family and size, padding, bfloat16, mixed batches."""
    where = device()
    report(note=torch.cuda.get_device_name() if where.type == "cuda" else "CPU")
    torch.backends.cudnn.allow_tf32 = False  # convolutions round to 10 bits otherwise, which hides a real fault
    networks: dict[str, Callable[[], Backbone]] = {
        f"tiny {family}": lambda family=family: tiny_backbone(family) for family in FAMILY_NAMES
    }
    networks["tiny pre-norm"] = lambda: tiny_backbone("wav2vec2", pre_norm=True)
    networks |= {f"WavLM {size}": lambda size=size: random_backbone(size) for size in _sizes(toy)}
    for name, make in networks.items():
        model = build(make(), ElpConfig(dropout=0.0), make_task("asr", random_clips()), 0).eval()
        expected, gradients = frames_and_gradients(model, torch.device("cpu"))
        found, others = frames_and_gradients(model, where)
        _check(report, f"frames of {name} against the CPU", _error(found, expected), EXACT)
        worst = max(_error(others[key], gradients[key]) for key in gradients)
        _check(report, f"gradients of {name} against the CPU", worst, EXACT)
        with torch.no_grad():
            waves, lengths = waveform_batch(LENGTHS)
            alone = model(waves[2:, : LENGTHS[2]].to(where), lengths[2:].to(where))[0][0]
        _check(report, f"a clip of {name} alone and in a padded batch", _error(found[2, : len(alone)], alone), EXACT)
        with torch.autocast(where.type, torch.bfloat16):
            rounded, _ = frames_and_gradients(model, where)
        _check(report, f"bfloat16 frames of {name}", _error(rounded, expected), MIXED)
    _check(report, "answers of a mixed batch against one adapter at a time", _mixed_error(where), EXACT)


def frames_and_gradients(model: ElpModel, where: torch.device) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the model's frames on a device, and the gradients of its adapters for a fixed sum of them."""
    model.to(where)
    model.zero_grad()
    waves, lengths = waveform_batch(LENGTHS)
    frames, _ = model(waves.to(where), lengths.to(where))
    weights = torch.linspace(-1, 1, frames.shape[-1], device=where)
    (frames.float() * weights).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.trainable().items() if p.grad is not None}
    return frames.detach(), gradients


def _mixed_error(where: torch.device) -> float:
    backbone = tiny_backbone("wavlm").to(where)
    host, task = AdapterHost(backbone), make_task("asv", random_clips())
    for number, count in enumerate((2, 2, 5, 0)):  # with other numbers of pseudo features too
        config = ElpConfig() if count == 5 else ElpConfig(prompt=None)
        host.add(str(number), build(backbone, config, task, number))
    rng = np.random.default_rng(0)
    asked = [Request(str(n % 4), 0.1 * rng.standard_normal(4_000 + 900 * n, dtype=np.float32)) for n in range(8)]
    together = [np.asarray(answer) for answer in host.answer(asked)]
    return max(_error(one, host.answer([request])[0]) for one, request in zip(together, asked, strict=True))


def resume(toy: bool, report: Report) -> None:
    """Compare a training that was stopped and resumed with one that was not: every tensor is equal, bit for bit."""
    del toy
    clips = random_clips(8)
    for name, precision in (("asr", "no"), ("asv", "bf16")):  # on a CPU the precision changes nothing
        config = TrainConfig(epochs=2, batch_seconds=2.0, min_steps=3, checkpoint_minutes=0.0, precision=precision)

        def fresh(name: str = name) -> ElpModel:
            return build(tiny_backbone("wavlm"), ElpConfig(), make_task(name, clips), 0)

        whole, parts = fresh(), fresh()
        steps = train(whole, clips, clips[:4], config).steps
        with tempfile.TemporaryDirectory() as folder:
            stopped = False
            try:
                train(parts, clips, clips[:4], config, _StopAt(steps // 2 + 1), Path(folder))
            except KeyboardInterrupt:
                stopped = True
            parts = fresh()
            train(parts, clips, clips[:4], config, None, Path(folder))
        unequal = sum(
            not torch.equal(a, b) for a, b in zip(whole.state().values(), parts.state().values(), strict=True)
        )
        assert stopped, "the training was not stopped"
        _check(report, f"tensors of {name} ({precision}) that differ after a resume", unequal, 0)


class _StopAt(Silent):
    def __init__(self, step: int) -> None:
        self.at = step

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        if step == self.at:
            raise KeyboardInterrupt


def training(size: str) -> Callable[[bool, Report], None]:
    """Return the part that measures the rows of `bench_training.py` at one size."""

    def part(toy: bool, report: Report) -> None:
        steps, batch, seconds = (1, 2, 1.0) if toy else (15, 8, 4.0)
        precision = "bf16" if device().type == "cuda" else "float32"
        report(note=f"WavLM {size}, batch {batch} x {seconds:g} s, {precision}, median of {steps} steps")
        measured: dict[str, dict[str, float]] = {}
        failed: set[str] = set()
        for name, row in bench_training.ROWS.items():
            for side in {row.theirs, row.ours} - measured.keys() - failed:
                try:
                    measured[side] = training_sides.measure(side, "toy" if toy else size, steps, batch, seconds)
                except Exception:  # one side that fails costs its rows, not the others'
                    failed.add(side)
                    report(error=f"{side}: {traceback.format_exc()}")
            if not failed & {row.theirs, row.ours}:
                their, our = measured[row.theirs], measured[row.ours]
                report(row=name, theirs=their, ours=our, cells=bench_training.cells(name, their, our))

    return part


def together(toy: bool, report: Report) -> None:
    """Measure 16 slots trained in one pass against one after another."""
    slots, clips, seconds = 16, 2, 1.0
    report(note=f"{slots} slots x {clips} clips of {seconds:g} s")
    times = bench_together.compare(
        random_backbone(_sizes(toy)[0], device()), slots, clips, seconds, 0.0, 2 if toy else 10
    )
    base = statistics.median(times["one pass"])
    for name, values in times.items():
        middle = statistics.median(values)
        report(way=name, seconds=values, cells=[name, f"{1e3 * middle:.0f}", f"{middle / base:.2f} x"])


def host(toy: bool, report: Report) -> None:
    """Measure a host with 256 and with 1,024 adapters, each call a batch that mixes them."""
    where = device()
    counts, batch, turns = ((4, 8), 4, 3) if toy else ((256, 1_024), 64, 100)
    backbone = random_backbone(_sizes(toy)[0], where)
    serving = AdapterHost(backbone, batch_seconds=2.0 * batch, precision="bf16" if where.type == "cuda" else "no")
    tasks = bench_host.hosted_tasks()
    report(note=f"calls of {batch} requests of 1 s for random adapters, {turns} calls")
    for count in counts:
        with torch.device(where):  # random weights are drawn on the GPU: 10 M a model are slow on the CPU
            for number in range(len(serving.names), count):
                serving.add(str(number), build(backbone, ElpConfig(), tasks[number % 2], number))
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        (times,) = bench_host.serve(serving, batch, 1.0, turns, ["mixed"]).values()
        p50, p99 = (float(np.percentile(times, share)) for share in (50, 99))
        peak = torch.cuda.max_memory_allocated() if where.type == "cuda" else math.nan
        figures = [batch / statistics.mean(times), 1e3 * p50, 1e3 * p99]
        memory = [serving.resident_bytes / 1e9, peak / 1e9]
        shown = [*(f"{value:.1f}" for value in figures), *(f"{value:.2f}" for value in memory)]
        report(adapters=count, seconds=times, cells=[f"{count:,}", str(batch), *shown])


def serving(toy: bool, report: Report) -> None:
    """Measure 1,024 adapters behind the batcher of `elp serve`, without HTTP: each client asks again when answered."""
    where = device()
    count, clients, asked = (8, 4, 4) if toy else (1_024, 32, 100)
    backbone, tasks = random_backbone(_sizes(toy)[0], where), bench_host.hosted_tasks()
    hosted = AdapterHost(backbone, batch_seconds=64.0, precision="bf16" if where.type == "cuda" else "no")
    with torch.device(where):
        for number in range(count):
            hosted.add(str(number), build(backbone, ElpConfig(), tasks[number % 2], number))
    batcher, times = AudioBatcher(hosted), list[float]()

    def client(number: int) -> None:
        draw = np.random.default_rng(number)
        for _ in range(asked):
            waveform = (0.1 * draw.standard_normal(16_000)).astype(np.float32)
            began = time.perf_counter()
            batcher.submit(str(draw.integers(count)), waveform, Ticket()).result()
            times.append(time.perf_counter() - began)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))  # the first round compiles and allocates
        times.clear()
        began = time.perf_counter()
        list(pool.map(client, range(clients, 2 * clients)))
        rate = len(times) / (time.perf_counter() - began)
    batcher.close()
    p50, p95 = (1e3 * float(np.percentile(times, share)) for share in (50, 95))
    held = "yes" if rate >= LEAST_RATE and p95 < MOST_P95_MS else "NO"
    report(note=f"clips of 1 s, a random adapter each; target: {LEAST_RATE:g} requests/s, p95 under {MOST_P95_MS:g} ms")
    cells = [f"{count:,}", str(clients), f"{rate:.1f}", f"{p50:.1f}", f"{p95:.1f}", held]
    report(adapters=count, rate=rate, p95_ms=p95, cells=cells)


def profile(toy: bool, report: Report) -> None:
    """List the kernels that take most time in a training step and in a mixed batch."""
    where, size = device(), _sizes(toy)[0]
    setting = training_sides.Setting(size, *((2, 16_000) if toy else (8, 64_000)), where)
    step = training_sides.SIDES["elp"](setting)
    _profile("training step", step, report)
    backbone = random_backbone(size, where)
    serving = AdapterHost(backbone, batch_seconds=64.0, precision="bf16" if where.type == "cuda" else "no")
    for number, task in enumerate(bench_host.hosted_tasks() * (2 if toy else 16)):
        serving.add(str(number), build(backbone, ElpConfig(), task, number))
    _profile("mixed batch of 32", lambda: bench_host.serve(serving, 4 if toy else 32, 1.0, 1, ["mixed"]), report)


def _profile(name: str, run: Callable[[], object], report: Report, repeats: int = 3, most: int = 15) -> None:
    run()
    on_gpu = torch.cuda.is_available()
    with torch.profiler.profile() as recorded:
        for _ in range(repeats):
            run()
        if on_gpu:
            torch.cuda.synchronize()

    def own(event: Any) -> float:
        return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)

    # on a GPU the kernels themselves: an operator's row would count them a second time
    events = [e for e in recorded.key_averages() if not on_gpu or e.device_type == torch.autograd.DeviceType.CUDA]
    whole = sum(map(own, events)) or 1.0
    for event in sorted(events, key=own, reverse=True)[:most]:
        calls, spent = event.count / repeats, own(event) / repeats / 1e3
        shown = [name, f"`{event.key[:90]}`", f"{calls:.0f}", f"{spent:.2f}", f"{100 * own(event) / whole:.1f}%"]
        report(kernel=event.key, of=name, milliseconds=spent, cells=shown)


def _sizes(toy: bool) -> Sequence[str]:
    return ("toy",) if toy else ("base", "large")


def _error(found: Any, expected: Any) -> float:
    """Return the difference of two arrays over the size of the expected one (Frobenius norms)."""
    a, b = (torch.as_tensor(value).detach().double().cpu() for value in (found, expected))
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


def _check(report: Report, about: str, value: float, most: float) -> None:
    held = bool(value <= most)
    cells = [about, f"{value:.2g}", f"{most:g}", "yes" if held else "NO"]
    report(check=about, value=value, at_most=most, held=held, cells=cells)


PARTS: dict[str, Callable[[bool, Report], None]] = {
    "correctness": correctness,
    "resume": resume,
    "training-base": training("base"),
    "training-large": training("large"),
    "together": together,
    "host": host,
    "serving": serving,
    "profile": profile,
}
