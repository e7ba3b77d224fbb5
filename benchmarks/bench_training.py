"""Training steps per second against what one would use instead, WavLM base size with random weights.

    python benchmarks/bench_training.py [--steps 5] [--rows plain,lora-dropout] [--seconds 4] [--batch 8]

Each row runs in a process of its own, one after another, with 2 threads (or on the GPU in bf16 where there is one); the
median of the steps after a first one counts. Ours is `ElpModel` as the trainer runs it: the CNN's output kept, no
dropout where the row has it off. Every side reads waveforms of one length, has CTC over letters, clips gradients and
steps AdamW. Peak memory is the process's own at its highest, on a GPU what was allocated there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOP, WINDOW, OUTPUTS, RATE = 320, 400, 29, 16_000
LETTERS = 40


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    about: str
    ours: str
    least: float
    """Ratio of step times (theirs / ours) at least; for the floor: ours / floor at most."""


ROWS = {
    "plain": Row("plain ELP, CNN in the graph, usual dropout", "elp-dropout", 2.4),
    "plain-frozen": Row("plain ELP, CNN frozen, dropout off", "elp", 1.5),
    "lora-dropout": Row("peft LoRA r 8 on the FFN, CNN frozen, usual dropout", "elp-dropout", 1.8),
    "lora": Row("peft LoRA r 8 on the FFN, CNN frozen, dropout off", "elp", 1.35),
    "full": Row("full fine-tuning, CNN frozen, usual dropout", "elp-dropout", 2.1),
    "floor": Row("the floor: the same matrix products alone", "elp", 1.35),
    "l-plain": Row("plain L-only, nothing kept, for an L-only adapter on kept layers", "l", 15.0),
    "plain-l": Row("plain ELP as above, for an L-only adapter on kept layers", "l", 15.0),
}
MEMORY_SHARE = 0.6
Step = Callable[[], None]


def measure(name: str, steps: int, batch: int, seconds: float) -> dict[str, float]:
    """Median seconds of a step of one side, and its peak memory in bytes."""
    import torch

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(2)
    step = SIDES["plain" if name == "plain-l" else name](batch, round(seconds * RATE), device)
    times = []
    for turn in range(steps + 1):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn:
            times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return {"seconds": statistics.median(times), "peak": float(peak)}


def network(dropout: bool) -> Any:
    """A random WavLM of base size: transformers' usual dropout, or none."""
    from elp_core.backbones.families import make_config, make_model

    off = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0)
    values = {"model_type": "wavlm", "apply_spec_augment": False, "layerdrop": 0.0, **({} if dropout else off)}
    return make_model(make_config(values, "bench"), "cpu")


def frames_of(samples: int) -> int:
    return (samples - WINDOW) // HOP + 1


def autocast(device: Any) -> Any:
    import torch

    on_gpu = device.type == "cuda"
    return torch.autocast("cuda", dtype=torch.bfloat16) if on_gpu else contextlib.nullcontext()


def learner(parameters: list[Any], loss: Callable[[], Any], device: Any) -> Step:
    """Loss, backward, clipping and AdamW."""
    import torch

    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        with autocast(device):
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ctc(logits: Any) -> Any:
    import torch
    import torch.nn.functional as F

    batch, frames, _ = logits.shape
    letters = torch.arange(batch * LETTERS).remainder(OUTPUTS - 1) + 1
    log_probabilities = F.log_softmax(logits.float().cpu(), -1).transpose(0, 1)
    counts, sizes = torch.full((batch,), frames), torch.full((batch,), LETTERS)
    return F.ctc_loss(log_probabilities, letters, counts, sizes)


def theirs(model: Any, batch: int, samples: int, device: Any) -> Step:
    """A step of a module that maps waveforms to logits; it is in train mode, as a trainer would have it."""
    import torch

    waveforms = torch.randn(batch, samples, device=device)
    model.to(device).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return learner(learned, lambda: ctc(model(waveforms)), device)


def plain(dropout: bool, frozen_cnn: bool) -> Callable[[int, int, Any], Step]:
    def make(batch: int, samples: int, device: Any) -> Step:
        from benchmarks.plain_elp import PlainElp

        model = network(dropout)
        if frozen_cnn:
            model.feature_extractor._freeze_parameters()
        return theirs(PlainElp(model, OUTPUTS), batch, samples, device)

    return make


def plain_l(batch: int, samples: int, device: Any) -> Step:
    from benchmarks.plain_elp import PlainL

    model = network(dropout=False).requires_grad_(False)
    model.feature_extractor._freeze_parameters()
    return theirs(PlainL(model, OUTPUTS), batch, samples, device)


def full(batch: int, samples: int, device: Any) -> Step:
    from benchmarks.plain_elp import PlainTuning

    model = network(dropout=True)
    model.feature_extractor._freeze_parameters()
    model.masked_spec_embed.requires_grad = False
    return theirs(PlainTuning(model, OUTPUTS), batch, samples, device)


def lora(dropout: bool) -> Callable[[int, int, Any], Step]:
    def make(batch: int, samples: int, device: Any) -> Step:
        model = network(dropout)
        # after the network: transformers, which peft imports, want elp_core's stand-in for torchaudio's extension
        import peft

        from benchmarks.plain_elp import PlainTuning

        model.feature_extractor._freeze_parameters()
        chosen = peft.LoraConfig(
            r=8,
            lora_alpha=16,
            target_modules=["intermediate_dense", "output_dense"],
            lora_dropout=0.1 if dropout else 0.0,
        )
        return theirs(PlainTuning(peft.get_peft_model(model, chosen), OUTPUTS), batch, samples, device)

    return make


def ours(dropout: float, only_l: bool = False) -> Callable[[int, int, Any], Step]:
    def make(batch: int, samples: int, device: Any) -> Step:
        import torch

        from elp_core.backbones import Backbone
        from elp_core.config import ElpConfig
        from elp_core.data.collate import collate_features
        from elp_core.model import ElpModel
        from elp_core.tasks import SpeechRecognition

        parts: dict[str, Any] = {"encoder": None, "prompt": None, "tune_norms": False} if only_l else {}
        backbone = Backbone.from_model(network(dropout=False).eval(), "bench")
        # the others' head is a linear layer: no convolutions in ours either
        task = SpeechRecognition(dropout=dropout, dilations=())
        model = ElpModel(backbone, ElpConfig(dropout=dropout, **parts), task).to(device).train()
        width = backbone.hidden_size if model.prefix.states else backbone.feature_size
        shape = (*([len(model.prefix.states)] if model.prefix.states else []), frames_of(samples), width)
        kept = [torch.randn(shape).half() for _ in range(batch)]

        def loss() -> Any:
            values, counts = collate_features(kept)
            frames, counts = model.from_prefix(model.prefix, values.to(device), counts)
            return ctc(model.head(frames, counts))

        return learner(list(model.trainable().values()), loss, device)

    return make


def floor(batch: int, samples: int, device: Any) -> Step:
    """The matrix products of a step of ours, and nothing else.

    Every frozen one forward and for its input, every learned one also for its weight; attention's two and their four
    gradients; the convolution over positions.
    """
    import torch

    width, inner, heads, layers, bottleneck, projected, prompt = 768, 3072, 12, 12, 256, 512, 5
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    frames = frames_of(samples) + prompt
    rows = batch * frames

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, device=device, dtype=dtype)

    frozen = [(width, width)] * 4 * layers + [(width, inner), (inner, width)] * layers + [(512, width)]
    learned = [(width, bottleneck), (bottleneck, width)] * (layers - 1) + [(width, projected)] * layers
    states = {size: normal(rows, size) for size in {256, 512, width, inner}}
    weights = {shape: normal(*shape) for shape in {*frozen, *learned}}
    heads_of = [normal(batch * heads, frames, width // heads) for _ in range(2)]
    scores = normal(batch * heads, frames, frames)
    conv, grouped = normal(batch, width, frames), normal(width, width // 16, 128)

    def step() -> None:
        for shape in frozen + learned:
            torch.mm(states[shape[0]], weights[shape])
            torch.mm(states[shape[1]], weights[shape].T)
        for shape in learned:
            torch.mm(states[shape[0]].T, states[shape[1]])
        for _ in range(3 * layers):
            torch.bmm(heads_of[0], heads_of[1].transpose(1, 2))
            torch.bmm(scores, heads_of[0])
        for _ in range(2):
            torch.nn.functional.conv1d(conv, grouped, padding=64, groups=16)

    return torch.no_grad()(step)


SIDES: dict[str, Callable[[int, int, Any], Step]] = {
    "plain": plain(dropout=True, frozen_cnn=False),
    "plain-frozen": plain(dropout=False, frozen_cnn=True),
    "lora-dropout": lora(dropout=True),
    "lora": lora(dropout=False),
    "full": full,
    "floor": floor,
    "l-plain": plain_l,
    "elp": ours(0.0),
    "elp-dropout": ours(0.1),
    "l": ours(0.0, only_l=True),
}


def alone(name: str, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--side", name, "--steps", str(options.steps)]
    command += ["--batch", str(options.batch), "--seconds", str(options.seconds)]
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    where = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": folder}
    done = subprocess.run(command, capture_output=True, text=True, env=where, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def verdict(name: str, row: Row, their: dict[str, float], our: dict[str, float]) -> str:
    ratio = their["seconds"] / our["seconds"]
    shown, target, held = f"{ratio:.2f} x", f"{row.least:g} x", ratio >= row.least
    if name == "floor":
        shown, target, held = f"{1 / ratio:.2f} of it", f"at most {row.least:g}", 1 / ratio <= row.least
    if name == "full":
        share = our["peak"] / their["peak"]
        shown, target = f"{shown}, {share:.2f} of its memory", f"{target}, at most {MEMORY_SHARE:g}"
        held = held and share <= MEMORY_SHARE
    memory = f"{their['peak'] / 2**30:.1f} | {our['peak'] / 2**30:.1f}"
    times = f"{their['seconds']:.3f} | {our['seconds']:.3f}"
    return f"| {row.about} | {times} | {memory} | {shown} | {target} | {'yes' if held else 'no'} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.steps, options.batch, options.seconds)))
        return
    print("| against | its s | our s | its GiB | our GiB | ratio | target | held |\n|---|---|---|---|---|---|---|---|")
    measured: dict[str, dict[str, float]] = {}
    for name in options.rows.split(","):
        row = ROWS[name]
        for side in ("plain" if name == "plain-l" else name, row.ours):
            if side not in measured:
                measured[side] = alone(side, options)
        print(verdict(name, row, measured[name if name in measured else "plain"], measured[row.ours]), flush=True)


if __name__ == "__main__":
    main()
