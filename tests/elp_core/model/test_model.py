from __future__ import annotations

import pytest
import torch

from elp_core.backbones import Adapters, layer_outputs, tensor_digests
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig, PromptPlace
from elp_core.errors import BundleError
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition, make_task
from elp_core.testing import FAMILY_STYLES, random_clips, tiny_backbone, waveform_batch

LENGTHS = [6000, 4000, 6400, 560]
E = EncoderAdapterConfig(bottleneck=6)
L = LayerAdapterConfig(width=10)


def _model(
    family: str = "hubert", pre_norm: bool = False, place: PromptPlace = "prefix", config: ElpConfig | None = None
) -> ElpModel:
    config = config or ElpConfig(encoder=E, layer=L, prompt=PromptConfig(3, place))
    return ElpModel(tiny_backbone(family, pre_norm), config, SpeechRecognition()).eval()


def _disturb(model: ElpModel) -> ElpModel:
    for tensor in model.state().values():
        tensor.add_(0.3 * torch.randn_like(tensor))
    return model


@pytest.mark.parametrize("place", ["prefix", "suffix"])
@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
@torch.no_grad()
def test_a_clip_in_a_padded_batch_is_the_clip_alone(family: str, pre_norm: bool, place: PromptPlace) -> None:
    model = _disturb(_model(family, pre_norm, place))
    waveforms, lengths = waveform_batch(LENGTHS)
    frames, counts = model(waveforms, lengths)
    assert frames.shape == (4, 19, model.dim)
    for row, length in enumerate(LENGTHS):
        alone, count = model(waveforms[row : row + 1, :length], lengths[row : row + 1])
        assert count.tolist() == [int(counts[row])]
        torch.testing.assert_close(frames[row, : counts[row]], alone[0], atol=1e-5, rtol=0)
        assert not bool(frames[row, counts[row] :].any())


@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
def test_training_leaves_the_backbone_bit_for_bit(family: str, pre_norm: bool) -> None:
    model = _model(family, pre_norm).train()
    before, learned = tensor_digests(model.backbone.state_dict()), tensor_digests(model.state())
    optimizer = torch.optim.AdamW(model.trainable().values(), lr=1e-2)
    for _ in range(2):
        model.head(*model(*waveform_batch(LENGTHS))).square().mean().backward()
        optimizer.step()
    assert tensor_digests(model.backbone.state_dict()) == before
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    after = tensor_digests(model.state())
    assert [name for name in learned if learned[name] == after[name]] == []


@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
@torch.no_grad()
def test_detaching_restores_the_backbone_and_attaching_the_adapters(family: str, pre_norm: bool) -> None:
    model = _disturb(_model(family, pre_norm))
    batch = waveform_batch([6000, 6000])
    attached, _ = model(*batch)
    model.detach()
    frames, _ = model(*batch)
    backbone = tiny_backbone(family, pre_norm)
    *_, last = layer_outputs(backbone, *backbone.features(*batch), Adapters(backbone))
    assert torch.equal(frames, backbone.finish(last))
    model.attach()
    assert torch.equal(model(*batch)[0], attached)


@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
@torch.no_grad()
def test_a_fresh_adapter_changes_the_output_in_proportion_to_its_gain(family: str, pre_norm: bool) -> None:
    model = _model(family, pre_norm, config=ElpConfig(encoder=E, layer=None, prompt=None))
    batch = waveform_batch([6000])
    model.detach()
    own, _ = model(*batch)
    model.attach()

    def change(gain: float) -> float:
        for adapter in model.adapters.e.values():
            adapter.get_parameter("norm.weight").fill_(gain)
        return float((model(*batch)[0] - own).norm() / own.norm())

    assert change(0.0) < 1e-6
    assert change(1e-3) == pytest.approx(change(1e-2) / 10, rel=0.2)
    assert change(1e-2) < 0.1


@pytest.mark.parametrize("place", ["prefix", "suffix"])
@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
def test_mixed_precision_runs_and_reaches_every_tensor(family: str, pre_norm: bool, place: PromptPlace) -> None:
    model = _model(family, pre_norm, place).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.head(*model(*waveform_batch(LENGTHS))).float().square().mean()
    loss.backward()
    assert bool(loss.isfinite())
    idle = [name for name, p in model.trainable().items() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert idle == []


def test_train_mode_reaches_adapters_and_head_only() -> None:
    model = _model().train()
    assert model.adapters.training
    assert model.head.training
    assert not any(module.training for module in model.backbone.modules())


@pytest.mark.parametrize("prompt", [None, PromptConfig(2)])
def test_gradients_stop_where_nothing_below_learns(prompt: PromptConfig | None) -> None:
    model = _model(config=ElpConfig(encoder=E, layer=L, prompt=prompt))
    features, counts = model.backbone.features(*waveform_batch(LENGTHS))
    assert not features.requires_grad
    entered = next(layer_outputs(model.backbone, features, counts, model.adapters))
    assert entered.requires_grad is (prompt is not None)


def test_layers_beyond_the_last_one_summed_are_not_run() -> None:
    model = _model(config=ElpConfig(encoder=None, layer=LayerAdapterConfig(width=10, layers=(0, 1)), prompt=None))
    ran: list[int] = []
    for number, layer in enumerate(model.backbone.layers):
        layer.feed_forward.register_forward_hook(lambda *_, number=number: ran.append(number))
    model(*waveform_batch([4000]))
    assert ran == [0, 1]


@torch.no_grad()
def test_state_goes_out_and_in_again() -> None:
    first, second = _disturb(_model()), _model()
    batch = waveform_batch(LENGTHS)
    assert not torch.equal(first(*batch)[0], second(*batch)[0])
    second.load_state(first.state())
    assert torch.equal(first(*batch)[0], second(*batch)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p.features": None}, "p.features is missing"),
        ({"e.7.down.weight": torch.zeros(1)}, "e.7.down.weight has no place in this adapter"),
        ({"p.features": torch.zeros(2, 8)}, r"p.features is float32 \[2, 8\], expected float32 \[3, 8\]"),
        ({"p.features": torch.zeros(3, 8).double()}, r"p.features is float64 \[3, 8\]"),
        ({"p.features": torch.full((3, 8), torch.nan)}, "p.features has values that are NaN or infinite"),
    ],
)
def test_tensors_that_do_not_fit_change_nothing(change: dict[str, torch.Tensor | None], message: str) -> None:
    model = _model()
    before = tensor_digests(model.state())
    tensors = {name: tensor + 1 for name, tensor in model.state().items()} | change
    with pytest.raises(BundleError, match=message):
        model.load_state({name: tensor for name, tensor in tensors.items() if tensor is not None})
    assert tensor_digests(model.state()) == before


def test_trainable_and_state_name_the_same_tensors() -> None:
    model = ElpModel(tiny_backbone(), ElpConfig(), make_task("asv", random_clips()))
    assert model.trainable().keys() == model.state().keys()
    assert model.parameter_count() == sum(tensor.numel() for tensor in model.state().values())
    assert all(parameter.requires_grad for parameter in model.trainable().values())
