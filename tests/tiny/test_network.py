import pytest
import torch

from elp_core.backbones.convolutions import convolve
from tiny.network import MaskedPredictor, configure
from tiny.settings import Recipe


@pytest.fixture
def model(recipe: Recipe) -> MaskedPredictor:
    return MaskedPredictor(configure(recipe.network), 5).eval()


def test_channels_last_cnn_equals_that_of_transformers(model: MaskedPredictor) -> None:
    waves = torch.randn(3, 6000)
    expected = model.backbone.feature_extractor(waves).transpose(1, 2)
    torch.testing.assert_close(convolve(model.backbone.feature_extractor, waves), expected, atol=1e-5, rtol=1e-5)


def test_every_layer_equals_that_of_transformers(model: MaskedPredictor) -> None:
    waves = torch.randn(2, 6000)
    expected = model.backbone(waves, output_hidden_states=True).hidden_states
    states = model.hidden_states(waves)
    assert len(states) == len(expected) == 3
    for state, other in zip(states, expected, strict=True):
        torch.testing.assert_close(state, other, atol=1e-5, rtol=1e-5)


def test_masked_frames_reach_the_encoder_as_the_mask_embedding(model: MaskedPredictor) -> None:
    mask = torch.ones(1, 18, dtype=torch.bool)
    first, second = (model.hidden_states(torch.randn(1, 6000), mask)[-1] for _ in range(2))
    assert torch.equal(first, second)


def test_only_the_asked_layers_run(model: MaskedPredictor) -> None:
    assert len(model.hidden_states(torch.randn(1, 6000), layers=1)) == 2


def test_the_cnn_hears_how_loud_a_frame_is(model: MaskedPredictor) -> None:
    wave = torch.randn(1, 6000)
    torch.nn.init.normal_(model.backbone.feature_extractor.conv_layers[0].conv.bias)
    quiet, loud = (convolve(model.backbone.feature_extractor, wave * level) for level in (0.05, 1.0))
    assert (quiet - loud).abs().max() > 0.1
