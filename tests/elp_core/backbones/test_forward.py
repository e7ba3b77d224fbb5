from __future__ import annotations

import pytest
import torch

from elp_core.backbones import Adapters, Backbone, layer_outputs
from elp_core.errors import AudioError
from elp_core.testing import FAMILY_STYLES, tiny_backbone, tiny_model, waveform_batch

WAVEFORM_STYLES = [style for style in FAMILY_STYLES if style[0] != "wav2vec2-bert"]
LENGTHS = [6000, 4000, 6400, 560, 4000]

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def states(backbone: Backbone, features: torch.Tensor, counts: torch.Tensor) -> list[torch.Tensor]:
    return list(layer_outputs(backbone, features, counts, Adapters(backbone)))


@pytest.mark.parametrize(("family", "pre_norm"), WAVEFORM_STYLES)
@torch.no_grad()
def test_hidden_states_are_those_of_transformers(family: str, pre_norm: bool) -> None:
    model = tiny_model(family, pre_norm)
    backbone = Backbone.from_model(model, "tiny")
    waveforms, lengths = waveform_batch([6000])
    expected = model(waveforms, output_hidden_states=True)
    hidden = states(backbone, *backbone.features(waveforms, lengths))
    assert len(hidden) == len(expected.hidden_states) == 4
    for got, wanted in zip(hidden[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)
    # transformers 5.0 gives the last state after the encoder's final norm, later releases before it
    torch.testing.assert_close(backbone.finish(hidden[-1]), expected.last_hidden_state, atol=2e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask and attn_mask:UserWarning")
@pytest.mark.parametrize(("family", "pre_norm"), [style for style in WAVEFORM_STYLES if style[0] != "data2vec-audio"])
@torch.no_grad()
def test_padded_hidden_states_are_those_of_transformers(family: str, pre_norm: bool) -> None:
    # a CNN with layer norm treats padding as transformers' does; WavLM's attention there is eager, ours is SDPA
    model = tiny_model(family, pre_norm, feat_extract_norm="layer")
    backbone = Backbone.from_model(model, "tiny")
    waveforms, lengths = waveform_batch(LENGTHS)
    mask = (torch.arange(waveforms.shape[1]) < lengths.unsqueeze(1)).long()
    expected = model(waveforms, attention_mask=mask, output_hidden_states=True)
    hidden = states(backbone, *backbone.features(waveforms, lengths))
    ours = [*hidden[:-1], backbone.finish(hidden[-1])]
    for got, wanted in zip(ours, [*expected.hidden_states[:-1], expected.last_hidden_state], strict=True):
        for row, count in enumerate(backbone.frame_counts(lengths).tolist()):
            torch.testing.assert_close(got[row, :count], wanted[row, :count], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
@torch.no_grad()
def test_a_clip_in_a_padded_batch_is_the_clip_alone(family: str, pre_norm: bool, normalize: bool) -> None:
    backbone = tiny_backbone(family, pre_norm, normalize=normalize)
    _same_alone_and_batched(backbone)


@torch.no_grad()
def test_batch_norm_before_the_position_convolution_leaks_no_padding() -> None:
    backbone = tiny_backbone("hubert", conv_pos_batch_norm=True)
    backbone.encoder.pos_conv_embed.batch_norm.running_mean.normal_()
    _same_alone_and_batched(backbone)


@torch.no_grad()
def test_normalised_waveforms_are_those_of_the_feature_extractor() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    model = tiny_model("wav2vec2", pre_norm=True)
    backbone = Backbone.from_model(model, "tiny", normalize=True)
    waveforms, lengths = waveform_batch([6000])
    inputs = Wav2Vec2FeatureExtractor(do_normalize=True)(waveforms[0].numpy(), sampling_rate=16_000).input_values[0]
    hidden = states(backbone, *backbone.features(waveforms, lengths))
    expected = model(torch.as_tensor(inputs)[None]).last_hidden_state
    torch.testing.assert_close(backbone.finish(hidden[-1]), expected, atol=1e-5, rtol=1e-5)


def test_frame_counts_are_those_of_transformers() -> None:
    model = tiny_model("hubert")
    lengths = torch.arange(400, 4000, 37)
    counts = Backbone.from_model(model, "tiny").frame_counts(lengths)
    assert counts.tolist() == model._get_feat_extract_output_lengths(lengths).tolist()


def test_a_clip_without_a_frame_is_refused() -> None:
    backbone = tiny_backbone()
    assert backbone.min_samples == 400
    with pytest.raises(AudioError, match="399 samples has no frame; this backbone needs 400"):
        backbone.features(torch.zeros(1, 399), torch.tensor([399]))


def _same_alone_and_batched(backbone: Backbone) -> None:
    waveforms, lengths = waveform_batch(LENGTHS)
    features, counts = backbone.features(waveforms, lengths)
    together = states(backbone, features, counts)
    for row, length in enumerate(LENGTHS):
        alone = states(backbone, *backbone.features(waveforms[row : row + 1, :length], lengths[row : row + 1]))
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[row, : counts[row]], single[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("waveforms", "lengths", "words"),
    [
        (torch.zeros(16000), torch.tensor([16000]), r"waveforms are float32 \[16000\] .* expected float32 \[B, T\]"),
        (torch.zeros(1, 1, 16000), torch.tensor([16000]), r"float32 \[1, 1, 16000\]"),
        (torch.zeros(2, 16000), torch.tensor([16000]), r"lengths int64 \[1\]"),
        (torch.zeros(0, 16000), torch.zeros(0, dtype=torch.int64), "of one clip or more"),
        (torch.zeros(1, 16000, dtype=torch.int16), torch.tensor([16000]), r"waveforms are int16 \[1, 16000\]"),
        (torch.zeros(1, 16000, dtype=torch.float64), torch.tensor([16000]), "waveforms are float64"),
        (torch.zeros(1, 16000), torch.tensor([16000.0]), r"lengths float32 \[1\]"),
        (torch.zeros(1, 16000), torch.tensor([20000]), "a length says 20000 samples, the waveforms hold 16000"),
    ],
)
@pytest.mark.parametrize("pre_norm", [False, True])
def test_waveforms_and_lengths_that_do_not_fit_are_refused(
    waveforms: torch.Tensor, lengths: torch.Tensor, words: str, pre_norm: bool
) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        tiny_backbone("hubert", pre_norm).features(waveforms, lengths)
    assert caught.value.reason == "shape"
