"""Checkpoints in forms that other loaders get wrong, each generated in that form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from elp_core.backbones import Adapters, Backbone, layer_outputs
from elp_core.testing import save_tiny, tiny_model, waveform_batch, write_preprocessor

SILENCE = 8000
"""Samples of 0.5 s, which the cards of some Japanese checkpoints ask for before and after a clip."""


@torch.no_grad()
def _last(backbone: Backbone, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    *_, last = layer_outputs(backbone, *backbone.features(waveforms, lengths), Adapters(backbone))
    return backbone.finish(last)


def _same_padded_and_alone(backbone: Backbone, waveforms: torch.Tensor, lengths: torch.Tensor) -> None:
    together, counts = _last(backbone, waveforms, lengths), backbone.frame_counts(lengths).tolist()
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts, strict=True)):
        alone = _last(backbone, waveforms[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :count], alone[0], atol=1e-5, rtol=1e-5)


def test_the_language_adapters_of_mms_are_part_of_the_backbone(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "mms", "wav2vec2", pre_norm=True, adapter_attn_dim=6)
    backbone, (waveforms, lengths) = Backbone.from_pretrained(folder), waveform_batch([6000, 4000])
    model: Any = tiny_model("wav2vec2", pre_norm=True, adapter_attn_dim=6)
    with torch.no_grad():
        expected = model(waveforms[:1]).last_hidden_state
    torch.testing.assert_close(_last(backbone, waveforms[:1], lengths[:1]), expected, atol=2e-5, rtol=0)
    _same_padded_and_alone(backbone, waveforms, lengths)
    # another language of the same checkpoint has other adapters, so bundles do not fit it
    model.encoder.layers[0].adapter_layer.linear_1.bias.data.add_(1.0)
    model.save_pretrained(folder)
    assert Backbone.from_pretrained(folder).fingerprint != backbone.fingerprint


@pytest.mark.parametrize("mask", [True, False, None])
@pytest.mark.parametrize(("family", "pre_norm"), [("wav2vec2", False), ("hubert", True)])
def test_padding_changes_nothing_with_silence_around_a_clip_and_any_attention_mask(
    family: str, pre_norm: bool, mask: bool | None, tmp_path: Path
) -> None:
    # without a mask, the processor of transformers normalises over the padding, too
    folder = save_tiny(tmp_path / "checkpoint", family, pre_norm)
    settings = {} if mask is None else {"return_attention_mask": mask}
    backbone = Backbone.from_pretrained(write_preprocessor(folder, do_normalize=True, **settings))
    speech, lengths = waveform_batch([6000, 4000])
    waveforms = torch.zeros(3, 6000 + 2 * SILENCE)
    waveforms[0, SILENCE : SILENCE + 6000], waveforms[1:, :6000] = speech[0], speech
    _same_padded_and_alone(backbone, waveforms, torch.tensor([6000 + 2 * SILENCE, *lengths.tolist()]))
