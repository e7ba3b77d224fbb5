from __future__ import annotations

from dataclasses import replace

import pytest

from elp_core.assemble import build
from elp_core.config import AugmentConfig, LayerAdapterConfig, TrainConfig
from elp_core.presets import PRESETS
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from elp_core.training import train
from tests.support.clips import two_speakers

PLAIN = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)


@pytest.mark.parametrize("family", ["wav2vec2-bert", "wavlm"])
def test_the_verification_preset_learns_without_touching_a_layer(family: str) -> None:
    preset, clips = PRESETS["asv-mfa"], two_speakers(2)
    adapter = replace(preset.adapter(), layer=LayerAdapterConfig(8), dropout=0.0)
    model = build(tiny_backbone(family), adapter, make_task("asv", clips, preset.options()), seed=0)
    assert (model.adapters.touched, model.prefix.name, model.dim) == ((), "h1.2.3", 3 * 8)
    config = TrainConfig(epochs=4, batch_seconds=8.0, min_steps=1, device="cpu", patience=0, augment=PLAIN)
    result = train(model, clips, two_speakers(2, seed=1), config)
    assert result.history[-1].loss < result.history[0].loss
