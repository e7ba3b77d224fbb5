"""Run one of several processes of a training: `torchrun --nproc_per_node 2 -m tests.support.parallel_run ARGUMENTS`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from elp_core.assemble import build
from elp_core.config import (
    AugmentConfig,
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
)
from elp_core.model import ElpModel
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition
from elp_core.testing import tiny_backbone
from elp_core.training import Silent, train
from tests.support.clips import two_speakers

CLIPS, HELD_OUT = two_speakers(3)[:5], two_speakers(2, seed=1)[:3]
ADAPTER = ElpConfig(EncoderAdapterConfig(8), LayerAdapterConfig(16), PromptConfig(2), dropout=0.0)
CONFIG = TrainConfig(
    epochs=2, batch_seconds=1.4, min_steps=1, device="cpu", checkpoint_minutes=0.0, augment=AugmentConfig(variants=2)
)
"""Batches of one to three utterances: a process may be left without any."""


class EpochPrinter(Silent):
    """Print a line for each epoch, so that a test sees which process reports."""

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """One line."""
        print(f"epoch {epoch}", flush=True)


def run(checkpoint: Path | None = None) -> ElpModel:
    """Train, and give the model."""
    torch.set_num_threads(1)
    model = build(tiny_backbone("hubert"), ADAPTER, SpeechRecognition(options=RecognitionOptions(dropout=0.0)), seed=0)
    train(model, CLIPS, HELD_OUT, CONFIG, EpochPrinter(), checkpoint)
    return model


if __name__ == "__main__":
    trained = run(Path(sys.argv[2]))
    rank = torch.distributed.get_rank()
    assert torch.distributed.get_world_size() == 2
    save_file(trained.state(), Path(sys.argv[1]) / f"{rank}.safetensors")
    torch.distributed.destroy_process_group()
