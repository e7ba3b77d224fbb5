"""Sizes, adapter parts and tasks in every pair: each learns in all its tensors and is the same after loading."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.assemble import build
from elp_core.audio import load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.data.collate import collate
from elp_core.task_specs import TASKS
from elp_core.tasks import make_task
from elp_core.testing import FAMILY_STYLES, tiny_backbone
from elp_core.types import Clip
from tests.support.clips import two_speakers

E, L, P = EncoderAdapterConfig(6), LayerAdapterConfig(10), PromptConfig(2)
PARTS = {
    "E": ElpConfig(E, None, None, dropout=0.0),
    "L": ElpConfig(None, L, None, dropout=0.0),
    "P": ElpConfig(None, None, P, dropout=0.0),
    "EL": ElpConfig(E, L, None, dropout=0.0),
    "ELP": ElpConfig(E, L, P, dropout=0.0),
    "ELP, norms off": ElpConfig(E, L, P, tune_norms=False, dropout=0.0),
}
SIZES = [f"{family} {'large' if pre_norm else 'base'}" for family, pre_norm in FAMILY_STYLES]
NAMES = sorted(TASKS)
PAIRWISE = [
    (size, parts, NAMES[(row + column) % len(NAMES)])
    for row, size in enumerate(SIZES)
    for column, parts in enumerate(PARTS)
]
"""Every pair of size and parts, of size and task, of parts and task: a fault of two that meet needs no third."""


@functools.cache
def backbone(size: str) -> Backbone:
    family, style = size.split()
    return tiny_backbone(family, pre_norm=style == "large")


@functools.cache
def batch() -> tuple[list[Clip], torch.Tensor, torch.Tensor]:
    """Four clips of different lengths that suit every task, and their padded batch."""
    clips = [replace(clip, label=clip.text) for clip in two_speakers(2)]
    return clips, *collate([load(clip.audio) for clip in clips])


@pytest.mark.parametrize(("size", "parts", "task"), PAIRWISE)
def test_each_learns_everywhere_and_comes_back_from_disk(size: str, parts: str, task: str, tmp_path: Path) -> None:
    clips, waveforms, lengths = batch()
    made = make_task(task, clips)
    model = build(backbone(size), PARTS[parts], made, seed=0)
    frames, counts = model(waveforms, lengths)
    assert frames.shape == (4, int(counts.max()), 10 if "L" in parts else 24)
    assert counts.tolist() == backbone(size).frame_counts(lengths).tolist()
    made.loss(model.head, frames, counts, made.targets(clips)).backward()
    idle = [name for name, p in model.trainable().items() if p.grad is None or not bool(p.grad.any())]
    assert idle == []
    for tensor in model.state().values():  # away from where fresh ones start, such as norms at one
        tensor.add_(0.1 * torch.randn_like(tensor))
    write_bundle(tmp_path / "bundle", model, lineage={}, metrics={})
    again = load_bundle(tmp_path / "bundle", backbone(size))
    with torch.no_grad():
        assert torch.equal(again.eval()(waveforms, lengths)[0], model.eval()(waveforms, lengths)[0])
    assert again.task == made
    assert not any(parameter.requires_grad for parameter in backbone(size).parameters())
