"""What `bench_training.py` compares: one training step of each side, on random data."""

from __future__ import annotations

import contextlib
import gc
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from network_sizes import random_backbone, random_network
from plain_elp import PlainElp, PlainL, PlainTuning

from elp_core.config import ElpConfig
from elp_core.data.collate import collate_features
from elp_core.model import ElpModel
from elp_core.private_names import import_after_torchaudio
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition

HOP, WINDOW, OUTPUTS, RATE = 320, 400, 29, 16_000
LETTERS = 40

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """The shape of a step: a batch of clips of one length, on a network of one size."""

    size: str
    batch: int
    samples: int
    device: torch.device

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return (self.samples - WINDOW) // HOP + 1


def measure(name: str, size: str, steps: int, batch: int, seconds: float) -> dict[str, float]:
    """Return the median seconds of a step of one side, and the peak memory in bytes."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    if on_gpu:
        gc.collect()  # what a side before this one left in reference cycles would count
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        torch.set_num_threads(2)
    step = SIDES[name](Setting(size, batch, round(seconds * RATE), device))
    times = []
    warm_up = 3 if on_gpu else 1  # a GPU's first steps choose kernels and fill the allocator
    for turn in range(warm_up + steps):
        began = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        if turn >= warm_up:
            times.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(times), "peak": float(peak)}


def autocast(device: torch.device) -> Any:
    """Return bfloat16 autocast on a GPU, nothing on a CPU."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def learner(parameters: list[Any], loss: Callable[[], Any], device: torch.device) -> Step:
    """Return a step: loss, backward, clipping and AdamW."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        with autocast(device):
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ctc(logits: torch.Tensor) -> torch.Tensor:
    """Return the CTC loss of the same letters for every clip, computed on the CPU for every side."""
    batch, frames, _ = logits.shape
    letters = torch.arange(batch * LETTERS).remainder(OUTPUTS - 1) + 1
    log_probabilities = F.log_softmax(logits.float().cpu(), -1).transpose(0, 1)
    counts, sizes = torch.full((batch,), frames), torch.full((batch,), LETTERS)
    return F.ctc_loss(log_probabilities, letters, counts, sizes)


def theirs(model: Any, setting: Setting) -> Step:
    """Return a step of a module that maps waveforms to logits; it is in train mode, as a trainer would have it."""
    waveforms = torch.randn(setting.batch, setting.samples, device=setting.device)
    model.to(setting.device).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return learner(learned, lambda: ctc(model(waveforms)), setting.device)


def plain(setting: Setting, dropout: bool, frozen_cnn: bool) -> Step:
    """Return a step of ELP as one would write it on transformers."""
    model = random_network(setting.size, dropout, setting.device)
    if frozen_cnn:
        model.feature_extractor._freeze_parameters()
    return theirs(PlainElp(model, OUTPUTS), setting)


def plain_l(setting: Setting) -> Step:
    """Return a step of L-adapters as one would write them: the frozen network runs in every step."""
    model = random_network(setting.size, False, setting.device).requires_grad_(False)
    model.feature_extractor._freeze_parameters()
    return theirs(PlainL(model, OUTPUTS), setting)


def full(setting: Setting) -> Step:
    """Return a step of full fine-tuning with the CNN frozen."""
    model = random_network(setting.size, True, setting.device)
    model.feature_extractor._freeze_parameters()
    model.masked_spec_embed.requires_grad = False
    return theirs(PlainTuning(model, OUTPUTS), setting)


def lora(setting: Setting, dropout: bool) -> Step:
    """Return a step of LoRA by `peft` on the feed-forward layers."""
    peft = import_after_torchaudio("peft")
    model = random_network(setting.size, dropout, setting.device)
    model.feature_extractor._freeze_parameters()
    chosen = peft.LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["intermediate_dense", "output_dense"],
        lora_dropout=0.1 if dropout else 0.0,
    )
    return theirs(PlainTuning(peft.get_peft_model(model, chosen), OUTPUTS), setting)


def ours(setting: Setting, dropout: float, only_l: bool = False) -> Step:
    """Return a step of `ElpModel` as the trainer runs it, from the kept output of the frozen prefix."""
    parts: dict[str, Any] = {"encoder": None, "prompt": None, "tune_norms": False} if only_l else {}
    backbone = random_backbone(setting.size, setting.device)
    # the other sides have a linear head, so ours has no convolutions either
    task = SpeechRecognition(options=RecognitionOptions(dropout=dropout, dilations=()))
    model = ElpModel(backbone, ElpConfig(dropout=dropout, **parts), task).to(setting.device).train()
    states = [len(model.prefix.states)] if model.prefix.states else []
    shape = (*states, setting.frames, backbone.hidden_size if states else backbone.feature_size)
    kept = [torch.randn(shape).half() for _ in range(setting.batch)]

    def loss() -> torch.Tensor:
        values, counts = collate_features(kept)
        frames, counts = model.from_prefix(model.prefix, values.to(setting.device), counts)
        return ctc(model.head(frames, counts))

    return learner(list(model.trainable().values()), loss, setting.device)


def floor(setting: Setting) -> Step:
    """Return the matrix products of a step of ours, and nothing else.

    Every frozen one forward and for its input, every learned one also for its weight; attention's two and their four
    gradients; the convolution over positions.
    """
    config = random_network(setting.size, False, setting.device).config
    width, inner, heads, layers = (
        config.hidden_size, config.intermediate_size, config.num_attention_heads, config.num_hidden_layers,
    )  # fmt: skip
    kernel, groups, channels = (
        config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups, config.conv_dim[-1],
    )  # fmt: skip
    bottleneck, projected, prompt = 256, 512, 5
    dtype = torch.bfloat16 if setting.device.type == "cuda" else torch.float32
    batch, frames = setting.batch, setting.frames + prompt

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=setting.device, dtype=dtype)

    frozen = [(width, width)] * 4 * layers + [(width, inner), (inner, width)] * layers + [(channels, width)]
    learned = [(width, bottleneck), (bottleneck, width)] * (layers - 1) + [(width, projected)] * layers
    states = {size: normal(batch * frames, size) for size in {bottleneck, projected, channels, width, inner}}
    weights = {shape: normal(*shape) for shape in {*frozen, *learned}}
    heads_of = [normal(batch * heads, frames, width // heads) for _ in range(2)]
    scores = normal(batch * heads, frames, frames)
    conv, grouped = normal(batch, width, frames), normal(width, width // groups, kernel)

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
            F.conv1d(conv, grouped, padding=kernel // 2, groups=groups)

    return torch.no_grad()(step)


SIDES: dict[str, Callable[[Setting], Step]] = {
    "plain": lambda setting: plain(setting, dropout=True, frozen_cnn=False),
    "plain-frozen": lambda setting: plain(setting, dropout=False, frozen_cnn=True),
    "lora-dropout": lambda setting: lora(setting, dropout=True),
    "lora": lambda setting: lora(setting, dropout=False),
    "full": full,
    "floor": floor,
    "l-plain": plain_l,
    "elp": lambda setting: ours(setting, 0.0),
    "elp-dropout": lambda setting: ours(setting, 0.1),
    "l": lambda setting: ours(setting, 0.0, only_l=True),
}
