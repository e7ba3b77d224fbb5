from __future__ import annotations

import itertools

import pytest
import torch

from elp_core.adapters.mixed import Part, mixed_frames
from elp_core.backbones import CNN
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition
from elp_core.testing import FAMILY_STYLES, tiny_backbone, waveform_batch

E, L = EncoderAdapterConfig(8), LayerAdapterConfig(16)
CONFIGS = [
    ElpConfig(E, L, PromptConfig(2)),
    ElpConfig(E, L, PromptConfig(2)),
    ElpConfig(E, L, PromptConfig(5, "suffix")),
    ElpConfig(EncoderAdapterConfig(6, (1,)), None, None),
    ElpConfig(None, LayerAdapterConfig(12, (0, 1)), None, tune_norms=False),
    ElpConfig(None, None, PromptConfig(1), tune_norms=False),
]
LENGTHS = [[6000, 560], [4000, 3000], [6400], [5000, 6000, 700], [560], [5000]]

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def models(family: str = "hubert", pre_norm: bool = False) -> list[ElpModel]:
    """One model for each configuration, on one backbone, each with weights of its own."""
    backbone = tiny_backbone(family, pre_norm)
    made = [ElpModel(backbone, config, SpeechRecognition()).eval() for config in CONFIGS]
    with torch.no_grad():
        for parameter in itertools.chain.from_iterable(model.adapters.parameters() for model in made):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def parts(made: list[ElpModel], frames: int | None = None) -> list[Part]:
    """Clips of each model's own lengths, padded to `frames` or to the part's own longest."""
    found = []
    for seed, (model, lengths) in enumerate(zip(made, LENGTHS, strict=True)):
        features, counts = model.backbone.features(*waveform_batch(lengths, seed))
        room = max(0, (frames or 0) - features.shape[1])
        found.append(Part(model.adapters, torch.nn.functional.pad(features, (0, 0, 0, room)), counts))
    return found


@pytest.mark.parametrize("frames", [None, 19, 23])
@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
@torch.no_grad()
def test_each_part_is_what_its_adapters_alone_give(family: str, pre_norm: bool, frames: int | None) -> None:
    made = models(family, pre_norm)
    mixed = mixed_frames(made[0].backbone, parts(made, frames))
    for model, part, got in zip(made, parts(made), mixed, strict=True):
        alone, _ = model.from_prefix(CNN, part.features, part.counts)
        torch.testing.assert_close(got[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)
        assert not got[:, alone.shape[1] :].any()


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_stacked_weights_give_the_same(config: ElpConfig) -> None:
    backbone = tiny_backbone("wavlm")
    made = [ElpModel(backbone, config, SpeechRecognition()).eval() for _ in range(3)]
    given = [Part(m.adapters, *backbone.features(*waveform_batch([5000, 3000], i))) for i, m in enumerate(made)]
    for one, other in zip(mixed_frames(backbone, given, True), mixed_frames(backbone, given, False), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stack", [False, True])
def test_each_part_gets_the_gradients_of_its_own_loss(stack: bool) -> None:
    made = models("wavlm")
    mixed = mixed_frames(made[0].backbone, parts(made), stack)
    sum(frames.square().sum() for frames in mixed).backward()
    together = [[p.grad for p in model.adapters.parameters()] for model in made]
    for model, part, got in zip(made, parts(made), together, strict=True):
        model.zero_grad()
        model.from_prefix(CNN, part.features, part.counts)[0].square().sum().backward()
        for one, parameter in zip(got, model.adapters.parameters(), strict=True):
            torch.testing.assert_close(one, parameter.grad, atol=2e-4, rtol=1e-4)
    assert all(parameter.grad is None for parameter in made[0].backbone.parameters())


@torch.no_grad()
def test_one_configuration_is_one_product_for_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from elp_core.adapters import mixed

    calls: list[int] = []
    real = mixed._stacked
    monkeypatch.setattr(mixed, "_stacked", lambda modules, x: calls.append(len(modules)) or real(modules, x))
    backbone = tiny_backbone()
    made = [ElpModel(backbone, CONFIGS[0], SpeechRecognition()).eval() for _ in range(4)]
    mixed_frames(backbone, [Part(m.adapters, *backbone.features(*waveform_batch([5000]))) for m in made], True)
    assert calls == [4] * (2 + 3 + 2 * 3)  # E, L, and two norms a layer
