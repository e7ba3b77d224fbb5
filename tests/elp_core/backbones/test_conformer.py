"""w2v-BERT 2.0: our forward pass against transformers', and what a checkpoint of it may contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from elp_core.backbones import Adapters, Backbone, layer_outputs
from elp_core.errors import BackboneError
from elp_core.methods.config import LoraConfig
from elp_core.methods.low_rank import LoraNetwork
from elp_core.testing import save_tiny, tiny_backbone, tiny_model, waveform_batch

FAMILY = "wav2vec2-bert"
BASE = {
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feature_projection_input_dim": 160,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "conv_depthwise_kernel_size": 31,
}
"""The published form, with 2 of its 24 layers."""
PUBLISHED = BASE | {"num_hidden_layers": 24}


@pytest.mark.parametrize(
    ("sizes", "implementation"),
    [({}, "eager"), ({}, "sdpa"), ({"position_embeddings_type": None}, "eager"), (BASE, "eager")],
    ids=["tiny eager", "tiny sdpa", "no positions", "base"],
)
@torch.no_grad()
def test_padded_hidden_states_are_those_of_transformers(sizes: dict[str, Any], implementation: str) -> None:
    model: Any = tiny_model(FAMILY, **sizes)
    model.set_attn_implementation(implementation)
    _compare_states(model, {32_000: 99, 20_333: 62, 560: 1}, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_hidden_states_are_those_of_transformers_in_the_published_form_with_all_layers() -> None:
    """Random weights of 2.3 GB; the rounding of 24 layers adds up."""
    model: Any = tiny_model(FAMILY, **PUBLISHED)
    model.set_attn_implementation("eager")
    _compare_states(model, {16_000: 49, 12_000: 36}, atol=5e-5)


def _compare_states(model: Any, frames: dict[int, int], atol: float) -> None:
    """From the same energies, every state of every layer is that of transformers; `frames` by samples of each clip."""
    backbone = Backbone.from_model(model, "model")
    waveforms, lengths = waveform_batch(list(frames))
    features, counts = backbone.features(waveforms, lengths)
    assert counts.tolist() == list(frames.values())
    mask = (torch.arange(features.shape[1]) < counts.unsqueeze(1)).long()
    expected = model(features, attention_mask=mask, output_hidden_states=True)
    ours = list(layer_outputs(backbone, features, counts, Adapters(backbone)))
    for got, wanted in zip(ours, expected.hidden_states, strict=True):
        for row, count in enumerate(counts.tolist()):
            torch.testing.assert_close(got[row, :count], wanted[row, :count], atol=atol, rtol=1e-5)
    torch.testing.assert_close(backbone.finish(ours[-1])[0], expected.last_hidden_state[0], atol=atol, rtol=1e-5)


@torch.no_grad()
def test_from_a_waveform_to_the_states_it_is_transformers_processor_and_model(tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    folder = save_tiny(tmp_path, FAMILY, feature_projection_input_dim=160)
    waveforms, lengths = waveform_batch([6000, 4000, 6400, 560, 5999])
    raw = [row[:length].numpy() for row, length in zip(waveforms, lengths.tolist(), strict=True)]
    theirs = AutoFeatureExtractor.from_pretrained(folder)(raw, sampling_rate=16_000, return_tensors="pt")
    expected = AutoModel.from_pretrained(folder).eval()(**theirs).last_hidden_state
    backbone = Backbone.from_pretrained(folder)
    features, counts = backbone.features(waveforms, lengths)
    *_, last = layer_outputs(backbone, features, counts, Adapters(backbone))
    assert counts.tolist() == theirs.attention_mask.sum(1).tolist()
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(last[row, :count], expected[row, :count], atol=1e-4, rtol=1e-5)


def test_the_optional_adapter_after_the_encoder_is_left_out(tmp_path: Path) -> None:
    extra = {"add_adapter": True, "use_intermediate_ffn_before_adapter": True, "output_hidden_size": 16}
    with_adapter = Backbone.from_pretrained(save_tiny(tmp_path / "with", FAMILY, **extra))
    assert {name.partition(".")[0] for name in with_adapter.digests} == {"feature_projection", "encoder"}
    assert with_adapter.architecture == tiny_backbone(FAMILY).architecture
    assert with_adapter.frame_counts(torch.tensor([16_000])).tolist() == [49]
    features, counts = with_adapter.features(*waveform_batch([6000]))
    *_, last = layer_outputs(with_adapter, features, counts, Adapters(with_adapter))
    assert last.shape == (1, 18, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position_embeddings_type": "rotary"}, "position_embeddings_type is 'rotary', expected 'relative_key'"),
        ({"position_embeddings_type": "relative"}, "position_embeddings_type is 'relative', expected 'relative_key'"),
        ({"feature_projection_input_dim": 7}, "feature_projection_input_dim is 7, expected twice a number of mel bins"),
        ({"conv_depthwise_kernel_size": 4}, "cannot make a wav2vec2-bert of this configuration: ValueError"),
        ({"left_max_position_embeddings": 6}, r"do not belong together: .*distance_embedding"),
    ],
)
def test_a_form_that_would_be_computed_wrongly_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_tiny(tmp_path, FAMILY) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BackboneError, match=message):
        Backbone.from_pretrained(tmp_path)


def test_a_model_in_memory_of_such_a_form_is_refused() -> None:
    with pytest.raises(BackboneError, match="choose a checkpoint with such positions"):
        tiny_backbone(FAMILY, position_embeddings_type="rotary")


def test_lora_finds_the_linear_layers_by_their_names_in_other_families() -> None:
    def changed(targets: tuple[str, ...]) -> set[str]:
        network = LoraNetwork(tiny_backbone(FAMILY), LoraConfig(targets=targets))
        return {name.split(".", 2)[2].partition(".lora_")[0] for name in network.state_dict() if ".lora_" in name}

    assert changed(("q_proj", "v_proj")) == {"self_attn.linear_q", "self_attn.linear_v"}
    assert changed(("output_dense",)) == {"ffn1.output_dense", "ffn2.output_dense"}
