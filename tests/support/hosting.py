"""Small adapters of every shape on one backbone, as bundles and models, and what each answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.bundle import write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.inference import predict
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import random_clips, tone

E, L = EncoderAdapterConfig(8), LayerAdapterConfig(12)
SHAPES = [
    ("asv", ElpConfig(E, L, PromptConfig(2))),
    ("asv", ElpConfig(E, L, PromptConfig(2))),
    ("asr", ElpConfig(E, L, PromptConfig(3, "suffix"))),
    ("asv", ElpConfig(None, LayerAdapterConfig(16, (0, 1)), None, tune_norms=False)),
    ("asr", ElpConfig(EncoderAdapterConfig(4, (1,)), None, None)),
]
WAVEFORMS = [tone(300, 0.4), tone(500, 0.2), tone(700, 0.3), tone(900, 0.2), tone(1100, 0.03)]


def make_model(backbone: Backbone, number: int) -> ElpModel:
    """A model of the shape with this number, its weights away from their beginnings."""
    task, config = SHAPES[number % len(SHAPES)]
    model = build(backbone, config, make_task(task, random_clips()), seed=number)
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@dataclass(frozen=True)
class Adapter:
    """A bundle on disk, and its answer to each of `WAVEFORMS` where no other adapter is near."""

    folder: Path
    alone: list[Any]


def write_adapters(backbone: Backbone, root: Path, count: int = len(SHAPES)) -> list[Adapter]:
    """Bundles of the shapes in turn."""
    made = []
    for number in range(count):
        model = make_model(backbone, number)
        write_bundle(root / str(number), model, {"slot": f"site/{number}"}, {})
        made.append(Adapter(root / str(number), [predict(model, [waveform])[0] for waveform in WAVEFORMS]))
    return made


def same(got: Any, expected: Any) -> bool:
    """Whether two answers are one, embeddings to 1e-5."""
    if isinstance(got, str) or isinstance(expected, str):
        return bool(got is not None and type(got) is type(expected) and got == expected)
    return got.shape == expected.shape and bool(np.abs(got - expected).max() <= 1e-5)


def all_same(got: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether two lists of answers are one."""
    return len(got) == len(expected) and all(map(same, got, expected))
